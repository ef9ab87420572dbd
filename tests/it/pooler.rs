//! Behind PgBouncer in transaction mode, where every transaction may have another server connection
//! and a failed login looks like a server that is down.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::{
    bouncer::Bouncer,
    database::{Database as _, eventually},
    gate::Gate,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
};

/// A start through a pooler that migrates the demonstration schema.
fn through(database: &Postgres, url: String) -> Prelaunch {
    Prelaunch::new()
        .knows(database)
        .env("DATABASE_URL", url)
        .env("AUTO_MIGRATION", "true")
        .migrations_from("demo")
        .server(&["echo", "the server runs"])
}

#[test]
fn twelve_revisions_and_then_nothing_more() {
    let database = Postgres::create();
    let start = through(&database, database.pgbouncer_url());
    start.run().assert_status(0).assert_stdout("the server runs");
    assert_eq!(database.upgrades().len(), 12);
    start.run().assert_status(0).assert_stdout("the server runs").assert_stderr(
        "
        INFO wait: answers what=postgres://ROLE@127.0.0.1:BOUNCER/DB tries=1 took=…
        INFO look: has looked heads=1e629a913727 pending=0 hook=false reindex=0
        INFO exec: becomes the server server=echo
        ",
    );
    assert_eq!(database.upgrades().len(), 12);
}

/// In session mode a client keeps its server connection until it leaves.
#[test]
fn the_lock_excludes_in_session_mode() {
    let database = Postgres::create();
    let bouncer = Bouncer::start("pool_mode = session");
    let start = through(&database, bouncer.url(&database))
        .script("concurrently.sql", CONCURRENTLY)
        .env("DDL_LOCK_TIMEOUT", "60s")
        .revision("c000", "b000", Gate::STATEMENT);
    let gate = Gate::shut(&database);
    let running: Vec<_> = (0..8).map(|_| start.spawn()).collect();
    eventually("all but one wait", || {
        let waits = |one: &&Running| one.raw_stderr_so_far().contains("waits for the lock");
        (running.iter().filter(waits).count() == 7).then_some(())
    });
    let short = start.clone().env("LOCK_TIMEOUT", "1s").run();
    short.assert_status(13).assert_said("held by `prelaunch:b93be602:keeper:RUN:HOST`, pid PID");
    gate.open();
    let outcomes: Vec<_> = running.into_iter().map(Running::wait).collect();
    for outcome in &outcomes {
        outcome.assert_status(0).assert_stdout("the server runs");
    }
    assert_eq!(database.upgrades().len(), 14);
}

/// What one client sets must not reach the next one on the same server connection.
#[test]
fn nothing_is_left_behind_on_the_servers_connections() {
    let database = Postgres::create();
    let bouncer = Bouncer::start("default_pool_size = 2");
    let start = through(&database, bouncer.url(&database))
        .script("concurrently.sql", CONCURRENTLY)
        .env("DDL_LOCK_TIMEOUT", "7s");
    start.run().assert_status(0);
    // What PgBouncer keeps track of for each client is its own affair.
    let left = "select name from pg_settings where source = 'session' and name not in \
                ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', \
                 'standard_conforming_strings')";
    // Both connections of the pool at once, in case they differ.
    let (mut one, mut other) = (bouncer.session(&database), bouncer.session(&database));
    one.execute("begin");
    other.execute("begin");
    assert_eq!(one.execute(left), "");
    assert_eq!(other.execute(left), "");
}

const CONCURRENTLY: &str = "
    -- revision: b000
    -- revises: 1e629a913727
    -- transaction: false
    -- migrate:up
    create index concurrently users_by_role on users (role);
";

/// A pooler does not tell a wrong password from a server that is not there yet.
#[test]
fn a_wrong_password_is_waited_for() {
    let database = Postgres::create();
    let url = database.pgbouncer_url().replace(":secret-", ":wrong-");
    through(&database, url)
        .env("WAIT_TIMEOUT", "1s")
        .run()
        .assert_status(11)
        .assert_stdout("")
        .assert_last_words(
            "prelaunch: exit 11 in wait: postgres://ROLE@127.0.0.1:BOUNCER/DB did not answer \
             within 1s (… tries): SASL authentication failed (SQLSTATE 08P01)",
        );
}

#[test]
fn a_pool_of_one_is_too_small_and_it_is_said_so() {
    let database = Postgres::create();
    let bouncer = Bouncer::start("default_pool_size = 1\nquery_wait_timeout = 2");
    through(&database, bouncer.url(&database))
        .stand(bouncer.address(), "127.0.0.1:BOUNCER")
        .run()
        .assert_status(11)
        .assert_stdout("")
        .assert_last_words(
            "prelaunch: exit 11 in lock: cannot take the lock: the pooler has no second server \
             connection for the worker beside the keeper of the lock; raise its pool size, or give \
             MIGRATION_DATABASE_URL the direct address: query_wait_timeout (SQLSTATE 08P01)",
        );
    assert_eq!(database.ledger(), [""; 0]);
}

/// A pod that is stopped while its worker stands in the pooler's queue does not wait for that.
#[test]
fn a_signal_ends_the_wait_for_a_second_connection() {
    let database = Postgres::create();
    let bouncer = Bouncer::start("default_pool_size = 1\nquery_wait_timeout = 100");
    let runner = through(&database, bouncer.url(&database)).spawn();
    runner.wait_for("has the lock");
    runner.signal(Signal::SIGTERM);
    let began = Instant::now();
    let outcome = runner.wait();
    assert!(began.elapsed().as_secs() < 3, "it took {:?}", began.elapsed());
    outcome.assert_status(143);
}

/// `application_name_add_host` has each session called otherwise than it asked for.
#[test]
fn a_pooler_that_adds_to_names_does_not_make_us_strangers_to_ourselves() {
    let database = Postgres::create();
    let bouncer = Bouncer::start("default_pool_size = 5\napplication_name_add_host = 1");
    let start = through(&database, bouncer.url(&database));
    start.run().assert_status(0).assert_never_said("a runner that is gone");
    assert_eq!(database.upgrades().len(), 12);

    // And what is to be cancelled is found.
    let start = start.revision("b000", "1e629a913727", "select pg_sleep(600);");
    let runner = start.spawn();
    let sleeps = "select 1 from pg_stat_activity where state = 'active' \
                  and query like 'select pg_sleep(%' and datname = current_database()";
    eventually("it sleeps", || (database.query(sleeps) == "1").then_some(()));
    runner.signal(Signal::SIGTERM);
    runner.wait().assert_status(143);
    assert_eq!(database.query(sleeps), "");
}
