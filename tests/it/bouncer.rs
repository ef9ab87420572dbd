//! A PgBouncer of its own in front of the server that all tests share, for tests that need other
//! settings than the one of `./test.sh`.

use std::{
    env, fs,
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::unistd::Uid;
use tempfile::TempDir;

use crate::{
    cluster::{free_port, variable},
    database::{Database as _, eventually},
    postgres::{self, Postgres, Server},
    session::Session,
};

/// A PgBouncer that ends with the value.
#[derive(Debug)]
pub(crate) struct Bouncer {
    port: u16,
    child: Child,
    directory: TempDir,
}

impl Bouncer {
    /// Transaction mode, and these lines in its configuration.
    #[track_caller]
    pub(crate) fn start(settings: &str) -> Self {
        let server = Server::shared();
        Self::before(server.port, settings)
    }

    /// The same where the server is at another port.
    #[track_caller]
    pub(crate) fn before(server_port: u16, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (port, server) = (free_port(), Server::shared());
        let at = |name: &str| directory.path().join(name);
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\npool_mode = transaction\n\
             auth_type = scram-sha-256\nauth_user = postgres\nauth_file = {}\n{settings}\n",
            at("users").display(),
        );
        fs::write(at("pgbouncer.ini"), configuration).unwrap();
        fs::write(at("users"), format!("\"postgres\" \"{}\"\n", server.password)).unwrap();
        let mut command = Command::new(program());
        command.arg("-q").arg(at("pgbouncer.ini")).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(fs::File::create(at("log")).unwrap());
        if Uid::effective().is_root() {
            // It refuses root, as PostgreSQL does.
            let owner = fs::metadata(variable("PRELAUNCH_TEST_PGDATA_TEMPLATE")).unwrap();
            for path in [directory.path().to_owned(), at("pgbouncer.ini"), at("users")] {
                std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
            command.uid(owner.uid()).gid(owner.gid());
        }
        fs::set_permissions(at("users"), fs::Permissions::from_mode(0o600)).unwrap();
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("pgbouncer: {error}; run the tests with ./test.sh");
        });
        eventually("PgBouncer listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, child, directory }
    }

    /// The URL of a database through it.
    pub(crate) fn url(&self, database: &Postgres) -> String {
        let direct = format!(":{}/", database.server().port);
        database.url().replace(&direct, &format!(":{}/", self.port))
    }

    /// A client of a database through it.
    pub(crate) fn session(&self, database: &Postgres) -> Session {
        postgres::start(&self.url(database))
    }

    /// Host and port, as they show in logs.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        if std::thread::panicking() {
            eprintln!("--- what PgBouncer said\n{log}---");
        }
    }
}

/// It is in a directory that is not on everybody's `PATH`.
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|directory| directory.join("pgbouncer"));
    found.into_iter().find(|path| path.exists()).unwrap_or(Path::new("/usr/sbin/pgbouncer").into())
}
