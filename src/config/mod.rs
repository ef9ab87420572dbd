//! The environment as one checked value: `Config`.
//!
//! [`read`] is given the variables and a way to read secret files, and does nothing else with the
//! world. It promises that every fault is reported at once, under the name that the user wrote,
//! and that no secret is in a message, in `Debug` or in `Display`. Surprising: `envy` fills a
//! struct of optional texts and each text is parsed apart, since `serde` stops at its first fault
//! and knows nothing of precedence.
//!
//! - `variables` the table, and where a value comes from
//! - `file` the configuration file; `chain` what of it describes chains and hooks
//! - `url` database URLs
//! - `choices`, `command`, `dependency` what the other values are
//! - `reader` the checks, one value at a time
//! - `environment` what server and children see
//! - `note` misspelt names; `error` the faults

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    values::{self, truth},
    version_table::VersionTable,
};

pub mod chain;
pub mod choices;
pub mod command;
pub mod dependency;
pub mod environment;
pub mod error;
pub mod file;
pub mod note;
mod reader;
pub mod url;
pub mod variables;

#[cfg(test)]
mod tests;

pub use chain::{ChainConfig, Hook, MigrateCommand};
pub use choices::{AutoMigration, DatabaseAhead, LogFormat, LogLevel, LogSettings, Reindex, RunAs};
pub use command::CommandLine;
pub use dependency::Dependency;
pub use environment::EnvironmentChange;
pub use error::{ConfigError, ConfigErrors, FileProblem, WhichChain};
pub use note::Note;
pub use url::DatabaseUrl;
pub use variables::{VARIABLES, Variable, help, markdown_table};

use file::ConfigFile;
use reader::{Reader, no_file, or_default};

/// What names the configuration file.
pub(crate) const CONFIG: &str = "PRELAUNCH_CONFIG";

/// Everything that a run is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is to be migrated, at least one. What hooks and reindexing leave behind is kept in the
    /// database of the first.
    pub chains: Vec<ChainConfig>,
    /// What to do about pending revisions.
    pub auto_migration: AutoMigration,
    /// What to do about revisions that this image lacks.
    pub database_ahead: DatabaseAhead,
    /// How long to wait for all dependencies together; zero tries once.
    pub wait_timeout: Duration,
    /// What must answer, besides the database.
    pub wait_for: Vec<Dependency>,
    /// How long to queue behind another runner.
    pub lock_timeout: Duration,
    /// How long one statement may wait for a lock in PostgreSQL.
    pub ddl_lock_timeout: Duration,
    /// How often to see whether the lock is still held.
    pub lock_beat: Duration,
    /// Which search indexes to rebuild.
    pub reindex: Reindex,
    /// What rebuilds one.
    pub reindex_command: Option<CommandLine>,
    /// What to run once the schema is ready, in order.
    pub hooks: Vec<Hook>,
    /// How long a child may take to end.
    pub stop_timeout: Duration,
    /// How to log.
    pub log: LogSettings,
    /// Whether to stay as PID 1.
    pub supervise: bool,
    /// Whom to become.
    pub run_as: Option<RunAs>,
    /// Where to answer probes.
    pub status_addr: Option<SocketAddr>,
    /// Where to write how far it has come.
    pub status_file: Option<PathBuf>,
    /// Where to write the figures of the run.
    pub metrics_file: Option<PathBuf>,
    /// Where systemd listens: a path, or an abstract name behind an `@`.
    pub notify_socket: Option<String>,
    /// Where the last words go.
    pub termination_log: PathBuf,
    /// Where programs are looked for.
    pub path: Option<OsString>,
    /// What hooks and shared commands see of the environment.
    pub for_commands: EnvironmentChange,
    /// What the server sees of it.
    pub for_server: EnvironmentChange,
    /// What is odd, and no fault.
    pub notes: Vec<Note>,
}

/// Our own variables as found, unparsed. `envy` fills it, by the lower-cased names.
#[derive(Clone, Default, Deserialize)]
struct RawVariables {
    auto_migration: Option<String>,
    migrations_dir: Option<String>,
    version_table: Option<String>,
    alembic_dir: Option<String>,
    migrate_command: Option<String>,
    migration_target: Option<String>,
    database_ahead: Option<String>,
    wait_timeout: Option<String>,
    wait_for: Option<String>,
    lock_timeout: Option<String>,
    lock_beat: Option<String>,
    ddl_lock_timeout: Option<String>,
    reindex_datasets: Option<String>,
    reindex_command: Option<String>,
    after_migrate: Option<String>,
    stop_timeout: Option<String>,
    log_format: Option<String>,
    log_level: Option<String>,
    supervise: Option<String>,
    run_as: Option<String>,
    status_addr: Option<String>,
    status_file: Option<String>,
    metrics_file: Option<String>,
    notify_socket: Option<String>,
    termination_log: Option<String>,
}

