//! The file that `PRELAUNCH_CONFIG` names: TOML, with variables in its values.
//!
//! At the top it has the variables of the table in lower case, at the lowest precedence there is;
//! below, what one line cannot say: chains, hooks, what server and commands see of the environment.
//! Nothing here knows what a value means: it is a text under a key at a line, and those who read
//! the variable of that name read it too. Every fault is gathered, with file and line.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    error::{ConfigError, FileProblem},
    file::interpolation::Variable as Value,
    variables::{Found, Level, VARIABLES, Variable, content, file_form},
};
use crate::graph::revision::Place;

pub mod interpolation;
#[cfg(test)]
mod tests;

/// Variables whose value is a command, so that a list of texts is its words.
const COMMANDS: [&str; 3] = ["MIGRATE_COMMAND", "REINDEX_COMMAND", "AFTER_MIGRATE"];

/// What the file cannot say: where it is, and what systemd says.
const NOT_HERE: [&str; 2] = [super::CONFIG, "NOTIFY_SOCKET"];

/// A text of the file, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key: a variable of the table in capitals (`_FILE` included), or what it is in its table.
    pub(super) key: String,
    /// How messages call it: `file:line: key`.
    pub(super) spelling: String,
    /// What is written there, with its variables replaced. It may be a secret.
    pub(super) text: String,
    /// The same with its variables, for messages: whether one is set may be asked of a secret.
    pub(super) written: String,
    /// The words, where a command was written as a list.
    pub(super) words: Option<Vec<String>>,
}

/// A table of the file: a chain, a hook.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) entries: Vec<Entry>,
    /// `[chain.tags]`: tag and revision.
    pub(super) tags: Vec<Entry>,
    /// How messages call it: `file:line: chain`.
    pub(super) spelling: String,
}

impl Section {
    /// Whether a chain says where its database is.
    pub(super) fn has_database(&self) -> bool {
        self.get("database_url").is_some() || self.get("database_url_file").is_some()
    }

    /// The value of a key; blank is unset.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key && !entry.text.trim().is_empty())
    }
}

/// What the environment of a process has and lacks besides.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) set: Vec<(OsString, OsString)>,
    pub(super) remove: Vec<OsString>,
}

/// All that the file says.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) variables: Vec<Entry>,
    pub(super) chains: Vec<Section>,
    pub(super) hooks: Vec<Section>,
    pub(super) server: Changes,
    pub(super) commands: Changes,
    /// Old names and the ones that took their place.
    pub(super) deprecated: Vec<(String, String)>,
    /// Every variable that a value speaks of.
    pub(super) uses: BTreeSet<String>,
    /// What is wrong with what steers a run alone.
    pub(super) of_runs: Vec<ConfigError>,
}

