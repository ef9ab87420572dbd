//! Starts of images whose revisions are Alembic's: known without Python, applied by the real Alembic
//! under our lock, and never believed to have arrived before the version table says so.
//!
//! `./test.sh` has Alembic in a virtual environment of its own, and names it in
//! `PRELAUNCH_TEST_VENV`.

use std::{env, path::Path};

use serde_json::Value;

use crate::{
    database::{Database, on_both},
    postgres::Postgres,
    prelaunch::Prelaunch,
};

on_both! {
    fn alembic_applies_what_is_pending_and_the_server_starts(database: &dyn Database) {
        let start = environment(Prelaunch::on(database)).env("AUTO_MIGRATION", "true");
        let first = start.clone().server(&["echo", "the server runs"]).run();
        first.assert_status(0).assert_stdout("the server runs");
        first.assert_said("INFO look: has looked heads=\"\" pending=3 hook=false reindex=0");
        first.assert_said("INFO apply: has run it what=MIGRATE_COMMAND took=…");
        assert_eq!(database.query("select version_num from alembic_version"), "c3");
        assert_eq!(database.history(), ["upgrade a1", "upgrade b2", "upgrade c3"]);
        assert!(database.tables().contains(&"things".to_owned()));
    }

    fn at_head_no_python_is_needed(database: &dyn Database) {
        let start = environment(Prelaunch::on(database)).env("AUTO_MIGRATION", "true");
        start.run().assert_status(0);
        let second = start.env("MIGRATE_COMMAND", "false").env("PATH", "/nowhere").run();
        second.assert_status(0).assert_never_said("runs a command").assert_never_said("has the lock");
    }

    fn of_several_at_once_one_migrates(database: &dyn Database) {
        let start = environment(Prelaunch::on(database)).env("AUTO_MIGRATION", "true");
        let running: Vec<_> = (0..3).map(|_| start.spawn()).collect();
        let ended: Vec<_> = running.into_iter().map(|one| one.wait()).collect();
        for outcome in &ended {
            outcome.assert_status(0);
        }
        let ran: usize = ended.iter().map(|outcome| outcome.count("runs a command")).sum();
        assert_eq!(ran, 1);
        assert_eq!(database.history(), ["upgrade a1", "upgrade b2", "upgrade c3"]);
    }

    fn the_modes_are_those_of_scripts(database: &dyn Database) {
        let start = environment(Prelaunch::on(database));
        let mode = |mode: &str| start.clone().env("AUTO_MIGRATION", mode).env("LOCK_TIMEOUT", "0");
        mode("check").run().assert_status(17).assert_last_words(
            "prelaunch: exit 17 in plan: 3 revisions are pending: `a1`, `b2` and `c3`",
        );
        mode("wait").run().assert_status(17);
        mode("false").run().assert_status(0).assert_said("starts all the same");
        mode("true").env("MIGRATION_TARGET", "b2").run().assert_status(0);
        assert_eq!(database.query("select version_num from alembic_version"), "b2");
        mode("check").env("MIGRATION_TARGET", "b2").run().assert_status(0);
        mode("check").env("MIGRATION_TARGET", "a1").run().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: the database is newer than the target `a1`: `b2` was applied after it, and a start never goes back",
        );
        mode("true").run().assert_status(0);
        mode("check").run().assert_status(0);
    }

    fn an_older_image_is_refused_before_python_is_started(database: &dyn Database) {
        let start = environment(Prelaunch::on(database)).env("AUTO_MIGRATION", "true");
        start.run().assert_status(0);
        std::fs::remove_file(start.directory().join("app/versions/c3.py")).unwrap();
        let older = start.env("MIGRATE_COMMAND", "false");
        older.run().assert_status(16).assert_last_words(
            "prelaunch: exit 16 in plan: the database is ahead: this image lacks revision `c3`; start the image that brought it, or set DATABASE_AHEAD=allow",
        );
        older.env("DATABASE_AHEAD", "allow").run().assert_status(0);
    }

    fn a_command_that_fails_is_19_and_one_that_does_nothing_14(database: &dyn Database) {
        let start = environment(Prelaunch::on(database)).env("AUTO_MIGRATION", "true");
        start.clone().env("MIGRATE_COMMAND", "sh -c 'exit 3'").run().assert_status(19).assert_last_words(
            "prelaunch: exit 19 in apply: MIGRATE_COMMAND failed: `sh` ended with exit code 3",
        );
        start.clone().env("MIGRATE_COMMAND", "true").run().assert_status(14).assert_last_words(
            "prelaunch: exit 14 in apply: the command succeeded, but the target `head` is not reached: 3 revisions are still pending, and table `alembic_version` has no row; does the command use another database, or another version table (VERSION_TABLE)?",
        );
        start.env("MIGRATE_COMMAND", "alembic upgrade {}").run().assert_status(0);
    }

    fn a_revision_that_fails_is_alembics_to_tell(database: &dyn Database) {
        let start = environment(Prelaunch::on(database)).env("AUTO_MIGRATION", "true");
        let start = start.file("app/versions/d4.py", revision("d4", "c3", "op.execute('select nothing')"));
        start.run().assert_status(19).assert_said("nothing");
    }

    fn the_terminal_answers_from_the_version_table(database: &dyn Database) {
        let start = environment(Prelaunch::on(database));
        start.clone().env("AUTO_MIGRATION", "true").env("MIGRATION_TARGET", "b2").run().assert_status(0);
        let ask = |arguments: &[&str]| start.clone().args(&[&["database"], arguments].concat()).run();
        ask(&["current"]).assert_status(0).assert_stdout("b2");
        ask(&["heads"]).assert_status(0).assert_stdout("c3 (head)");
        ask(&["check"]).assert_status(17).assert_stdout("b2 -> c3 (head), three");
        ask(&["history"]).assert_status(0).assert_stdout(
            "
            b2 -> c3 (head), three
            a1 -> b2, two
            <base> -> a1, one
            ",
        );
        let listing = ask(&["revisions", "--json"]);
        let listing: Value = serde_json::from_str(&listing.raw_stdout).unwrap();
        let applied: Vec<&Value> =
            listing["revisions"].as_array().unwrap().iter().map(|one| &one["applied"]).collect();
        assert_eq!(applied, [true, true, false]);
        assert!(listing["revisions"][1]["applied_at"].is_string(), "{listing}");
        ask(&["migrate"]).assert_status(10).assert_last_words(
            "prelaunch: exit 10 in plan: these revisions are Alembic's; go there with `alembic`, or to `MIGRATION_TARGET` with `AUTO_MIGRATION=true prelaunch run`",
        );
    }

    fn what_alembic_did_by_itself_counts(database: &dyn Database) {
        let start = environment(Prelaunch::on(database));
        start.clone().args(&["upgrade", "head"]).alembic(database).assert_status(0);
        start.clone().env("AUTO_MIGRATION", "check").run().assert_status(0);
        let hook = start.env("AUTO_MIGRATION", "true").env("AFTER_MIGRATE", "echo hooked");
        hook.run().assert_status(0).assert_said("hooked");
        hook.run().assert_status(0).assert_never_said("hooked");
    }

    fn several_heads_are_reached_one_after_the_other(database: &dyn Database) {
        let start = environment(Prelaunch::on(database))
            .file("app/versions/x1.py", revision("x1", "b2", "op.create_table('xs', sa.Column('n', sa.Integer))"))
            .env("AUTO_MIGRATION", "true");
        start.run().assert_status(21);
        start.clone().env("MIGRATION_TARGET", "heads").run().assert_status(0);
        let rows = database.query("select version_num from alembic_version order by 1");
        assert_eq!(rows, "c3\nx1");
        start.env("MIGRATION_TARGET", "heads").env("AUTO_MIGRATION", "check").run().assert_status(0);
    }
}

