//! Chains as files of other kinds list them: with commands and targets of their own, in another order,
//! in one SQLite file, beside scripts.

use std::fs;

use nix::sys::signal::Signal;

use crate::{
    database::Database,
    layouts::{self, AGENTA, agenta, ran},
    postgres::Postgres,
    prelaunch::Prelaunch,
    sqlite::Sqlite,
};

/// Two whose files name the chains in opposite order: locks that are taken in the order of the file
/// would end in each waiting for the other.
#[test]
fn the_order_of_the_file_is_not_that_of_the_locks() {
    for round in 0..4 {
        let (core, tracing) = (Postgres::create(), Postgres::create());
        let order = |first: &str, second: &str, start: Prelaunch| {
            let chain = |name: &str| {
                format!(
                    "[[chain]]\nname = '{name}'\ndatabase_url = '${{POSTGRES_URI_{}}}'\n\
                     dir = '{AGENTA}/{name}'\n",
                    name.to_uppercase()
                )
            };
            let head = "auto_migration = true\nlock_timeout = 15\n\
                        migrate_command = 'python -m oss.databases.postgres.migrations.runner'\n";
            let file = format!("{first}-{second}.toml");
            let last = if second == first { String::new() } else { chain(second) };
            let text = format!("{head}{}{last}", chain(first));
            start.file(&file, text).env("PRELAUNCH_CONFIG", file).env("CHAINS", "core tracing")
        };
        let start = agenta(&core, &tracing);
        // Somebody is at work already, in one of the two.
        let held = if round % 2 == 0 { "core" } else { "tracing" };
        let holder = order(held, held, start.clone())
            .env("MIGRATE_COMMAND", "sh -c 'echo begins; exec sleep 60'")
            .spawn();
        holder.wait_for("begins");
        let one = order("core", "tracing", start.clone()).spawn();
        let other = order("tracing", "core", start.clone()).spawn();
        one.wait_for("waits");
        other.wait_for("waits");
        holder.signal(Signal::SIGTERM);
        assert_eq!(holder.wait().code(), 143);
        one.wait().assert_status(0);
        other.wait().assert_status(0);
        assert_eq!(ran(&start), 1);
    }
}

#[test]
fn two_chains_at_one_place_are_an_error() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let twice = "\
        [[chain]]\nname = 'one'\ndatabase_url = '${POSTGRES_URI_CORE}'\ndir = 'DIR/core'\n\
        [[chain]]\nname = 'two'\ndatabase_url = '${POSTGRES_URI_CORE}'\ndir = 'DIR/tracing'\n"
        .replace("DIR", AGENTA);
    let start = start.file("twice.toml", twice).env("PRELAUNCH_CONFIG", "twice.toml");
    start.env("AUTO_MIGRATION", "true").run().assert_status(10).assert_last_words(
        "prelaunch: exit 10 in configure: chains `one` and `two` would keep what is applied in the same table, `alembic_version`; correct the `database_url` of one, or name another `version_table`",
    );
    assert_eq!(core.tables(), [""; 0]);
}

/// Two names of one server: a run would wait for itself.
#[test]
fn two_chains_at_one_place_under_two_names_are_an_error_too() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let twice = "\
        auto_migration = true\n\
        [[chain]]\nname = 'one'\ndatabase_url = '${ONE}'\ndir = 'DIR/core'\n\
        [[chain]]\nname = 'two'\ndatabase_url = '${TWO}'\ndir = 'DIR/tracing'\n"
        .replace("DIR", AGENTA);
    let start = agenta(&core, &tracing)
        .file("twice.toml", twice)
        .env("PRELAUNCH_CONFIG", "twice.toml")
        .env("ONE", core.url())
        .env("TWO", core.url().replace("127.0.0.1", "localhost"));
    start.run().assert_status(10).assert_last_words(
        "prelaunch: exit 10 in lock: chain `two`: the advisory lock 9492853785277318 of table `alembic_version` in schema `public` is held by this run itself: another chain has its table in the same place; correct the `database_url` of one, or name another `version_table`",
    );
    assert_eq!(core.tables(), [""; 0]);
}

