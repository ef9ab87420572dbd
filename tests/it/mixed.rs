//! Scripts that leave revisions to Alembic: in their turn, under our lock, and believed once the version
//! table says so.

use nix::sys::signal::Signal;

use crate::{
    alembic::venv,
    database::{Database, Engine, eventually, on_both},
    in_turn::{LINE, MERGE, ROWS, add, ask, both, made, ours, theirs},
    outcome::Outcome,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

/// What Alembic does for `b2`: its own, and something that no script says.
const READS_ROWS: &str = "\"\"\"make b2\"\"\"
revision = 'b2'
down_revision = 'a1'
from alembic import op

def upgrade():
    count = op.get_bind().exec_driver_sql('select count(*) from t_a1').scalar()
    op.execute('create table t_b2 (n integer)')
    op.execute(f'insert into t_b2 values ({count})')

def downgrade():
    op.execute('drop table t_b2')
";

const LEFT: &str = "-- make b2\n--\n-- revision: b2\n-- revises: a1\n-- delegate: alembic\n";

/// SQL, Alembic, SQL.
pub(crate) fn mixed(database: &dyn Database) -> Prelaunch {
    let start = both(Prelaunch::on(database), LINE).env("ALEMBIC_DIR", "app");
    let first = start.read("migrations/a1.sql");
    let filled = "create table t_a1 (n integer);\ninsert into t_a1 values (1), (2);";
    start
        .file("migrations/a1.sql", first.replace("create table t_a1 (n integer);", filled))
        .file("migrations/b2.sql", LEFT)
        .file("app/versions/b2.py", READS_ROWS)
}

/// The steps that were said to have been taken, and by whom.
fn steps(outcome: &Outcome) -> Vec<String> {
    let words = ["applies a revision revision=", "runs a command what="];
    let said = outcome.stderr();
    let of = |line: &str| {
        let word = words.iter().find_map(|word| line.split_once(word))?.1;
        Some(word.split(' ').next()?.to_owned())
    };
    said.lines().filter_map(of).collect()
}

on_both! {
    fn each_takes_its_steps_in_order(database: &dyn Database) {
        let start = mixed(database).env("AFTER_MIGRATE", "echo hooked");
        ask(&start, &["migrate", "--plan"]).assert_status(0).assert_stdout(
            "
            up    <base> -> a1, make a1
            up    a1 -> b2, make b2
                  by Alembic
            up    b2 -> c3 (head), make c3
            ",
        );
        let first = start.run();
        first.assert_status(0).assert_said("hooked");
        assert_eq!(steps(&first), ["a1", "b2", "MIGRATE_COMMAND", "c3", "AFTER_MIGRATE"]);
        assert_eq!(database.query("select n from t_b2"), "2");
        assert_eq!(database.query(ROWS), "c3");
        assert_eq!(database.history(), ["upgrade a1", "external b2", "upgrade c3", "hook"]);
        let origins = "select revision || ' ' || origin from prelaunch_ledger order by 1";
        assert_eq!(database.query(origins), "a1 upgrade\nb2 external\nc3 upgrade");
        // Where it is applied, Alembic need not be there.
        let second = start.env("ALEMBIC_DIR", "nowhere").env("PATH", "/nowhere").run();
        second.assert_status(0).assert_never_said("has the lock");
    }

    fn so_they_do_at_the_terminal(database: &dyn Database) {
        let start = mixed(database);
        ours(&start, "head").assert_status(0).assert_said("runs a command");
        assert_eq!(database.query(ROWS), "c3");
        // Back over it is Alembic's too.
        ours(&start, "b2").assert_status(0);
        ours(&start, "a1").assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: migrations/b2.sql:3: revision `b2` is left to Alembic \
             (`delegate: alembic`), and its way back too: use `alembic downgrade`, which is seen in the \
             version table",
        );
        theirs(&start, database, &["downgrade", "a1"]).assert_status(0);
        ours(&start, "base").assert_status(0);
        assert_eq!(made(database), [""; 0]);
        // A down section is taken where there is one.
        let start = start.file("migrations/b2.sql", format!("{LEFT}\n-- migrate:down\ndrop table t_b2;\n"));
        ours(&start, "head").assert_status(0);
        ours(&start, "base").assert_status(0);
        assert_eq!((database.query(ROWS), made(database)), (String::new(), vec![]));
    }

    fn what_it_takes_is_told_before_the_lock(database: &dyn Database) {
        let start = mixed(database);
        let told = |start: Prelaunch, why: &str| {
            let outcome = start.run();
            outcome.assert_status(10).assert_last_words(&format!(
                "prelaunch: exit 10 in configure: migrations/b2.sql:3: revision `b2` is left to Alembic \
                 (`delegate: alembic`); {why}"
            ));
            outcome.assert_never_said("has the lock");
            assert_eq!(database.tables(), [""; 0]);
        };
        told(
            start.clone().env_remove("VERSION_TABLE"),
            "set VERSION_TABLE to the table in which that keeps its version, mostly `alembic_version`",
        );
        told(
            start.clone().env_remove("ALEMBIC_DIR"),
            "set ALEMBIC_DIR to its environment, or MIGRATE_COMMAND to a command with `{}`: `DIR` is no \
             Alembic environment; name the directory of `alembic.ini`, of `env.py`, or of the revisions",
        );
        told(
            start.clone().env("MIGRATE_COMMAND", "alembic upgrade head"),
            "let MIGRATE_COMMAND say `{}` where the revision goes",
        );
        ask(&start, &["migrate", "--sql"]).assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: migrations/b2.sql:3: revision `b2` is left to Alembic \
             (`delegate: alembic`), which no script of SQL can run; use `alembic upgrade b2` between two \
             scripts, one to each side of it",
        );
        // Half of the engines have a section.
        let here = match database.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        };
        let section = format!("{LEFT}\n-- migrate:up {here}\ncreate table t_b2 (n integer);\n");
        let start = start.file("migrations/b2.sql", section);
        start.env_remove("ALEMBIC_DIR").env_remove("VERSION_TABLE").run().assert_status(0);
    }

    fn it_is_believed_once_the_version_table_says_so(database: &dyn Database) {
        let start = mixed(database);
        start.clone().env("MIGRATE_COMMAND", "sh -c 'exit 3' {}").run().assert_status(19).assert_last_words(
            "prelaunch: exit 19 in apply: revision `b2`, which is left to Alembic, was not applied: \
             MIGRATE_COMMAND failed: `sh` ended with exit code 3",
        );
        assert_eq!(database.ledger(), ["a1"]);
        start.clone().env("MIGRATE_COMMAND", "true {}").run().assert_status(14).assert_last_words(
            "prelaunch: exit 14 in apply: the command succeeded, but revision `b2` is not applied: table \
             `alembic_version` says `a1`; does the command use another database, or another version \
             table (VERSION_TABLE)?",
        );
        let own = "sh -c 'cd app && alembic upgrade \"$0\"' {}";
        start.env("MIGRATE_COMMAND", own).env_remove("ALEMBIC_DIR").run().assert_status(0);
        assert_eq!(database.history(), ["upgrade a1", "external b2", "upgrade c3"]);
    }

    /// Between Alembic's commit and our line there is a moment.
    fn a_run_that_was_killed_finds_it_done(database: &dyn Database) {
        let start = mixed(database);
        let stops = "sh -c 'alembic upgrade \"$0\" && >../done && exec sleep 1000' {}";
        let running = start.clone().env("MIGRATE_COMMAND", stops).spawn();
        let done = start.directory().join("done");
        eventually("Alembic has done it", || done.exists().then_some(()));
        assert_eq!((database.query(ROWS), database.ledger()), ("b2".into(), vec!["a1".into()]));
        running.signal(Signal::SIGKILL);
        running.wait().assert_killed_by(Signal::SIGKILL);
        let again = start.run();
        again.assert_status(0).assert_never_said("runs a command");
        assert_eq!(database.history(), ["upgrade a1", "external b2", "upgrade c3"]);
    }

    fn of_several_at_once_one_runs_it(database: &dyn Database) {
        let start = mixed(database);
        let running: Vec<_> = (0..3).map(|_| start.spawn()).collect();
        let ended: Vec<_> = running.into_iter().map(|one| one.wait()).collect();
        for outcome in &ended {
            outcome.assert_status(0);
        }
        let ran: usize = ended.iter().map(|outcome| outcome.count("runs a command")).sum();
        assert_eq!(ran, 1);
        assert_eq!(database.query("select n from t_b2"), "2");
    }

    fn on_a_branch_it_takes_that_one_alone(database: &dyn Database) {
        let start = both(Prelaunch::on(database), MERGE).env("ALEMBIC_DIR", "app/alembic.ini");
        let start = start.file("migrations/b2.sql", LEFT);
        let first = start.run();
        first.assert_status(0);
        assert_eq!(first.count("runs a command"), 1);
        assert_eq!(database.query(ROWS), "e5");
        assert_eq!(made(database).len(), 5);
        let start = add(start, ("f6", &["e5"], &[]));
        start.run().assert_status(0);
        assert_eq!(database.query(ROWS), "f6");
    }
}

