//! PostgreSQL: one database of a server for each test, with an owner of its own, spoken to with
//! the program `psql`.
//!
//! The owner is no superuser and has a password, so that every test goes through SCRAM and sees the
//! rights that a real role has. The server that `./test.sh` starts is shared by all tests;
//! `cluster` has others.

use std::{
    env,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    database::{Database, Engine},
    session::Session,
    words::Stand,
};

/// A server, and how its superuser is let in.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl Server {
    /// The one that all tests share.
    pub(crate) fn shared() -> Self {
        Self::from_variable("PRELAUNCH_TEST_POSTGRES")
    }

    fn from_variable(name: &str) -> Self {
        let url = env::var(name).unwrap_or_else(|_| {
            panic!("{name} is not set: the tests need a PostgreSQL; run them with ./test.sh");
        });
        let read = || {
            let rest = url.strip_prefix("postgres://postgres:")?;
            let (password, rest) = rest.split_once("@127.0.0.1:")?;
            let (port, _) = rest.split_once('/')?;
            Some(Self { port: port.parse().ok()?, password: password.to_owned() })
        };
        read().unwrap_or_else(|| panic!("{name} is not what ./test.sh sets"))
    }

    /// Its URL for a role and a database.
    pub(crate) fn url(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements as its superuser, each in a transaction of its own.
    pub(crate) fn administer(&self, database: &str, statements: &[&str]) -> Result<String, String> {
        psql(&self.url("postgres", &self.password, database), statements)
    }
}

/// A database that is dropped with the value.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
    name: String,
    role: String,
    password: String,
}

impl Postgres {
    /// A new database on the server that all tests share.
    #[track_caller]
    pub(crate) fn create() -> Self {
        Self::create_on(Server::shared())
    }

    /// A new database on another server.
    #[track_caller]
    pub(crate) fn create_on(server: Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (role, password) = (format!("{name}_owner"), format!("secret-{name}"));
        let statements = [
            format!("create role {role} login password '{password}'"),
            format!("create database {name} owner {role}"),
        ];
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        server.administer("postgres", &statements).unwrap_or_else(|error| panic!("{error}"));
        Self { server, name, role, password }
    }

    /// The same database where another server has taken over.
    #[allow(dead_code, reason = "the campaign of faults needs it, which uses this file too")]
    pub(crate) fn moved_to(&self, server: Server) -> Self {
        let (name, role, password) = (self.name.clone(), self.role.clone(), self.password.clone());
        Self { server, name, role, password }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The role that owns it.
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// The role's password.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// The server that it is on.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The URL with another password: a wrong one.
    pub(crate) fn url_with_password(&self, password: &str) -> String {
        self.server.url(&self.role, password, &self.name)
    }

    /// The URL of another database with the same role.
    pub(crate) fn url_of(&self, database: &str) -> String {
        self.server.url(&self.role, &self.password, database)
    }

    /// The URL with the same role and password, but through PgBouncer in transaction mode.
    pub(crate) fn pgbouncer_url(&self) -> String {
        Server::from_variable("PRELAUNCH_TEST_PGBOUNCER").url(
            &self.role,
            &self.password,
            &self.name,
        )
    }

    /// A superuser who stays connected, for what only he may set.
    pub(crate) fn administrator(&self) -> Session {
        start(&self.server.url("postgres", &self.server.password, &self.name))
    }

    /// Runs SQL as the superuser in this database: rights, other sessions, server settings.
    #[track_caller]
    pub(crate) fn administer(&self, sql: &str) -> String {
        self.server
            .administer(&self.name, &[sql])
            .unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let drop = format!("drop database if exists {} with (force)", self.name);
        let role = format!("drop role if exists {}", self.role);
        // A test may have stopped the server, and nothing is left to drop then.
        let _ = self.server.administer("postgres", &[&drop, &role]);
    }
}

impl Database for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn url(&self) -> String {
        self.url_of(&self.name)
    }

    fn address(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}", self.role, self.server.port, self.name)
    }

    fn lock(&self) -> String {
        // The key of the table `prelaunch_ledger` in that schema.
        "advisory lock -5099229256277813600 of schema `public`".to_owned()
    }

    fn try_query(&self, sql: &str) -> Result<String, String> {
        psql(&self.url(), &[sql])
    }

    fn session(&self) -> Session {
        start(&self.url())
    }

    fn stands(&self) -> Vec<Stand> {
        let mut stands = vec![
            (self.role.clone(), "ROLE"),
            (self.name.clone(), "DB"),
            (format!(":{}/", self.server.port), ":PORT/"),
            (format!("127.0.0.1:{}", self.server.port), "127.0.0.1:PORT"),
        ];
        if let Ok(bouncer) = env::var("PRELAUNCH_TEST_PGBOUNCER") {
            let port = bouncer.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/'));
            stands.extend(port.map(|(port, _)| (format!("127.0.0.1:{port}"), "127.0.0.1:BOUNCER")));
        }
        stands
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.clone(), self.server.password.clone()]
    }

    fn tables(&self) -> Vec<String> {
        let tables = "select relname from pg_class where relkind = 'r' \
                      and relnamespace = 'public'::regnamespace order by relname";
        self.query(tables).lines().map(str::to_owned).collect()
    }
}

/// A client that stays connected to a URL.
pub(crate) fn start(url: &str) -> Session {
    let mut command = client(url);
    command.stderr(Stdio::inherit());
    Session::start(command, "\\echo")
}

fn client(url: &str) -> Command {
    let mut command = Command::new("psql");
    // A test that fails may leave its server frozen.
    command.env("PGCONNECT_TIMEOUT", "10");
    command.args([
        "-X",
        "-A",
        "-t",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=verbose",
        "-d",
        url,
    ]);
    command
}

fn psql(url: &str, statements: &[&str]) -> Result<String, String> {
    let mut command = client(url);
    for statement in statements {
        command.args(["-c", statement]);
    }
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("psql: {error}; run the tests with ./test.sh");
    });
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
