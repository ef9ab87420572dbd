//! What a scenario directory says, and whether it holds.
//!
//! A scenario is one start of prelaunch, or several in turn (`1/`, `2/`, …). `BLESS=1 ./test.sh
//! <claim>` writes what was found as what is expected; read the difference before it is committed.
//!
//! What is given; a start without a file of its own takes the scenario's:
//!
//! - `migrations/` the scripts; without it there are none
//! - `env` lines `NAME=value`, the scenario's first and then the start's; `DATABASE_URL` is set
//!   unless a line sets it otherwise
//! - `command` the arguments, by POSIX quoting; without it `run -- sh -c 'echo the server runs'`
//! - `files/` copied into the working directory, which stays from start to start
//! - `before.sql` run before it as the owner of the database
//!
//! In `env` and `files/` these are filled in: `{url}`, `{address}` (the URL less its password),
//! `{rest}` (the URL less its scheme) and `{dir}` (the working directory).
//!
//! What is expected; only a start's own files count:
//!
//! - `status` the exit code
//! - `stderr`, `stdout` in full (see `words`; the address of the database is `URL` and its lock
//!   `LOCK`); a start before the last one that has no `stderr` is held to its status only
//! - `schema` lines `> select …`, each followed by the rows that it must give afterwards; `> tables`
//!   gives the names of all tables
//! - `after/` files that must be found in the working directory afterwards; an empty one must be
//!   empty or absent
//!
//! Everything may end in `.sqlite`, `.postgres` or `.bare` where it differs. A scenario runs on both
//! engines, unless it has `stderr` files for others only; `bare` is without any database.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    database::Database, outcome::Outcome, postgres::Postgres, prelaunch::Prelaunch, sqlite::Sqlite,
    words::normalised,
};

/// What becomes of a start that says nothing else.
const COMMAND: &str = "run -- sh -c 'echo the server runs'";

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum On {
    Sqlite,
    Postgres,
    Bare,
}

impl On {
    const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Bare];

    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Bare => "bare",
        }
    }

    fn database(self) -> Option<Box<dyn Database>> {
        match self {
            Self::Sqlite => Some(Box::new(Sqlite::create())),
            Self::Postgres => Some(Box::new(Postgres::create())),
            Self::Bare => None,
        }
    }
}

/// The claims that there are directories for.
pub(crate) fn all() -> BTreeSet<String> {
    names(&root())
}

/// Runs a scenario wherever it is to run, and compares or writes.
#[track_caller]
pub(crate) fn check(claim: &str) {
    let starts = Start::all(&root().join(claim));
    let found: Vec<(On, Vec<Found>)> =
        places(&starts).into_iter().map(|on| (on, run(&starts, on))).collect();
    for (number, start) in starts.iter().enumerate() {
        let found: Vec<(On, &Found)> =
            found.iter().map(|(on, found)| (*on, &found[number])).collect();
        if env::var_os("BLESS").is_some() {
            bless(start, number + 1 == starts.len(), &found);
        } else {
            for (on, found) in found {
                compare(start, on, found);
            }
        }
    }
}

/// Where a scenario runs: where it expects something, and if it says nothing, on both engines.
fn places(starts: &[Start]) -> Vec<On> {
    let expects = |name: &str| starts.iter().any(|start| start.own.join(name).exists());
    let named = On::ALL.into_iter().filter(|on| expects(&format!("stderr.{}", on.name())));
    let named: Vec<On> = named.collect();
    if expects("stderr") || named.is_empty() { vec![On::Sqlite, On::Postgres] } else { named }
}

fn run(starts: &[Start], on: On) -> Vec<Found> {
    let database = on.database();
    let mut place = Place { on, database: database.as_deref(), prelaunch: Prelaunch::new() };
    if let Some(database) = place.database {
        let prelaunch =
            place.prelaunch.stand(database.address(), "URL").stand(database.lock(), "LOCK");
        place.prelaunch = prelaunch.knows(database);
    }
    starts.iter().map(|start| place.run(start)).collect()
}

/// The directory of one start, and that of its scenario.
struct Start {
    own: PathBuf,
    scenario: PathBuf,
}

impl Start {
    /// The starts of a scenario, in order.
    fn all(scenario: &Path) -> Vec<Self> {
        let numbered = names(scenario).into_iter().filter(|name| name.parse::<u32>().is_ok());
        let mut own: Vec<PathBuf> = numbered.map(|name| scenario.join(name)).collect();
        if own.is_empty() {
            own.push(scenario.to_owned());
        }
        own.into_iter().map(|own| Self { own, scenario: scenario.to_owned() }).collect()
    }

    /// What is given, the start's own before the scenario's.
    fn given(&self, name: &str, on: On) -> Option<PathBuf> {
        variant(&self.own, name, on).or_else(|| variant(&self.scenario, name, on))
    }

    /// The lines of all `env` files that apply, later ones over earlier ones.
    fn variables(&self, on: On) -> String {
        let mut directories = vec![&self.scenario, &self.own];
        directories.dedup();
        let files = directories.into_iter().flat_map(|directory| {
            [directory.join("env"), directory.join(format!("env.{}", on.name()))]
        });
        files.filter_map(|file| fs::read_to_string(file).ok()).collect()
    }

    fn expected(&self, what: &str, on: On) -> Option<String> {
        variant(&self.own, what, on).map(|path| fs::read_to_string(path).unwrap())
    }

