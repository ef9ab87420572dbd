//! `revision import`: an Alembic environment as SQL scripts, where Python still is.
//!
//! Alembic renders each revision by itself, up and down, for each engine, in its offline mode. What
//! that cannot give, because a revision inspects the database, is run on a throwaway database and
//! written down. What decides by rows, connects elsewhere or sends something else each time is
//! refused, since a script of it would be wrong for every database but one; or with `--delegate` left
//! to Alembic.
//!
//! - `driver` the one Python process, which runs `driver.py`; `gather` what it is asked
//! - `throwaway` a directory, and databases that are dropped
//! - `section` what becomes of one direction of one revision on one engine
//! - `script` the script of a revision
//! - `tags` which release each revision completes
//! - `verify` both ways on throwaway databases; `shape` their schemas compared
//! - `report` the answer
//!
//! `section`, `script`, `tags`, `shape` and `report` are pure.
//!
//! Promises: nothing is written before all of it is known to be right, and no file that is there is
//! ever changed. No database of the application is connected to, unless `env.py` does that in its
//! branch for offline mode.

mod driver;
pub mod error;
mod gather;
mod report;
mod script;
mod section;
mod shape;
#[cfg(test)]
mod tests;
mod throwaway;
mod verify;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Instant,
};

use tokio::runtime::Runtime;
use tracing::{info, warn};

pub(in crate::alembic) use self::driver::without_passwords;
pub use self::error::{ImportError, Missing};
use self::{
    driver::Driver,
    report::{Report, State},
    script::{Imported, Written},
    section::Section,
    throwaway::Throwaway,
};
use super::{Environment, Options, Question, locate, read_answered, read_with};
use crate::{
    cli::Import,
    config::{
        Config,
        url::{DatabaseUrl, PgVariables},
    },
    database::write,
    engine::Engine,
    error::Error,
    files,
    graph::{Graph, revision::RevisionId, tags},
    script::Script,
    signals::Signals,
    stage::Stage,
};

/// An import under way.
struct Importing<'a> {
    asked: &'a Import,
    runtime: Runtime,
    environment: Environment,
    python: PathBuf,
    /// The server for throwaway databases.
    server: Option<DatabaseUrl>,
    directory: Throwaway,
    /// How many throwaway databases there were.
    databases: usize,
}

