//! The stages of a run, as data: logs, errors, the README and the tests take the names from here.

use std::fmt;

/// A stage of the flow, in the order in which they happen.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// Environment and scripts into `Config` and `Chain`.
    Configure,
    /// Until each dependency answers.
    Wait,
    /// What the database remembers, without a lock.
    Look,
    /// One runner per schema.
    Lock,
    /// What to do, or why not.
    Plan,
    /// One revision after the other, and the hook after them.
    Apply,
    /// The search index.
    Reindex,
    /// Becoming the server.
    Exec,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 8] = [
        Self::Configure,
        Self::Wait,
        Self::Look,
        Self::Lock,
        Self::Plan,
        Self::Apply,
        Self::Reindex,
        Self::Exec,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Wait => "wait",
            Self::Look => "look",
            Self::Lock => "lock",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Reindex => "reindex",
            Self::Exec => "exec",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
