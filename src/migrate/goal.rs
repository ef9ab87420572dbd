//! What `--revision` takes: a target, or the `A:B` of a way that no database is asked for.

use std::fmt;

use crate::graph::target::{Target, TargetSyntaxError};

/// Where to go: a target, or a target and where to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Goal {
    /// Where to begin, instead of where the database is.
    pub from: Option<Target>,
    /// Where to go.
    pub to: Target,
}

/// Why a text is no goal.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GoalSyntaxError {
    /// An end that is no target.
    #[error(transparent)]
    Target(#[from] TargetSyntaxError),
    /// More than two ends.
    #[error("write a target, or `A:B` for the way from A to B")]
    Ends,
}

impl Goal {
    /// Reads what was typed. An end that is left out is `base` or `heads`.
    pub fn parse(text: &str) -> Result<Self, GoalSyntaxError> {
        let end = |text: &str, absent: Target| match text.trim() {
            "" => Ok(absent),
            text => Target::parse(text),
        };
        match text.split_once(':') {
            None => Ok(Self { from: None, to: Target::parse(text)? }),
            Some((_, to)) if to.contains(':') => Err(GoalSyntaxError::Ends),
            Some((from, to)) => {
                Ok(Self { from: Some(end(from, Target::Base)?), to: end(to, Target::Heads)? })
            }
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(from) => write!(f, "{from}:{}", self.to),
            None => self.to.fmt(f),
        }
    }
}
