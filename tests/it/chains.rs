//! Several chains behind one command, as in Agenta: looked at all at once, applied by one run of the
//! command under all locks, and believed only when every chain is where it shall be.

mod listed;

use nix::sys::signal::Signal;

use crate::{
    cluster::Cluster,
    database::Database,
    layouts::{self, AGENTA, agenta, ran},
    postgres::Postgres,
    prelaunch::Prelaunch,
};

/// What all chains are at once Agenta's runner has run.
const HEADS: [(&str, &str); 4] = [
    ("core", "park00000000"),
    ("core_oss", "oss000000001"),
    ("tracing", "park00000000"),
    ("tracing_oss", "oss000000000"),
];

#[test]
fn empty_databases_are_all_migrated_by_one_run_of_the_shared_command() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let first = start.clone().server(&["echo", "the server runs"]).run();
    first.assert_status(0).assert_stdout("the server runs");
    assert_eq!(heads(&core, &tracing), HEADS.map(|(_, head)| head));
    assert_eq!(ran(&start), 1);
}

#[test]
fn at_head_no_python_is_needed_and_no_lock() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    start.run().assert_status(0);
    let second = start.clone().env("PATH", "/nowhere").run();
    second.assert_status(0).assert_never_said("runs a command").assert_never_said("has the lock");
    assert_eq!(ran(&start), 1);
}

#[test]
fn one_chain_that_is_behind_is_enough_for_one_run() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    start.run().assert_status(0);
    let newer =
        layouts::revision(start, &format!("{AGENTA}/tracing_oss"), "oss000000001", "oss000000000");
    // All locks all the same: nobody knows what the command does to the others.
    let slow = newer.clone().env("FIRST", "echo begins; exec sleep 60").spawn();
    slow.wait_for("begins");
    assert!(is_locked(&core) && is_locked(&tracing));
    slow.signal(Signal::SIGTERM);
    assert_eq!(slow.wait().code(), 143);
    newer.run().assert_status(0);
    assert_eq!(ran(&newer), 3);
    let mut expected = HEADS.map(|(_, head)| head);
    expected[3] = "oss000000001";
    assert_eq!(heads(&core, &tracing), expected);
}

#[test]
fn of_three_starts_at_once_one_runs_the_command() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let running: Vec<_> = (0..3).map(|_| start.spawn()).collect();
    for one in running {
        one.wait().assert_status(0);
    }
    assert_eq!(ran(&start), 1);
}

/// Each lock holds a connection of the pool, and the command needs one too.
#[test]
fn a_pooler_may_be_in_between() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let pooled = |url: String| url.replace("postgres://", "postgresql+asyncpg://");
    let start = agenta(&core, &tracing)
        .env("POSTGRES_URI_CORE", pooled(core.pgbouncer_url()))
        .env("POSTGRES_URI_TRACING", pooled(tracing.pgbouncer_url()));
    let running: Vec<_> = (0..3).map(|_| start.spawn()).collect();
    for one in running {
        one.wait().assert_status(0);
    }
    assert_eq!(ran(&start), 1);
    assert_eq!(heads(&core, &tracing), HEADS.map(|(_, head)| head));
}

#[test]
fn one_chain_that_is_ahead_is_refused_by_name_and_nothing_is_run() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    start.run().assert_status(0);
    tracing.query("update alembic_version_oss set version_num = 'from_tomorrow'");
    // That another one has something pending changes nothing.
    let newer =
        layouts::revision(start, &format!("{AGENTA}/core_oss"), "oss000000002", "oss000000001");
    newer.run().assert_status(16).assert_last_words(
        "prelaunch: exit 16 in plan: chain `tracing_oss`: the database is ahead: this image lacks revision `from_tomorrow`; start the image that brought it, or set DATABASE_AHEAD=allow",
    );
    assert_eq!(ran(&newer), 1);
    newer.clone().env("AUTO_MIGRATION", "check").run().assert_status(16);
}

#[test]
fn a_command_that_succeeds_without_one_chain_is_not_believed() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let lazy = start.clone().env("CHAINS", "core core_oss tracing").server(&["echo", "runs"]).run();
    lazy.assert_status(14).assert_stdout("").assert_last_words(
        "prelaunch: exit 14 in apply: chain `tracing_oss`: the command succeeded, but the target `head` is not reached: 1 revision is still pending, and table `alembic_version_oss` has no row; does the command use another database, or another version table (VERSION_TABLE)?",
    );
    // What was reached stays, and the next start has only the rest to do.
    start.run().assert_status(0);
    assert_eq!(heads(&core, &tracing), HEADS.map(|(_, head)| head));
}

#[test]
fn a_command_that_fails_is_19() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    start
        .clone()
        .env("MIGRATE_COMMAND", "sh -c 'exit 3'")
        .run()
        .assert_status(19)
        .assert_last_words(
            "prelaunch: exit 19 in apply: MIGRATE_COMMAND failed: `sh` ended with exit code 3",
        );
    // One that dies by itself, with one chain done.
    let killed = "python -m oss.databases.postgres.migrations.runner && kill -TERM $$";
    start
        .clone()
        .env("CHAINS", "core")
        .env("MIGRATE_COMMAND", format!("sh -c '{killed}'"))
        .run()
        .assert_status(19)
        .assert_last_words(
            "prelaunch: exit 19 in apply: MIGRATE_COMMAND failed: `sh` was ended by signal 15",
        );
    start.run().assert_status(0);
}

