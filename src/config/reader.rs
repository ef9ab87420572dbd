//! The look-up and the checks of single values behind [`read`](super::read).
//!
//! A `Reader` gathers faults instead of stopping at one: after a fault it gives a stand-in, and
//! `read` gives no configuration as long as there is any fault. The two lenient questions (how to
//! log, where the last words go) use the same reader and drop its faults.

use std::{ffi::OsString, io, path::Path, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    AutoMigration, CommandLine, Config, ConfigError, DatabaseUrl, Dependency, LogFormat, LogLevel,
    LogSettings, Note, RawVariables, Reindex, VARIABLES, Variable,
    choices::entries,
    error::shown,
    file::{ConfigFile, Section},
    url::PgVariables,
    variables::{Found, Level, look_up},
};
use crate::{
    graph::target::Target,
    values::{self, duration},
};

/// None of the variables that are read leniently may come from a file.
pub(super) fn no_file(_: &Path) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The text of a variable, else its default in the table.
pub(super) fn or_default<'a>(name: &str, raw: Option<&'a str>) -> &'a str {
    raw.map(str::trim)
        .or_else(|| Variable::named(name).map(|variable| variable.default))
        .unwrap_or_default()
}

/// Looks one variable up, in the environment and then in the file.
fn find(
    vars: &[(OsString, OsString)],
    file: &ConfigFile,
    variable: &Variable,
    prefix: Option<&str>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Option<Found>, ConfigError> {
    match look_up(vars, variable, prefix, read_file)? {
        Some(found) => Ok(Some(found)),
        None => file.look_up(variable, read_file),
    }
}

/// What was found, and what was wrong with it.
pub(super) struct Reader {
    pub(super) prefix: Option<String>,
    pub(super) found: Vec<Found>,
    /// The bare names whose look-up failed: set, and not to be had.
    lost: Vec<&'static str>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) notes: Vec<Note>,
}

impl Reader {
    /// Looks every variable of the table up.
    pub(super) fn new(
        vars: &[(OsString, OsString)],
        file: &ConfigFile,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Self {
        let mut reader = Self {
            prefix: None,
            found: Vec::new(),
            lost: Vec::new(),
            errors: Vec::new(),
            notes: Vec::new(),
        };
        reader.prefix = reader.find_prefix(vars, file);
        for variable in VARIABLES.iter().filter(|variable| variable.name != "ENV_PREFIX") {
            match find(vars, file, variable, reader.prefix.as_deref(), read_file) {
                Ok(found) => reader.found.extend(found),
                Err(error) => {
                    reader.lost.push(variable.name);
                    reader.errors.push(error);
                }
            }
        }
        reader
    }

    /// The application's prefix, which must be known before anything else can be looked up.
    fn find_prefix(&mut self, vars: &[(OsString, OsString)], file: &ConfigFile) -> Option<String> {
        let found = find(vars, file, Variable::named("ENV_PREFIX")?, None, &no_file);
        let found = found.map_err(|error| self.errors.push(error)).ok()??;
        let prefix = found.value.trim().to_owned();
        if prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Some(prefix);
        }
        self.errors.push(ConfigError::Value {
            variable: found.spelling,
            value: shown(&prefix),
            accepted: "letters, digits and `_`, as in `ARGILLA_`",
        });
        None
    }

    /// A struct of optional texts, by the lower-cased bare names.
    pub(super) fn fill<T: DeserializeOwned + Default>(&mut self) -> T {
        let pairs = self.found.iter().map(|found| (found.name.to_owned(), found.value.clone()));
        envy::from_iter(pairs).unwrap_or_else(|error| {
            self.errors.push(ConfigError::Table { reason: error.to_string() });
            T::default()
        })
    }

    fn found(&self, name: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.name == name)
    }

    /// The variable as the user spelled it.
    fn spelling(&self, name: &str) -> String {
        self.found(name).map_or(name, |found| &found.spelling).to_owned()
    }

    /// A value, else the table's default. After a fault the value does not matter, since no
    /// configuration comes of it.
    pub(super) fn parsed<T: Default>(
        &mut self,
        name: &str,
        raw: Option<&str>,
        parse: impl Fn(&str) -> Option<T>,
        accepted: &'static str,
    ) -> T {
        let spelling = self.spelling(name);
        self.worth(&spelling, or_default(name, raw), parse, accepted)
    }

    /// What a text is worth, wherever it stands.
    pub(super) fn worth<T: Default>(
        &mut self,
        spelling: &str,
        text: &str,
        parse: impl Fn(&str) -> Option<T>,
        accepted: &'static str,
    ) -> T {
        parse(text).unwrap_or_else(|| {
            let variable = spelling.to_owned();
            self.errors.push(ConfigError::Value { variable, value: shown(text), accepted });
            T::default()
        })
    }

    pub(super) fn duration(&mut self, name: &str, raw: Option<&str>) -> Duration {
        self.parsed(name, raw, duration, values::DURATIONS)
    }

    pub(super) fn command(&mut self, name: &str, raw: Option<&str>) -> Option<CommandLine> {
        let spelling = self.spelling(name);
        self.command_in(&spelling, raw?)
    }

    pub(super) fn command_in(&mut self, spelling: &str, text: &str) -> Option<CommandLine> {
        match CommandLine::parse(text) {
            Ok(command) => Some(command),
            Err(problem) => {
                let variable = spelling.to_owned();
                self.errors.push(ConfigError::Command { variable, problem });
                None
            }
        }
    }

    /// The URL that is used, and where it was found. The one that is not used may be anything.
    pub(super) fn database(&mut self, file: &ConfigFile) -> (Option<Found>, Option<DatabaseUrl>) {
        // Where every chain has its own, DATABASE_URL is somebody else's, and may be anything.
        if !file.chains.is_empty() && file.chains.iter().all(Section::has_database) {
            return (None, None);
        }
        let used = self.found("MIGRATION_DATABASE_URL").or_else(|| self.found("DATABASE_URL"));
        let Some(used) = used.cloned() else { return (None, None) };
        let url = self.url(&used.spelling, &used.value);
        (Some(used), url)
    }

    /// The `PG*` that the file has, for commands that are given a URL which leaves these out.
    pub(super) fn libpq_in_file(&self) -> Vec<(OsString, OsString)> {
        let in_file = |found: &&Found| found.name.starts_with("PG") && found.level == Level::File;
        let found = self.found.iter().filter(in_file);
        found.map(|found| (found.name.into(), found.value.clone().into())).collect()
    }

    /// A URL, wherever it stands; what it leaves out is what `PG*` say.
    pub(super) fn url(&mut self, spelling: &str, text: &str) -> Option<DatabaseUrl> {
        let pg: PgVariables = self.fill();
        let variable = spelling.to_owned();
        match DatabaseUrl::parse(text, &pg) {
            Ok((url, ignored)) => {
                let note = |parameter: String| Note::Parameter {
                    variable: variable.clone(),
                    parameter: shown(&parameter),
                };
                self.notes.extend(ignored.into_iter().map(note));
                Some(url)
            }
            Err(problem) => {
                self.errors.push(ConfigError::Url { variable, problem });
                None
            }
        }
    }

    /// A target that stays where it is from one start to the next.
    pub(super) fn target(&mut self, raw: Option<&str>) -> Target {
        let spelling = self.spelling("MIGRATION_TARGET");
        self.target_in(&spelling, or_default("MIGRATION_TARGET", raw))
    }

    /// The same, wherever it stands.
    pub(super) fn target_in(&mut self, spelling: &str, target: &str) -> Target {
        let point = target.rsplit_once('@').map_or(target, |(_, point)| point);
        let steps = target.rsplit_once('+').map(|(_, steps)| steps);
        let moves = point == "base"
            || point.starts_with(['+', '-'])
            || steps.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if moves {
            let variable = spelling.to_owned();
            self.errors.push(ConfigError::MovingTarget { variable, target: shown(target) });
            return Target::Head;
        }
        Target::parse(target).unwrap_or_else(|problem| {
            let variable = spelling.to_owned();
            self.errors.push(ConfigError::Target { variable, problem });
            Target::Head
        })
    }

    pub(super) fn wait_for(&mut self, raw: Option<&str>) -> Vec<Dependency> {
        let mut dependencies = Vec::new();
        for entry in entries(raw.unwrap_or_default()) {
            match Dependency::parse(entry) {
                Some(dependency) => dependencies.push(dependency),
                None => self.errors.push(ConfigError::Value {
                    variable: self.spelling("WAIT_FOR"),
                    value: shown(&Dependency::redacted(entry)),
                    accepted: Dependency::ACCEPTED,
                }),
            }
        }
        dependencies
    }

    pub(super) fn log(&mut self, raw: &RawVariables) -> LogSettings {
        let (format, level) = (raw.log_format.as_deref(), raw.log_level.as_deref());
        LogSettings {
            format: self.log_value("LOG_FORMAT", format, LogFormat::parse, LogFormat::ACCEPTED),
            level: self.log_value("LOG_LEVEL", level, LogLevel::parse, LogLevel::ACCEPTED),
        }
    }

    /// `LOG_*` belong to many servers: only our own spelling is strict.
    fn log_value<T: Default>(
        &mut self,
        name: &'static str,
        raw: Option<&str>,
        parse: impl Fn(&str) -> Option<T>,
        accepted: &'static str,
    ) -> T {
        let foreign = self.found(name).filter(|found| found.level != Level::Own);
        if let (Some(found), None) = (foreign, parse(or_default(name, raw))) {
            let note = Note::Log {
                variable: found.spelling.clone(),
                value: shown(&found.value),
                default: or_default(name, None),
            };
            self.notes.push(note);
            return T::default();
        }
        self.parsed(name, raw, parse, accepted)
    }

    /// What asks for something that is not there. What is there and faulty is a fault already.
    pub(super) fn check_needs(&mut self, config: &Config) {
        let is_set = |name| self.found(name).is_some() || self.lost.contains(&name);
        let has_database = is_set("DATABASE_URL")
            || is_set("MIGRATION_DATABASE_URL")
            // Of several, the one that lacks it has been named.
            || config.chains.len() > 1
            || config.chains.iter().all(|chain| chain.database.is_some());
        let migrates = config.auto_migration != AutoMigration::False;
        let reindexes = config.reindex != Reindex::False;
        // The lock and the history of a reindex live in the database.
        let needs = [
            ("AUTO_MIGRATION", migrates && !has_database, "DATABASE_URL"),
            ("REINDEX_DATASETS", reindexes && !has_database, "DATABASE_URL"),
            ("REINDEX_DATASETS", reindexes && !is_set("REINDEX_COMMAND"), "REINDEX_COMMAND"),
        ];
        for (name, _, needed) in needs.into_iter().filter(|(_, lacks, _)| *lacks) {
            let (variable, value) = match self.found(name) {
                Some(found) => (found.spelling.clone(), shown(&found.value)),
                None => (name.to_owned(), or_default(name, None).to_owned()),
            };
            self.errors.push(ConfigError::Needs { variable, value, needed });
        }
    }
}