/// Imports an environment.
pub fn run(
    config: &Config,
    asked: &Import,
    out: &Path,
    signals: &Arc<Signals>,
) -> Result<ExitCode, Error> {
    signals.take_note();
    let begun = Instant::now();
    let engines = engines(asked);
    let server = server(asked, &engines).map_err(Error::Import)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Setup)?;
    let options = Options { section: asked.name.clone(), ..Options::default() };
    let known = locate::known(&asked.alembic, &options)
        .map_err(|error| Error::Import(ImportError::Environment(error)))?;
    let python = asked.python.clone().unwrap_or_else(|| python_beside(&known.directory));
    let environment = runtime.block_on(read(&asked.alembic, &options, &python, signals))?;
    let tags = tags(asked, &environment.graph).map_err(Error::Import)?;
    let directory = Throwaway::new().map_err(Error::Import)?;
    let mut importing =
        Importing { asked, runtime, environment, python, server, directory, databases: 0 };

    let printed = importing.directory.0.join("python.log");
    let started = {
        // A process can only be waited for inside of the runtime.
        let _inside = importing.runtime.enter();
        Driver::start(&importing.python, &known.directory, printed, signals)
    };
    let mut driver = started.map_err(Error::Import)?;
    let versions = importing.runtime.block_on(driver.open(&known, &asked.name))?;
    let mut imported = importing.sections(&mut driver, &engines, tags)?;
    if asked.delegate.is_some() {
        delegate(&mut imported);
    }
    let (scripts, missing) = scripts(&imported);

    let mut report = Report::new(&importing.environment, &versions, &engines, out);
    for (revision, script) in imported.iter().zip(&scripts) {
        report.add(revision, script.as_ref());
    }
    if !missing.is_empty() && !asked.allow_missing {
        if asked.json {
            report.refused(&missing);
            write(&report.json(begun.elapsed())).map_err(Error::Output)?;
        }
        return Err(Error::Import(ImportError::Missing(missing)));
    }
    for one in delegated(&imported) {
        warn!(stage = %Stage::Plan, event = "delegated", "{one}; it is left to Alembic");
    }
    for one in &missing {
        warn!(stage = %Stage::Plan, event = "not_imported", "{one}");
    }
    report.refused(&missing);

    let texts: Vec<&Written> = scripts.iter().flatten().collect();
    let states = states(out, &imported, &scripts, missing.is_empty()).map_err(Error::Import)?;
    if asked.verify {
        let migrations = importing.directory.0.join("migrations");
        put(&migrations, &texts).map_err(Error::Import)?;
        for &engine in &engines {
            let held = verify::verify(
                &mut importing,
                &mut driver,
                config,
                signals,
                engine,
                &imported,
                &migrations,
            )?;
            report.verified(engine, held);
        }
    }
    let new: Vec<&Written> = texts
        .into_iter()
        .filter(|script| states.get(&script.name) == Some(&State::Written))
        .collect();
    put(out, &new).map_err(Error::Import)?;
    report.states(&states);
    info!(
        stage = %Stage::Plan, event = "imported", revisions = imported.len(), written = new.len(),
        offline = report.figures.offline, recorded = report.figures.recorded,
        absent = report.figures.absent, delegated = report.figures.delegated,
        refused = report.figures.refused, version_table = report.version_table(),
        "the revisions of Alembic are scripts"
    );
    let text = if asked.json { report.json(begun.elapsed()) } else { report.text() };
    write(&text).map_err(Error::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// Those that were asked for, each once; both by default.
fn engines(asked: &Import) -> Vec<Engine> {
    let wanted = |engine: &Engine| asked.engine.is_empty() || asked.engine.contains(engine);
    Engine::ALL.into_iter().filter(wanted).collect()
}

fn server(asked: &Import, engines: &[Engine]) -> Result<Option<DatabaseUrl>, ImportError> {
    let Some(text) = &asked.scratch else {
        let needed = asked.verify && engines.contains(&Engine::Postgres);
        return if needed { Err(ImportError::NoScratch) } else { Ok(None) };
    };
    let (url, _) =
        DatabaseUrl::parse(text, &PgVariables::default()).map_err(ImportError::ScratchUrl)?;
    match url.engine() {
        Engine::Postgres => Ok(Some(url)),
        Engine::Sqlite => Err(ImportError::ScratchEngine),
    }
}

/// The Python of a virtual environment beside the settings, else the one on PATH.
fn python_beside(directory: &Path) -> PathBuf {
    let beside = [".venv", "venv"].map(|name| directory.join(name).join("bin/python"));
    beside.into_iter().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("python3"))
}

