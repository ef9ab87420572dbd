//! Waiting: what comes true late is waited for, what stays wrong is told from it, and both in words
//! that name the cause.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    cluster::Cluster,
    database::{Database as _, eventually},
    outcome::Outcome,
    postgres::{Postgres, Server},
    prelaunch::Prelaunch,
    proxy::{Fate, Proxy},
    running::Running,
};

/// What is said of each try that failed.
const NOT_YET: &str = "no answer yet";

/// Something to become, and nothing to migrate.
fn starting() -> Prelaunch {
    Prelaunch::new().server(&["echo", "the server runs"])
}

#[track_caller]
fn starts(runner: Running) {
    runner.wait().assert_status(0).assert_stdout("the server runs");
}

/// How long it took, and how it ended.
fn timed(start: &Prelaunch) -> (Duration, Outcome) {
    let began = Instant::now();
    let outcome = start.run();
    (began.elapsed(), outcome)
}

/// The grace, and a little more for what lies around it.
#[track_caller]
fn within_the_grace(took: Duration) {
    assert!((9..14).contains(&took.as_secs()), "it took {took:?}");
}

#[test]
fn a_server_that_starts_later_is_waited_for() {
    let cluster = Cluster::start();
    let database = cluster.create();
    cluster.stop();
    let runner = starting().database("DATABASE_URL", &database).spawn();
    runner.wait_for(NOT_YET);
    cluster.start_again();
    runner.wait().assert_status(0).assert_stdout("the server runs").assert_said(
        "INFO wait: no answer yet what=postgres://ROLE@127.0.0.1:PORT/DB \
         why=\"cannot connect to 127.0.0.1:PORT: Connection refused (os error 111)\" try=1 next=… left=…",
    );
}

/// All three at once, since each takes its time. PostgreSQL does not tell a role that does not
/// exist from a wrong password.
#[test]
fn refusals_are_believed_after_the_grace() {
    let database = Postgres::create();
    let server = database.server();
    let cases = [
        (
            database.url_with_password("wrong"),
            "postgres://ROLE@127.0.0.1:PORT/DB refuses: \
             password authentication failed for user \"ROLE\" (SQLSTATE 28P01)",
        ),
        (
            database.url_of("nowhere"),
            "postgres://ROLE@127.0.0.1:PORT/nowhere refuses: \
             database \"nowhere\" does not exist (SQLSTATE 3D000)",
        ),
        (
            server.url("nobody", "wrong", database.name()),
            "postgres://nobody@127.0.0.1:PORT/DB refuses: \
             password authentication failed for user \"nobody\" (SQLSTATE 28P01)",
        ),
    ];
    let began = Instant::now();
    let start = starting().knows(&database).secret("wrong");
    let running = cases.map(|(url, words)| (start.clone().env("DATABASE_URL", url).spawn(), words));
    for (runner, words) in running {
        let outcome = runner.wait();
        within_the_grace(began.elapsed());
        outcome
            .assert_status(12)
            .assert_stdout("")
            .assert_last_words(&format!("prelaunch: exit 12 in wait: {words}"));
        assert!(outcome.count(NOT_YET) > 5, "{}", outcome.transcript());
    }
}

#[test]
fn a_role_a_database_and_a_schema_may_come_true_late() {
    let server = Server::shared();
    let name = format!("late{}", std::process::id());
    let administer = |database, sql: &str| server.administer(database, &[sql]).unwrap();
    let url = format!("{}?options=-c%20search_path%3Dlater", server.url(&name, "p", &name));
    let runner = starting().env("DATABASE_URL", url).spawn();
    runner.wait_for("password authentication failed");
    administer("postgres", &format!("create role {name} login password 'p'"));
    runner.wait_for(&format!("database \\\"{name}\\\" does not exist"));
    administer("postgres", &format!("create database {name} owner {name}"));
    runner.wait_for("no schema of the role's search_path exists or may be used");
    administer(&name, &format!("create schema later authorization {name}"));
    starts(runner);
    administer("postgres", &format!("drop database {name}"));
    administer("postgres", &format!("drop role {name}"));
}

#[test]
fn a_password_may_be_set_late() {
    let database = Postgres::create();
    let runner = starting()
        .knows(&database)
        .env("DATABASE_URL", database.url_with_password("another"))
        .spawn();
    runner.wait_for(NOT_YET);
    database.administer(&format!("alter role {} password 'another'", database.role()));
    starts(runner);
}

