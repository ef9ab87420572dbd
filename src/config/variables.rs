//! The table of variables, and where the value of one comes from.
//!
//! [`VARIABLES`] is the one list: `--help`, the README, the defaults and the look-up all read it.
//! A value is looked for as `PRELAUNCH_<NAME>`, then `<prefix><NAME>` with the application's own
//! prefix, then `<NAME>`; where it may be secret, also as the content of the file that
//! `<NAME>_FILE` names. Surprising: an empty value is no value, so the search goes on below it.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use super::{CONFIG, ConfigError};

#[cfg(test)]
mod tests;

/// What opens the names that are ours alone.
pub const OWN_PREFIX: &str = "PRELAUNCH_";

/// One variable: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The bare name.
    pub name: &'static str,
    /// The value without it; empty where there is none. A sentence where no one value says it
    /// (`MIGRATIONS_DIR`).
    pub default: &'static str,
    /// What it is for, in one line of Markdown.
    pub meaning: &'static str,
    /// Whether `<NAME>_FILE` may name a file that holds the value.
    pub file: bool,
    /// Under which spellings it is read.
    pub reach: Reach,
}

/// Under which spellings a variable is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// `PRELAUNCH_<NAME>`, `<prefix><NAME>` and `<NAME>`.
    Every,
    /// `PRELAUNCH_<NAME>` and `<NAME>`: what says the prefix cannot stand behind it.
    WithoutPrefix,
    /// `<NAME>` alone: the name belongs to PostgreSQL's own clients, or to systemd.
    Bare,
}

/// The level of precedence that a value was found at, highest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    /// `PRELAUNCH_<NAME>`.
    Own,
    /// `<prefix><NAME>`.
    Application,
    /// `<NAME>`.
    Bare,
    /// The configuration file.
    File,
}

const fn plain(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, file: false, reach: Reach::Every }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, file: true, reach: Reach::Every }
}

const fn libpq(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, file: false, reach: Reach::Bare }
}

/// Every variable that is read, in the order in which help and README list them.
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    secret("DATABASE_URL", "", "PostgreSQL or SQLite; `PG*` variables fill what a PostgreSQL URL leaves out"),
    secret("MIGRATION_DATABASE_URL", "DATABASE_URL", "owner role or direct (unpooled) address, for every stage, hooks included; the server never sees it"),
    plain("AUTO_MIGRATION", "false", "`true` applies what is pending, `check` fails on it, `wait` waits until another has applied it, `false` only reports"),
    plain("MIGRATIONS_DIR", "migrations, else /migrations", "the directory of SQL scripts, or an Alembic environment"),
    plain("VERSION_TABLE", "", "Alembic's version table, `table` or `schema.table`: scripts keep it in step; for an Alembic environment read from `env.py` where it says so in plain words"),
    plain("ALEMBIC_DIR", "", "the Alembic environment to which scripts leave revisions (`delegate: alembic`), if not the working directory"),
    secret("MIGRATE_COMMAND", "", "instead of `alembic upgrade`, what applies the revisions of an Alembic environment; `{}` is replaced by the revision to reach"),
    plain("MIGRATION_TARGET", "head", "a revision, a tag, `head`, `heads` or `<label>@head`"),
    plain("DATABASE_AHEAD", "refuse", "`refuse` or `allow`: what to do when the database has revisions that this image lacks"),
    plain("WAIT_TIMEOUT", "60s", "how long to wait for all dependencies together; `0` tries once"),
    plain("WAIT_FOR", "", "more dependencies, comma-separated: `tcp://host:port`, `http(s)://…`"),
    plain("LOCK_TIMEOUT", "5m", "how long to queue behind another runner, or in `wait` for its result"),
    plain("LOCK_BEAT", "1s", "how often the connection that holds the lock is seen to be alive"),
    plain("DDL_LOCK_TIMEOUT", "5s", "how long one statement may wait for a lock in PostgreSQL before its revision is tried again"),
    plain("REINDEX_DATASETS", "false", "`true` rebuilds all, `auto` what is due, else names, comma-separated"),
    secret("REINDEX_COMMAND", "", "the command that rebuilds a search index; `{}` is replaced by the name"),
    secret("AFTER_MIGRATE", "", "a command that is run once the schema is ready, once for each set of heads"),
    plain("STOP_TIMEOUT", "8s", "how long a child may take to end after a forwarded signal"),
    plain("LOG_FORMAT", "text", "`text` or `json`"),
    plain("LOG_LEVEL", "info", "`error`, `warn`, `info`, `debug` or `trace`"),
    plain("SUPERVISE", "false", "stay as PID 1, reap and forward signals"),
    plain("RUN_AS", "", "become `uid[:gid]` or `name[:group]` before the first connection"),
    plain("STATUS_ADDR", "", "where to answer `/livez`, `/readyz` and `/status` while it works: `:8080`, `127.0.0.1:8080`"),
    plain("STATUS_FILE", "", "a file that says the same as `/status`"),
    plain("METRICS_FILE", "", "a file for the figures of the run, in Prometheus' text format"),
    plain("TERMINATION_LOG", "/dev/termination-log", "where the last words go as JSON on failure; the default only where it exists"),
    Variable { name: "ENV_PREFIX", default: "", meaning: "the application's own prefix: `ARGILLA_` also reads `ARGILLA_DATABASE_URL`", file: false, reach: Reach::WithoutPrefix },
    Variable { name: CONFIG, default: "", meaning: "a TOML file with any of these in lower case, several chains, hooks: docs/config-file.md", file: false, reach: Reach::Bare },
    Variable { name: "NOTIFY_SOCKET", default: "", meaning: "set by systemd, which is told of progress; and of readiness where there is no server", file: false, reach: Reach::Bare },
    libpq("PGHOST", "localhost", "host, or directory of the Unix socket"),
    libpq("PGPORT", "5432", "port"),
    libpq("PGUSER", "", "user"),
    libpq("PGPASSWORD", "", "password"),
    libpq("PGDATABASE", "", "database; without it the one named like the user"),
    libpq("PGSSLMODE", "prefer", "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`"),
    libpq("PGSSLROOTCERT", "", "file of the authorities to trust, or `system`"),
    libpq("PGSSLCERT", "", "file of the client's certificate"),
    libpq("PGSSLKEY", "", "file of the client's key"),
    libpq("PGOPTIONS", "", "settings of the session: `-c name=value`"),
];

