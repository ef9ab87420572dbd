//! A chain that branches and merges behind a command of its own, as in OpenRAG; whose server migrates
//! by itself, and is told that it need not.

use crate::{
    database::Database,
    layouts::{self, OPENRAG, made_of, openrag, ran},
    postgres::Postgres,
};

#[test]
fn the_server_finds_the_schema_ready_and_need_not_migrate() {
    let database = Postgres::create();
    let start = openrag(&database).server(&["sh", "-c", "echo $POSTGRES_RUN_MIGRATIONS"]);
    start.run().assert_status(0).assert_stdout("false");
    assert_eq!(database.query("select version_num from alembic_version"), "1f53920217de");
    assert_eq!(database.upgrades().len(), 9);
    assert_eq!(ran(&start), 1);
    let second = start.clone().env("MIGRATE_COMMAND", "false").run();
    second.assert_status(0).assert_stdout("false").assert_never_said("has the lock");
}

#[test]
fn its_own_switch_is_ours() {
    let database = Postgres::create();
    let start = openrag(&database).server(&["sh", "-c", "echo $POSTGRES_RUN_MIGRATIONS"]);
    let off = start.env("POSTGRES_RUN_MIGRATIONS", "no");
    off.run().assert_status(0).assert_stdout("false").assert_said("starts all the same");
    assert_eq!(database.tables(), [""; 0]);
}

#[test]
fn of_three_servers_at_once_one_migrates() {
    let database = Postgres::create();
    let start = openrag(&database);
    let running: Vec<_> = (0..3).map(|_| start.spawn()).collect();
    for one in running {
        one.wait().assert_status(0);
    }
    assert_eq!(ran(&start), 1);
}

/// Both branches are there, and their merge is not: two rows in the version table.
#[test]
fn a_database_between_branches_and_merge_is_brought_on() {
    let database = Postgres::create();
    let start = openrag(&database);
    let before = start.clone().env("MIGRATION_TARGET", "cd642e4502d8");
    let alembic = |target: &str| {
        let command = format!("alembic upgrade {target}");
        before.clone().env("MIGRATE_COMMAND", command)
    };
    alembic("cd642e4502d8").run().assert_status(0);
    // One of two branches: what is pending is the other one, and all behind it.
    alembic("a1b2c3d4e5f6").env("MIGRATION_TARGET", "a1b2c3d4e5f6").run().assert_status(0);
    let check = start.clone().env("AUTO_MIGRATION", "check").run();
    check.assert_status(17).assert_last_words(
        "prelaunch: exit 17 in plan: 6 revisions are pending: `c224d4befe71`, `cd9b84278028`, `e7f8a9b0c1d2`, `f1a2b3c4d5e6`, `f5b6c918f741` and 1 more",
    );
    alembic("c224d4befe71").env("MIGRATION_TARGET", "c224d4befe71").run().assert_status(0);
    let rows = database.query("select version_num from alembic_version order by 1");
    assert_eq!(rows, "a1b2c3d4e5f6\nc224d4befe71");
    start.run().assert_status(0);
    assert_eq!(database.query("select version_num from alembic_version"), "1f53920217de");
}

#[test]
fn two_heads_that_nobody_has_merged_are_told_before_python_is_begun() {
    let database = Postgres::create();
    let start = layouts::revision(openrag(&database), OPENRAG, "0ddba11ad5e7", "f5b6c918f741");
    start.run().assert_status(21).assert_last_words(
        "prelaunch: exit 21 in configure: MIGRATION_TARGET: the graph has 2 heads, `0ddba11ad5e7` and `1f53920217de`; merge them with `alembic merge -m TITLE 0ddba11ad5e7 1f53920217de`, or name one of them, or `heads` for all",
    );
    assert_eq!(ran(&start), 0);
    assert_eq!(database.tables(), [""; 0]);
}

/// The password needs no escaping, and what is in `DATABASE_URL` belongs to Chainlit.
#[test]
fn the_url_is_put_together_from_parts_of_any_characters() {
    let database = Postgres::create();
    // As Prisma writes it: no URL of ours.
    let other = "postgresql://chainlit@192.0.2.1/chainlit?schema=public";
    let password = "p@ss:w/rd?#%41 $'\"\\";
    let quoted = password.replace('\'', "''");
    database.administer(&format!("alter role {} password '{quoted}'", database.role()));
    let start = openrag(&database)
        .secret(password)
        .env("POSTGRES_PASSWORD", password)
        .env("DATABASE_URL", other)
        .env(
            "AFTER_MIGRATE",
            "sh -c 'echo hook for $(psql -XAtc \"select current_database()\" $DATABASE_URL)'",
        )
        .server(&["sh", "-c", "echo \"$DATABASE_URL $POSTGRES_PASSWORD\""]);
    let outcome = start.run();
    let ours = format!("alter role {} password '{}'", database.role(), database.password());
    database.administer(&ours);
    outcome.assert_status(0).assert_stdout(&format!("{other} {password}"));
    outcome.assert_said("hook for DB");
    assert_eq!(database.upgrades().len(), 9);
}

#[test]
fn without_a_password_the_variable_is_named() {
    let database = Postgres::create();
    let start = openrag(&database).env_remove("POSTGRES_PASSWORD");
    start.run().assert_status(10).assert_last_words(
        "prelaunch: exit 10 in configure: ROOT/examples/openrag/prelaunch.toml:16: `pgpassword`: `POSTGRES_PASSWORD` is not set: OpenRAG needs it too",
    );
}

#[test]
fn the_database_is_called_after_the_collection_unless_it_has_a_name() {
    let database = Postgres::create();
    let collection = database.name();
    let name = format!("partitions_for_collection_{collection}");
    let server = database.server();
    let create = format!("create database {name} owner {}", database.role());
    server.administer("postgres", &[&create]).unwrap();
    let start =
        openrag(&database).env_remove("POSTGRES_DATABASE").env("VDB_COLLECTION_NAME", collection);
    let outcome = start.run();
    let version = server.administer(&name, &["select version_num from alembic_version"]);
    server.administer("postgres", &[&format!("drop database {name} with (force)")]).unwrap();
    outcome.assert_status(0).assert_said("/partitions_for_collection_DB");
    assert_eq!(version.unwrap(), "1f53920217de");
    assert_eq!(database.tables(), [""; 0]);
}

/// OpenRAG's server would give up on it and answer 503 from then on.
#[test]
fn a_migration_that_fails_starts_no_server() {
    let database = Postgres::create();
    let start = openrag(&database).file(
        &format!("{OPENRAG}/versions/broken.py"),
        made_of("broken", "1f53920217de", "op.execute('select nothing')"),
    );
    let failed = start.server(&["echo", "runs"]).run();
    failed.assert_status(19).assert_stdout("").assert_said("nothing");
}