/// Checks the environment. `read_file` is asked for the files that `_FILE` variables name.
pub fn read(
    vars: &[(OsString, OsString)],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Config, ConfigErrors> {
    let (mut file, mut errors) = config_file(vars, &read_file);
    errors.append(&mut file.of_runs);
    read_both(vars, &file, errors, &read_file)
}

/// The file that is named, if one is, and what is wrong with it.
fn config_file(
    vars: &[(OsString, OsString)],
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> (ConfigFile, Vec<ConfigError>) {
    let found = Variable::named(CONFIG)
        .map_or(Ok(None), |variable| variables::look_up(vars, variable, None, &no_file));
    let found = match found {
        Ok(found) => found,
        Err(error) => return (ConfigFile::default(), vec![error]),
    };
    let Some(found) = found else { return (ConfigFile::default(), Vec::new()) };
    let path = Path::new(found.value.trim());
    match variables::content(CONFIG, path, read_file) {
        Ok(text) => file::parse(path, &text, vars),
        Err(error) => (ConfigFile::default(), vec![error]),
    }
}

/// Checks the environment over the file.
fn read_both(
    vars: &[(OsString, OsString)],
    file: &ConfigFile,
    errors: Vec<ConfigError>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Config, ConfigErrors> {
    // What is missing because a line of the file is faulty is no fault of its own.
    if !errors.is_empty() {
        return Err(ConfigErrors { errors, notes: Vec::new() });
    }
    let mut reader = Reader::new(vars, file, read_file);
    let raw: RawVariables = reader.fill();
    let (used, database) = reader.database(file);
    let prefix = reader.prefix.clone();
    let prefix = prefix.as_deref();
    let mut for_commands = match (&used, &database) {
        (Some(found), Some(url)) => environment::for_children(vars, prefix, found, url),
        (_, None) | (None, _) => EnvironmentChange::default(),
    };
    // What a URL leaves out is in the environment already, unless the file says it.
    for_commands.set.extend(reader.libpq_in_file());
    chain::change(&mut for_commands, &file.commands, vars);
    let mut for_server = environment::for_server(vars, prefix);
    chain::change(&mut for_server, &file.server, vars);
    let given = ChainConfig {
        name: String::new(),
        database,
        dir: path(raw.migrations_dir.as_deref()),
        target: reader.target(raw.migration_target.as_deref()),
        version_table: raw.version_table.as_deref().and_then(|text| {
            let parse = |text: &str| VersionTable::parse(text).map(Some);
            reader.parsed("VERSION_TABLE", Some(text), parse, VersionTable::ACCEPTED)
        }),
        alembic_dir: path(raw.alembic_dir.as_deref()),
        command: reader
            .command("MIGRATE_COMMAND", raw.migrate_command.as_deref())
            .map(MigrateCommand::Own),
        tags: Vec::new(),
        for_commands: for_commands.clone(),
    };
    let mut hooks: Vec<Hook> = reader
        .command("AFTER_MIGRATE", raw.after_migrate.as_deref())
        .map(|command| Hook { name: String::new(), command })
        .into_iter()
        .collect();
    hooks.extend(chain::hooks(&mut reader, file));

    if let Some(url) = &given.database {
        environment::add_tls(&mut for_commands, vars, url);
    }
    let chains = chain::chains(&mut reader, file, given, vars, read_file);
    let for_commands = chain::for_commands(&chains, for_commands);
    let config = Config {
        chains,
        auto_migration: reader.parsed(
            "AUTO_MIGRATION",
            raw.auto_migration.as_deref(),
            AutoMigration::parse,
            AutoMigration::ACCEPTED,
        ),
        database_ahead: reader.parsed(
            "DATABASE_AHEAD",
            raw.database_ahead.as_deref(),
            DatabaseAhead::parse,
            DatabaseAhead::ACCEPTED,
        ),
        wait_timeout: reader.duration("WAIT_TIMEOUT", raw.wait_timeout.as_deref()),
        wait_for: reader.wait_for(raw.wait_for.as_deref()),
        lock_timeout: reader.duration("LOCK_TIMEOUT", raw.lock_timeout.as_deref()),
        lock_beat: reader.duration("LOCK_BEAT", raw.lock_beat.as_deref()),
        ddl_lock_timeout: reader.duration("DDL_LOCK_TIMEOUT", raw.ddl_lock_timeout.as_deref()),
        reindex: reader.parsed(
            "REINDEX_DATASETS",
            raw.reindex_datasets.as_deref(),
            Reindex::parse,
            Reindex::ACCEPTED,
        ),
        reindex_command: reader.command("REINDEX_COMMAND", raw.reindex_command.as_deref()),
        hooks,
        stop_timeout: reader.duration("STOP_TIMEOUT", raw.stop_timeout.as_deref()),
        log: reader.log(&raw),
        supervise: reader.parsed("SUPERVISE", raw.supervise.as_deref(), truth, values::TRUTH_WORDS),
        run_as: raw.run_as.as_deref().and_then(|text| {
            let parse = |text: &str| RunAs::parse(text).map(Some);
            reader.parsed("RUN_AS", Some(text), parse, RunAs::ACCEPTED)
        }),
        status_addr: raw.status_addr.as_deref().and_then(|text| {
            let parse = |text: &str| choices::listener(text).map(Some);
            reader.parsed("STATUS_ADDR", Some(text), parse, choices::LISTENER_ACCEPTED)
        }),
        status_file: path(raw.status_file.as_deref()),
        metrics_file: path(raw.metrics_file.as_deref()),
        notify_socket: raw.notify_socket.as_deref().map(|text| text.trim().to_owned()),
        termination_log: or_default("TERMINATION_LOG", raw.termination_log.as_deref()).into(),
        path: vars.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone()),
        for_commands,
        for_server,
        notes: Vec::new(),
    };
    reader.check_needs(&config);
    reader.notes.splice(0..0, note::near_misses(vars, prefix, &reader.found, &file.uses));
    reader.notes.splice(0..0, note::deprecated(vars, &file.deprecated));
    let Reader { errors, notes, .. } = reader;
    if errors.is_empty() {
        Ok(Config { notes, ..config })
    } else {
        Err(ConfigErrors { errors, notes })
    }
}

impl Config {
    /// What the log calls a chain; nothing where there is one alone.
    #[must_use]
    pub fn chain_name(&self, index: usize) -> Option<&str> {
        let chain = self.chains.get(index).filter(|_| self.chains.len() > 1)?;
        Some(&chain.name)
    }

    /// The chain that is named; where there is one alone it need not be.
    pub fn chain(&self, named: Option<&str>) -> Result<&ChainConfig, WhichChain> {
        let found = match (&*self.chains, named) {
            ([only], None) => Some(only),
            (all, Some(named)) => all.iter().find(|chain| chain.name == named),
            (_, None) => None,
        };
        found.ok_or_else(|| WhichChain {
            named: named.map(str::to_owned),
            known: self.chains.iter().map(|chain| chain.name.clone()).collect(),
        })
    }

    /// Gives the server and every command one more variable.
    pub fn set_for_all(&mut self, variable: &(OsString, OsString)) {
        let of_chains = self.chains.iter_mut().map(|chain| &mut chain.for_commands);
        for change in of_chains.chain([&mut self.for_server, &mut self.for_commands]) {
            change.set.push(variable.clone());
        }
    }
}

fn path(text: Option<&str>) -> Option<PathBuf> {
    text.map(|text| PathBuf::from(text.trim()))
}

/// What steers a run, or is work of its stages: the verbs of the terminal are told by their
/// arguments.
const OF_RUNS: [&str; 12] = [
    "AUTO_MIGRATION",
    "MIGRATION_TARGET",
    "DATABASE_AHEAD",
    "WAIT_FOR",
    "REINDEX_DATASETS",
    "REINDEX_COMMAND",
    "AFTER_MIGRATE",
    "STATUS_ADDR",
    "STATUS_FILE",
    "METRICS_FILE",
    "STOP_TIMEOUT",
    "SUPERVISE",
];

/// The same for the verbs of the terminal: what steers a run is as if it were not set, so that a
/// fault in it does not matter either.
pub fn read_for_terminal(
    vars: &[(OsString, OsString)],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Config, ConfigErrors> {
    let (mut file, errors) = config_file(vars, &read_file);
    let prefix = Reader::new(vars, &file, &no_file).prefix;
    let of_runs: Vec<String> = OF_RUNS
        .iter()
        .filter_map(|name| Variable::named(name))
        .flat_map(|variable| variable.all_spellings(prefix.as_deref()))
        .map(|(_, spelling)| spelling)
        .collect();
    let is_of_runs = |name: &OsString| of_runs.iter().any(|spelling| name == spelling.as_str());
    let kept: Vec<_> = vars.iter().filter(|(name, _)| !is_of_runs(name)).cloned().collect();
    for chain in &mut file.chains {
        chain.entries.retain(|entry| entry.key != "target");
    }
    file.variables.retain(|entry| !OF_RUNS.contains(&entry.key.as_str()));
    file.hooks.clear();
    read_both(&kept, &file, errors, &read_file)
}

/// How to log, for what must be said before [`read`] is done: never fails, a faulty value is the
/// default.
#[must_use]
pub fn log_settings(
    vars: &[(OsString, OsString)],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> LogSettings {
    let (file, _) = config_file(vars, &read_file);
    let mut reader = Reader::new(vars, &file, &no_file);
    let raw = reader.fill();
    reader.log(&raw)
}

/// Where the last words go, for when [`read`] fails: never fails, a faulty value is the default.
#[must_use]
pub fn termination_log(
    vars: &[(OsString, OsString)],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> PathBuf {
    let (file, _) = config_file(vars, &read_file);
    let raw: RawVariables = Reader::new(vars, &file, &no_file).fill();
    or_default("TERMINATION_LOG", raw.termination_log.as_deref()).into()
}
