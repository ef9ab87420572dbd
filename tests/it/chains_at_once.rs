//! Several chains in one run: refusals before changes, locks in one order, and no server on a chain
//! that is not at its target, whatever happens to one while another is at work.

use std::time::Instant;

use crate::{
    alembic::ENV,
    database::{Database, Engine, eventually, on_both},
    gate::Gate,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
    sqlite::Sqlite,
};

fn another(like: &dyn Database) -> Box<dyn Database> {
    match like.engine() {
        Engine::Sqlite => Box::new(Sqlite::create()),
        Engine::Postgres => Box::new(Postgres::create()),
    }
}

/// Two chains of scripts, `one` and `two`; `first` is what the file lists first.
fn two(one: &dyn Database, other: &dyn Database, first: &str) -> Prelaunch {
    let chain = |name: &str| {
        format!("[[chain]]\nname = '{name}'\ndatabase_url = '${{URL_{name}}}'\ndir = '{name}'\n")
    };
    let second = if first == "one" { "two" } else { "one" };
    let script = |id: &str, up: &str| format!("-- revision: {id}\n-- migrate:up\n{up}\n");
    Prelaunch::new()
        .knows(one)
        .knows(other)
        .env("URL_one", one.url())
        .env("URL_two", other.url())
        .env("PRELAUNCH_CONFIG", "prelaunch.toml")
        .env("AUTO_MIGRATION", "true")
        .file("prelaunch.toml", chain(first) + &chain(second))
        .file("one/a1.sql", script("a1", "create table t_a1 (n integer);"))
        .file("two/x1.sql", script("x1", "create table t_x1 (n integer);"))
        .server(&["echo", "the server runs"])
}

on_both! {
    /// Half of them list the chains the other way round.
    fn many_at_once_migrate_each_chain_once(one: &dyn Database) {
        let other = another(one);
        let hook = "\n[[hook]]\nname = 'seed'\ncommand = [\"sh\", \"-c\", \"echo seeded >> HERE/seeded\"]\n";
        let starts = [two(one, &*other, "one"), two(one, &*other, "two")].map(|start| {
            let here = start.directory().display().to_string();
            let text = start.read("prelaunch.toml") + &hook.replace("HERE", &here);
            start.file("prelaunch.toml", text)
        });
        let running: Vec<Running> = (0..8).map(|at| starts[at % 2].spawn()).collect();
        for outcome in running.into_iter().map(Running::wait) {
            outcome.assert_status(0).assert_stdout("the server runs");
        }
        assert_eq!((one.upgrades(), other.upgrades()), (vec!["a1".into()], vec!["x1".into()]));
        for start in &starts {
            // The history that knows of it is that of the first chain.
            assert_eq!(start.read("seeded"), "seeded\n");
        }
    }

    fn what_is_wrong_with_the_last_leaves_the_first_as_it_is(one: &dyn Database) {
        let other = another(one);
        let start = two(one, &*other, "one");
        start.run().assert_status(0);
        other.query("insert into prelaunch_ledger select 'y2', 'x1', depends_on, tag, title, checksum, \
                     up, down, origin, applied_at, duration_ms, applied_by, tool from prelaunch_ledger");
        let start = start.file("one/b2.sql", "-- revision: b2\n-- revises: a1\n-- migrate:up\n");
        start.run().assert_status(16).assert_never_said("has the lock").assert_stdout("");
        assert_eq!(one.upgrades(), ["a1"]);
        start.env("DATABASE_AHEAD", "allow").run().assert_status(0).assert_stdout("the server runs");
        assert_eq!(one.upgrades(), ["a1", "b2"]);
    }

    /// One chain is done after the other, and neither is enough.
    fn whoever_waits_starts_once_all_are_migrated(one: &dyn Database) {
        let other = another(one);
        let start = two(one, &*other, "one");
        let waiting = start.clone().env("AUTO_MIGRATION", "wait").spawn();
        waiting.wait_for("waits for another runner to migrate");
        let alone = start.clone().env_remove("PRELAUNCH_CONFIG").env("AUTO_MIGRATION", "true");
        let alone = |name: &str, database: &dyn Database| {
            let of_it = alone.clone().database("DATABASE_URL", database).env("MIGRATIONS_DIR", name);
            of_it.run().assert_status(0);
        };
        alone("one", one);
        waiting.wait_for("another runner has migrated the database chain=one");
        waiting.wait_for_nth("waits for another runner to migrate", 2);
        alone("two", &*other);
        waiting.wait().assert_status(0).assert_stdout("the server runs");
    }
}