impl ConfigFile {
    /// Looks one variable up: what the environment does not say.
    pub(super) fn look_up(
        &self,
        variable: &Variable,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Option<Found>, ConfigError> {
        let of = |key: &str| {
            self.variables.iter().find(|entry| entry.key == key && !entry.text.trim().is_empty())
        };
        let (name, level) = (variable.name, Level::File);
        match (of(name), of(&file_form(name))) {
            (Some(value), Some(file)) => Err(ConfigError::Twice {
                value: value.spelling.clone(),
                file: file.spelling.clone(),
            }),
            (Some(entry), None) => {
                let value =
                    entry.words.as_ref().map_or_else(|| entry.text.clone(), shell_words::join);
                let spelling = entry.spelling.clone();
                Ok(Some(Found { name, spelling, level, from_file: false, value }))
            }
            (None, Some(entry)) => {
                let value = content(&entry.spelling, Path::new(&entry.text), read_file)?;
                let spelling = entry.spelling.clone();
                let found = Found { name, spelling, level, from_file: true, value };
                Ok(Some(found).filter(|found| !found.value.trim().is_empty()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Reads the text of a file.
pub(super) fn parse(
    path: &Path,
    text: &str,
    environment: &[(OsString, OsString)],
) -> (ConfigFile, Vec<ConfigError>) {
    let mut parser =
        Parser { path, text, environment, file: ConfigFile::default(), errors: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => parser.file(table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().to_owned();
            parser.fault(at, FileProblem::Toml { message });
        }
    }
    (parser.file, parser.errors)
}

type Pairs<'t, 's> = (&'t Spanned<std::borrow::Cow<'s, str>>, &'t Spanned<DeValue<'s>>);

struct Parser<'a> {
    path: &'a Path,
    text: &'a str,
    environment: &'a [(OsString, OsString)],
    file: ConfigFile,
    errors: Vec<ConfigError>,
}

impl Parser<'_> {
    fn file(&mut self, table: &DeTable<'_>) {
        for (key, value) in in_order(table) {
            let (at, before) = (key.span().start, self.errors.len());
            match key.get_ref().as_ref() {
                "chain" => self.file.chains = self.sections("chain", value),
                "hook" => self.file.hooks = self.sections("hook", value),
                "server" => self.file.server = self.changes(value),
                "commands" => self.file.commands = self.changes(value),
                "deprecated" => {
                    let names = self.pairs(value);
                    self.file.deprecated =
                        names.into_iter().map(|entry| (entry.key, entry.text)).collect();
                }
                name => match variable(name) {
                    Some(bare) => {
                        let is_command = COMMANDS.contains(&bare.as_str());
                        let entry = self.entry(bare, name, value, is_command);
                        self.file.variables.extend(entry);
                    }
                    None => self.unknown(at, name, "a variable in lower case, `chain`, `hook`, `server`, `commands`, `deprecated`"),
                },
            }
            if steers_runs(key.get_ref()) {
                self.file.of_runs.extend(self.errors.drain(before..));
            }
        }
    }

    /// `[[chain]]` or `[[hook]]`.
    fn sections(&mut self, what: &'static str, value: &Spanned<DeValue<'_>>) -> Vec<Section> {
        let DeValue::Array(tables) = value.get_ref() else {
            self.wrong(value, what, "a list of tables, `[[…]]`");
            return Vec::new();
        };
        let mut sections = Vec::new();
        for value in tables {
            let DeValue::Table(table) = value.get_ref() else {
                self.wrong(value, what, "a list of tables, `[[…]]`");
                continue;
            };
            sections.push(self.section(what, value, table));
        }
        sections
    }

    fn section(
        &mut self,
        what: &'static str,
        value: &Spanned<DeValue<'_>>,
        table: &DeTable<'_>,
    ) -> Section {
        const OF_CHAIN: &str = "`name`, `database_url`, `database_url_file`, `dir`, `target`, \
                                `version_table`, `alembic_dir`, `command`, `tags`";
        const OF_HOOK: &str = "`name`, `command`, `when`";
        let mut section = Section {
            spelling: format!("{}: {what}", self.place(value.span().start)),
            ..Section::default()
        };
        for (key, value) in in_order(table) {
            match (what, key.get_ref().as_ref()) {
                ("chain", "tags") => section.tags = self.pairs(value),
                (_, name @ ("name" | "command"))
                | (
                    "chain",
                    name @ ("database_url" | "database_url_file" | "dir" | "target"
                    | "version_table" | "alembic_dir"),
                )
                | ("hook", name @ "when") => {
                    let is_command = name == "command";
                    let entry = self.entry(name.to_owned(), name, value, is_command);
                    section.entries.extend(entry);
                }
                (_, name) => {
                    let known = if what == "chain" { OF_CHAIN } else { OF_HOOK };
                    self.unknown(key.span().start, name, known);
                }
            }
        }
        section
    }

    /// `[server]` or `[commands]`.
    fn changes(&mut self, value: &Spanned<DeValue<'_>>) -> Changes {
        let mut changes = Changes::default();
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value, "the environment", "a table with `set` and `remove`");
            return changes;
        };
        for (key, value) in in_order(table) {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("set", DeValue::Table(table)) => {
                    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
                    for (key, _) in in_order(table) {
                        if !is_name(key.get_ref()) {
                            let wanted = "names of variables, which have no `=` and are not empty";
                            self.fault(
                                key.span().start,
                                FileProblem::Type { key: "set".to_owned(), wanted },
                            );
                        }
                    }
                    let pairs = self.pairs(value).into_iter();
                    changes.set = pairs.map(|one| (one.key.into(), one.text.into())).collect();
                }
                ("set", _) => self.wrong(value, "set", "a table of texts"),
                ("remove", DeValue::Array(names)) => {
                    let names = self.texts("remove", names);
                    changes.remove = names.into_iter().map(OsString::from).collect();
                }
                ("remove", _) => self.wrong(value, "remove", "a list of names"),
                (name, _) => self.unknown(key.span().start, name, "`set`, `remove`"),
            }
        }
        changes
    }

    /// A table of texts.
    fn pairs(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<Entry> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value, "this", "a table of texts");
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (key, value) in in_order(table) {
            let name = key.get_ref().as_ref();
            entries.extend(self.entry(name.to_owned(), name, value, false));
        }
        entries
    }

    /// One value as text; none after a fault.
    fn entry(
        &mut self,
        key: String,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        is_command: bool,
    ) -> Option<Entry> {
        let spelling = format!("{}: {name}", self.place(value.span().start));
        let (text, words) = match value.get_ref() {
            DeValue::String(text) => (self.replaced(value, name, text)?, None),
            DeValue::Boolean(truth) => (truth.to_string(), None),
            DeValue::Integer(number) => (number.to_string(), None),
            DeValue::Array(texts) => {
                let words = self.texts(name, texts);
                (words.join(","), is_command.then_some(words))
            }
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
                self.wrong(value, name, "a text");
                return None;
            }
        };
        let written = value.get_ref().as_str().map_or_else(|| text.clone(), str::to_owned);
        Some(Entry { key, spelling, text, written, words })
    }

