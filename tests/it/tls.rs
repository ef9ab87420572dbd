//! TLS: what each `sslmode` takes and refuses, against a server with a certificate that a test made; and
//! what commands are told of it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    alembic::environment, cluster::Cluster, database::Database as _, postgres::Postgres,
    prelaunch::Prelaunch,
};

/// A server with a certificate for `localhost` from an authority, and another authority.
struct Secured {
    _cluster: Cluster,
    database: Postgres,
    files: TempDir,
}

impl Secured {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        authority(files.path(), "ours");
        authority(files.path(), "other");
        let request =
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let server = ["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"];
        openssl(files.path(), &[&request[..], &server].concat());
        fs::write(files.path().join("extensions"), "subjectAltName = DNS:localhost\n").unwrap();
        openssl(
            files.path(),
            &[
                "x509",
                "-req",
                "-in",
                "server.csr",
                "-CA",
                "ours.crt",
                "-CAkey",
                "ours.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "extensions",
                "-out",
                "server.crt",
            ],
        );
        let cluster = Cluster::stopped();
        for name in ["server.key", "server.crt"] {
            cluster.file(name, &fs::read(files.path().join(name)).unwrap());
        }
        cluster.setting("ssl = on");
        // Nobody comes in without, so that who comes in has used it.
        cluster.file("pg_hba.conf", b"hostssl all all 127.0.0.1/32 scram-sha-256\n");
        cluster.start_again();
        let database = cluster.create();
        Self { _cluster: cluster, database, files }
    }

    /// A start with this host and these parameters; `CA` in them is the directory of the
    /// authorities.
    fn on(&self, host: &str, parameters: &str) -> Prelaunch {
        let files = self.files.path().canonicalize().unwrap().display().to_string();
        let url = self.database.url().replace("@127.0.0.1:", &format!("@{host}:"));
        Prelaunch::new()
            .knows(&self.database)
            .env("DATABASE_URL", format!("{url}?{}", parameters.replace("CA", &files)))
            .stand(files, "CA")
            .server(&["echo", "the server runs"])
    }
}

#[test]
fn a_server_that_proves_itself_is_taken() {
    let secured = Secured::start();
    for (host, parameters) in [
        ("localhost", "sslmode=prefer"),
        ("localhost", "sslmode=require"),
        ("127.0.0.1", "sslmode=require"),
        ("localhost", "sslmode=verify-ca&sslrootcert=CA/ours.crt"),
        // The certificate is for another name, which is not looked at.
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=CA/ours.crt"),
        ("localhost", "sslmode=verify-full&sslrootcert=CA/ours.crt"),
    ] {
        secured.on(host, parameters).run().assert_status(0).assert_stdout("the server runs");
    }
    secured
        .on("localhost", "sslmode=verify-full&sslrootcert=CA/ours.crt")
        .env("AUTO_MIGRATION", "true")
        .migrations_from("demo")
        .run()
        .assert_status(0);
    assert_eq!(secured.database.upgrades().len(), 12);
}

/// All at once, since each takes the whole grace: a certificate may be renewed any moment.
#[test]
fn a_server_that_does_not_is_refused_after_the_grace() {
    let secured = Secured::start();
    let plain = Postgres::create();
    let cases = [
        (
            secured.on("localhost", "sslmode=verify-ca&sslrootcert=CA/other.crt"),
            "postgres://ROLE@localhost:PORT/DB refuses: TLS failed: \
             invalid peer certificate: UnknownIssuer",
        ),
        (
            secured.on("127.0.0.1", "sslmode=verify-full&sslrootcert=CA/ours.crt"),
            "postgres://ROLE@127.0.0.1:PORT/DB refuses: TLS failed: \
             invalid peer certificate: certificate not valid for name \"127.0.0.1\"; certificate \
             is only valid for DnsName(\"localhost\")",
        ),
        (
            secured.on("localhost", "sslmode=disable"),
            "postgres://ROLE@localhost:PORT/DB refuses: no pg_hba.conf entry for host \
             \"127.0.0.1\", user \"ROLE\", database \"DB\", no encryption (SQLSTATE 28000)",
        ),
        (
            Prelaunch::new()
                .knows(&plain)
                .env("DATABASE_URL", format!("{}?sslmode=require", plain.url())),
            "postgres://ROLE@127.0.0.1:PORT/DB refuses: TLS failed: server does not support TLS",
        ),
    ];
    let began = Instant::now();
    let running = cases.map(|(start, words)| (start.spawn(), words));
    for (runner, words) in running {
        let outcome = runner.wait();
        let took = began.elapsed();
        outcome
            .assert_status(12)
            .assert_last_words(&format!("prelaunch: exit 12 in wait: {words}"));
        assert!((9..14).contains(&took.as_secs()), "it took {took:?}");
    }
}