#[test]
fn a_signal_ends_the_command_and_gives_all_locks_back() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let slow = start.clone().env("FIRST", "echo begins; exec sleep 60").spawn();
    slow.wait_for("begins");
    assert!(is_locked(&core) && is_locked(&tracing));
    slow.signal(Signal::SIGTERM);
    assert_eq!(slow.wait().code(), 143);
    assert!(!is_locked(&core) && !is_locked(&tracing));
    start.run().assert_status(0);
    assert_eq!(ran(&start), 2);
}

#[test]
fn check_fails_on_what_is_pending_in_any_chain() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let check = |start: &Prelaunch| start.clone().env("AUTO_MIGRATION", "check").run();
    check(&start).assert_status(17).assert_last_words(
        "prelaunch: exit 17 in plan: chain `core`: 3 revisions are pending: `c1`, `c2` and `park00000000`",
    );
    start.run().assert_status(0);
    check(&start).assert_status(0).assert_never_said("has the lock");
    let newer = layouts::revision(start, &format!("{AGENTA}/tracing"), "t3", "park00000000");
    check(&newer).assert_status(17).assert_last_words(
        "prelaunch: exit 17 in plan: chain `tracing`: 1 revision is pending: `t3`",
    );
    assert_eq!(ran(&newer), 1);
}

#[test]
fn whoever_waits_waits_for_all_chains() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let never = start.clone().env("AUTO_MIGRATION", "wait").env("LOCK_TIMEOUT", "0").run();
    never.assert_status(17).assert_last_words(
        "prelaunch: exit 17 in lock: chain `core`: no other runner migrated the database within 0ms: 3 revisions are pending: `c1`, `c2` and `park00000000`",
    );
    let waits = start.clone().env("AUTO_MIGRATION", "wait").server(&["echo", "runs"]).spawn();
    waits.wait_for("waits");
    // Not yet: one chain is missing.
    start.clone().env("CHAINS", "core core_oss tracing").run().assert_status(14);
    start.run().assert_status(0);
    waits.wait().assert_status(0).assert_stdout("runs");
}

#[test]
fn two_servers_are_waited_for_at_once() {
    let (first, second) = (Cluster::start(), Cluster::start());
    let (core, tracing) = (first.create(), second.create());
    first.stop();
    second.stop();
    let start = agenta(&core, &tracing).spawn();
    for (chain, database) in [("core", &core), ("tracing_oss", &tracing)] {
        let address = database.address();
        start.wait_for(&format!("no answer yet chain={chain} what={address}"));
    }
    // In either order.
    second.start_again();
    start.wait_for(&format!("answers chain=tracing what={}", tracing.address()));
    first.start_again();
    start.wait().assert_status(0);
    assert_eq!(heads(&core, &tracing), HEADS.map(|(_, head)| head));
}

#[test]
fn the_off_switch_is_agentas_by_each_of_its_names() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing).server(&["echo", "runs"]);
    let off = |name: &str| start.clone().env(name, "off").run();
    off("ALEMBIC_AUTO_MIGRATIONS").assert_status(0).assert_stdout("runs");
    off("AGENTA_AUTO_MIGRATIONS").assert_status(0).assert_never_said("AGENTA_AUTO_MIGRATION`");
    off("AGENTA_AUTO_MIGRATION").assert_status(0).assert_said(
        "WARN configure: `AGENTA_AUTO_MIGRATION` is an old name; set `AGENTA_AUTO_MIGRATIONS` instead",
    );
    assert_eq!(ran(&start), 0);
    // The newer name wins.
    let both = start.clone().env("AGENTA_AUTO_MIGRATIONS", "off");
    both.env("ALEMBIC_AUTO_MIGRATIONS", "enabled").run().assert_status(0);
    assert_eq!(ran(&start), 1);
}

#[test]
fn the_urls_are_put_together_as_agenta_does_where_they_are_not_given() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let prefix = core.name().to_owned();
    let server = core.server();
    for part in ["core", "tracing"] {
        let create = format!("create database {prefix}_{part} owner {}", core.role());
        server.administer("postgres", &[&create]).unwrap();
    }
    // The host is `postgres` there, and here this machine.
    let start = agenta(&core, &tracing)
        .env_remove("POSTGRES_URI_CORE")
        .env_remove("POSTGRES_URI_TRACING")
        .env("POSTGRES_DB_PREFIX", &prefix)
        .env("POSTGRES_USER", core.role())
        .env("POSTGRES_PASSWORD", core.password())
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", server.port.to_string())
        .env("AUTO_MIGRATION", "check");
    let checked = start.run();
    for part in ["core", "tracing"] {
        let drop = format!("drop database {prefix}_{part} with (force)");
        server.administer("postgres", &[&drop]).unwrap();
    }
    checked.assert_status(17).assert_said("what=postgres://ROLE@127.0.0.1:PORT/DB_core");
}

