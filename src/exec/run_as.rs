//! Becoming another user: gosu's job, done before the first connection, so that a SQLite file
//! and its lock belong to the server's user.

use std::ffi::OsString;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, initgroups, setgid, setgroups, setuid};

use crate::config::RunAs;

/// Why we cannot be that user.
#[derive(Debug, thiserror::Error)]
pub enum RunAsError {
    /// No such user.
    #[error("RUN_AS: there is no user `{0}`")]
    User(String),
    /// No such group.
    #[error("RUN_AS: there is no group `{0}`")]
    Group(String),
    /// A number that is in no list of users, so that it has no group of its own.
    #[error(
        "RUN_AS: user {0} is not in /etc/passwd, so that its group is not known; write `{0}:<gid>`"
    )]
    GroupMissing(u32),
    /// The kernel says no.
    #[error(
        "RUN_AS: cannot become {uid}:{gid}; start as root with CAP_SETUID and CAP_SETGID, or as \
         that user"
    )]
    Denied {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// What the operating system said.
        source: nix::Error,
    },
    /// The list of users cannot be read.
    #[error("RUN_AS: cannot read the list of users")]
    Lookup(#[source] nix::Error),
}

/// Becomes the user, and gives the `HOME` that goes with it, where there is one: a server that
/// kept root's would fail to write there.
pub fn become_user(run_as: &RunAs) -> Result<Option<(OsString, OsString)>, RunAsError> {
    let user = user(&run_as.user)?;
    let (uid, of_user) = match &user {
        Found::Known(user) => (user.uid, Some(user.gid)),
        Found::Number(uid) => (*uid, None),
    };
    let gid = match (&run_as.group, of_user) {
        (Some(group), _) => self::group(group)?,
        (None, Some(gid)) => gid,
        (None, None) => return Err(RunAsError::GroupMissing(uid.as_raw())),
    };
    let denied = |source| RunAsError::Denied { uid: uid.as_raw(), gid: gid.as_raw(), source };
    if (uid, gid) != (geteuid(), getegid()) {
        match &user {
            // With a group of one's own choice the user's other groups do not come along.
            Found::Known(user) if run_as.group.is_none() => {
                let name = std::ffi::CString::new(user.name.as_str())
                    .map_err(|_| RunAsError::User(user.name.clone()))?;
                initgroups(&name, gid).map_err(denied)?;
            }
            Found::Known(_) | Found::Number(_) => setgroups(&[gid]).map_err(denied)?,
        }
        setgid(gid).map_err(denied)?;
        setuid(uid).map_err(denied)?;
    }
    Ok(match user {
        Found::Known(user) => Some(("HOME".into(), user.dir.into_os_string())),
        Found::Number(_) => None,
    })
}

/// A user that is in the list, or only a number.
enum Found {
    Known(User),
    Number(Uid),
}

fn user(text: &str) -> Result<Found, RunAsError> {
    let found = match text.parse::<u32>() {
        Ok(number) => {
            let uid = Uid::from_raw(number);
            // A scratch image has no list of users: then the number is all there is.
            return Ok(User::from_uid(uid).ok().flatten().map_or(Found::Number(uid), Found::Known));
        }
        Err(_) => User::from_name(text).map_err(RunAsError::Lookup)?,
    };
    found.map(Found::Known).ok_or_else(|| RunAsError::User(text.to_owned()))
}

fn group(text: &str) -> Result<Gid, RunAsError> {
    if let Ok(number) = text.parse::<u32>() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(text).map_err(RunAsError::Lookup)?;
    found.map(|group| group.gid).ok_or_else(|| RunAsError::Group(text.to_owned()))
}