/// What stands behind a name that may come from a file.
const FILE_SUFFIX: &str = "_FILE";

impl Variable {
    /// The names it is read under, highest precedence first, without the `_FILE` forms.
    pub(super) fn spellings(&self, prefix: Option<&str>) -> Vec<(Level, String)> {
        let own = (Level::Own, format!("{OWN_PREFIX}{}", self.name));
        let application = prefix.map(|p| (Level::Application, format!("{p}{}", self.name)));
        let bare = (Level::Bare, self.name.to_owned());
        match self.reach {
            Reach::Every => [Some(own), application, Some(bare)].into_iter().flatten().collect(),
            Reach::WithoutPrefix => vec![own, bare],
            Reach::Bare => vec![bare],
        }
    }

    /// The same with the `_FILE` forms, where they are read.
    pub(super) fn all_spellings(&self, prefix: Option<&str>) -> Vec<(Level, String)> {
        let values = self.spellings(prefix);
        let files = values.iter().filter(|_| self.file);
        let files: Vec<_> = files.map(|(level, name)| (*level, file_form(name))).collect();
        values.into_iter().chain(files).collect()
    }

    /// The row of a name, which must be one of the table.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        VARIABLES.iter().find(|variable| variable.name == name)
    }
}

/// `<NAME>_FILE`.
pub(super) fn file_form(name: &str) -> String {
    format!("{name}{FILE_SUFFIX}")
}

/// A value, and where it was found.
#[derive(Clone)]
pub(super) struct Found {
    /// The bare name.
    pub(super) name: &'static str,
    /// The variable as the user spelled it, `_FILE` included.
    pub(super) spelling: String,
    /// How high it was found.
    pub(super) level: Level,
    /// Whether the value is the content of a file.
    pub(super) from_file: bool,
    /// The value: never blank, not trimmed (a password may begin with a blank).
    pub(super) value: String,
}

/// Looks one variable up in the environment, by precedence.
pub(super) fn look_up(
    vars: &[(OsString, OsString)],
    variable: &Variable,
    prefix: Option<&str>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Option<Found>, ConfigError> {
    for (level, spelling) in variable.spellings(prefix) {
        let name = variable.name;
        let value = value_of(vars, &spelling)?;
        let file = file_form(&spelling);
        let path = if variable.file { value_of(vars, &file)? } else { None };
        match (value, path) {
            (Some(_), Some(_)) => return Err(ConfigError::Twice { value: spelling, file }),
            (Some(value), None) => {
                let value = value.to_owned();
                return Ok(Some(Found { name, spelling, level, from_file: false, value }));
            }
            (None, Some(path)) => {
                let value = content(&file, Path::new(path), read_file)?;
                if !value.trim().is_empty() {
                    let spelling = file;
                    return Ok(Some(Found { name, spelling, level, from_file: true, value }));
                }
            }
            (None, None) => {}
        }
    }
    Ok(None)
}

/// The value of one spelling; blank is unset.
fn value_of<'a>(
    vars: &'a [(OsString, OsString)],
    spelling: &str,
) -> Result<Option<&'a str>, ConfigError> {
    let Some((_, value)) = vars.iter().find(|(name, _)| name == OsStr::new(spelling)) else {
        return Ok(None);
    };
    let not_utf8 = || ConfigError::NotUtf8 { variable: spelling.to_owned() };
    let value = value.to_str().ok_or_else(not_utf8)?;
    Ok(Some(value).filter(|value| !value.trim().is_empty()))
}

/// The content of a secret file, without the newline that editors and `echo` leave behind.
pub(super) fn content(
    variable: &str,
    path: &Path,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<String, ConfigError> {
    let content = read_file(path).map_err(|error| ConfigError::File {
        variable: variable.to_owned(),
        path: PathBuf::from(path),
        reason: error.kind(),
    })?;
    Ok(content.trim_end_matches(['\r', '\n']).to_owned())
}

/// The table as text, for what `--help` says after the flags.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "Environment variables, each read as PRELAUNCH_<NAME>, then with the prefix that \
         ENV_PREFIX names, then bare (PG* only bare), then in the file of PRELAUNCH_CONFIG:\n",
    );
    for Variable { name, default, meaning, file, .. } in VARIABLES {
        let or_file = if *file { format!(" (or {})", file_form(name)) } else { String::new() };
        let default =
            if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let meaning = meaning.replace('`', "");
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  {name}{or_file}\n          {meaning}{default}\n");
    }
    text
}

/// The table as Markdown, for the README.
#[must_use]
pub fn markdown_table() -> String {
    let mut text = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Variable { name, default, meaning, file, .. } in VARIABLES {
        let or_file = if *file { format!(" (`{}`)", file_form("")) } else { String::new() };
        let default = if default.is_empty() { "—".to_owned() } else { format!("`{default}`") };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "| `{name}`{or_file} | {default} | {meaning} |");
    }
    text
}
