//! The Python that has Alembic, for as long as an import takes: one process, so that the application
//! is imported once.
//!
//! A request is a line of JSON on its stdin, the answer one on its stdout; `driver.py` says which
//! there are. What it and the application print goes to a file, the end of which is shown where
//! something fails, without what looks like a password.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::error::ImportError;
use crate::{alembic::locate::Known, error::Error, files, signals::Signals, stage::Stage, sys};

const SCRIPT: &str = include_str!("driver.py");

/// How much of what Python printed is shown.
const SHOWN: usize = 600;

/// A Python that waits for requests.
#[derive(Debug)]
pub(super) struct Driver<'a> {
    program: PathBuf,
    printed: PathBuf,
    signals: &'a Signals,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Killed when this is dropped.
    _child: Child,
}

impl<'a> Driver<'a> {
    /// Starts it where the environment's relative paths hold.
    pub(super) fn start(
        program: &Path,
        directory: &Path,
        printed: PathBuf,
        signals: &'a Signals,
    ) -> Result<Self, ImportError> {
        let started = || {
            let mut command = Command::new(program);
            command
                .args(["-c", SCRIPT])
                .current_dir(directory)
                // Some of what SQLAlchemy sends is in the order of a set.
                .env("PYTHONHASHSEED", "0")
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::create(&printed)?)
                .kill_on_drop(true);
            sys::as_found(command.as_std_mut());
            sys::die_with_us(command.as_std_mut());
            command.spawn()
        };
        let failed = |source| ImportError::Start { program: program.to_owned(), source };
        let mut child = started().map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let stdout = BufReader::new(stdout).lines();
        Ok(Self { program: program.to_owned(), printed, signals, stdin, stdout, _child: child })
    }

    /// Has it load the environment.
    pub(super) async fn open(&mut self, known: &Known, section: &str) -> Result<Value, Error> {
        let text = |path: &Option<PathBuf>| {
            path.as_deref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        let locations: Vec<String> =
            known.version_locations.iter().map(|path| path.display().to_string()).collect();
        let request = json!({
            "do": "open", "ini": text(&known.ini), "toml": text(&known.toml), "section": section,
            "script_location": text(&known.script_location), "version_locations": locations,
        });
        self.ask("load the environment", &request).await
    }

    /// Asks for one thing. A signal ends the wait, and with it the process.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        request: &Value,
    ) -> Result<T, Error> {
        let asked = async {
            let mut line = request.to_string();
            line.push('\n');
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdout.next_line().await
        };
        let answered = self.signals.or(asked).await;
        let answered = answered.map_err(|signal| Error::Stopped { stage: Stage::Plan, signal })?;
        let answer: Option<Value> =
            answered.ok().flatten().and_then(|line| serde_json::from_str(&line).ok());
        let said = match answer {
            None => format!("it ended; {}", self.printed()),
            Some(answer) => match answer.get("error").and_then(Value::as_str) {
                Some(error) => without_passwords(error),
                None => match serde_json::from_value(answer) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => format!("its answer is not understood: {error}"),
                },
            },
        };
        let program = self.program.clone();
        Err(Error::Import(ImportError::Python { program, what, said }))
    }

    /// The end of what it printed.
    fn printed(&self) -> String {
        let text = files::read_value(&self.printed).unwrap_or_default();
        let text = without_passwords(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        let start = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
        if text.is_empty() {
            "it said nothing".to_owned()
        } else {
            format!("it said: {}", &text[start..])
        }
    }
}

/// A text with `…` for what stands where URLs have passwords.
pub(in crate::alembic) fn without_passwords(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        rest = after;
        // To the last `@`: a password may hold others.
        if let Some(at) = after[..end].rfind('@')
            && let Some(colon) = after[..at].find(':')
        {
            clean.push_str(&after[..=colon]);
            clean.push('…');
            rest = &after[at..];
        }
    }
    clean + rest
}
