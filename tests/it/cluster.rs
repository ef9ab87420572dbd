//! A PostgreSQL server of its own, for tests that start it late, stop it or crash it.
//!
//! It is a copy of the template that `./test.sh` initialises, which takes a moment only. Its
//! port stays the same from start to start, so that a URL can be had before the server runs.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use tempfile::TempDir;

use crate::{
    database::eventually,
    postgres::{Postgres, Server},
};

/// A server that is stopped with the value.
#[derive(Debug)]
pub(crate) struct Cluster {
    directory: TempDir,
    server: Server,
    /// Who runs it: PostgreSQL refuses root.
    user: (u32, u32),
}

impl Cluster {
    /// A server that runs.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let cluster = Self::stopped();
        cluster.start_again();
        cluster
    }

    /// A server that does not run yet, with a port that is its own.
    #[track_caller]
    pub(crate) fn stopped() -> Self {
        let template = PathBuf::from(variable("PRELAUNCH_TEST_PGDATA_TEMPLATE"));
        let owner = fs::metadata(&template).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let user = (owner.uid(), owner.gid());
        std::os::unix::fs::chown(directory.path(), Some(user.0), Some(user.1)).unwrap();
        let copied =
            Command::new("cp").arg("-a").arg(&template).arg(directory.path().join("data")).output();
        succeeded("cp", &copied.unwrap());
        let server = Server { port: free_port(), password: Server::shared().password };
        Self { directory, server, user }
    }

    /// Adds a line to its configuration, for the next start.
    pub(crate) fn setting(&self, line: &str) {
        let path = self.data().join("postgresql.conf");
        let settings = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{settings}\n{line}\n")).unwrap();
    }

    /// Writes a file into its data directory, owned by it and for nobody else.
    pub(crate) fn file(&self, name: &str, content: &[u8]) {
        let path = self.data().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(self.user.0), Some(self.user.1)).unwrap();
    }

    /// Starts it on the same port with the same data; gives back once it lets clients in.
    #[track_caller]
    pub(crate) fn start_again(&self) {
        let options = format!("-p {} -k {}", self.server.port, self.directory.path().display());
        let started = self.pg_ctl(&["-w", "-l", "log", "-o", &options, "start"]);
        assert!(started.status.success(), "the cluster does not start\n{}", self.log());
    }

    /// Stops it as an administrator does: clients are thrown out, everything is written.
    #[track_caller]
    pub(crate) fn stop(&self) {
        succeeded("pg_ctl stop", &self.pg_ctl(&["-w", "-m", "fast", "stop"]));
    }

    /// Crashes it, as the loss of its container does: SIGKILL for all of its processes, and nothing
    /// is written any more. Gives back once they are gone.
    #[track_caller]
    pub(crate) fn kill(&self) {
        let processes = self.processes();
        assert!(!processes.is_empty(), "it does not run");
        for pid in &processes {
            // Some end by themselves when the first one is gone.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        eventually("the cluster is gone", || {
            processes.iter().all(|pid| is_gone(*pid)).then_some(())
        });
        // The next start would believe process ids that somebody else may have by now.
        fs::remove_file(self.data().join("postmaster.pid")).unwrap();
        let socket = format!(".s.PGSQL.{}.lock", self.server.port);
        fs::remove_file(self.directory.path().join(socket)).unwrap();
    }

    /// Stops every process of it where it stands: connections stay open and silent.
    pub(crate) fn freeze(&self) {
        self.each_process(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.each_process(Signal::SIGCONT);
    }

    fn each_process(&self, signal: Signal) {
        for pid in self.processes() {
            // A session may have ended meanwhile.
            let _ = kill(pid, signal);
        }
    }

    /// Its first process and the children of that, which are all that there are.
    fn processes(&self) -> Vec<Pid> {
        let Some(pid) = self.pid() else { return Vec::new() };
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        [pid].into_iter().chain(children.map(Pid::from_raw)).collect()
    }

    /// A new database on it; it must run.
    #[track_caller]
    pub(crate) fn create(&self) -> Postgres {
        Postgres::create_on(self.server.clone())
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The id of its first process, if it has one.
    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok().map(Pid::from_raw)
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(Path::new(&variable("PRELAUNCH_TEST_PGBIN")).join("pg_ctl"));
        command
            .arg("-s")
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .current_dir(self.directory.path());
        if Uid::effective().is_root() {
            command.uid(self.user.0).gid(self.user.1);
        }
        command.output().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
        if let Some(pid) = self.pid()
            && kill(pid, Signal::SIGQUIT).is_ok()
            // A test that fails already must not fail twice.
            && !thread::panicking()
        {
            eventually("the cluster is stopped", || is_gone(pid).then_some(()));
        }
    }
}

/// Whether a process has ended. Where the first process of a container does not reap, what has
/// ended stays in the table for ever.
fn is_gone(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) => status.lines().any(|line| line.starts_with("State:\tZ")),
        Err(_) => true,
    }
}

/// A port below those that the kernel gives to outgoing connections, which could take it while the
/// server is stopped.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + number % 10_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: the tests need a PostgreSQL; run them with ./test.sh");
    })
}

#[track_caller]
fn succeeded(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}