/// The server that refused may have been one that was only being set up.
#[test]
fn a_server_that_goes_and_comes_back_is_given_the_grace_anew() {
    let cluster = Cluster::start();
    let database = cluster.create();
    let runner = starting().env("DATABASE_URL", database.url_with_password("wrong")).spawn();
    let refused = "password authentication failed";
    eventually("some of the grace has passed", || {
        let said = runner.raw_stderr_so_far();
        said.lines().any(|line| line.contains(refused) && left(line) < 9).then_some(())
    });
    cluster.stop();
    runner.wait_for("Connection refused");
    let before = runner.raw_stderr_so_far().matches(refused).count();
    cluster.start_again();
    let line = runner.wait_for_nth(refused, before + 1);
    assert!(left(&line) >= 9, "{line}");
    runner.signal(Signal::SIGTERM);
    runner.wait().assert_status(143);
}

/// The whole seconds that a line says are left.
fn left(line: &str) -> u32 {
    let (_, left) = line.rsplit_once(" left=").unwrap();
    match left.trim_end().strip_suffix("ms") {
        Some(_) => 0,
        None => left.split(['.', 's']).next().unwrap().parse().unwrap(),
    }
}

/// A standby answers, but nothing can be applied there; it may be promoted any moment.
#[test]
fn a_standby_is_waited_for_until_it_is_promoted() {
    let cluster = Cluster::start();
    let database = cluster.create();
    cluster.stop();
    cluster.file("standby.signal", b"");
    cluster.start_again();
    let runner = Prelaunch::on(&database)
        .env("AUTO_MIGRATION", "true")
        .revision("a000", "", "create table a (b integer);")
        .server(&["echo", "the server runs"])
        .spawn();
    runner.wait_for("why=\"the server is a read-only standby\"");
    database.administer("select pg_promote()");
    starts(runner);
    assert_eq!(database.ledger(), ["a000"]);
}

#[test]
fn a_server_without_a_free_connection_is_waited_for() {
    let database = Postgres::create();
    database.administer(&format!("alter role {} connection limit 2", database.role()));
    let mut others = [database.session(), database.session()];
    for other in &mut others {
        other.execute("select 1");
    }
    let runner = starting().database("DATABASE_URL", &database).spawn();
    let said = runner.wait_for("too many connections for role");
    assert!(said.contains("(SQLSTATE 53300)"), "{said}");
    drop(others);
    starts(runner);
}

#[test]
fn connections_that_break_while_they_are_set_up_are_tried_again() {
    let database = Postgres::create();
    let port = database.server().port;
    let proxy = Proxy::to(port, |said| {
        if said.text == "start" && said.connection <= 2 { Fate::Lost } else { Fate::Pass }
    });
    let url = proxy.url(&database.url(), port);
    let runner = starting().knows(&database).env("DATABASE_URL", url).spawn();
    let outcome = runner.wait();
    outcome.assert_status(0).assert_stdout("the server runs").assert_said("tries=3");
    assert_eq!(outcome.count(NOT_YET), 2);
}

/// A connection that has broken while something else was waited for is no reason to fail.
#[test]
fn a_database_that_was_restarted_meanwhile_is_connected_to_anew() {
    let cluster = Cluster::start();
    let database = cluster.create();
    let port = crate::cluster::free_port();
    let runner = starting()
        .database("DATABASE_URL", &database)
        .env("WAIT_FOR", format!("tcp://127.0.0.1:{port}"))
        // The off switch would start without a look.
        .env("AUTO_MIGRATION", "true")
        .revision("a000", "", "create table a (b integer);")
        .spawn();
    runner.wait_for("answers what=postgres:");
    runner.wait_for("no answer yet what=tcp:");
    cluster.stop();
    cluster.start_again();
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    starts(runner);
    assert_eq!(database.ledger(), ["a000"]);
}

#[test]
fn without_a_timeout_there_is_one_try() {
    let cluster = Cluster::start();
    let database = cluster.create();
    cluster.stop();
    starting()
        .database("DATABASE_URL", &database)
        .env("WAIT_TIMEOUT", "0")
        .run()
        .assert_status(11)
        .assert_stderr(
            "
            prelaunch: exit 11 in wait: postgres://ROLE@127.0.0.1:PORT/DB did not answer when tried once: cannot connect to 127.0.0.1:PORT: Connection refused (os error 111)
            ",
        );
}

#[test]
fn the_timeout_holds_and_says_what_failed_last() {
    let cluster = Cluster::start();
    let database = cluster.create();
    cluster.stop();
    let start = starting().database("DATABASE_URL", &database).env("WAIT_TIMEOUT", "1s");
    let (took, outcome) = timed(&start);
    assert!((1..4).contains(&took.as_secs()), "it took {took:?}");
    outcome.assert_status(11).assert_last_words(
        "prelaunch: exit 11 in wait: postgres://ROLE@127.0.0.1:PORT/DB did not answer within 1s \
         (… tries): cannot connect to 127.0.0.1:PORT: Connection refused (os error 111)",
    );
    let tries = outcome.count(NOT_YET) + 1;
    assert!(outcome.raw_stderr.contains(&format!("({tries} tries)")), "{}", outcome.transcript());
}