#[test]
fn two_schemas_of_one_database_are_two_places() {
    let database = Postgres::create();
    database.query("create schema one; create schema two");
    let chain = |name: &str| {
        format!(
            "[[chain]]\nname = '{name}'\n\
             database_url = '${{DATABASE_URL}}?options=-csearch_path%3D{name}'\n\
             dir = 'migrations'\n"
        )
    };
    let start = Prelaunch::on(&database)
        .revision("aaaa", "", "create table a (n int);")
        .file("two.toml", format!("auto_migration = true\n{}{}", chain("one"), chain("two")))
        .env("PRELAUNCH_CONFIG", "two.toml");
    start.run().assert_status(0);
    assert_eq!(database.query("select count(*) from one.a, two.a"), "0");
    start.run().assert_status(0).assert_never_said("has the lock");
}

#[test]
fn each_chain_may_have_its_own_command_and_target() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let own = "\
        auto_migration = true\n\
        [[chain]]\nname = 'core'\ndatabase_url = '${CORE}'\ndir = 'DIR/core'\ntarget = 'c2'\n\
        command = ['alembic', 'upgrade', '{}']\n\
        [[chain]]\nname = 'two ends'\ndatabase_url = '${TRACING}'\ndir = 'DIR/tracing'\n\
        target = 'heads'\n"
        .replace("DIR", AGENTA);
    let start =
        layouts::revision(agenta(&core, &tracing), &format!("{AGENTA}/tracing"), "side", "t1");
    let start = start
        .file("own.toml", own)
        .env("PRELAUNCH_CONFIG", "own.toml")
        .env_remove("POSTGRES_URI_CORE")
        .env_remove("POSTGRES_URI_TRACING")
        .env("CORE", core.url())
        .env("TRACING", tracing.url());
    start.run().assert_status(0);
    assert_eq!(core.query("select version_num from alembic_version"), "c2");
    let ends = tracing.query("select version_num from alembic_version order by 1");
    assert_eq!(ends, "park00000000\nside");
    assert_eq!(ran(&start), 0);
    start.clone().env("PATH", "/nowhere").run().assert_status(0);
    // One end is missing: only that chain is gone about.
    let more = layouts::revision(start, &format!("{AGENTA}/tracing"), "side2", "side");
    let more = more.run();
    more.assert_status(0);
    assert_eq!(more.count("runs a command"), 1);
}

#[test]
fn several_chains_may_share_one_sqlite_file() {
    let database = Sqlite::create();
    let file = "\
        auto_migration = true\n\
        [[chain]]\nname = 'core'\ndir = 'DIR/core'\n\
        [[chain]]\nname = 'core_oss'\ndir = 'DIR/core_oss'\n"
        .replace("DIR", AGENTA);
    let start = layouts::four_chains(layouts::in_python(Prelaunch::on(&database)))
        .file("two.toml", file)
        .env("PRELAUNCH_CONFIG", "two.toml");
    start.run().assert_status(0);
    assert_eq!(database.query("select version_num from alembic_version"), "park00000000");
    assert_eq!(database.query("select version_num from alembic_version_oss"), "oss000000001");
    start.env("PATH", "/nowhere").run().assert_status(0);
}

#[test]
fn scripts_and_alembic_may_stand_side_by_side() {
    let database = Postgres::create();
    let file = "\
        auto_migration = true\n\
        [[chain]]\nname = 'ours'\ndir = 'migrations'\n\
        [[chain]]\nname = 'theirs'\ndir = 'DIR/core'\n"
        .replace("DIR", AGENTA);
    let start = layouts::four_chains(layouts::in_python(Prelaunch::on(&database)))
        .revision("aaaa", "", "create table ours (n int);")
        .file("both.toml", file)
        .env("PRELAUNCH_CONFIG", "both.toml");
    start.run().assert_status(0);
    assert_eq!(database.ledger(), ["aaaa"]);
    assert_eq!(database.query("select version_num from alembic_version"), "park00000000");
    let broken = start.clone().revision("bbbb", "aaaa", "create table ours (n int);");
    broken.run().assert_status(14).assert_last_words(
        "prelaunch: exit 14 in apply: chain `ours`: revision `bbbb` failed at migrations/bbbb.sql:7:1 and was rolled back: relation \"ours\" already exists (SQLSTATE 42P07)",
    );
    fs::remove_file(broken.directory().join("migrations/bbbb.sql")).unwrap();
    start.env("PATH", "/nowhere").run().assert_status(0);
}
