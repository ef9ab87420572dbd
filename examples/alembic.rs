//! An Alembic environment as JSON: what prelaunch reads of it without Python.
//!
//! ```text
//! $ cargo run --example alembic -- path/of/the/environment
//! {"directory":"…","ini":"…/alembic.ini","revisions":[{"id":"1769ee58fbb4","parents":[], …
//! ```
//!
//! `--ask PYTHON` has that Python answer for the revisions instead, `--name SECTION` reads another
//! section of the ini, and `--time ROUNDS` prints the median time of reading it so often.
//! `tests/alembic/readers.sh` compares the answers with those of Alembic itself.

use std::{
    env,
    error::Error,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use prelaunch::{
    alembic::{Environment, Options, Question, Setting, read_answered, read_with},
    graph::revision::{Revision, RevisionId},
};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut path, mut python, mut rounds) = (None, None, None);
    let mut options = Options::default();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--ask" => python = arguments.next().map(PathBuf::from),
            "--name" => options.section = arguments.next().unwrap_or_default(),
            "--time" => rounds = Some(arguments.next().unwrap_or_default().parse::<usize>()?),
            _ => path = Some(PathBuf::from(argument)),
        }
    }
    let path = path.ok_or("give the path of an environment")?;
    if let Some(rounds) = rounds {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let begin = Instant::now();
            read_with(&path, &options)?;
            times.push(begin.elapsed());
        }
        times.sort();
        println!("median of {rounds}: {:?}", times[rounds / 2]);
        return Ok(());
    }
    let environment = match python {
        None => read_with(&path, &options)?,
        Some(python) => {
            let question = Question::about(&path, &options, &python)?;
            let mut command = Command::new(&question.program);
            command.args(&question.arguments).current_dir(&question.directory);
            let output = command.stderr(Stdio::inherit()).output()?;
            if !output.status.success() {
                return Err(format!("Python ended with {}", output.status).into());
            }
            read_answered(&path, &options, Question::answer(&output.stdout)?)?
        }
    };
    println!("{}", described(&environment));
    Ok(())
}

fn described(environment: &Environment) -> Value {
    let revisions: Vec<Value> = environment.graph.revisions().map(revision).collect();
    json!({
        "script_location": environment.script_location,
        "version_locations": environment.version_locations,
        "ini": environment.ini,
        "toml": environment.toml,
        "directory": environment.directory,
        "version_table": setting(&environment.version_table),
        "version_table_schema": setting(&environment.version_table_schema),
        "heads": words(&environment.graph.heads()),
        "revisions": revisions,
    })
}

fn setting(setting: &Setting) -> Value {
    match setting {
        Setting::Default => Value::Null,
        Setting::Named(name) => json!(name),
        Setting::Unknown(place) => json!({ "unknown": place.to_string() }),
    }
}

fn revision(revision: &Revision) -> Value {
    json!({
        "id": revision.id.as_str(),
        "parents": words(&revision.parents.iter().collect::<Vec<_>>()),
        "depends_on": revision.depends_on,
        "labels": revision.labels,
        "title": revision.title,
        "created": revision.created,
        "place": revision.place.to_string(),
    })
}

fn words(ids: &[&RevisionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