#[test]
fn an_authority_that_is_not_there_is_named_at_once() {
    let database = Postgres::create();
    let file = "/nowhere/ca.crt";
    Prelaunch::new()
        .knows(&database)
        .env("DATABASE_URL", format!("{}?sslmode=verify-full&sslrootcert={file}", database.url()))
        .run()
        .assert_status(12)
        .assert_stderr(
            "
            prelaunch: exit 12 in wait: postgres://ROLE@127.0.0.1:PORT/DB refuses: cannot open /nowhere/ca.crt: No such file or directory (os error 2)
            ",
        );
}

/// Makes `<name>.key` and `<name>.crt` of an authority that vouches for itself.
fn authority(directory: &Path, name: &str) {
    let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = format!("/CN={name}");
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let made = ["-nodes", "-days", "2", "-keyout", &key, "-out", &crt, "-subj", &subject];
    openssl(directory, &[&request[..], &made].concat());
}

#[track_caller]
fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}; run the tests with ./test.sh"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a command makes of the URL differs from driver to driver; the variables are read by most.
#[test]
fn a_command_finds_tls_in_its_environment() {
    let secured = Secured::start();
    let shown = "sh -c 'env | grep ^PGSSL | sort'";
    let said = |parameters: &str, more: &[(&str, &str)]| {
        let mut start = secured
            .on("localhost", parameters)
            .revision("aaaa", "", "select 1;")
            .env("AUTO_MIGRATION", "true")
            .env("AFTER_MIGRATE", shown)
            .env("REINDEX_COMMAND", shown)
            .env("REINDEX_DATASETS", "true");
        for (name, value) in more {
            start = start.env(name, value);
        }
        secured.database.query("drop table if exists prelaunch_history");
        let outcome = start.run();
        outcome.assert_status(0).assert_stdout("the server runs");
        let lines: Vec<String> = outcome
            .stderr()
            .lines()
            .filter(|line| line.starts_with("PGSSL"))
            .map(str::to_owned)
            .collect();
        let (hook, reindex) = lines.split_at(lines.len() / 2);
        assert_eq!(hook, reindex);
        hook.join(" ")
    };
    assert_eq!(said("sslmode=require", &[]), "PGSSLMODE=require");
    let whole = "sslmode=verify-full&sslrootcert=CA/ours.crt";
    assert_eq!(said(whole, &[]), "PGSSLMODE=verify-full PGSSLROOTCERT=CA/ours.crt");
    assert_eq!(
        said(whole, &[("PGSSLMODE", "prefer")]),
        "PGSSLMODE=prefer PGSSLROOTCERT=CA/ours.crt"
    );
    // The server's environment is what it was.
    let server =
        secured.on("localhost", whole).server(&["sh", "-c", "env | grep -c ^PGSSL || true"]);
    server.run().assert_status(0).assert_stdout("0");
}

/// How an `env.py` connects: `<URL>` is the URL that it makes of ours.
const SYNC: &str = "\
import os
import sqlalchemy as sa
from alembic import context

url = sa.make_url(os.environ['DATABASE_URL'].replace('postgres://', 'postgresql+psycopg2://', 1))
with sa.create_engine(<URL>).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
";

const ASYNC: &str = "\
import asyncio
import os
import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

url = sa.make_url(os.environ['DATABASE_URL'].replace('postgres://', 'postgresql+asyncpg://', 1))

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def run():
    async with create_async_engine(<URL>).connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()

asyncio.run(run())
";

/// The server lets nobody in without TLS. Where the parameters are cut off, or stay because the
/// driver knows them, Alembic is as strict as prelaunch.
#[test]
fn alembic_connects_as_the_url_says_whatever_its_driver() {
    let secured = Secured::start();
    let whole = "sslmode=verify-full&sslrootcert=CA/ours.crt";
    let start = |env: &str, url: &str| {
        environment(secured.on("localhost", whole))
            .file("app/env.py", env.replace("<URL>", url))
            .env("AUTO_MIGRATION", "true")
    };
    // Elsewhere it has another name, which the certificate is not for.
    let elsewhere = "url.set(query={}, host='127.0.0.1')";
    for (env, target, url, refused) in [
        (SYNC, "a1", "url", None),
        (SYNC, "b2", elsewhere, Some("does not match host name")),
        (ASYNC, "b2", elsewhere, Some("certificate is not valid for '127.0.0.1'")),
        // What SQLAlchemy hands to asyncpg as it stands.
        (ASYNC, "b2", "url", Some("unexpected keyword argument 'sslmode'")),
        (ASYNC, "b2", "url.set(query={})", None),
    ] {
        let outcome = start(env, url).env("MIGRATION_TARGET", target).run();
        match refused {
            Some(words) => outcome.assert_status(19).assert_said(words),
            None => outcome.assert_status(0).assert_never_said("WARN"),
        };
    }
    // The one form that serves asyncpg, and us.
    let authority = secured.files.path().canonicalize().unwrap().join("ours.crt");
    environment(secured.on("localhost", "ssl=verify-full"))
        .file("app/env.py", ASYNC.replace("<URL>", "url"))
        .env("AUTO_MIGRATION", "true")
        .env("PGSSLROOTCERT", authority)
        .run()
        .assert_status(0);
    assert_eq!(secured.database.history(), ["upgrade a1", "upgrade b2", "upgrade c3"]);
}
