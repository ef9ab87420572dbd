//! TLS: what each `sslmode` takes and refuses, against a server with a certificate that a test made.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::{cluster::Cluster, database::Database as _, postgres::Postgres, prelaunch::Prelaunch};

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
