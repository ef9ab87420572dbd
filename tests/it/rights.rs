//! What rights on PostgreSQL each mode needs, and what is said where they are missing.

use nix::sys::signal::Signal;

use crate::{
    database::{Database as _, eventually},
    outcome::Outcome,
    postgres::Postgres,
    prelaunch::Prelaunch,
    running::Running,
};

/// Another role than the owner, which may connect and no more.
struct Guest<'d> {
    database: &'d Postgres,
    name: String,
}

impl<'d> Guest<'d> {
    fn of(database: &'d Postgres) -> Self {
        let name = format!("{}_guest", database.name());
        database.administer(&format!("create role {name} login password 'guest'"));
        Self { database, name }
    }

    fn is_granted(&self, what: &str) {
        self.database.administer(&format!("{what} to {}", self.name));
    }

    /// A start as this role.
    fn starts(&self, mode: &str) -> Prelaunch {
        let server = self.database.server();
        Prelaunch::new()
            .knows(self.database)
            .stand("DB_guest", "GUEST")
            .env("DATABASE_URL", server.url(&self.name, "guest", self.database.name()))
            .env("AUTO_MIGRATION", mode)
            .migrations_from("demo")
            .server(&["echo", "the server runs"])
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let name = &self.name;
        self.database.administer(&format!("drop owned by {name}; drop role {name}"));
    }
}

fn migrate(database: &Postgres) {
    Prelaunch::on(database)
        .env("AUTO_MIGRATION", "true")
        .migrations_from("demo")
        .run()
        .assert_status(0);
}

const TABLES: &str = "prelaunch_ledger, prelaunch_history, prelaunch_journal";

#[test]
fn to_check_and_to_wait_is_to_read() {
    let database = Postgres::create();
    migrate(&database);
    let guest = Guest::of(&database);
    guest.is_granted(&format!("grant select on {TABLES}"));
    for mode in ["check", "wait", "false"] {
        guest.starts(mode).run().assert_status(0).assert_stdout("the server runs");
    }
}

/// Nothing but the default privileges of the owner is there to be granted before the tables are.
#[test]
fn who_waits_for_the_tables_may_be_given_rights_before() {
    let database = Postgres::create();
    let guest = Guest::of(&database);
    guest.is_granted(&format!(
        "alter default privileges for role {} in schema public grant select on tables",
        database.role(),
    ));
    let waiting = guest.starts("wait").spawn();
    waiting.wait_for("waits for another runner to migrate");
    migrate(&database);
    waiting.wait().assert_status(0).assert_stdout("the server runs");
}

const NO_SELECT: &str = "prelaunch: exit 12 in look: role `GUEST` may not read the ledger; as its \
                         owner: grant usage on schema public to GUEST; grant select on \
                         public.prelaunch_ledger, public.prelaunch_history, \
                         public.prelaunch_journal to GUEST: permission denied for table";

#[test]
fn without_the_right_to_read_the_grant_is_named() {
    let database = Postgres::create();
    let guest = Guest::of(&database);
    let waiting = guest.starts("wait").spawn();
    waiting.wait_for("waits for another runner to migrate");
    migrate(&database);
    let mut ends = vec![waiting.wait()];
    ends.extend(["true", "check", "wait"].map(|mode| guest.starts(mode).run()));
    for outcome in ends {
        outcome.assert_status(12).assert_stdout("");
        assert!(outcome.last_words().starts_with(NO_SELECT), "{}", outcome.transcript());
    }
    // The off switch promises no more than a report.
    guest
        .starts("false")
        .run()
        .assert_status(0)
        .assert_stdout("the server runs")
        .assert_said("WARN look: cannot read the ledger why=");
}