#[test]
fn the_version_table_may_be_anywhere() {
    let database = Postgres::create();
    database.query("create schema bookkeeping");
    let start = environment(Prelaunch::on(&database)).env("AUTO_MIGRATION", "true");
    let start = start.file(
        "app/env.py",
        ENV.replace(
            "context.configure(",
            "context.configure(version_table='done', version_table_schema='bookkeeping', ",
        ),
    );
    let first = start.run();
    first.assert_status(0);
    assert!(
        first.stderr().contains("of table `bookkeeping.done` in schema `public`"),
        "{}",
        first.transcript()
    );
    assert_eq!(database.query("select version_num from bookkeeping.done"), "c3");
    start.clone().env("AUTO_MIGRATION", "check").run().assert_status(0);
    // What env.py computes has to be said.
    let hidden = start.file("app/env.py", ENV.replace("context.configure(", "context.configure(**{'version_table': 'do' + 'ne', 'version_table_schema': 'bookkeeping'}, "));
    hidden.clone().env("AUTO_MIGRATION", "check").run().assert_status(17);
    hidden
        .env("AUTO_MIGRATION", "check")
        .env("VERSION_TABLE", "bookkeeping.done")
        .run()
        .assert_status(0);
}

#[test]
fn an_unsound_environment_is_told_before_anything_is_touched() {
    let database = Postgres::create();
    let start = environment(Prelaunch::on(&database)).env("AUTO_MIGRATION", "true");
    let looped = start.clone().file("app/versions/d4.py", revision("d4", "d4", "pass"));
    looped.run().assert_status(20).assert_last_words(
        "prelaunch: exit 20 in configure: DIR/app/versions/d4.py:2: revision `d4` comes before itself; name the revision that does",
    );
    let missing = start.file("app/versions/d4.py", revision("d4", "nowhere", "pass"));
    missing.run().assert_status(20);
    assert_eq!(database.tables(), [""; 0]);
}