/// Each chain has a version table and an Alembic of its own; a ledger they cannot share.
#[test]
fn chains_have_each_a_version_table_of_their_own() {
    let (database, other) = (Sqlite::create(), Sqlite::create());
    let start = mixed(&database).knows(&other);
    let start = start
        .env_remove("VERSION_TABLE")
        .env_remove("ALEMBIC_DIR")
        .env("PRELAUNCH_CONFIG", "prelaunch.toml")
        .file("side/s1.sql", "-- revision: s1\n-- migrate:up\ncreate table s (n integer);\n");
    let with = |url: String| {
        start.clone().file(
            "prelaunch.toml",
            format!(
                "[[chain]]\nname = 'core'\ndir = 'migrations'\nversion_table = 'alembic_version'\n\
                 alembic_dir = 'app'\n[[chain]]\nname = 'side'\ndatabase_url = '{url}'\n\
                 dir = 'side'\nversion_table = 'side_version'\n"
            ),
        )
    };
    with(database.url()).run().assert_status(10).assert_last_words(
        "prelaunch: exit 10 in configure: chains `core` and `side` would keep what is applied in the \
         same table, `prelaunch_ledger`; correct the `database_url` of one, or name another \
         `version_table`",
    );
    let start = with(other.url());
    start.run().assert_status(0).assert_said("runs a command");
    assert_eq!(database.query(ROWS), "c3");
    assert_eq!(other.query("select version_num from side_version"), "s1");
    // One chain is behind its version table, the other one is not.
    other.query("delete from prelaunch_ledger");
    let adopted = start.run();
    adopted.assert_status(0).assert_said("table=side_version at=s1 applied=1 reverted=0");
    start.run().assert_status(0).assert_never_said("has the lock");
}

