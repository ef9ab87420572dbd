//! Scripts that keep Alembic's version table in step: after every step it says what Alembic would have
//! left there, and what Alembic does in between is seen, believed and written down.
//!
//! The same graph is there twice, as scripts and as an environment of the real Alembic.

mod fences;

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    alembic::{ENV, venv},
    database::{Database, Engine, eventually, on_both},
    gate::Gate,
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    session::Session,
    sqlite::Sqlite,
};

/// The rows of the version table.
pub(crate) const ROWS: &str = "select version_num from alembic_version order by 1";

/// A revision: its id, its parents, what it depends on.
pub(crate) type Node = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Three revisions in a line.
pub(crate) const LINE: &[Node] = &[("a1", &[], &[]), ("b2", &["a1"], &[]), ("c3", &["b2"], &[])];

/// A fork, a merge, and one more.
pub(crate) const MERGE: &[Node] = &[
    ("a1", &[], &[]),
    ("b2", &["a1"], &[]),
    ("c3", &["a1"], &[]),
    ("d4", &["b2", "c3"], &[]),
    ("e5", &["d4"], &[]),
];

/// Two trees, one of which needs the other, once below its head and once at it.
const NEEDS: &[Node] = &[
    ("a1", &[], &[]),
    ("b2", &["a1"], &[]),
    ("x7", &[], &["a1"]),
    ("y8", &["x7"], &["b2"]),
    ("z9", &["y8"], &[]),
];

/// Scripts and an Alembic environment that do the same.
pub(crate) fn both(mut start: Prelaunch, nodes: &[Node]) -> Prelaunch {
    let path = format!("{}/bin:{}", venv(), crate::prelaunch::PATH);
    start = start
        .env("PATH", path)
        .env("VERSION_TABLE", "alembic_version")
        .env("AUTO_MIGRATION", "true")
        .env("MIGRATION_TARGET", "heads")
        .file("app/alembic.ini", "[alembic]\nscript_location = %(here)s\n")
        .file("app/env.py", ENV)
        .file("app/script.py.mako", "");
    nodes.iter().fold(start, |start, node| add(start, *node))
}

/// One more revision in both.
pub(crate) fn add(start: Prelaunch, (id, parents, needs): Node) -> Prelaunch {
    let sql = format!(
        "-- make {id}\n--\n-- revision: {id}\n-- revises: {}\n-- depends-on: {}\n\n\
         -- migrate:up\ncreate table t_{id} (n integer);\n\n-- migrate:down\ndrop table t_{id};\n",
        parents.join(", "),
        needs.join(", "),
    );
    let tuple = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|id| format!("'{id}',")).collect();
        if ids.is_empty() { "None".to_owned() } else { format!("({})", ids.concat()) }
    };
    let python = format!(
        "\"\"\"make {id}\"\"\"\nrevision = '{id}'\ndown_revision = {}\ndepends_on = {}\n\
         from alembic import op\n\ndef upgrade():\n    op.execute('create table t_{id} (n integer)')\n\n\
         def downgrade():\n    op.execute('drop table t_{id}')\n",
        tuple(parents),
        tuple(needs),
    );
    start.file(&format!("migrations/{id}.sql"), sql).file(&format!("app/versions/{id}.py"), python)
}

/// The image is older: it has no such script. Alembic's files stay.
fn without(start: &Prelaunch, id: &str) -> Prelaunch {
    fs::remove_file(start.directory().join(format!("migrations/{id}.sql"))).unwrap();
    start.clone()
}

pub(crate) fn ask(start: &Prelaunch, words: &[&str]) -> Outcome {
    start.clone().args(&[&["database"], words].concat()).run()
}

/// To a target, whichever way it is.
pub(crate) fn ours(start: &Prelaunch, target: &str) -> Outcome {
    ask(start, &["migrate", "--revision", target, "--allow-downgrade", "--yes"])
}

pub(crate) fn theirs(start: &Prelaunch, database: &dyn Database, words: &[&str]) -> Outcome {
    start.clone().args(words).alembic(database)
}