/// What many an `env.py` does; `<URL>` is the expression that it sets the option to.
const ENV_THAT_SETS: &str = "\
import os
from alembic import context
from sqlalchemy import engine_from_config

config = context.config
config.set_main_option('sqlalchemy.url', <URL>)
section = config.get_section(config.config_ini_section)
with engine_from_config(section).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
";

/// As drivers have it, and with a `%` in the password.
fn url_with_a_percent_sign(database: &Postgres) -> String {
    let url = database.url().replacen("postgres://", "postgresql+psycopg2://", 1);
    assert!(url.contains("secret-"), "{url}");
    url.replace("secret-", "secret%2D")
}

#[test]
fn a_percent_sign_in_the_url_is_warned_about_where_alembic_fails_over_it() {
    let database = Postgres::create();
    let start = environment(Prelaunch::on(&database))
        .env("DATABASE_URL", url_with_a_percent_sign(&database))
        .env("AUTO_MIGRATION", "true");
    let with = |url: &str| start.clone().file("app/env.py", ENV_THAT_SETS.replace("<URL>", url));
    let warning = "WARN configure: the database URL contains `%`, which `set_main_option` takes for a reference: write `%%` for it there, or Alembic fails and prints the URL at=DIR/app/env.py:6";

    let outcome = with("os.environ['DATABASE_URL']").run();
    outcome
        .assert_status(19)
        .assert_said(warning)
        .assert_said("ValueError: invalid interpolation syntax");
    outcome.assert_last_words(
        "prelaunch: exit 19 in apply: MIGRATE_COMMAND failed: `alembic` ended with exit code 1; if it says `invalid interpolation syntax`: the database URL contains `%`, for which `%%` has to be written at DIR/app/env.py:6",
    );
    assert_eq!(database.history(), [""; 0]);
    // Where it is not in `env.py`, it is told when it fails.
    start
        .clone()
        .file("app/env.py", "from elsewhere import config\n")
        .file(
            "app/elsewhere.py",
            "import os\nfrom alembic import context\nconfig = context.config\n\
             config.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])\n",
        )
        .env("PYTHONPATH", start.directory().join("app"))
        .run()
        .assert_status(19)
        .assert_never_said("WARN")
        .assert_last_words(
            "prelaunch: exit 19 in apply: MIGRATE_COMMAND failed: `alembic` ended with exit code 1; if it says `invalid interpolation syntax`: the database URL contains `%`, for which `%%` has to be written where it is given to `set_main_option`",
        );

    let works = with("os.environ['DATABASE_URL'].replace('%', '%%')");
    works.run().assert_status(0).assert_never_said("WARN");
    assert_eq!(database.history(), ["upgrade a1", "upgrade b2", "upgrade c3"]);
}

