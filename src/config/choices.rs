//! Values that are one of a few words, or a short form of them.
//!
//! Each `parse` takes the text of a variable and gives `None` where it is none of the words; the
//! constant beside it says in a message which are.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use crate::values::truth;

/// What to do about pending revisions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AutoMigration {
    /// Only report.
    #[default]
    False,
    /// Apply them.
    True,
    /// Fail.
    Check,
    /// Wait until another has applied them.
    Wait,
}

impl AutoMigration {
    pub(super) const ACCEPTED: &'static str = "`check`, `wait`, `true 1 t y yes on enable \
                                               enabled` or `false 0 f n no off disable disabled`";

    pub(super) fn parse(text: &str) -> Option<Self> {
        match (truth(text), text.trim().to_ascii_lowercase().as_str()) {
            (Some(true), _) => Some(Self::True),
            (Some(false), _) => Some(Self::False),
            (None, "check") => Some(Self::Check),
            (None, "wait") => Some(Self::Wait),
            (None, _) => None,
        }
    }
}

/// What to do when the database has revisions that this image lacks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DatabaseAhead {
    /// Do not start.
    #[default]
    Refuse,
    /// Start.
    Allow,
}

impl DatabaseAhead {
    pub(super) const ACCEPTED: &'static str = "`refuse` or `allow`";

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "refuse" => Some(Self::Refuse),
            "allow" => Some(Self::Allow),
            _ => None,
        }
    }
}

/// Which search indexes to rebuild.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Reindex {
    /// None.
    #[default]
    False,
    /// All.
    All,
    /// What is due.
    Auto,
    /// These; never empty.
    Names(Vec<String>),
}

impl Reindex {
    pub(super) const ACCEPTED: &'static str = "`auto`, names separated by commas, or a truth word";

    /// A truth word is never a name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match truth(text) {
            Some(true) => return Some(Self::All),
            Some(false) => return Some(Self::False),
            None if text.trim().eq_ignore_ascii_case("auto") => return Some(Self::Auto),
            None => {}
        }
        let names: Vec<_> = entries(text).map(str::to_owned).collect();
        (!names.is_empty()).then_some(Self::Names(names))
    }
}

/// The entries of a list that is separated by commas: trimmed, none empty.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogSettings {
    /// Their form.
    pub format: LogFormat,
    /// The least important that are written.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For a collector.
    Json,
}

impl LogFormat {
    pub(super) const ACCEPTED: &'static str = "`text` or `json`";

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// How important a log line is, most important first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// The start fails.
    Error,
    /// Somebody should look at it.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// Why it happens.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    pub(super) const ACCEPTED: &'static str = "`error`, `warn`, `info`, `debug` or `trace`";

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "error" => Some(Self::Error),
            // Python's word, for the sake of the server that shares the variable.
            "warn" | "warning" => Some(Self::Warn),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            "trace" => Some(Self::Trace),
            _ => None,
        }
    }
}

/// Whom to become: text only, since users are looked up at the edge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunAs {
    /// A name or a number; never empty.
    pub user: String,
    /// A name or a number; without it the user's own group.
    pub group: Option<String>,
}

impl RunAs {
    pub(super) const ACCEPTED: &'static str = "`uid[:gid]` or `name[:group]`";

    pub(super) fn parse(text: &str) -> Option<Self> {
        let sound = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c == ':' || c.is_whitespace())
        };
        let (user, group) = match text.trim().split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.trim(), None),
        };
        let accepted = sound(user) && group.is_none_or(sound);
        accepted.then(|| Self { user: user.to_owned(), group: group.map(str::to_owned) })
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => f.write_str(&self.user),
        }
    }
}

/// What an address to listen at may be, for messages.
pub(super) const LISTENER_ACCEPTED: &str = "`:8080`, `127.0.0.1:8080` or `[::]:8080`";

/// Reads an address to listen at; without a host it is every one of this machine.
pub(super) fn listener(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse() {
        Ok(port) => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        Err(_) => text.parse().ok(),
    }
}