/// The tables of revisions that are there.
pub(crate) fn made(database: &dyn Database) -> Vec<String> {
    database.tables().into_iter().filter(|name| name.starts_with("t_")).collect()
}

/// What Alembic alone leaves in its version table after each of these steps, in one Python.
fn oracle(start: &Prelaunch, engine: Engine, steps: &[(&str, &str)]) -> Vec<String> {
    let database: Box<dyn Database> = match engine {
        Engine::Sqlite => Box::new(Sqlite::create()),
        Engine::Postgres => Box::new(Postgres::create()),
    };
    let words: Vec<String> = steps.iter().map(|(way, to)| format!("{way}:{to}")).collect();
    let program = "
import os, sys
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
config = Config('app/alembic.ini')
url = os.environ['DATABASE_URL'].replace('postgres://', 'postgresql+psycopg2://', 1)
engine = sa.create_engine(url.replace('sqlite:/', 'sqlite:////', 1))
for step in sys.argv[1].split():
    way, target = step.split(':')
    getattr(command, way)(config, target)
    with engine.connect() as connection:
        rows = connection.execute(sa.text('select version_num from alembic_version order by 1'))
        print('rows', *[row[0] for row in rows], file=sys.stderr)
";
    let python = format!("{}/bin/python", venv());
    let words = words.join(" ");
    let done = start
        .clone()
        .database("DATABASE_URL", &*database)
        .under(&[&python, "-c", program, &words])
        .run();
    done.assert_status(0);
    let rows = done.raw_stderr.lines().filter_map(|line| line.strip_prefix("rows"));
    rows.map(|line| line.trim().replace(' ', "\n")).collect()
}

/// Every other step by Alembic, the others by us; then the other way round.
fn in_turn(database: &dyn Database, nodes: &[Node], back: &[&str]) {
    let start = both(Prelaunch::on(database), nodes);
    let up = nodes.iter().map(|(id, ..)| ("upgrade", *id));
    let steps: Vec<(&str, &str)> =
        up.chain(back.iter().map(|target| ("downgrade", *target))).collect();
    let expected = oracle(&start, database.engine(), &steps);
    assert_eq!(expected.len(), steps.len());
    for round in 0..2 {
        for (number, (way, target)) in steps.iter().enumerate() {
            if number % 2 == round {
                ours(&start, target).assert_status(0);
                let (is, said) =
                    (ask(&start, &["current"]), theirs(&start, database, &["current"]));
                assert_eq!(current(&is), current(&said), "{way} {target}");
            } else {
                theirs(&start, database, &[way, target]).assert_status(0);
            }
            let at = format!("{way} {target}, round {round}");
            assert_eq!(database.query(ROWS), expected[number], "{at}");
        }
        assert_eq!(made(database), [""; 0], "round {round}");
        assert_eq!(database.query(ROWS), "");
    }
}

/// Where somebody says that the database is, sorted: a head that another one depends on has no row, and
/// is one all the same. Alembic also marks where branches begin and end.
fn current(said: &Outcome) -> Vec<String> {
    said.assert_status(0);
    let marks = [" (branchpoint)", " (mergepoint)"];
    let lines = said.raw_stdout.lines();
    let mut lines: Vec<String> = lines
        .map(|line| marks.iter().fold(line.to_owned(), |line, mark| line.replace(mark, "")))
        .collect();
    lines.sort();
    lines
}

