//! One graph in one database under one version table: where each of these is, and what applies it.
//!
//! Without a configuration file there is one chain, which the variables describe. A file may list
//! several; whatever one does not say is what the variables say. The command of `MIGRATE_COMMAND`
//! is shared by several chains, unless its `{}` makes it a command for each.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use super::{
    CommandLine, ConfigError, DatabaseUrl, EnvironmentChange, environment,
    error::shown,
    file::{ConfigFile, Entry, Section},
    reader::Reader,
    variables::content,
};
use crate::{
    graph::{tags::Tagged, target::Target},
    values::truth,
    version_table::VersionTable,
};

/// A chain as it is configured.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// What it is called; empty where there is no need for a name.
    pub name: String,
    /// Where its revisions are applied.
    pub database: Option<DatabaseUrl>,
    /// Where its scripts are; `None`: `migrations`, else `/migrations`.
    pub dir: Option<PathBuf>,
    /// How far to migrate it.
    pub target: Target,
    /// Alembic's version table: kept in step by scripts, and where its environment is not to be
    /// believed about it.
    pub version_table: Option<VersionTable>,
    /// The environment of the Alembic to which scripts leave revisions, if not the working directory.
    pub alembic_dir: Option<PathBuf>,
    /// What applies the revisions of an Alembic environment, instead of `alembic upgrade`.
    pub command: Option<MigrateCommand>,
    /// The releases that its revisions complete, besides those that scripts name.
    pub tags: Vec<Tagged>,
    /// What its own command sees of the environment.
    pub for_commands: EnvironmentChange,
}

impl ChainConfig {
    /// Scripts for a database, and nothing else said of them.
    #[must_use]
    pub fn of(database: DatabaseUrl, dir: PathBuf) -> Self {
        Self {
            name: String::new(),
            database: Some(database),
            dir: Some(dir),
            target: Target::Head,
            version_table: None,
            alembic_dir: None,
            command: None,
            tags: Vec::new(),
            for_commands: EnvironmentChange::default(),
        }
    }
}

/// What migrates instead of `alembic upgrade`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MigrateCommand {
    /// This chain alone.
    Own(CommandLine),
    /// All chains that have it, by one run.
    Shared(CommandLine),
}

/// A command to be run once the schema is ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hook {
    /// What the history calls it; empty for `AFTER_MIGRATE`.
    pub name: String,
    /// What to run.
    pub command: CommandLine,
}

impl Hook {
    /// What the log calls it.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() {
            return "AFTER_MIGRATE".to_owned();
        }
        format!("hook `{}`", self.name)
    }
}

/// The words of a key that holds a command.
fn command(reader: &mut Reader, entry: &Entry) -> Option<CommandLine> {
    match entry.words.as_deref() {
        Some([]) | None => reader.command_in(&entry.spelling, &entry.text),
        Some([program, ..]) if program.is_empty() => reader.command_in(&entry.spelling, program),
        Some(words) => Some(CommandLine::of(words.to_vec())),
    }
}

/// What `when` may be.
const WHEN: &str = "`true 1 t y yes on enable enabled` or `false 0 f n no off disable disabled`, and \
                    `${NAME:+true}` for whether a variable is set";

/// The hooks of the file that are to be run.
pub(super) fn hooks(reader: &mut Reader, file: &ConfigFile) -> Vec<Hook> {
    let mut hooks: Vec<Hook> = Vec::new();
    for section in &file.hooks {
        let when = section.entries.iter().find(|entry| entry.key == "when");
        let wanted = when.is_none_or(|when| {
            !when.text.trim().is_empty()
                && truth(&when.text).unwrap_or_else(|| {
                    // What it is worth may be the password whose presence was meant.
                    reader.worth(&when.spelling, &when.written, |_| None, WHEN)
                })
        });
        let name = name(reader, section, |name| hooks.iter().any(|hook| hook.name == name));
        let Some(entry) = section.get("command") else {
            reader.errors.push(lacks(section, "command", None));
            continue;
        };
        if let (Some(command), true) = (command(reader, entry), wanted) {
            hooks.push(Hook { name, command });
        }
    }
    hooks
}

/// The name of a section, which must be there and no other one's.
fn name(reader: &mut Reader, section: &Section, taken: impl Fn(&str) -> bool) -> String {
    let Some(entry) = section.get("name") else {
        reader.errors.push(lacks(section, "name", None));
        return String::new();
    };
    let name = entry.text.trim().to_owned();
    let problem = if taken(&name) {
        Some("is taken; choose another name")
    } else if name.chars().any(char::is_control) {
        Some("is no name; write it on one line")
    } else {
        None
    };
    if let Some(problem) = problem {
        let (spelling, name) = (entry.spelling.clone(), shown(&name));
        reader.errors.push(ConfigError::Name { spelling, name, problem });
    }
    name
}