    /// Whether its words are compared.
    fn speaks(&self) -> bool {
        On::ALL.into_iter().any(|on| variant(&self.own, "stderr", on).is_some())
    }
}

/// A database and a working directory, in which the starts follow each other.
struct Place<'d> {
    on: On,
    database: Option<&'d dyn Database>,
    prelaunch: Prelaunch,
}

impl Place<'_> {
    fn run(&mut self, start: &Start) -> Found {
        let on = self.on;
        let mut prelaunch = self.prelaunch.clone().without_migrations();
        if let Some(from) = start.given("migrations", on) {
            prelaunch = prelaunch.migrations_from(from.to_str().unwrap());
        }
        if let Some(files) = start.given("files", on) {
            for name in names(&files) {
                let content = fs::read_to_string(files.join(&name)).unwrap();
                prelaunch = prelaunch.file(&name, self.filled(&content));
            }
        }
        if let (Some(sql), Some(database)) = (variant(&start.own, "before.sql", on), self.database)
        {
            database.query(&fs::read_to_string(sql).unwrap());
        }
        if let Some(database) = self.database {
            prelaunch = prelaunch.env("DATABASE_URL", database.url());
        }
        for line in start.variables(on).lines() {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("env: {line}"));
            prelaunch = prelaunch.env(name, self.filled(value));
        }
        let command = start.given("command", on).map(|path| fs::read_to_string(path).unwrap());
        let words = shell_words::split(command.as_deref().unwrap_or(COMMAND).trim()).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = prelaunch.args(&words).run();
        self.found(start, &outcome)
    }

    /// A text that is given, with what only this place knows.
    fn filled(&self, text: &str) -> String {
        let url = self.database.map(Database::url).unwrap_or_default();
        let rest = url.split_once(':').map(|(_, rest)| rest).unwrap_or_default();
        let address = self.database.map(Database::address).unwrap_or_default();
        let directory = self.prelaunch.directory().display().to_string();
        let fillings =
            [("{url}", &*url), ("{rest}", rest), ("{address}", &address), ("{dir}", &directory)];
        fillings.into_iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn found(&self, start: &Start, outcome: &Outcome) -> Found {
        let mut files = vec![
            ("status".to_owned(), format!("{}\n", outcome.code())),
            ("stderr".to_owned(), outcome.stderr()),
            ("stdout".to_owned(), outcome.stdout()),
        ];
        if let (Some(schema), Some(database)) = (start.expected("schema", self.on), self.database) {
            files.push(("schema".to_owned(), answered(&schema, database)));
        }
        for name in names(&start.own.join("after")) {
            let variants =
                On::ALL.iter().find_map(|on| name.strip_suffix(&format!(".{}", on.name())));
            let name = variants.unwrap_or(&name);
            let content = fs::read(self.prelaunch.directory().join(name)).unwrap_or_default();
            let content = normalised(&String::from_utf8_lossy(&content), &outcome.stands);
            files.push((format!("after/{name}"), content));
        }
        Found { files, transcript: outcome.transcript() }
    }
}

/// What a start gave, in the form of the files that expect it.
struct Found {
    files: Vec<(String, String)>,
    transcript: String,
}

/// The queries of a `schema` file with the rows that they give now.
fn answered(schema: &str, database: &dyn Database) -> String {
    let queries = schema.lines().filter_map(|line| line.strip_prefix("> "));
    let answers = queries.map(|query| {
        let rows = match query {
            "tables" => database.tables().join("\n"),
            sql => database.query(sql),
        };
        if rows.is_empty() { format!("> {query}\n") } else { format!("> {query}\n{rows}\n") }
    });
    answers.collect()
}

#[track_caller]
fn compare(start: &Start, on: On, found: &Found) {
    for (what, actual) in &found.files {
        let expected = match (start.expected(what, on), what.as_str()) {
            (Some(expected), _) => expected,
            (None, "stderr" | "stdout") if !start.speaks() => continue,
            (None, _) => String::new(),
        };
        assert!(
            expected == *actual,
            "{}: {what} is not as expected on {} (BLESS=1 writes it anew)\n\
             --- expected\n{expected}\n--- found\n{actual}\n{}",
            start.own.display(),
            on.name(),
            found.transcript
        );
    }
}

/// Writes what was found: one file where the engines agree, else one for each.
fn bless(start: &Start, last: bool, found: &[(On, &Found)]) {
    let speaks = last || start.speaks();
    for (number, (what, first)) in found[0].1.files.iter().enumerate() {
        if !speaks && matches!(what.as_str(), "stderr" | "stdout") {
            continue;
        }
        // Which `stderr` there is says where a scenario runs, so a single one keeps its name.
        let agree = found.iter().all(|(_, other)| other.files[number].1 == *first)
            && (found.len() > 1 || what != "stderr");
        let wanted = |content: &str| what != "stdout" || !content.is_empty();
        write(&start.own.join(what), first, agree && wanted(first));
        for (on, found) in found {
            let content = &found.files[number].1;
            let path = start.own.join(format!("{what}.{}", on.name()));
            write(&path, content, !agree && wanted(content));
        }
    }
}

/// Writes a file, or removes it where it is not wanted.
fn write(path: &Path, content: &str, wanted: bool) {
    if wanted {
        fs::write(path, content).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

/// The file for this place, else the one for all.
fn variant(directory: &Path, name: &str, on: On) -> Option<PathBuf> {
    let special = directory.join(format!("{name}.{}", on.name()));
    [special, directory.join(name)].into_iter().find(|path| path.exists())
}

fn names(directory: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/boot")
}