on_both! {
    fn in_turn_on_a_line(database: &dyn Database) {
        in_turn(database, LINE, &["b2", "base"]);
    }

    fn in_turn_on_branches_and_a_merge(database: &dyn Database) {
        in_turn(database, MERGE, &["d4", "b2", "a1", "base"]);
    }

    fn in_turn_where_one_tree_needs_another(database: &dyn Database) {
        in_turn(database, NEEDS, &["y8", "x7", "base"]);
    }

    fn every_step_of_a_start_is_one_of_alembics(database: &dyn Database) {
        for nodes in [LINE, MERGE, NEEDS] {
            let start = both(Prelaunch::on(database), nodes);
            start.run().assert_status(0);
            let rows = database.query(ROWS);
            let all: Vec<(&str, &str)> = vec![("upgrade", "heads")];
            assert_eq!(oracle(&start, database.engine(), &all), [rows]);
            theirs(&start, database, &["current"]).assert_status(0);
            // Alembic finds nothing to do, and goes all the way back by what we wrote.
            theirs(&start, database, &["upgrade", "heads"]).assert_status(0);
            theirs(&start, database, &["downgrade", "base"]).assert_status(0);
            assert_eq!(made(database), [""; 0]);
            ask(&start, &["current"]).assert_status(0).assert_stdout("");
            fs::remove_dir_all(start.directory().join("migrations")).unwrap();
            ask(&both(start, LINE), &["stamp", "--purge", "base"]).assert_status(0);
        }
    }

    fn a_database_of_alembics_is_adopted_by_a_start(database: &dyn Database) {
        let start = both(Prelaunch::on(database), MERGE);
        theirs(&start, database, &["upgrade", "heads"]).assert_status(0);
        let mode = |mode: &str| start.clone().env("AUTO_MIGRATION", mode);
        // Who only looks sees it, and writes nothing.
        mode("check").run().assert_status(0);
        mode("wait").run().assert_status(0);
        mode("false").run().assert_status(0);
        ask(&start, &["current"]).assert_stdout("e5 (head)");
        ask(&start, &["check"]).assert_status(0);
        assert!(!database.tables().contains(&"prelaunch_ledger".to_owned()));

        let first = start.run();
        first.assert_status(0).assert_said(
            "INFO apply: another tool has migrated the database; the ledger says so too \
             table=alembic_version at=e5 applied=5 reverted=0",
        );
        first.assert_never_said("applies a revision");
        assert_eq!(database.ledger(), ["a1", "b2", "c3", "d4", "e5"]);
        let kept = "select distinct origin, checksum is null, up is null, down is null \
                    from prelaunch_ledger";
        let yes_yes_no = match database.engine() {
            Engine::Postgres => "external|t|t|f",
            Engine::Sqlite => "external|1|1|0",
        };
        assert_eq!(database.query(kept), yes_yes_no);
        assert_eq!(
            database.history(),
            ["external a1", "external b2", "external c3", "external d4", "external e5"]
        );
        start.run().assert_status(0).assert_never_said("has the lock");
        // It was not our text that was run: another text is no change of it.
        let path = "migrations/b2.sql";
        let start = start.clone().file(path, start.read(path).replace("integer", "bigint"));
        start.run().assert_status(0);
        // And the way back is ours from now on.
        ours(&start, "base").assert_status(0);
        assert_eq!(made(database), [""; 0]);
        assert_eq!(database.query(ROWS), "");
    }

    fn a_start_goes_on_from_where_alembic_is(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE);
        theirs(&start, database, &["upgrade", "b2"]).assert_status(0);
        ask(&start, &["check"]).assert_status(17).assert_stdout("b2 -> c3 (head), make c3");
        start.run().assert_status(0);
        assert_eq!(database.history(), ["external a1", "external b2", "upgrade c3"]);
        assert_eq!(database.query(ROWS), "c3");
    }

    fn what_alembic_takes_back_comes_again_when_somebody_says_so(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE);
        start.run().assert_status(0);
        theirs(&start, database, &["downgrade", "a1"]).assert_status(0);
        ask(&start, &["current"]).assert_stdout("a1");
        let listed = ask(&start, &["revisions", "--json"]);
        let listed: Value = serde_json::from_str(&listed.raw_stdout).unwrap();
        let applied: Vec<&Value> =
            listed["revisions"].as_array().unwrap().iter().map(|one| &one["applied"]).collect();
        assert_eq!(applied, [true, false, false]);
        // From here it could as well be a table that was left behind: no script runs twice for it.
        let words = "table `alembic_version` says that `b2` and `c3` were taken back, which the \
                     ledger has from running their scripts; if so, apply them again with `prelaunch \
                     database migrate`; if the table was left behind and not kept, drop it, and the \
                     next start makes it from the ledger";
        start.run().assert_status(16).assert_said(words);
        ask(&start, &["check"]).assert_status(16).assert_said(words);
        assert_eq!(made(database), ["t_a1"]);
        let again = ours(&start, "head");
        again.assert_status(0).assert_said("at=a1 applied=0 reverted=2");
        assert_eq!(
            database.history()[3..],
            ["retracted b2", "retracted c3", "upgrade b2", "upgrade c3"]
        );
        assert_eq!(made(database), ["t_a1", "t_b2", "t_c3"]);
    }

    fn a_row_that_nobody_knows_is_ahead(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE);
        start.run().assert_status(0);
        let start = add(start, ("d4", &["c3"], &[]));
        theirs(&start, database, &["upgrade", "head"]).assert_status(0);
        let older = without(&start, "d4");
        older.run().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: the database is ahead: this image lacks revision `d4`; start \
             the image that brought it, or set DATABASE_AHEAD=allow",
        );
        older.clone().env("DATABASE_AHEAD", "allow").run().assert_status(0);
        ask(&older, &["current"]).assert_status(0).assert_stdout("c3 (head)\nd4");
        ours(&older, "b2").assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: the database has a revision that no script here has: `d4`; use \
             the image that brought it",
        );
        // Nothing was written down that nobody can tell.
        assert_eq!(database.ledger(), ["a1", "b2", "c3"]);
        assert_eq!(database.query(ROWS), "d4");
        add(older, ("d4", &["c3"], &[])).run().assert_status(0).assert_said("applied=1 reverted=0");
    }

    fn an_older_image_takes_back_what_a_newer_one_brought(database: &dyn Database) {
        let start = both(Prelaunch::on(database), MERGE);
        start.run().assert_status(0);
        let older = without(&without(&start, "e5"), "d4");
        older.run().assert_status(16);
        let back = ask(&older, &["migrate", "--revision", "heads", "--allow-downgrade", "--yes"]);
        back.assert_status(0);
        assert_eq!(database.query(ROWS), "b2\nc3");
        older.run().assert_status(0);
        theirs(&older, database, &["upgrade", "heads"]).assert_status(0);
        assert_eq!(made(database), ["t_a1", "t_b2", "t_c3", "t_d4", "t_e5"]);
    }

    fn a_ledger_without_a_version_table_makes_one(database: &dyn Database) {
        let start = both(Prelaunch::on(database), NEEDS);
        start.clone().env_remove("VERSION_TABLE").run().assert_status(0);
        assert!(!database.tables().contains(&"alembic_version".to_owned()));
        start.clone().env("AUTO_MIGRATION", "check").run().assert_status(0);
        start.run().assert_status(0).assert_said(
            "INFO apply: the version table was not there; keeps it in step with the ledger from now on \
             table=alembic_version at=z9",
        );
        assert_eq!(database.history().len(), NEEDS.len());
        theirs(&start, database, &["current"]).assert_status(0);
        theirs(&start, database, &["downgrade", "y8"]).assert_status(0);
        ours(&start, "heads").assert_status(0).assert_said("applies a revision revision=z9");
    }

    fn a_table_that_was_left_behind_makes_no_script_run_twice(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE);
        theirs(&start, database, &["upgrade", "a1"]).assert_status(0);
        let alone = start.clone().env_remove("VERSION_TABLE");
        ask(&alone, &["stamp", "a1"]).assert_status(0);
        alone.run().assert_status(0);
        start.run().assert_status(16).assert_said("says that `b2` and `c3` were taken back").assert_stdout("");
        assert_eq!(database.ledger().len(), 3);
        database.query("drop table alembic_version");
        start.run().assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("c3".to_owned(), 3));
    }

    fn stamping_stamps_both(database: &dyn Database) {
        let start = both(Prelaunch::on(database), MERGE);
        ask(&start, &["stamp", "b2"]).assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("b2".to_owned(), 2));
        ask(&start, &["stamp", "heads"]).assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("e5".to_owned(), 5));
        ask(&start, &["stamp", "a1"]).assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("a1".to_owned(), 1));
        // What Alembic says in between is taken up first.
        theirs(&start, database, &["stamp", "c3"]).assert_status(0);
        ask(&start, &["stamp", "heads"]).assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("e5".to_owned(), 5));
        database.query("update alembic_version set version_num = 'nobody_knows'");
        ask(&start, &["stamp", "heads"]).assert_status(16);
        ask(&start, &["stamp", "--purge", "b2"]).assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("b2".to_owned(), 2));
        ask(&start, &["stamp", "--purge", "base"]).assert_status(0);
        assert_eq!((database.query(ROWS), database.ledger().len()), (String::new(), 0));
        ask(&start, &["stamp", "--purge", "base"]).assert_status(0).assert_said("nothing to do");
    }

    fn the_script_of_sql_turns_it_too(database: &dyn Database) {
        let start = both(Prelaunch::on(database), MERGE);
        let sql = ask(&start, &["migrate", "--revision", "heads", "--sql"]);
        sql.assert_status(0);
        database.query(&plain(&sql.raw_stdout));
        assert_eq!((database.query(ROWS), database.ledger().len()), ("e5".to_owned(), 5));
        let back = ask(&start, &["migrate", "--revision", "b2", "--sql"]);
        back.assert_status(0);
        // It is for these rows alone.
        theirs(&start, database, &["stamp", "d4"]).assert_status(0);
        let wrong = database.try_query(&plain(&back.raw_stdout)).unwrap_err();
        assert!(wrong.contains("another state of the ledger"), "{wrong}");
        ask(&start, &["migrate", "--revision", "b2", "--sql"]).assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: another tool has migrated the database, and the ledger does not \
             say so yet; have it recorded with `prelaunch database migrate`, or by a start",
        );
        theirs(&start, database, &["stamp", "e5"]).assert_status(0);
        database.query(&plain(&back.raw_stdout));
        assert_eq!(database.query(ROWS), "b2\nc3");
    }

    fn a_revision_without_a_transaction_turns_it_at_its_end(database: &dyn Database) {
        let script = |last: &str| format!(
            "-- revision: d4\n-- revises: c3\n-- transaction: false\n-- migrate:up\n\
             create table t_d4 (n integer);\n{last}\n-- migrate:down\ndrop table t_d4;\n"
        );
        let start = both(Prelaunch::on(database), LINE);
        let start = start.file("migrations/d4.sql", script("insert into nowhere values (1);"));
        start.run().assert_status(15);
        assert_eq!(database.query(ROWS), "c3");
        let start = start.file("migrations/d4.sql", script("insert into t_d4 values (1);"));
        start.run().assert_status(0);
        assert_eq!((database.query(ROWS), database.query("select n from t_d4")), ("d4".into(), "1".into()));
        ours(&start, "c3").assert_status(0);
        assert_eq!(database.query(ROWS), "c3");
    }

    fn a_run_that_is_killed_leaves_both_as_they_were(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE).env("DDL_LOCK_TIMEOUT", "60s");
        start.run().assert_status(0);
        let gate = Gate::statement(database);
        let start = start.revision("d4", "c3", &format!("create table t_d4 (n integer);\n{gate}"));
        let shut = Gate::shut(database);
        let running = start.spawn();
        shut.stops(database, &running);
        running.signal(Signal::SIGKILL);
        running.wait().assert_killed_by(Signal::SIGKILL);
        shut.open();
        eventually("both are as they were", || {
            let both = (database.query(ROWS), database.ledger());
            (both == ("c3".to_owned(), ["a1", "b2", "c3"].map(str::to_owned).to_vec())).then_some(())
        });
        start.run().assert_status(0);
        assert_eq!(database.query(ROWS), "d4");
    }

    /// A row beside ours: the UPDATE alone would let it pass.
    fn rows_that_moved_since_the_plan_are_looked_at_again(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE).env("DDL_LOCK_TIMEOUT", "60s");
        start.clone().env("MIGRATION_TARGET", "b2").run().assert_status(0);
        let mut other = database.session();
        other.execute(match database.engine() {
            Engine::Postgres => "begin; lock table prelaunch_ledger in share row exclusive mode",
            Engine::Sqlite => "begin immediate",
        });
        let running = start.spawn();
        running.wait_for("applies a revision");
        other.execute("insert into alembic_version values ('x1')");
        other.execute("commit");
        running.wait().assert_status(16).assert_said("this image lacks revision `x1`");
        assert_eq!(made(database), ["t_a1", "t_b2"]);
        assert_eq!((database.query(ROWS), database.ledger().len()), ("b2\nx1".to_owned(), 2));
    }

    /// Alembic has no lock of ours: its row is what stops us, and ours what stops it.
    fn alembic_at_work_is_waited_for_and_then_seen(database: &dyn Database) {
        let start = both(Prelaunch::on(database), LINE).env("DDL_LOCK_TIMEOUT", "60s");
        start.clone().env("MIGRATION_TARGET", "b2").run().assert_status(0);
        let mut alembic = beginning(database);
        alembic.execute("create table t_c3 (n integer)");
        alembic.execute("update alembic_version set version_num = 'c3' where version_num = 'b2'");
        let running = start.spawn();
        stands_at_the_row(database, &running);
        alembic.execute("commit");
        let outcome = running.wait();
        outcome.assert_status(0).assert_said("at=c3 applied=1 reverted=0");
        assert_eq!(database.query(ROWS), "c3");
        assert_eq!(database.upgrades(), ["a1", "b2"]);
        assert_eq!(database.history().last().unwrap(), "external c3");
    }
}