/// Who has one lock and queues for the other gives it back at the end of `LOCK_TIMEOUT`.
#[test]
fn all_locks_have_one_deadline_and_are_given_back() {
    let (one, other) = (Postgres::create(), Postgres::create());
    let up = format!(
        "-- revision: x1\n-- migrate:up\n{}\ncreate table t_x1 (n integer);\n",
        Gate::STATEMENT
    );
    let start = two(&one, &other, "one").file("two/x1.sql", up);
    let gate = Gate::shut(&other);
    let alone = start.clone().env_remove("PRELAUNCH_CONFIG").database("DATABASE_URL", &other);
    let alone = alone.env("MIGRATIONS_DIR", "two").spawn();
    gate.stops(&other, &alone);
    let late = start.clone().env("LOCK_TIMEOUT", "1s").run();
    late.assert_status(13).assert_stdout("");
    eventually("no lock is left behind", || {
        let held = "select count(*) from pg_stat_activity where datname = current_database() and \
                    application_name like '%keeper%'";
        (one.administer(held) == "0").then_some(())
    });
    assert_eq!(one.upgrades(), [""; 0]);
    // Another who queues goes on as soon as there is nothing left to do in the second.
    let queued = start.spawn();
    queued.wait_for("waits for the lock");
    gate.open();
    alone.wait().assert_status(0);
    queued.wait().assert_status(0).assert_stdout("the server runs");
    assert_eq!((one.upgrades(), other.upgrades()), (vec!["a1".into()], vec!["x1".into()]));
}

/// What a queue has used up of `LOCK_TIMEOUT` is not missing from the patience of the work.
#[test]
fn whoever_came_late_to_the_last_lock_is_as_patient_as_others() {
    let (one, other) = (Postgres::create(), Sqlite::create());
    let up = format!("-- revision: a1\n-- migrate:up\n{}\n", Gate::STATEMENT);
    let start = two(&one, &other, "one").file("one/a1.sql", up);
    let gate = Gate::shut(&one);
    let alone = start.clone().env_remove("PRELAUNCH_CONFIG").database("DATABASE_URL", &one);
    let alone = alone.env("MIGRATIONS_DIR", "one").spawn();
    gate.stops(&one, &alone);
    let late = start.env("LOCK_TIMEOUT", "4s").spawn();
    late.wait_for("waits for the lock");
    let began = Instant::now();
    let passed = |seconds| {
        eventually("time has passed", || (began.elapsed().as_secs() >= seconds).then_some(()));
    };
    passed(3);
    let busy = Gate::shut(&other);
    gate.open();
    alone.wait().assert_status(0);
    busy.stops(&other, &late);
    passed(5);
    busy.open();
    late.wait().assert_status(0).assert_stdout("the server runs");
    assert_eq!(other.upgrades(), ["x1"]);
}

/// A command for all chains that takes one back while it migrates the other.
#[test]
fn a_chain_that_went_back_while_another_was_migrated_ends_the_run() {
    let (one, other) = (Sqlite::create(), Sqlite::create());
    for (database, at) in [(&one, "b2"), (&other, "a1")] {
        database.query("create table alembic_version (version_num varchar(32) primary key)");
        database.query(&format!("insert into alembic_version values ('{at}')"));
    }
    let mut start = two(&one, &other, "one");
    for name in ["one", "two"] {
        std::fs::remove_dir_all(start.directory().join(name)).unwrap();
        start = start
            .file(&format!("{name}/alembic.ini"), "[alembic]\nscript_location = %(here)s\n")
            .file(&format!("{name}/env.py"), ENV)
            .file(&format!("{name}/versions/a1.py"), "revision = 'a1'\ndown_revision = None\n")
            .file(&format!("{name}/versions/b2.py"), "revision = 'b2'\ndown_revision = 'a1'\n");
    }
    let move_to = |database: &Sqlite, id: &str| {
        format!(
            "sqlite3 {} \"update alembic_version set version_num = '{id}'\"",
            database.path().display()
        )
    };
    let command = format!("{}; {}", move_to(&other, "b2"), move_to(&one, "a1"));
    let outcome = start.env("MIGRATE_COMMAND", format!("sh -c {command:?}")).run();
    outcome.assert_status(14).assert_stdout("").assert_last_words(
        "prelaunch: exit 14 in apply: chain `one`: the command succeeded, but the target `head` is not \
         reached: 1 revision is still pending, and table `alembic_version` says `a1`; does the \
         command use another database, or another version table (VERSION_TABLE)?",
    );
}
