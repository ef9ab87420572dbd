//! One start of the real binary, as a user would write it down.
//!
//! ```text
//! Prelaunch::on(&database)
//!     .migrations_from("demo")
//!     .env("AUTO_MIGRATION", "true")
//!     .server(&["sh", "-c", "echo pid $$"])
//!     .run()
//!     .assert_status(0)
//!     .assert_stderr("…");
//! ```
//!
//! The environment is empty but for `PATH`, the working directory a new one, stdin closed, every
//! signal at its default and none blocked, whatever runs the tests. A start can be repeated:
//! the directory stays, with all that the first one left in it.

use std::{
    ffi::{OsStr, OsString},
    fmt, fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use tempfile::TempDir;

use crate::{
    database::Database,
    outcome::Outcome,
    running::Running,
    words::{Stand, unindent},
};

/// The `PATH` of every test.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is done to the command just before it is started.
type Change = Arc<dyn Fn(&mut Command) + Send + Sync>;

/// A start that can be built up, run, changed and run again. A clone shares the directory.
#[derive(Clone)]
#[must_use = "nothing happens before `run` or `spawn`"]
pub(crate) struct Prelaunch {
    directory: Arc<TempDir>,
    environment: Vec<(OsString, OsString)>,
    under: Vec<OsString>,
    arguments: Vec<OsString>,
    server: Vec<OsString>,
    ignored: Vec<Signal>,
    blocked: Vec<Signal>,
    changes: Vec<Change>,
    stands: Vec<Stand>,
    secrets: Vec<String>,
}

impl fmt::Debug for Prelaunch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prelaunch").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Prelaunch {
    /// `prelaunch run` in a new directory, with no variables.
    pub(crate) fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let path = directory.path().canonicalize().unwrap().display().to_string();
        Self {
            directory,
            environment: vec![("PATH".into(), PATH.into())],
            under: Vec::new(),
            arguments: vec!["run".into()],
            server: Vec::new(),
            ignored: Vec::new(),
            blocked: Vec::new(),
            changes: Vec::new(),
            stands: vec![(path, "DIR")],
            secrets: Vec::new(),
        }
    }

    /// The same with `DATABASE_URL`.
    pub(crate) fn on(database: &dyn Database) -> Self {
        Self::new().database("DATABASE_URL", database)
    }

    /// A variable with the URL of a database, whose name, port and role are normalised from now
    /// on, and whose password must not show.
    pub(crate) fn database(self, variable: &str, database: &dyn Database) -> Self {
        self.knows(database).env(variable, database.url())
    }

    /// Normalises what belongs to the database, without naming it in a variable.
    pub(crate) fn knows(mut self, database: &dyn Database) -> Self {
        self.stands.extend(database.stands());
        self.secrets.extend(database.secrets());
        self
    }

    /// Sets a variable, or sets it anew.
    pub(crate) fn env(self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let mut this = self.env_remove(name.as_ref());
        this.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        this
    }

    /// Unsets a variable.
    pub(crate) fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(known, _)| known != name.as_ref());
        self
    }

    /// Something that must not show on stderr.
    pub(crate) fn secret(mut self, text: impl Into<String>) -> Self {
        self.secrets.push(text.into());
        self
    }

    /// A word that differs from run to run, and what stands for it in normalised output.
    pub(crate) fn stand(mut self, word: impl Into<String>, stand: &'static str) -> Self {
        self.stands.push((word.into(), stand));
        self
    }

    /// The working directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    /// Writes `migrations/<name>`; the text may be indented like the code around it.
    pub(crate) fn script(self, name: &str, text: &str) -> Self {
        self.file(&format!("migrations/{name}"), unindent(text))
    }

    /// Writes `migrations/<id>.sql` with an up section and no more; `revises` as in the header.
    pub(crate) fn revision(self, id: &str, revises: &str, up: &str) -> Self {
        let up = unindent(up);
        let text = format!(
            "-- {id}\n--\n-- revision: {id}\n-- revises: {revises}\n\n-- migrate:up\n{up}\n"
        );
        self.file(&format!("migrations/{id}.sql"), text)
    }

    /// Removes `migrations/<name>`.
    pub(crate) fn without_script(self, name: &str) -> Self {
        fs::remove_file(self.directory().join("migrations").join(name)).unwrap();
        self
    }

    /// Removes all of `migrations/`.
    pub(crate) fn without_migrations(self) -> Self {
        // It may not be there.
        let _ = fs::remove_dir_all(self.directory().join("migrations"));
        self
    }

    /// Writes a file below the working directory, byte for byte.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.directory().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Reads a file below the working directory.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory().join(name)).unwrap()
    }

    /// Copies the scripts of a directory: `demo` is the demonstration schema of this repository,
    /// anything else a path below its root.
    pub(crate) fn migrations_from(mut self, what: &str) -> Self {
        let what = if what == "demo" { "migrations" } else { what };
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(what);
        fs::create_dir_all(self.directory().join("migrations")).unwrap();
        for entry in
            fs::read_dir(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display()))
        {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            self = self.file(&format!("migrations/{name}"), fs::read(entry.path()).unwrap());
        }
        self
    }

    /// Other arguments than `run`; the server follows behind `--` if there is one.
    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(OsString::from).collect();
        self
    }

    /// The arguments as they are now.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.arguments.iter().map(|one| one.to_str().unwrap().to_owned()).collect()
    }

    /// What to become.
    pub(crate) fn server<S: AsRef<OsStr>>(mut self, words: &[S]) -> Self {
        self.server = words.iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Runs it as the last argument of another program (`unshare`, `nsenter`, `setpriv`).
    pub(crate) fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(OsString::from).collect();
        self
    }

    /// Has it start with a signal ignored.
    pub(crate) fn ignoring(mut self, signal: Signal) -> Self {
        self.ignored.push(signal);
        self
    }

    /// Has it start with a signal blocked.
    pub(crate) fn blocking(mut self, signal: Signal) -> Self {
        self.blocked.push(signal);
        self
    }

    /// The way out: any change of the command just before it is started.
    pub(crate) fn changed(mut self, change: impl Fn(&mut Command) + Send + Sync + 'static) -> Self {
        self.changes.push(Arc::new(change));
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self) -> Outcome {
        self.spawn().wait()
    }

    /// Starts it.
    #[track_caller]
    pub(crate) fn spawn(&self) -> Running {
        let program = OsString::from(env!("CARGO_BIN_EXE_prelaunch"));
        let mut words = self.under.iter().chain([&program]).chain(&self.arguments);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.server.is_empty() {
            command.arg("--").args(&self.server);
        }
        with_signals(&mut command, self.ignored.clone(), &self.blocked);
        self.changes.iter().for_each(|change| change(&mut command));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running::new(child, Arc::clone(&self.directory), self.stands.clone(), self.secrets.clone())
    }
}

/// Has a command start with every signal at its default and none blocked, but for these: neither
/// the shell nor the test program around us must show.
#[expect(unsafe_code, reason = "there is no other way into the time between fork and exec")]
fn with_signals(command: &mut Command, ignored: Vec<Signal>, blocked: &[Signal]) {
    let blocked: SigSet = blocked.iter().copied().collect();
    let set = move || {
        for signal in
            Signal::iterator().filter(|one| !matches!(one, Signal::SIGKILL | Signal::SIGSTOP))
        {
            let how =
                if ignored.contains(&signal) { SigHandler::SigIgn } else { SigHandler::SigDfl };
            // SAFETY: neither runs code of ours when the signal comes.
            unsafe { sigaction(signal, &SigAction::new(how, SaFlags::empty(), SigSet::empty())) }?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None)?;
        Ok::<_, io::Error>(())
    };
    // SAFETY: only system calls are made, each of which is allowed between fork and exec.
    unsafe { command.pre_exec(set) };
}
