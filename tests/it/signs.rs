//! Signs of life: what a probe, a file, systemd and Prometheus are told while it works, and that all
//! of it is gone when the server starts.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
};

use serde_json::{Value, json};

use crate::{
    database::{eventually, on_both},
    gate::Gate,
    prelaunch::Prelaunch,
    running::Running,
    sqlite::Sqlite,
};

on_both! {
    fn a_probe_is_told_which_revision_is_at_work_and_whom_another_waits_for(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .env("AUTO_MIGRATION", "true")
            .env("STATUS_ADDR", "127.0.0.1:0")
            .revision("c01", "", "create table c01 (n integer);");
        start.run().assert_status(0);
        let start = start
            .revision("c02", "c01", Gate::statement(database))
            .revision("c03", "c02", "create table c03 (n integer);");
        let gate = Gate::shut(database);
        let first = start.spawn();
        gate.stops(database, &first);
        let at = address(&first);
        let status = eventually_status(&first, |status| status["revision"]["id"] == "c02");
        assert_eq!(status["stage"], "apply");
        assert_eq!(status["revision"], json!({"id": "c02", "number": 1, "total": 2}));
        assert_eq!((&status["waiting_for"], &status["code"]), (&Value::Null, &Value::Null));
        assert_eq!(ask(&at, "/livez"), (200, "alive\n".to_owned()));
        let (code, words) = ask(&at, "/readyz");
        assert_eq!(code, 503);
        assert_eq!(words, "apply: revision c02, 1 of 2\n");
        assert_eq!(ask(&at, "/").0, 404);
        let head = whole(&at, "HEAD /livez HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");

        let second = start.spawn();
        second.wait_for("waits for the lock");
        let status = eventually_status(&second, |status| status["event"] == "waiting");
        assert_eq!(status["stage"], "lock");
        assert!(status["waiting_for"].is_string(), "{status}");
        gate.open();
        first.wait().assert_status(0);
        second.wait().assert_status(0);
        // Nobody listens any more.
        assert!(TcpStream::connect(&at).is_err());
    }
}

#[test]
fn a_sign_that_fails_is_said_once_and_is_no_news_itself() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("LOG_LEVEL", "debug")
        .env("STATUS_ADDR", "127.0.0.1:0")
        .env("STATUS_FILE", "nowhere/status.json")
        .env("NOTIFY_SOCKET", "/nobody/listens")
        .revision("c01", "", "create table c01 (n integer);");
    start.run().assert_status(0);
    let start = start.revision("c02", "c01", "create table c02 (n integer);");
    let gate = Gate::shut(&database);
    let first = start.spawn();
    gate.stops(&database, &first);
    let second = start.spawn();
    let waits = second.wait_for("waits for the lock");
    eventually("systemd was to be told", || {
        let said = second.raw_stderr_so_far();
        said.split_once(&waits).unwrap().1.contains("cannot tell systemd").then_some(())
    });
    let status: Value = serde_json::from_str(&ask(&address(&second), "/status").1).unwrap();
    assert_eq!(status["event"], "waiting");
    assert!(status["waiting_for"].is_string(), "{status}");
    gate.open();
    first.wait().assert_status(0);
    let outcome = second.wait();
    outcome.assert_status(0);
    // While it works, and at the end.
    assert_eq!(outcome.count("cannot write the file"), 2, "{}", outcome.transcript());
}

#[test]
fn those_who_ask_nothing_do_not_take_all_descriptors() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .env("STATUS_ADDR", "127.0.0.1:0")
        .revision("c01", "", "create table c01 (n integer);");
    start.run().assert_status(0);
    let start = start.revision("c02", "c01", "create table c02 (n integer);");
    let gate = Gate::shut(&database);
    let running = start.spawn();
    gate.stops(&database, &running);
    let at = address(&running);
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&at).unwrap()).collect();
    // The last one is hung up on at once, while the first one is still listened to.
    let (mut first, mut last) = (&idle[0], &idle[199]);
    assert_eq!(last.read(&mut [0; 1]).unwrap_or_default(), 0);
    first.set_nonblocking(true).unwrap();
    assert_eq!(first.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(idle);
    eventually("an answer", || {
        let mut stream = TcpStream::connect(&at).ok()?;
        stream.write_all(b"GET /livez HTTP/1.1\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("alive").then_some(())
    });
    gate.open();
    running.wait().assert_status(0);
}

#[test]
fn the_server_can_have_the_port() {
    let database = Sqlite::create();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bind = "use IO::Socket::INET; IO::Socket::INET->new(Listen => 1, ReuseAddr => 1, \
                LocalPort => $ARGV[0]) or die $!; print \"has it\\n\"";
    let start = Prelaunch::on(&database)
        .migrations_from("demo")
        .env("AUTO_MIGRATION", "true")
        .env("STATUS_ADDR", format!(":{port}"))
        .server(&["perl", "-e", bind, &port.to_string()]);
    start.run().assert_status(0).assert_stdout("has it");
    start.env("SUPERVISE", "true").run().assert_status(0).assert_stdout("has it");
}

#[test]
fn what_cannot_be_bound_or_written_is_a_warning() {
    let database = Sqlite::create();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let outcome = Prelaunch::on(&database)
        .migrations_from("demo")
        .env("AUTO_MIGRATION", "true")
        .env("STATUS_ADDR", taken.local_addr().unwrap().to_string())
        .env("METRICS_FILE", "nowhere/figures.prom")
        .server(&["echo", "the server runs"])
        .run();
    outcome.assert_status(0).assert_stdout("the server runs");
    outcome.assert_said("WARN configure: cannot listen; goes on without what=STATUS_ADDR why=\"Address already in use (os error 98)\"");
    outcome.assert_said("WARN configure: cannot write the file; goes on without what=METRICS_FILE why=\"No such file or directory (os error 2)\"");
    Prelaunch::on(&database).env("STATUS_ADDR", "localhost").run().assert_status(10).assert_last_words(
        "prelaunch: exit 10 in configure: `STATUS_ADDR`: `localhost` is not understood; accepted: `:8080`, `127.0.0.1:8080` or `[::]:8080`",
    );
}

#[test]
fn a_file_says_how_it_ended() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database)
        .migrations_from("demo")
        .env("AUTO_MIGRATION", "true")
        .env("STATUS_FILE", "status.json")
        .server(&["cat", "status.json"]);
    let status = |start: &Prelaunch| -> Value {
        let mut status: Value = serde_json::from_str(&start.read("status.json")).unwrap();
        assert!(status["since"].take().as_str().unwrap().ends_with('Z'));
        status
    };
    let started = start.run();
    started.assert_status(0);
    assert!(started.raw_stdout.contains("\"code\":0"), "{}", started.raw_stdout);
    assert_eq!(
        status(&start),
        json!({
            "stage": "apply", "since": null, "event": "applied", "waiting_for": null, "code": 0,
            "revision": {"id": "1e629a913727", "number": 12, "total": 12},
        }),
    );
    let failed = start.revision("d01", "1e629a913727", "select nothing;");
    failed.run().assert_status(14);
    let status = status(&failed);
    assert_eq!((&status["code"], &status["revision"]["id"]), (&json!(14), &json!("d01")));
}