/// What `revision import --delegate` writes for a chain with such a revision leads where Alembic does.
#[test]
fn an_import_leaves_to_alembic_what_no_script_can_say() {
    let database = Sqlite::create();
    let start = mixed(&database);
    for id in ["a1", "b2", "c3"] {
        std::fs::remove_file(start.directory().join(format!("migrations/{id}.sql"))).unwrap();
    }
    let python = format!("{}/bin/python", venv());
    let words = ["revision", "import", "--alembic", "app", "--python", &python];
    let import = |more: &[&str]| start.clone().args(&[&words, more].concat()).run();
    import(&["--engine", "sqlite"]).assert_status(20).assert_said("with --delegate");
    let done = import(&["--engine", "sqlite", "--delegate", "--verify"]);
    done.assert_status(0).assert_stdout(
        "
        migrations/a1_make_a1.sql
        migrations/b2_make_b2.sql (up for sqlite delegated)
        migrations/c3_make_c3.sql
        ",
    );
    done.assert_said("version_table=alembic_version");
    assert_eq!(
        start.read("migrations/b2_make_b2.sql"),
        "-- make b2
--
-- revision: b2
-- revises: a1
-- delegate: alembic
--
-- Left to Alembic is up for sqlite, which reads rows, which other databases have others of.

-- migrate:down sqlite
drop table t_b2;
"
    );
    start.run().assert_status(0);
    assert_eq!(database.query("select n from t_b2"), "0");
    assert_eq!((database.query(ROWS), database.ledger().len()), ("c3".to_owned(), 3));
    ours(&start, "base").assert_status(0);
    assert_eq!(made(&database), [""; 0]);
    start.args(&["revision", "lint", "--engine", "sqlite"]).run().assert_status(0);
}
