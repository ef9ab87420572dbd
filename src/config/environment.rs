//! What the processes that we start see of the environment: the server less than we, children
//! more.
//!
//! The server gets what was found, less the names that are ours alone and less the URL of the
//! owner role. Children (hooks and delegated commands) do part of our work, so they must work on
//! our database: a tool such as Alembic's `env.py` reads `DATABASE_URL` and knows neither of
//! `MIGRATION_DATABASE_URL`, nor of `PRELAUNCH_DATABASE_URL`, nor, mostly, of `_FILE`. What the URL says
//! of TLS they also get as libpq's variables, which psycopg and asyncpg read: in the URL each wants
//! another form, so that many an `env.py` cuts it off.

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

use super::{
    url::DatabaseUrl,
    variables::{Found, Level, OWN_PREFIX, Variable, file_form},
};

#[cfg(test)]
mod tests;

/// What to change in the environment as found. `Debug` shows names only.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct EnvironmentChange {
    /// Names and their new values.
    pub set: Vec<(OsString, OsString)>,
    /// Names to leave out; each is present in the environment.
    pub remove: Vec<OsString>,
}

impl fmt::Debug for EnvironmentChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<_> = self.set.iter().map(|(name, _)| name).collect();
        f.debug_struct("EnvironmentChange")
            .field("set", &set)
            .field("remove", &self.remove)
            .finish()
    }
}

/// For the server: without the URL of the owner role in any spelling, and without our own names.
pub(super) fn for_server(vars: &[(OsString, OsString)], prefix: Option<&str>) -> EnvironmentChange {
    let owner = Variable::named("MIGRATION_DATABASE_URL");
    let owner: Vec<_> =
        owner.into_iter().flat_map(|variable| variable.all_spellings(prefix)).collect();
    let ours = |name: &OsStr| {
        // Bytes, not text: a name may go on in something that is not UTF-8.
        name.as_encoded_bytes().starts_with(OWN_PREFIX.as_bytes())
            || owner.iter().any(|(_, spelling)| name == OsStr::new(spelling))
    };
    let remove = vars.iter().map(|(name, _)| name).filter(|name| ours(name)).cloned().collect();
    EnvironmentChange { set: Vec::new(), remove }
}

/// For children: `DATABASE_URL`, bare and with the application's prefix, is the database that we
/// work on.
///
/// Nothing is changed where the child finds that URL by itself: it came from `DATABASE_URL` or
/// from the application's own spelling of it, as a value. Where a value is set, the `_FILE` forms
/// go, since many images refuse to start with both.
pub(super) fn for_children(
    vars: &[(OsString, OsString)],
    prefix: Option<&str>,
    found: &Found,
    url: &DatabaseUrl,
) -> EnvironmentChange {
    let its_own = match found.level {
        Level::Application | Level::Bare => true,
        Level::Own | Level::File => false,
    };
    if found.name == "DATABASE_URL" && its_own && !found.from_file {
        return EnvironmentChange::default();
    }
    with_database(vars, prefix, url)
}

/// The change that makes this the database of whoever is run.
pub(super) fn with_database(
    vars: &[(OsString, OsString)],
    prefix: Option<&str>,
    url: &DatabaseUrl,
) -> EnvironmentChange {
    let mut names = vec!["DATABASE_URL".to_owned()];
    names.extend(prefix.map(|prefix| format!("{prefix}DATABASE_URL")));
    let is_set = |name: &String| vars.iter().any(|(other, _)| other == OsStr::new(name));
    let own = format!("{OWN_PREFIX}DATABASE_URL");
    let files = names.iter().chain([&own]).map(|name| file_form(name));
    EnvironmentChange {
        remove: files.filter(is_set).map(OsString::from).collect(),
        set: names.into_iter().map(|name| (name.into(), url.as_written().into())).collect(),
    }
}

/// Adds what the URL says of TLS as variables, but for those that say something already, be it as they
/// were found or as the configuration file sets them.
pub(super) fn add_tls(
    change: &mut EnvironmentChange,
    vars: &[(OsString, OsString)],
    url: &DatabaseUrl,
) {
    let blank = |value: &OsStr| value.as_encoded_bytes().trim_ascii().is_empty();
    for (name, value) in url.tls() {
        let says = |(other, value): &&(OsString, OsString)| other == name && !blank(value);
        if vars.iter().chain(&change.set).find(says).is_none() {
            change.set.push((name.into(), value.into()));
        }
    }
}
