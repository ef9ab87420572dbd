//! PostgreSQL servers of the campaign's own, which are restarted, crashed and promoted, and whose
//! clock and disk can be spoiled.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use nix::unistd::Uid;
use tempfile::TempDir;

use crate::{
    cluster::{free_port, variable},
    database::eventually,
    postgres::Server,
    shim::{self, Levers},
};

/// A server that ends with the value.
#[derive(Debug)]
pub(crate) struct Own {
    directory: TempDir,
    pub(crate) server: Server,
    pub(crate) levers: Levers,
    user: (u32, u32),
    options: String,
}

impl Own {
    /// A copy of the template of `./test.sh`, which does not run yet.
    pub(crate) fn stopped(options: &str) -> Self {
        Self::copy(Path::new(&variable("PRELAUNCH_TEST_PGDATA_TEMPLATE")), options)
    }

    /// One that runs.
    pub(crate) fn started(options: &str) -> Self {
        let own = Self::stopped(options);
        own.start();
        own
    }

    fn copy(data: &Path, options: &str) -> Self {
        let owner = fs::metadata(data).unwrap();
        let user = (owner.uid(), owner.gid());
        let directory = tempfile::tempdir().unwrap();
        chown(directory.path(), Some(user.0), Some(user.1)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let levers = Levers(directory.path().join("levers"));
        fs::create_dir(&levers.0).unwrap();
        let copied =
            Command::new("cp").arg("-a").arg(data).arg(directory.path().join("data")).status();
        assert!(copied.unwrap().success(), "cannot copy {}", data.display());
        let server = Server { port: free_port(), password: Server::shared().password };
        Self { directory, server, levers, user, options: options.to_owned() }
    }

    /// A standby with the same data, which this stopped server has; it follows once both run.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self::copy(&self.data(), "");
        let follows = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres password={}'\n",
            self.server.port, self.server.password
        );
        let path = standby.data().join("postgresql.auto.conf");
        fs::write(&path, follows).unwrap();
        let signal = standby.data().join("standby.signal");
        fs::write(&signal, "").unwrap();
        for path in [path, signal] {
            chown(path, Some(standby.user.0), Some(standby.user.1)).unwrap();
        }
        standby
    }

    pub(crate) fn start(&self) {
        let started = self.pg_ctl(&["-w", "-l", "log", "-o", &self.start_options(), "start"]);
        assert!(started.status.success(), "the server does not start\n{}", self.log());
    }

    fn start_options(&self) -> String {
        let directory = self.directory.path().display();
        format!("-p {} -k {directory} {}", self.server.port, self.options)
    }

    /// Ends it: `fast` as an administrator does, `immediate` as a crash does.
    pub(crate) fn stop(&self, mode: &str) {
        // It may have ended by itself, over a full disk.
        let _ = self.pg_ctl(&["-w", "-m", mode, "stop"]);
    }

    pub(crate) fn promote(&self) {
        let promoted = self.pg_ctl(&["-w", "promote"]);
        assert!(promoted.status.success(), "the standby is not promoted\n{}", self.log());
    }

    /// Starts it if it has ended, and waits until it lets clients in.
    pub(crate) fn revive(&self) {
        if self.pg_ctl(&["status"]).status.success() {
            eventually("the server lets clients in", || {
                self.server.administer("postgres", &["select 1"]).ok()
            });
        } else {
            self.start();
        }
    }

    /// Runs a statement as its superuser until it gives this.
    pub(crate) fn until(&self, sql: &str, answer: &str) {
        eventually(sql, || {
            (self.server.administer("postgres", &[sql]).ok()? == answer).then_some(())
        });
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(Path::new(&variable("PRELAUNCH_TEST_PGBIN")).join("pg_ctl"));
        command
            .arg("-s")
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .current_dir(self.directory.path())
            .envs(shim::into("postgres"))
            .env("SHIM_DIR", &self.levers.0)
            .stdin(Stdio::null());
        if Uid::effective().is_root() {
            command.uid(self.user.0).gid(self.user.1);
        }
        command.output().unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop("immediate");
    }
}
