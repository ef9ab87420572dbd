//! Ways back that something comes between: another who is past the lock, a COMMIT without an answer,
//! a ledger that has moved since the question, a SIGKILL.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use crate::{
    database::{Database, Engine, eventually, on_both},
    gate::Gate,
    migrate::migrate,
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    proxy::{Fate, Proxy},
    shape::shape,
};

/// Everything that down sections here do, in the order in which it was done.
const EFFECTS: &str = "select what from effects";

const BACK: [&str; 4] = ["--revision", "a000", "--allow-downgrade", "--yes"];

on_both! {
    /// What would need the revision that goes: the fence alone would let it pass.
    fn nothing_is_reverted_below_what_came_since_the_plan(database: &dyn Database) {
        for header in ["", "-- transaction: false"] {
            let start = applied(database, header);
            let outcome = beside(database, &back(&start), "insert into prelaunch_ledger (revision, parents, title, origin, applied_by, tool) \
                 values ('d000', 'c000', 'd', 'upgrade', 'another', 'another')");
            outcome.assert_status(16).assert_last_words(
                "prelaunch: exit 16 in plan: somebody else changed the ledger meanwhile; look again, and repeat the command",
            );
            assert_eq!(database.query(EFFECTS), "", "{header}");
            assert_eq!(database.ledger(), ["a000", "b000", "c000", "d000"], "{header}");
            let origins = "select distinct origin from prelaunch_ledger";
            assert_eq!(database.query(origins), "upgrade", "{header}");
        }
    }

    fn what_another_has_reverted_is_not_reverted_again(database: &dyn Database) {
        for header in ["", "-- transaction: false"] {
            let start = applied(database, header);
            let gone = "delete from prelaunch_ledger where revision = 'c000'";
            beside(database, &back(&start), gone).assert_status(16);
            assert_eq!(database.query(EFFECTS), "", "{header}");
            assert_eq!(database.history().last().map(String::as_str), Some("upgrade c000"));
        }
    }

    fn the_other_branch_is_the_head_that_is_left(database: &dyn Database) {
        let start = applied(database, "").script("d000.sql", "
            -- d
            -- revision: d000
            -- revises: b000
            -- migrate:up
            select 1;
            -- migrate:down
            select 1;
        ");
        migrate(&start, &["--revision", "heads"]).assert_status(0);
        let back = ["--revision", "d000@-1", "--allow-downgrade", "--yes"];
        migrate(&start, &back).assert_status(0);
        let heads = "select heads from prelaunch_history order by seq desc limit 1";
        assert_eq!(database.query(heads), "c000");
        start.args(&["database", "current"]).run().assert_stdout("c000 (head)");
    }

    fn nothing_else_goes_while_a_revision_is_half_gone(database: &dyn Database) {
        let start = Prelaunch::on(database)
            .revision("y01", "", "select 1;")
            .script("a01.sql", "
                -- a01
                -- revision: a01
                -- transaction: false
                -- migrate:up
                create table a01 (n integer);
                -- migrate:down
                drop table a01;
                drop table a02;
            ");
        migrate(&start, &["--revision", "heads"]).assert_status(0);
        let back = |target: &str| {
            migrate(&start, &["--revision", target, "--allow-downgrade", "--yes"])
        };
        back("a01@base").assert_status(15);
        for target in ["y01@base", "y01-1"] {
            back(target).assert_status(16).assert_said("revision `a01` is half reverted");
        }
        database.query("create table a02 (n integer)");
        back("a01@base").assert_status(0);
        assert_eq!(database.ledger(), ["y01"]);
    }

    /// Also where it takes away nothing that the other needs: it would say what nobody has looked at.
    fn a_stamp_is_for_the_ledger_that_it_saw(database: &dyn Database) {
        for target in ["a000", "e000"] {
            let start = applied(database, "").revision("e000", "c000", "select 1;");
            let stamp = start.args(&["database", "stamp", target]);
            beside(database, &stamp, "insert into prelaunch_ledger (revision, parents, title, origin, applied_by, tool) \
                 values ('d000', 'c000', 'd', 'upgrade', 'another', 'another')")
            .assert_status(16);
            assert_eq!(database.ledger(), ["a000", "b000", "c000", "d000"], "{target}");
        }
    }

    /// A count is one from where the database was when it was asked.
    fn a_stamp_that_is_counted_goes_where_it_was_seen_to_go(database: &dyn Database) {
        let start = applied(database, "");
        let gate = Gate::shut(database);
        let slow = start.clone()
            .script("d000.sql", &format!("-- d\n-- revision: d000\n-- revises: c000\n-- migrate:up\n{}select 1;", Gate::statement(database)));
        let first = slow.clone().args(&["database", "migrate"]).spawn();
        gate.stops(database, &first);
        let second = slow.args(&["database", "stamp", "-1"]).spawn();
        second.wait_for("waits for the lock");
        gate.open();
        first.wait().assert_status(0);
        second.wait().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: somebody else changed the ledger meanwhile; look again, and repeat the command",
        );
        assert_eq!(database.ledger(), ["a000", "b000", "c000", "d000"]);
    }
}

on_both! {
    /// Wherever it is killed, each revision is there or gone, and the ledger says which.
    fn a_way_back_that_is_killed_is_ended_by_the_same_command(database: &dyn Database) {
        let start = Prelaunch::on(database).migrations_from("demo");
        migrate(&start, &[]).assert_status(0);
        let head = shape(database);
        let base = ["--revision", "base", "--allow-downgrade", "--yes"];
        for nth in 1..=12 {
            let running = start.clone().args(&[&["database", "migrate"], &base[..]].concat()).spawn();
            running.wait_for_nth("reverts a revision", nth);
            running.signal(Signal::SIGKILL);
            // It may have come to its end before.
            drop(running.wait());
            migrate(&start, &base).assert_status(0);
            assert_eq!((shape(database).as_str(), database.ledger().len()), ("", 0), "{nth}");
            let downgrades = database.history().iter().filter(|line| line.starts_with("downgrade")).count();
            assert_eq!(downgrades, 12 * nth, "{nth}");
            migrate(&start, &[]).assert_status(0);
            assert_eq!(shape(database), head, "{nth}");
        }
    }
}

/// At each of its statements, with what the last words say to do about it.
#[test]
fn a_revision_that_is_killed_half_way_back_is_ended_as_the_words_say() {
    for statement in 1..=3 {
        for idempotent in [true, false] {
            let database = Postgres::create();
            database.query("create table effects (what text)");
            let mut down =
                ["1", "2", "3"].map(|n| format!("insert into effects values ('{n}');\n"));
            down[statement - 1] = format!("{}\n", Gate::STATEMENT);
            let header = if idempotent { "-- idempotent: true\n" } else { "" };
            let newer = Prelaunch::on(&database).revision("a000", "", "select 1;").script(
                "b000.sql",
                &format!(
                    "-- b\n-- revision: b000\n-- revises: a000\n-- transaction: false\n{header}\
                     -- migrate:up\nselect 1;\n-- migrate:down\n{}",
                    down.concat()
                ),
            );
            // The image that goes on has no such script.
            let older = Prelaunch::on(&database).revision("a000", "", "select 1;");
            migrate(&newer, &[]).assert_status(0);
            let gate = Gate::shut(&database);
            let running = back(&newer).spawn();
            gate.stops(&database, &running);
            running.signal(Signal::SIGKILL);
            drop(running.wait());
            gate.open();
            older
                .clone()
                .env("AUTO_MIGRATION", "true")
                .run()
                .assert_status(16)
                .assert_said("revision `b000` is half reverted");
            if !idempotent {
                let stopped = migrate(&older, &BACK);
                stopped.assert_status(15).assert_said(&format!(
                    "if it has run, set `done_at` in the row ('b000', {statement}) of `prelaunch_journal`"
                ));
                database.query(&format!(
                    "update prelaunch_journal set done_at = now() where statement = {statement}"
                ));
            }
            migrate(&older, &BACK).assert_status(0);
            let expected = ["1", "2", "3"].into_iter().filter(|n| *n != statement.to_string());
            assert_eq!(database.query(EFFECTS), expected.collect::<Vec<_>>().join("\n"));
            assert_eq!(database.ledger(), ["a000"]);
            assert_eq!(database.history()[2..], ["downgrade b000"]);
            assert_eq!(database.recorded("select revision from prelaunch_journal"), [""; 0]);
        }
    }
}

/// As on the way up, the next one finds a session as if it were the first.
#[test]
fn what_a_way_back_sets_is_not_set_for_the_next() {
    let database = Postgres::create();
    let start = applied(&database, "-- transaction: false").script(
        "c000.sql",
        "-- c\n-- revision: c000\n-- revises: b000\n-- transaction: false\n-- migrate:up\n\
         select 1;\n-- migrate:down\nset search_path = pg_catalog;\n",
    );
    migrate(&start, &BACK).assert_status(0);
    assert_eq!(database.query(EFFECTS), "b");
}

/// By the time all statements have run, another has written down that it is gone.
#[test]
fn what_another_has_recorded_is_not_recorded_twice() {
    let database = Postgres::create();
    let start = applied(&database, "-- transaction: false").script(
        "c000.sql",
        &format!(
            "-- c\n-- revision: c000\n-- revises: b000\n-- transaction: false\n-- migrate:up\n\
             select 1;\n-- migrate:down\n{}\n",
            Gate::STATEMENT
        ),
    );
    let gate = Gate::shut(&database);
    let running = back(&start).spawn();
    gate.stops(&database, &running);
    database.query("delete from prelaunch_ledger where revision = 'c000'");
    gate.open();
    running.wait().assert_status(16);
    assert_eq!(database.history().last().map(String::as_str), Some("upgrade c000"));
    assert_eq!(database.ledger(), ["a000", "b000"]);
}

#[test]
fn a_way_back_is_settled_where_the_answer_to_its_commit_was_lost() {
    for header in ["", "-- transaction: false"] {
        // The first commit of a revision without a transaction marks it, the second one writes down
        // that its statement begins, the last one takes it out.
        let commits = if header.is_empty() { 1..=1 } else { 1..=3 };
        for (nth, fate) in commits.flat_map(|nth| [(nth, Fate::Unanswered), (nth, Fate::Lost)]) {
            let database = Postgres::create();
            let start = applied(&database, header);
            let (port, seen) = (database.server().port, AtomicUsize::new(0));
            let proxy = Proxy::to(port, move |said| {
                let is_it = said.text == "commit" && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth;
                if is_it { fate } else { Fate::Pass }
            });
            let through = start.clone().env("DATABASE_URL", proxy.url(&database.url(), port));
            let outcome = migrate(&through, &BACK);
            // What was not answered and has happened is gone on with; what has not, is done again
            // by the same command. Neither is done twice.
            if outcome.code() != 0 {
                assert!([11, 15].contains(&outcome.code()), "{nth} {}", outcome.transcript());
                outcome.assert_never_said("cannot be told");
                if (header.is_empty(), nth) == (false, 1) {
                    outcome.assert_said(
                        "0 of its 1 statements have run, and the same command goes on",
                    );
                }
                migrate(&start, &BACK).assert_status(0);
            }
            assert_eq!(database.query(EFFECTS), "c\nb", "{header} {nth}");
            assert_eq!(database.ledger(), ["a000"]);
            assert_eq!(database.history()[3..], ["downgrade c000", "downgrade b000"]);
            assert_eq!(database.recorded("select revision from prelaunch_journal"), [""; 0]);
        }
    }
}

/// Three revisions that are applied, whose down sections say so.
fn applied(database: &dyn Database, header: &str) -> Prelaunch {
    for table in ["effects", "prelaunch_ledger", "prelaunch_history", "prelaunch_journal"] {
        database.query(&format!("drop table if exists {table}"));
    }
    database.query("create table effects (what text)");
    let script = |id: &str, revises: &str| {
        let what = &id[..1];
        format!(
            "-- {what}\n-- revision: {id}\n{revises}\n{header}\n-- migrate:up\nselect 1;\n\
             -- migrate:down\ninsert into effects values ('{what}');\n"
        )
    };
    let start = Prelaunch::on(database)
        .script("a000.sql", &script("a000", ""))
        .script("b000.sql", &script("b000", "-- revises: a000"))
        .script("c000.sql", &script("c000", "-- revises: b000"));
    migrate(&start, &[]).assert_status(0);
    start
}

fn back(start: &Prelaunch) -> Prelaunch {
    start.clone().args(&[&["database", "migrate"], &BACK[..]].concat())
}

/// A command, with a change by another right before its first: it has looked at the ledger under the
/// lock, and waits to write.
fn beside(database: &dyn Database, command: &Prelaunch, change: &str) -> Outcome {
    let mut other = database.session();
    other.execute(match database.engine() {
        Engine::Postgres => "begin; lock table prelaunch_ledger in share row exclusive mode",
        Engine::Sqlite => "begin immediate",
    });
    let running = command.spawn();
    match database.engine() {
        Engine::Sqlite => drop(running.wait_for("another process uses the SQLite file")),
        Engine::Postgres => eventually("it waits to write", || {
            let waits = "select 1 from pg_locks where not granted \
                         and relation = 'prelaunch_ledger'::regclass";
            (database.query(waits) == "1").then_some(())
        }),
    }
    other.execute(change);
    other.execute("commit");
    running.wait()
}