/// Where the version table is in a schema that the role may not use, that is told as well.
#[test]
fn the_schema_of_the_version_table_is_part_of_the_grant() {
    let database = Postgres::create();
    let guest = Guest::of(&database);
    database.administer(&format!("create schema app authorization {}", database.role()));
    let kept = |start: Prelaunch| start.env("VERSION_TABLE", "app.alembic_version");
    let migrating = Prelaunch::on(&database).env("AUTO_MIGRATION", "true").migrations_from("demo");
    kept(migrating).run().assert_status(0);
    guest.is_granted(&format!("grant select on {TABLES}"));
    kept(guest.starts("wait")).run().assert_status(12).assert_last_words(
        "prelaunch: exit 12 in look: role `GUEST` may not read the ledger; as its owner: grant usage on \
         schema public, app to GUEST; grant select on public.prelaunch_ledger, \
         public.prelaunch_history, public.prelaunch_journal, app.alembic_version to GUEST: permission \
         denied for schema app (SQLSTATE 42501)",
    );
    let off = kept(guest.starts("false")).run();
    off.assert_status(0).assert_said("WARN look: cannot read the ledger why=");
    guest.is_granted("grant usage on schema app");
    guest.is_granted("grant select on app.alembic_version");
    kept(guest.starts("wait")).run().assert_status(0).assert_stdout("the server runs");
}

#[test]
fn to_migrate_is_to_create() {
    let database = Postgres::create();
    let guest = Guest::of(&database);
    // As it is by itself from PostgreSQL 15.
    database.administer("revoke create on schema public from public");
    guest.starts("true").run().assert_status(12).assert_stdout("").assert_last_words(
        "prelaunch: exit 12 in apply: cannot create the tables `prelaunch_ledger`, \
         `prelaunch_history` and `prelaunch_journal`; the migrating role must be allowed to create \
         tables: permission denied for schema public (SQLSTATE 42501)",
    );
}

/// Neither the lock, nor naming its holder, nor ending an orphan asks for more than the role has.
#[test]
fn a_role_that_owns_nothing_yet_migrates_once() {
    let database = Postgres::create();
    database.query("create table patience (amount integer); insert into patience values (600)");
    let guest = Guest::of(&database);
    guest.is_granted("grant create on schema public");
    guest.is_granted("grant select on patience");
    let up = "select pg_sleep(amount) from patience;";
    let start = guest.starts("true").revision("b000", "1e629a913727", up);
    let killed = start.spawn();
    let sleeps = "select 1 from pg_stat_activity where state = 'active' \
                  and query like 'select pg_sleep(%' and datname = current_database()";
    let asked = || (database.administer(sleeps) == "1").then_some(());
    eventually("it sleeps", asked);
    let running: Vec<_> = (0..8).map(|_| start.spawn()).collect();
    let line = running[0].wait_for("waits for the lock");
    assert!(line.contains("running `select pg_sleep(amount) from patience`"), "{line}");
    database.query("update patience set amount = 0");
    killed.signal(Signal::SIGKILL);
    killed.wait().assert_killed_by(Signal::SIGKILL);
    let outcomes: Vec<_> = running.into_iter().map(Running::wait).collect();
    for outcome in &outcomes {
        outcome.assert_status(0).assert_stdout("the server runs");
    }
    let applied = |one: &Outcome| one.count("applies a revision revision=b000");
    assert_eq!(outcomes.iter().map(applied).sum::<usize>(), 1);
}

/// What the script of a revision may not do is a failure of that revision.
#[test]
fn a_revision_that_lacks_a_right_has_failed() {
    let database = Postgres::create();
    let guest = Guest::of(&database);
    database.query("create table foreign_to_us (a integer)");
    guest.is_granted("grant create on schema public");
    let start = guest.starts("true").revision("b000", "1e629a913727", "drop table foreign_to_us;");
    start.run().assert_status(14).assert_last_words(
        "prelaunch: exit 14 in apply: revision `b000` failed at migrations/b000.sql:7:1 and was \
         rolled back: must be owner of table foreign_to_us (SQLSTATE 42501)",
    );
    assert_eq!(database.query("select count(*) from foreign_to_us"), "0");
}