#[test]
fn the_figures_of_a_run_are_written_for_prometheus() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database)
        .migrations_from("demo")
        .env("AUTO_MIGRATION", "true")
        .env("AFTER_MIGRATE", "true")
        .env("METRICS_FILE", "prelaunch.prom");
    start.run().assert_status(0);
    let figures = start.read("prelaunch.prom");
    let masked: Vec<String> = figures
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, value) if name.contains("seconds") => {
                assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
                name.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    let expected = [
        &format!("prelaunch_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        "prelaunch_exit_code 0",
        "prelaunch_end_timestamp_seconds",
        "prelaunch_stage_duration_seconds{stage=\"configure\"}",
        "prelaunch_stage_duration_seconds{stage=\"wait\"}",
        "prelaunch_stage_duration_seconds{stage=\"look\"}",
        "prelaunch_stage_duration_seconds{stage=\"lock\"}",
        "prelaunch_stage_duration_seconds{stage=\"apply\"}",
        "prelaunch_revisions_applied 12",
        "prelaunch_revisions_reverted 0",
        "prelaunch_commands_run 1",
        "prelaunch_dependency_retries 0",
        "prelaunch_lock_waits 0",
        "prelaunch_revision_retries 0",
    ];
    assert_eq!(masked, expected);
    for line in figures.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(line.ends_with(" gauge"), "{line}");
    }
    let nothing = start.env("LOG_LEVEL", "error");
    nothing.run().assert_status(0).assert_stderr("");
    assert!(nothing.read("prelaunch.prom").contains("prelaunch_revisions_applied 0\n"));
    let left = fs::read_dir(nothing.directory()).unwrap().count();
    assert_eq!(left, 2, "the migrations and the figures, and no file beside them");
}

#[test]
fn systemd_is_told_that_it_works_and_that_it_is_ready_without_a_server() {
    let database = Sqlite::create();
    let start = Prelaunch::on(&database).migrations_from("demo").env("AUTO_MIGRATION", "true");
    let path = start.directory().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let told = || {
        let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count) = socket.recv(&mut buffer) {
            told.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        told
    };
    let start = start.env("NOTIFY_SOCKET", &path);
    start.run().assert_status(0);
    let without = told();
    assert!(without[0].starts_with("STATUS="), "{without:?}");
    assert!(without[0].ends_with("\nEXTEND_TIMEOUT_USEC=15000000\n"), "{without:?}");
    assert_eq!(without.last().unwrap(), "READY=1\nSTATUS=the schema is ready\n");
    // It speaks for itself, and finds whom to tell.
    let server = start.server(&["sh", "-c", "echo $NOTIFY_SOCKET"]);
    server.run().assert_status(0).assert_stdout("DIR/notify");
    assert!(!told().concat().contains("READY"));
    let failed = server.server(&[""; 0]).revision("d01", "1e629a913727", "select nothing;");
    failed.run().assert_status(14);
    assert!(!told().concat().contains("READY"));
}

/// Where it listens, as it says itself.
fn address(running: &Running) -> String {
    let line = running.wait_for("answers at `/livez`");
    line.rsplit_once("address=").unwrap().1.to_owned()
}

/// What `/status` says once this is so.
#[track_caller]
fn eventually_status(running: &Running, is_so: impl Fn(&Value) -> bool) -> Value {
    let at = address(running);
    eventually("a status", || {
        let (code, text) = ask(&at, "/status");
        assert_eq!(code, 200);
        let status: Value = serde_json::from_str(&text).unwrap();
        is_so(&status).then_some(status)
    })
}

/// All that is answered.
#[track_caller]
fn whole(at: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The code and the text of an answer.
#[track_caller]
fn ask(at: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nuser-agent: a probe\r\n\r\n");
    let answer = whole(at, &request);
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, text.to_owned())
}