    fn texts(&mut self, name: &str, values: &DeArray<'_>) -> Vec<String> {
        let mut texts = Vec::new();
        for value in values {
            match value.get_ref() {
                DeValue::String(text) => texts.extend(self.replaced(value, name, text)),
                DeValue::Integer(number) => texts.push(number.to_string()),
                DeValue::Boolean(_)
                | DeValue::Float(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => self.wrong(value, name, "a list of texts"),
            }
        }
        texts
    }

    fn replaced(&mut self, value: &Spanned<DeValue<'_>>, name: &str, text: &str) -> Option<String> {
        let (environment, uses) = (self.environment, &mut self.file.uses);
        let replaced = interpolation::interpolate(text, &mut |name| {
            uses.insert(name.to_owned());
            let found = environment.iter().find(|(other, _)| other == OsStr::new(name));
            match found.map(|(_, value)| value.to_str()) {
                None => Value::Unset,
                Some(Some(text)) if text.trim().is_empty() => Value::Unset,
                Some(Some(text)) => Value::Text(text),
                Some(None) => Value::NotUtf8,
            }
        });
        match replaced {
            Ok(text) if text.contains('\0') => {
                self.wrong(value, name, "a text without a zero byte");
                None
            }
            Ok(text) => Some(text),
            Err(error) => {
                let key = name.to_owned();
                self.fault(value.span().start, FileProblem::Interpolation { key, error });
                None
            }
        }
    }

    fn unknown(&mut self, at: usize, key: &str, known: &'static str) {
        self.fault(at, FileProblem::Key { key: key.to_owned(), known });
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, key: &str, wanted: &'static str) {
        let key = key.to_owned();
        self.fault(value.span().start, FileProblem::Type { key, wanted });
    }

    fn fault(&mut self, at: usize, problem: FileProblem) {
        let place = self.place(at);
        self.errors.push(ConfigError::InFile { place, problem });
    }

    fn place(&self, at: usize) -> Place {
        let line = self.text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
        Place { path: PathBuf::from(self.path), line }
    }
}

/// The pairs of a table as they stand in the file.
fn in_order<'t, 's>(table: &'t DeTable<'s>) -> Vec<Pairs<'t, 's>> {
    let mut pairs: Vec<Pairs<'t, 's>> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

/// Whether a key at the top matters to runs alone.
fn steers_runs(key: &str) -> bool {
    key == "hook" || variable(key).is_some_and(|name| super::OF_RUNS.contains(&&*name))
}

/// The bare name, or `<NAME>_FILE`, of a key.
fn variable(key: &str) -> Option<String> {
    let upper = key.to_ascii_uppercase();
    let is_lower = key.bytes().all(|byte| !byte.is_ascii_uppercase());
    let known = |variable: &&Variable| {
        upper == variable.name || variable.file && upper == file_form(variable.name)
    };
    let found = VARIABLES.iter().find(known)?;
    (is_lower && !NOT_HERE.contains(&found.name)).then_some(upper)
}