#[test]
fn an_env_that_hands_the_url_to_an_engine_is_not_warned_about() {
    let database = Postgres::create();
    let start = environment(Prelaunch::on(&database))
        .env("DATABASE_URL", url_with_a_percent_sign(&database))
        .env("AUTO_MIGRATION", "true");
    start.run().assert_status(0).assert_never_said("WARN");
    // Nor is one without such a character.
    let set = start
        .file("app/env.py", ENV_THAT_SETS.replace("<URL>", "os.environ['DATABASE_URL']"))
        .env("DATABASE_URL", database.url().replacen("postgres://", "postgresql://", 1));
    set.env("AUTO_MIGRATION", "check").run().assert_status(0).assert_never_said("WARN");
}

impl Prelaunch {
    /// The same arguments for the real Alembic.
    pub(crate) fn alembic(self, database: &dyn Database) -> crate::outcome::Outcome {
        let arguments = self.arguments().join(" ");
        let python = format!("cd app && exec {}/bin/alembic {arguments}", venv());
        self.env("DATABASE_URL", database.url()).under(&["sh", "-c", &python]).run()
    }
}

/// Where the tests' Alembic is.
pub(crate) fn venv() -> String {
    env::var("PRELAUNCH_TEST_VENV")
        .expect("PRELAUNCH_TEST_VENV is not set: run the tests with ./test.sh")
}

/// An environment of three revisions in `app/`, and `alembic` in the PATH.
pub(crate) fn environment(start: Prelaunch) -> Prelaunch {
    let path = format!("{}/bin:{}", venv(), crate::prelaunch::PATH);
    let table = "op.create_table('things', sa.Column('n', sa.Integer))";
    let column = "op.add_column('things', sa.Column('m', sa.Integer))";
    start
        .env("PATH", path)
        .env("MIGRATIONS_DIR", "app")
        .file("app/alembic.ini", "[alembic]\nscript_location = %(here)s\n")
        .file("app/env.py", ENV)
        .file("app/script.py.mako", "")
        .file("app/versions/a1.py", titled("one", &revision("a1", "", table)))
        .file("app/versions/b2.py", titled("two", &revision("b2", "a1", column)))
        .file(
            "app/versions/c3.py",
            titled("three", &revision("c3", "b2", "op.execute('select 1')")),
        )
}

/// What an environment does with the URL of ours.
pub(crate) const ENV: &str = "\
import os
import sqlalchemy as sa
from alembic import context

url = os.environ['DATABASE_URL'].replace('postgres://', 'postgresql+psycopg2://', 1)
# Four slashes are an absolute path there.
url = url.replace('sqlite:/', 'sqlite:////', 1)
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
";

pub(crate) fn revision(id: &str, down: &str, body: &str) -> String {
    let down = if down.is_empty() { "None".to_owned() } else { format!("'{down}'") };
    format!(
        "import sqlalchemy as sa\nrevision = '{id}'\ndown_revision = {down}\nfrom alembic import op\n\n\
         def upgrade():\n    {body}\n\ndef downgrade():\n    pass\n"
    )
}

pub(crate) fn titled(title: &str, text: &str) -> String {
    format!("\"\"\"{title}\"\"\"\n{text}")
}

#[test]
fn a_virtual_environment_beside_the_settings_is_found() {
    let database = Postgres::create();
    let start = environment(Prelaunch::on(&database))
        .env("AUTO_MIGRATION", "true")
        .env("PATH", crate::prelaunch::PATH);
    start.run().assert_status(19).assert_last_words(
        "prelaunch: exit 19 in apply: MIGRATE_COMMAND failed: cannot run `alembic`: No such file or directory (os error 2)",
    );
    std::os::unix::fs::symlink(Path::new(&venv()), start.directory().join(".venv")).unwrap();
    start.run().assert_status(0);
}

/// The way is known from the graph, and what would be run is not ours to print.
#[test]
fn a_plan_without_a_database_is_told_and_a_script_is_not() {
    let database = Postgres::create();
    let start = environment(Prelaunch::on(&database));
    let ask = |arguments: &[&str]| {
        start
            .clone()
            .args(&[&["database", "migrate", "--revision", "a1:b2"], arguments].concat())
            .run()
    };
    ask(&["--plan"]).assert_status(0).assert_stdout("up    a1 -> b2, two");
    ask(&["--sql"]).assert_status(10).assert_stdout("");
}