#[test]
fn the_enterprise_edition_has_six_chains_under_three_version_tables() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing)
        .env("PRELAUNCH_CONFIG", layouts::example("agenta/prelaunch.ee.toml"))
        .env("AGENTA_EE_MIGRATIONS", AGENTA);
    let more = [("core_ee", "POSTGRES_URI_CORE"), ("tracing_ee", "POSTGRES_URI_TRACING")];
    let start = more.iter().fold(start, |start, (chain, variable)| {
        let dir = format!("{AGENTA}/{chain}");
        let start = layouts::environment(start, &dir, variable, "alembic_version_ee");
        layouts::revision(start, &dir, "ee0000000000", "")
    });
    let runner = start.read(&format!("{AGENTA}/runner.py"));
    let start = start
        .file(
            "ee/databases/postgres/migrations/runner.py",
            runner.replace("Path(__file__).parent", &format!("Path('{AGENTA}')")),
        )
        .env("CHAINS", "core core_oss core_ee tracing tracing_oss tracing_ee");
    start.run().assert_status(0);
    assert_eq!(ran(&start), 1);
    for database in [&core, &tracing] {
        assert_eq!(database.query("select version_num from alembic_version_ee"), "ee0000000000");
    }
    start.clone().env("PATH", "/nowhere").run().assert_status(0);
}

#[test]
fn the_terminal_answers_for_all_chains_or_for_one() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    start.run().assert_status(0);
    let start =
        layouts::revision(start, &format!("{AGENTA}/core_oss"), "oss000000002", "oss000000001");
    let ask = |arguments: &[&str]| start.clone().args(&[&["database"], arguments].concat()).run();
    ask(&["current"]).assert_status(0).assert_stdout(
        "
        [core]
        park00000000 (head)

        [core_oss]
        oss000000001

        [tracing]
        park00000000 (head)

        [tracing_oss]
        oss000000000 (head)
        ",
    );
    ask(&["current", "--chain", "core_oss"]).assert_status(0).assert_stdout("oss000000001");
    ask(&["check"]).assert_status(17);
    ask(&["check", "--chain", "core_oss"]).assert_status(17);
    ask(&["check", "--chain", "core"]).assert_status(0);
    ask(&["current", "--chain", "nowhere"]).assert_status(2).assert_last_words(
        "prelaunch: exit 2 in configure: there is no chain `nowhere`; name another with --chain: `core`, `core_oss`, `tracing`, `tracing_oss`",
    );
    assert_eq!(ran(&start), 1);
}

#[test]
fn a_hook_is_run_once_for_the_heads_of_all_chains_together() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let hook = "echo hook >> hooks";
    let start = agenta(&core, &tracing).env("AFTER_MIGRATE", format!("sh -c '{hook}'"));
    let hooks = |start: &Prelaunch| start.read("hooks").lines().count();
    // Not before every chain is there.
    start.clone().env("CHAINS", "core core_oss tracing").run().assert_status(14);
    assert!(!start.directory().join("hooks").exists());
    start.run().assert_status(0);
    start.run().assert_status(0).assert_never_said("runs a command");
    assert_eq!(hooks(&start), 1);
    // What is recorded is in the first chain; what changes is in the last one.
    let newer =
        layouts::revision(start, &format!("{AGENTA}/tracing_oss"), "oss000000001", "oss000000000");
    newer.run().assert_status(0);
    newer.run().assert_status(0).assert_never_said("runs a command");
    assert_eq!(hooks(&newer), 2);
}

/// Without it nobody else would be kept away from that database any more.
#[test]
fn a_lock_that_is_lost_in_one_database_ends_the_command() {
    let (core, tracing) = (Postgres::create(), Postgres::create());
    let start = agenta(&core, &tracing);
    let slow = start.clone().env("FIRST", "echo begins; exec sleep 60").spawn();
    slow.wait_for("begins");
    let killed = tracing.query(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where application_name like 'prelaunch:%:keeper:%' and datname = current_database()",
    );
    assert_eq!(killed, "t\nt");
    slow.wait().assert_status(11).assert_said(
        "exit 11 in apply: MIGRATE_COMMAND failed: `python` was stopped: the lock was lost",
    );
    start.run().assert_status(0);
}

/// What each chain is at, in the order of [`HEADS`].
fn heads(core: &dyn Database, tracing: &dyn Database) -> [String; 4] {
    [(core, ""), (core, "_oss"), (tracing, ""), (tracing, "_oss")].map(|(database, suffix)| {
        database.query(&format!("select version_num from alembic_version{suffix}"))
    })
}

/// Whether anybody has a lock like ours.
fn is_locked(database: &Postgres) -> bool {
    let held = "select count(*) > 0 from pg_locks where locktype = 'advisory' and granted \
                and database = (select oid from pg_database where datname = current_database())";
    database.query(held) == "t"
}