fn lacks(section: &Section, key: &'static str, otherwise: Option<&'static str>) -> ConfigError {
    ConfigError::Lacks { section: section.spelling.clone(), key, otherwise }
}

/// The chains of the file over what the variables say; that alone where the file lists none.
pub(super) fn chains(
    reader: &mut Reader,
    file: &ConfigFile,
    given: ChainConfig,
    vars: &[(OsString, OsString)],
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Vec<ChainConfig> {
    let several = file.chains.len() > 1;
    let given = ChainConfig {
        command: match given.command {
            Some(MigrateCommand::Own(command)) if several && !command.takes_a_name() => {
                Some(MigrateCommand::Shared(command))
            }
            command => command,
        },
        ..given
    };
    let with_tls = |mut chain: ChainConfig| {
        if let Some(url) = &chain.database {
            environment::add_tls(&mut chain.for_commands, vars, url);
        }
        chain
    };
    if file.chains.is_empty() {
        return vec![with_tls(given)];
    }
    let mut chains: Vec<ChainConfig> = Vec::new();
    for section in &file.chains {
        let mut chain = given.clone();
        if several || section.get("name").is_some() {
            chain.name = name(reader, section, |name| chains.iter().any(|one| one.name == name));
        }
        if let Some(found) = database(reader, section, read_file) {
            let own = environment::with_database(vars, reader.prefix.as_deref(), &found);
            chain.for_commands.set.extend(own.set);
            chain.for_commands.remove.extend(own.remove);
            chain.database = Some(found);
        } else if several && given.database.is_none() {
            reader.errors.push(lacks(section, "database_url", Some("DATABASE_URL")));
        }
        if let Some(entry) = section.get("dir") {
            chain.dir = Some(PathBuf::from(entry.text.trim()));
        } else if several {
            reader.errors.push(lacks(section, "dir", None));
        }
        if let Some(entry) = section.get("target") {
            chain.target = reader.target_in(&entry.spelling, entry.text.trim());
        }
        if let Some(entry) = section.get("version_table") {
            let parse = |text: &str| VersionTable::parse(text).map(Some);
            let accepted = VersionTable::ACCEPTED;
            chain.version_table = reader.worth(&entry.spelling, &entry.text, parse, accepted);
        }
        if let Some(entry) = section.get("alembic_dir") {
            chain.alembic_dir = Some(PathBuf::from(entry.text.trim()));
        }
        if let Some(entry) = section.get("command") {
            chain.command = command(reader, entry).map(MigrateCommand::Own);
        }
        for entry in &section.tags {
            match Tagged::of(&entry.text, &entry.key) {
                Ok(tag) => chain.tags.push(tag),
                Err(error) => reader.errors.push(ConfigError::Tag {
                    spelling: entry.spelling.clone(),
                    problem: error.to_string(),
                }),
            }
        }
        chains.push(with_tls(chain));
    }
    chains
}

/// What hooks and reindexing see of the environment: if there is one chain, they work on its database.
pub(super) fn for_commands(chains: &[ChainConfig], of_all: EnvironmentChange) -> EnvironmentChange {
    match chains {
        [only] => only.for_commands.clone(),
        _ => of_all,
    }
}

/// `database_url`, or the content of the file that `database_url_file` names.
fn database(
    reader: &mut Reader,
    section: &Section,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Option<DatabaseUrl> {
    match (section.get("database_url"), section.get("database_url_file")) {
        (Some(value), Some(file)) => {
            let (value, file) = (value.spelling.clone(), file.spelling.clone());
            reader.errors.push(ConfigError::Twice { value, file });
            None
        }
        (Some(entry), None) => reader.url(&entry.spelling, &entry.text),
        (None, Some(entry)) => match content(&entry.spelling, Path::new(&entry.text), read_file) {
            Ok(text) => reader.url(&entry.spelling, &text),
            Err(error) => {
                reader.errors.push(error);
                None
            }
        },
        (None, None) => None,
    }
}

/// Adds what the file says of the environment of a process; what is to go is in it.
pub(super) fn change(
    change: &mut EnvironmentChange,
    more: &super::file::Changes,
    vars: &[(OsString, OsString)],
) {
    let is_set = |name: &&OsString| vars.iter().any(|(other, _)| other == OsStr::new(name));
    change.remove.extend(more.remove.iter().filter(is_set).cloned());
    change.set.extend(more.set.iter().cloned());
}