/// The environment without Python, or with it where the files say too little.
async fn read(
    path: &Path,
    options: &Options,
    python: &Path,
    signals: &Signals,
) -> Result<Environment, Error> {
    let failed = |error| Error::Import(ImportError::Environment(error));
    let error = match read_with(path, options) {
        Ok(environment) => return Ok(environment),
        Err(error) => error,
    };
    if !error.python_may_know() {
        return Err(failed(error));
    }
    let question = Question::about(path, options, python).map_err(failed)?;
    let mut command = tokio::process::Command::new(&question.program);
    command
        .args(&question.arguments)
        .current_dir(&question.directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = signals.or(command.output()).await;
    let output = output.map_err(|signal| Error::Stopped { stage: Stage::Plan, signal })?;
    let output = output.map_err(|source| {
        Error::Import(ImportError::Start { program: question.program.clone(), source })
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it said nothing");
        return Err(Error::Import(ImportError::Python {
            program: question.program,
            what: "load the revisions",
            said: without_passwords(last),
        }));
    }
    let answer = Question::answer(&output.stdout)
        .map_err(|error| Error::Import(ImportError::Answer(error)))?;
    read_answered(path, options, answer).map_err(failed)
}

fn tags(asked: &Import, graph: &Graph) -> Result<BTreeMap<RevisionId, String>, ImportError> {
    let mut all = asked.tag.clone();
    if let Some(path) = &asked.tags {
        let text = files::read_value(path)
            .map_err(|source| ImportError::Read { path: path.clone(), source })?;
        all.extend(tags::lines(&text).map_err(ImportError::Tag)?);
    }
    tags::resolve(graph, all).map_err(ImportError::Tag)
}

/// Leaves to Alembic also what is no script although each statement was had.
fn delegate(imported: &mut [Imported]) {
    for one in imported {
        let Err(why) = script::write(one) else { continue };
        for (.., section) in &mut one.sections {
            *section = Section::Delegated { why: why.clone(), line: None };
        }
    }
}

/// What is left to Alembic, and why.
fn delegated(imported: &[Imported]) -> Vec<Missing> {
    let of = |one: &Imported| {
        let place = |line: Option<usize>| {
            let mut place = one.revision.place.clone();
            place.line = line.unwrap_or(place.line);
            place
        };
        let sections = one.sections.iter().filter_map(|(engine, direction, section)| {
            let Section::Delegated { why, line } = section else { return None };
            let (revision, section) = (one.revision.id.to_string(), Some((*engine, *direction)));
            Some(Missing { place: place(*line), revision, section, why: why.clone() })
        });
        sections.collect::<Vec<_>>()
    };
    imported.iter().flat_map(of).collect()
}

/// The scripts, where one can be written, and all that is in none.
fn scripts(imported: &[Imported]) -> (Vec<Option<Written>>, Vec<Missing>) {
    let (mut scripts, mut missing) = (Vec::new(), Vec::new());
    for one in imported {
        let place = |line: Option<usize>| {
            let mut place = one.revision.place.clone();
            place.line = line.unwrap_or(place.line);
            place
        };
        let revision = one.revision.id.to_string();
        for (engine, direction, section) in &one.sections {
            let Section::Refused { why, line } = section else { continue };
            let section = Some((*engine, *direction));
            let revision = revision.clone();
            missing.push(Missing { place: place(*line), revision, section, why: why.clone() });
        }
        let written = script::write(one).map_err(|why| {
            missing.push(Missing { place: place(None), revision, section: None, why });
        });
        scripts.push(written.ok());
    }
    (scripts, missing)
}

/// Which scripts are new, by the names of their files; an error where one would have to be changed,
/// or where all together make no graph.
fn states(
    out: &Path,
    imported: &[Imported],
    scripts: &[Option<Written>],
    complete: bool,
) -> Result<BTreeMap<String, State>, ImportError> {
    let mut there = BTreeMap::new();
    let mut revisions = Vec::new();
    // A directory that is not there yet has nothing in the way.
    for (path, content) in files::read_each(out).unwrap_or_default() {
        let content = content.map_err(|source| ImportError::Read { path: path.clone(), source })?;
        let text = String::from_utf8_lossy(&content).into_owned();
        // What is wrong with a script that is none of ours, `revision lint` says.
        let Ok(script) = Script::parse(&path, &text) else { continue };
        if !imported.iter().any(|one| one.revision.id == script.revision.id) {
            revisions.push(script.revision.clone());
        }
        there.insert(script.revision.id.clone(), (path, text));
    }
    let mut states = BTreeMap::new();
    for (one, script) in imported.iter().zip(scripts) {
        let Some(script) = script else { continue };
        let path = out.join(&script.name);
        let state = match there.get(&one.revision.id) {
            Some((_, text)) if *text == script.text => State::Unchanged,
            Some((path, _)) => {
                let revision = one.revision.id.to_string();
                return Err(ImportError::Exists { path: path.clone(), revision });
            }
            None if path.exists() => {
                let revision = one.revision.id.to_string();
                return Err(ImportError::Exists { path, revision });
            }
            None => State::Written,
        };
        states.insert(script.name.clone(), state);
        if let Ok(script) = Script::parse(&path, &script.text) {
            revisions.push(script.revision);
        }
    }
    if complete {
        Graph::new(revisions).map_err(ImportError::Graph)?;
    }
    Ok(states)
}

/// Writes scripts that are not there yet.
fn put(directory: &Path, scripts: &[&Written]) -> Result<(), ImportError> {
    let failed = |path: &Path, source| ImportError::Write { path: path.to_owned(), source };
    files::create_directory(directory).map_err(|source| failed(directory, source))?;
    for script in scripts {
        let path = directory.join(&script.name);
        files::create(&path, &script.text).map_err(|source| failed(&path, source))?;
    }
    Ok(())
}
