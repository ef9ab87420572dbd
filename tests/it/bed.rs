//! That the test bed itself does what all other tests take for granted.

use nix::sys::signal::Signal;

use crate::{
    cluster::Cluster,
    database::{Database, eventually, on_both},
    postgres::Postgres,
    prelaunch::Prelaunch,
    words::unindent,
};

on_both! {
    /// The whole way once, with its words in full.
    fn twelve_revisions_then_the_server(database: &dyn Database) {
        Prelaunch::on(database)
            .migrations_from("demo")
            .env("AUTO_MIGRATION", "true")
            .server(&["sh", "-c", "echo the server runs"])
            .run()
            .assert_status(0)
            .assert_stdout("the server runs");
        assert_eq!(database.upgrades().len(), 12);
        assert_eq!(database.ledger().len(), 12);
        assert!(database.tables().contains(&"users".to_owned()));
    }

    fn a_session_holds_what_it_has_begun(database: &dyn Database) {
        database.query("create table a (b integer)");
        let mut session = database.session();
        session.execute("begin");
        session.execute("insert into a values (1)");
        assert_eq!(session.execute("select b from a"), "1");
        assert_eq!(database.query("select count(*) from a"), "0");
        drop(session);
        assert_eq!(database.query("select count(*) from a"), "0");
    }
}

#[test]
fn a_process_is_heard_signalled_and_waited_for() {
    let running = Prelaunch::new().server(&["sh", "-c", "echo ready >&2; exec sleep 60"]).spawn();
    running.wait_for("becomes the server");
    running.wait_for("ready");
    running.signal(Signal::SIGTERM);
    running.wait().assert_killed_by(Signal::SIGTERM).assert_stderr(
        "
        INFO exec: becomes the server server=sh
        ready
        ",
    );
}

#[test]
fn pgbouncer_lets_the_owner_in() {
    let database = Postgres::create();
    Prelaunch::new()
        .knows(&database)
        .env("DATABASE_URL", database.pgbouncer_url())
        .migrations_from("demo")
        .env("AUTO_MIGRATION", "true")
        .run()
        .assert_status(0)
        .assert_said("answers what=postgres://ROLE@127.0.0.1:BOUNCER/DB");
    assert_eq!(database.upgrades().len(), 12);
}

#[test]
fn a_cluster_starts_stops_crashes_and_keeps_its_data() {
    let cluster = Cluster::start();
    let database = cluster.create();
    database.query("create table a (b integer)");
    cluster.kill();
    cluster.start_again();
    assert_eq!(database.tables(), ["a"]);
    cluster.stop();
    assert!(database.try_query("select 1").is_err());
    cluster.start_again();
    assert_eq!(database.tables(), ["a"]);
}

#[test]
fn indentation_is_taken_off_and_structure_kept() {
    assert_eq!(unindent("one line"), "one line");
    assert_eq!(
        unindent(
            "
            a
              b

            c
            "
        ),
        "a\n  b\n\nc\n"
    );
}

#[test]
fn an_answer_is_waited_for() {
    let mut asked = 0;
    let third = eventually("the third question", || {
        asked += 1;
        (asked == 3).then_some(asked)
    });
    assert_eq!(third, 3);
}