/// It accepts, and then says nothing; a try is given up in time.
#[test]
fn a_silent_server_does_not_hold_up_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let start = starting()
        .env("DATABASE_URL", format!("postgres://u:p@127.0.0.1:{port}/d"))
        .stand(port.to_string(), "PORT")
        .env("WAIT_TIMEOUT", "1s");
    let (took, outcome) = timed(&start);
    assert!((1..4).contains(&took.as_secs()), "it took {took:?}");
    outcome.assert_status(11).assert_last_words(
        "prelaunch: exit 11 in wait: postgres://u@127.0.0.1:PORT/d did not answer within 1s \
         (1 try): no answer within 1s",
    );
}

#[test]
fn a_name_that_cannot_be_looked_up_is_waited_for() {
    // No name can be as long, so that nobody is asked for it.
    let host = format!("{}.example", "x".repeat(64));
    let start = starting()
        .env("DATABASE_URL", format!("postgres://u:p@{host}/d"))
        .stand(host.as_str(), "NAME")
        .env("WAIT_TIMEOUT", "500ms");
    let outcome = start.run();
    outcome.assert_status(11).assert_said("why=\"cannot look up `NAME`: ");
    let words = "prelaunch: exit 11 in wait: postgres://u@NAME:5432/d did not answer within 500ms \
                 (… tries): cannot look up `NAME`: ";
    assert!(outcome.last_words().starts_with(words), "{}", outcome.transcript());
}

#[test]
fn all_dependencies_are_waited_for_at_once() {
    let database = Postgres::create();
    let tcp = crate::cluster::free_port();
    // Not ready, then ready: by itself, and by sending elsewhere.
    let (one, other) = (http(&[503, 200]), http(&[500, 302]));
    let runner = starting()
        .database("DATABASE_URL", &database)
        .env(
            "WAIT_FOR",
            format!("tcp://127.0.0.1:{tcp}, http://127.0.0.1:{one}/ready,http://127.0.0.1:{other}"),
        )
        .spawn();
    runner.wait_for(&format!("no answer yet what=tcp://127.0.0.1:{tcp} why=\"cannot connect to"));
    runner.wait_for(&format!(
        "no answer yet what=http://127.0.0.1:{one}/ready why=\"it answers with status 503\""
    ));
    runner.wait_for(&format!("answers what=http://127.0.0.1:{one}/ready tries=2"));
    runner.wait_for(&format!("answers what=http://127.0.0.1:{other}/ tries=2"));
    runner.wait_for("answers what=postgres:");
    let _listener = TcpListener::bind(("127.0.0.1", tcp)).unwrap();
    starts(runner);
}

#[test]
fn dependencies_share_one_deadline() {
    let (one, other) = (crate::cluster::free_port(), crate::cluster::free_port());
    let start = starting()
        .env("WAIT_FOR", format!("tcp://127.0.0.1:{one},http://127.0.0.1:{other}"))
        .env("WAIT_TIMEOUT", "1s");
    let (took, outcome) = timed(&start);
    assert!((1..4).contains(&took.as_secs()), "it took {took:?}");
    outcome.assert_status(11);
    let words = outcome.last_words();
    let tcp = format!("prelaunch: exit 11 in wait: tcp://127.0.0.1:{one} did not answer within 1s");
    let http = format!("prelaunch: exit 11 in wait: http://127.0.0.1:{other}/ did not answer");
    assert!(words.starts_with(&tcp) || words.starts_with(&http), "{}", outcome.transcript());
}

#[test]
fn the_most_talkative_log_has_no_password() {
    let database = Postgres::create();
    Prelaunch::on(&database)
        .env("LOG_LEVEL", "trace")
        .env("LOG_FORMAT", "json")
        .env("AUTO_MIGRATION", "true")
        .migrations_from("demo")
        .run()
        .assert_status(0);
}

/// A server that answers with one status after the other, each on a connection of its own, and
/// stays with the last.
fn http(statuses: &'static [u16]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut statuses = statuses.iter().copied().peekable();
        while let Ok((mut client, _)) = listener.accept() {
            let Some(status) = statuses.next() else { return };
            // One read is enough for a request without a body.
            let _ = client.read(&mut [0; 4096]);
            let answer = format!(
                "HTTP/1.1 {status} Status\r\nLocation: http://127.0.0.1:1/\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = client.write_all(answer.as_bytes());
        }
    });
    port
}