/// As Alembic makes it, and where it looks for it.
#[test]
fn the_version_table_is_made_as_alembic_makes_it() {
    let shape = "select column_name, data_type, character_maximum_length, is_nullable \
                 from information_schema.columns where table_name = 'alembic_version' union all \
                 select conname, pg_get_constraintdef(oid), null, null from pg_constraint \
                 where conrelid = 'alembic_version'::regclass";
    let (ours_is, theirs_is) = (Postgres::create(), Postgres::create());
    both(Prelaunch::on(&ours_is), LINE).run().assert_status(0);
    theirs(&both(Prelaunch::on(&theirs_is), LINE), &theirs_is, &["upgrade", "head"])
        .assert_status(0);
    assert_eq!(ours_is.query(shape), theirs_is.query(shape));
    let sql = "select sql from sqlite_master where name = 'alembic_version'";
    let words =
        |text: String| text.replace('"', "").split_whitespace().collect::<String>().to_lowercase();
    let (ours_is, theirs_is) = (Sqlite::create(), Sqlite::create());
    both(Prelaunch::on(&ours_is), LINE).run().assert_status(0);
    theirs(&both(Prelaunch::on(&theirs_is), LINE), &theirs_is, &["upgrade", "head"])
        .assert_status(0);
    assert_eq!(words(ours_is.query(sql)), words(theirs_is.query(sql)));
}

/// What a file of `--sql` says, for a client that takes SQL alone.
fn plain(text: &str) -> String {
    let sql = text.lines().filter(|line| !line.starts_with(['\\', '.']));
    // A text that begins with dashes would be an option.
    format!(" {}", sql.collect::<Vec<_>>().join("\n"))
}

/// A transaction of somebody else.
fn beginning(database: &dyn Database) -> Session {
    let mut session = database.session();
    session.execute(match database.engine() {
        Engine::Postgres => "begin",
        Engine::Sqlite => "begin immediate",
    });
    session
}

fn stands_at_the_row(database: &dyn Database, running: &crate::running::Running) {
    match database.engine() {
        Engine::Sqlite => drop(running.wait_for("another process uses the SQLite file")),
        Engine::Postgres => eventually("it stands at the row of the version table", || {
            let waits = "select 1 from pg_locks l join pg_stat_activity a using (pid) \
                         where l.locktype = 'transactionid' and not l.granted \
                         and a.datname = current_database() \
                         and a.query like 'update \"alembic_version\"%'";
            (database.query(waits) == "1").then_some(())
        }),
    }
}
