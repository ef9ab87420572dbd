//! The configuration file: what it says, and how it fails.

use std::io;

use super::super::{
    AutoMigration, Config, ConfigErrors, EnvironmentChange, Hook, MigrateCommand, read,
    read_for_terminal,
};
use super::*;

fn environment(text: &str) -> Vec<(OsString, OsString)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| line.split_once('=').unwrap());
    let named = [("PRELAUNCH_CONFIG".into(), "/p.toml".into())];
    pairs.map(|(name, value)| (name.into(), value.into())).chain(named).collect()
}

fn config(file: &str, variables: &str) -> Result<Config, ConfigErrors> {
    read(&environment(variables), |path| match path.to_str() {
        Some("/p.toml") => Ok(file.to_owned()),
        Some("/secret") => Ok("postgres://u:hunter2@h/secret\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

fn refused(file: &str, variables: &str, expected: &str) {
    let errors = config(file, variables).expect_err(file);
    assert_eq!(errors.to_string(), expected, "{file}");
    assert!(!format!("{errors:?}").contains("hunter2"), "{file}");
}

fn urls(config: &Config) -> Vec<String> {
    let urls = config.chains.iter().map(|chain| chain.database.as_ref());
    urls.map(|url| url.map(ToString::to_string).unwrap_or_default()).collect()
}

#[test]
fn every_variable_may_stand_in_it_and_the_environment_wins() {
    let file = "
        database_url = 'postgres://u@h/d'
        auto_migration = true
        wait_timeout = 90
        stop_timeout = '3s'
        wait_for = ['tcp://a:1', 'tcp://b:2']
        after_migrate = ['seed', 'a b']
        supervise = true
    ";
    let found = config(file, "STOP_TIMEOUT=4s\nPRELAUNCH_SUPERVISE=no").unwrap();
    assert_eq!(urls(&found), ["postgres://u@h:5432/d"]);
    assert_eq!(found.auto_migration, AutoMigration::True);
    assert_eq!(found.wait_timeout.as_secs(), 90);
    assert_eq!(found.stop_timeout.as_secs(), 4);
    assert_eq!(found.wait_for.len(), 2);
    assert_eq!(found.hooks[0].command.to_string(), "seed 'a b'");
    assert_eq!(found.hooks[0].title(), "AFTER_MIGRATE");
    assert!(!found.supervise);
}

#[test]
fn variables_are_replaced_as_a_shell_would() {
    let found = |text: &str| {
        let file = format!("database_url = 'sqlite:x'\nrun_as = '{text}'");
        config(&file, "A=alpha\nB=beta\nEMPTY=\nBLANK= ")
            .map(|config| config.run_as.as_ref().map(ToString::to_string).unwrap_or_default())
    };
    for (text, expected) in [
        ("${A}", "alpha"),
        ("x${A}y", "xalphay"),
        ("${NONE:-${B}}", "beta"),
        ("${EMPTY:-${BLANK:-${A}}}", "alpha"),
        ("${A:-${NONE}}", "alpha"),
        ("${A:+yes}", "yes"),
        ("${NONE:+yes}", ""),
        ("${A:?no}", "alpha"),
        ("${NONE:-}", ""),
        ("${NONE:-a$$b}", "a$b"),
        ("${NONE:-a:b}", "a:b"),
    ] {
        assert_eq!(found(text).unwrap(), expected, "{text}");
    }
    for (text, expected) in [
        ("${NONE}", "`NONE` is not set; set it, or write `${NONE:-default}`"),
        ("${EMPTY}", "`EMPTY` is not set; set it, or write `${EMPTY:-default}`"),
        ("${NONE:?say ${A}}", "`NONE` is not set: say alpha"),
        ("$A", "write `$$` for a dollar, and `${NAME}` for a variable"),
        ("${A", "`${` is not closed by `}`"),
        ("${A:-${B}", "`${` is not closed by `}`"),
        (
            "${A-b}",
            "`${A…` is not understood; accepted: `${NAME}`, `${NAME:-default}`, `${NAME:+text}`, \
             `${NAME:?message}`",
        ),
        (
            "${}",
            "`${…` is not understood; accepted: `${NAME}`, `${NAME:-default}`, `${NAME:+text}`, \
             `${NAME:?message}`",
        ),
    ] {
        let said = found(text).expect_err(text).to_string();
        assert_eq!(said, format!("/p.toml:2: `run_as`: {expected}"), "{text}");
    }
}

#[test]
fn forms_stand_in_each_other_only_so_deep() {
    let nested = |depth: usize| {
        format!("database_url = '{}sqlite:a{}'", "${A:-".repeat(depth), "}".repeat(depth))
    };
    assert_eq!(config(&nested(64), "").unwrap().chains.len(), 1);
    refused(
        &nested(100_000),
        "",
        "/p.toml:1: `database_url`: `${` stands in more than 64 others; write it flatter",
    );
}

#[test]
fn what_is_replaced_is_not_looked_at_again() {
    let file = "database_url = 'sqlite:x'\nafter_migrate = ['seed', '${A}']";
    let found = config(file, "A=${B} ' $(c)").unwrap();
    assert_eq!(found.hooks[0].command.arguments(), ["${B} ' $(c)"]);
}

#[test]
fn chains_say_what_is_theirs_and_take_the_rest_from_the_variables() {
    let file = "
        migrate_command = 'runner'
        migration_target = 'heads'
        [[chain]]
        name = 'core'
        database_url = '${CORE}'
        dir = '/m/core'
        [chain.tags]
        '1.7' = '1769ee58fbb4'
        [[chain]]
        name = 'tracing'
        dir = '/m/tracing'
        target = 'x@head'
        version_table = 'app.versions'
        command = ['alembic', 'upgrade', '{}']
        [[chain]]
        name = 'secret'
        database_url_file = '/secret'
        dir = '/m/secret'
    ";
    let found = config(file, "CORE=sqlite:core.db\nDATABASE_URL=postgres://u@h/d").unwrap();
    assert_eq!(
        urls(&found),
        ["sqlite:core.db", "postgres://u@h:5432/d", "postgres://u@h:5432/secret"]
    );
    let [core, tracing, _] = &*found.chains else { panic!() };
    assert_eq!(core.target.to_string(), "heads");
    assert_eq!(tracing.target.to_string(), "x@head");
    assert_eq!(tracing.version_table.as_ref().unwrap().to_string(), "app.versions");
    assert_eq!(core.tags[0].to_string(), "1769ee58fbb4=1.7");
    assert!(matches!(core.command, Some(MigrateCommand::Shared(_))));
    assert!(matches!(tracing.command, Some(MigrateCommand::Own(_))));
    let sets = |at: usize| {
        let set = found.chains[at].for_commands.set.iter();
        set.map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect::<Vec<_>>()
    };
    assert_eq!(sets(0), ["DATABASE_URL=sqlite:core.db"]);
    assert_eq!(sets(1), [""; 0], "it finds the URL by itself");
    assert_eq!(found.chain_name(1), Some("tracing"));
    assert_eq!(found.chain(Some("core")).unwrap().dir.as_deref(), Some(Path::new("/m/core")));
    assert_eq!(
        found.chain(None).unwrap_err().to_string(),
        "there are several chains; name one with --chain: `core`, `tracing`, `secret`"
    );
    assert_eq!(
        found.chain(Some("trace")).unwrap_err().to_string(),
        "there is no chain `trace`; name another with --chain: `core`, `tracing`, `secret`"
    );
}

#[test]
fn each_chain_tells_its_command_of_its_own_tls_alone() {
    let file = "
        [commands]
        set = { PGSSLCERT = '/mine' }
        [[chain]]
        name = 'core'
        dir = '/m/core'
        [[chain]]
        name = 'plain'
        database_url = 'postgres://u@elsewhere/d'
        dir = '/m/plain'
        [[chain]]
        name = 'strict'
        database_url = 'postgres://u@h/d?ssl=verify-full&sslcert=/theirs'
        dir = '/m/strict'
    ";
    let found = config(file, "DATABASE_URL=postgres://u@h/d?sslmode=require").unwrap();
    let tls = |change: &EnvironmentChange| {
        let set = change.set.iter().filter(|(name, _)| name != "DATABASE_URL");
        set.map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect::<Vec<_>>()
    };
    let of_chain = |at: usize| tls(&found.chains[at].for_commands);
    assert_eq!(tls(&found.for_commands), ["PGSSLCERT=/mine", "PGSSLMODE=require"]);
    assert_eq!(of_chain(0), ["PGSSLCERT=/mine", "PGSSLMODE=require"]);
    assert_eq!(of_chain(1), ["PGSSLCERT=/mine"]);
    assert_eq!(of_chain(2), ["PGSSLCERT=/mine", "PGSSLMODE=verify-full"]);
}

#[test]
fn a_command_that_takes_a_revision_is_one_for_each_chain() {
    let file = "
        database_url = 'sqlite:a'
        migrate_command = 'up {}'
        [[chain]]
        name = 'a'
        dir = 'a'
        [[chain]]
        name = 'b'
        dir = 'b'
        database_url = 'sqlite:b'
    ";
    let found = config(file, "").unwrap();
    assert!(matches!(found.chains[1].command, Some(MigrateCommand::Own(_))));
}

#[test]
fn one_chain_is_as_the_variables_say_and_needs_no_name() {
    let found = config("[[chain]]\ntarget = 'heads'", "DATABASE_URL=sqlite:a\nMIGRATIONS_DIR=m");
    let found = found.unwrap();
    assert_eq!(found.chain_name(0), None);
    let chain = found.chain(None).unwrap();
    assert_eq!(
        (chain.target.to_string().as_str(), chain.dir.as_deref()),
        ("heads", Some(Path::new("m")))
    );
    assert_eq!(
        found.chain(Some("x")).unwrap_err().to_string(),
        "there is no chain `x`; the one there is has no name"
    );
}

#[test]
fn hooks_are_run_in_order_if_at_all() {
    let file = "
        database_url = 'sqlite:a'
        after_migrate = 'first'
        [[hook]]
        name = 'user'
        command = 'second ${USERNAME:-}'
        when = '${USERNAME:+true}'
        [[hook]]
        name = 'seed'
        command = ['third']
    ";
    let titles = |variables: &str| {
        let hooks = config(file, variables).unwrap().hooks;
        hooks.iter().map(Hook::title).collect::<Vec<_>>()
    };
    assert_eq!(titles(""), ["AFTER_MIGRATE", "hook `seed`"]);
    assert_eq!(titles("USERNAME=u"), ["AFTER_MIGRATE", "hook `user`", "hook `seed`"]);
}

#[test]
fn server_and_commands_get_their_own_environment() {
    let file = "
        database_url = 'sqlite:a'
        server = { set = { RUN_MIGRATIONS = 'false' }, remove = ['OWNER', 'ABSENT'] }
        commands.set.LEVEL = '${OWNER}'
    ";
    let found = config(file, "OWNER=o").unwrap();
    let server = format!("{:?}", found.for_server);
    assert_eq!(
        server,
        "EnvironmentChange { set: [\"RUN_MIGRATIONS\"], remove: [\"PRELAUNCH_CONFIG\", \"OWNER\"] }"
    );
    let of_commands = |change: &EnvironmentChange| {
        change.set.iter().find(|(name, _)| name == "LEVEL").map(|(_, value)| value.clone())
    };
    assert_eq!(of_commands(&found.for_commands).unwrap(), "o");
    assert_eq!(of_commands(&found.chains[0].for_commands).unwrap(), "o");
}

#[test]
fn an_old_name_is_warned_about_and_a_name_of_the_file_is_no_slip() {
    let file = "
        database_url = 'sqlite:a'
        auto_migration = '${AUTO_MIGRATIONS:-${APP_AUTO_MIGRATION:-true}}'
        [deprecated]
        APP_AUTO_MIGRATION = 'APP_AUTO_MIGRATIONS'
    ";
    let notes = |variables: &str| {
        let found = config(file, variables).unwrap();
        found.notes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(notes("AUTO_MIGRATIONS=1"), [""; 0]);
    assert_eq!(
        notes("APP_AUTO_MIGRATION=1"),
        ["`APP_AUTO_MIGRATION` is an old name; set `APP_AUTO_MIGRATIONS` instead"]
    );
}

#[test]
fn what_cannot_be_meant_names_file_and_line() {
    let database = "database_url = 'sqlite:a'\n";
    for (file, expected) in [
        (
            "database_url = ",
            "/p.toml:1: this is no TOML: string values must be quoted, expected literal string; correct the file",
        ),
        (
            "\nauto_migrations = true",
            "/p.toml:2: `auto_migrations` is not read here; accepted: a variable in lower case, `chain`, `hook`, `server`, `commands`, `deprecated`",
        ),
        (
            "prelaunch_config = 'x'",
            "/p.toml:1: `prelaunch_config` is not read here; accepted: a variable in lower case, `chain`, `hook`, `server`, `commands`, `deprecated`",
        ),
        ("wait_for = 1.5", "/p.toml:1: `wait_for`: write a text"),
        ("chain = 'x'", "/p.toml:1: `chain`: write a list of tables, `[[…]]`"),
        ("[chain]\nname = 'x'", "/p.toml:1: `chain`: write a list of tables, `[[…]]`"),
        (
            "[[chain]]\nurl = 'x'",
            "/p.toml:2: `url` is not read here; accepted: `name`, `database_url`, `database_url_file`, `dir`, `target`, `version_table`, `alembic_dir`, `command`, `tags`",
        ),
        ("[server]\nset = 1", "/p.toml:2: `set`: write a table of texts"),
        ("[server]\nunset = []", "/p.toml:2: `unset` is not read here; accepted: `set`, `remove`"),
        (
            "[server]\nset = { 'A=B' = 'x' }",
            "/p.toml:2: `set`: write names of variables, which have no `=` and are not empty",
        ),
        (
            "[server]\nset = { A = \"a\\u0000b\" }",
            "/p.toml:2: `A`: write a text without a zero byte",
        ),
        ("[[hook]]\nname = 'x'\ncommand = ['', 'x']", "`/p.toml:3: command`: names no program"),
        ("[[hook]]\nname = 'x'", "`/p.toml:1: hook`: lacks `command`"),
        ("[[hook]]\ncommand = 'x'", "`/p.toml:1: hook`: lacks `name`"),
        (
            "[[hook]]\nname = 'x'\ncommand = 'x'\nwhen = 'maybe'",
            "`/p.toml:4: when`: `maybe` is not understood; accepted: `true 1 t y yes on enable enabled` or `false 0 f n no off disable disabled`, and `${NAME:+true}` for whether a variable is set",
        ),
        (
            "wait_timeout = 'soon'",
            "`/p.toml:1: wait_timeout`: `soon` is not understood; accepted: `500ms`, `5s`, `2m`, `1h` or a bare number of seconds, up to a year",
        ),
        (
            "[[chain]]\nname = 'x'\ntarget = '-1'",
            "`/p.toml:3: target`: `-1` would move at every restart; name a revision, a tag, `head` or `heads`",
        ),
        (
            "[[chain]]\ndatabase_url = 'mysql://u:hunter2@h/d'",
            "`/p.toml:2: database_url`: scheme `mysql` is not served; accepted are `postgres://`, `postgresql://`, `sqlite:` and SQLAlchemy's `+driver` forms of them",
        ),
        ("[[chain]]\n[chain.tags]\n'1.7' = ''", "`/p.toml:3: 1.7`: write `ID=TAG`"),
    ] {
        let named = !file.contains("database_url");
        let variables = if named { "DATABASE_URL=sqlite:a" } else { "" };
        refused(file, variables, expected);
    }
    // Whether a password is set, asked in the wrong words.
    refused(
        "[[hook]]\nname = 'x'\ncommand = 'x'\nwhen = '${PASSWORD:-}'",
        "DATABASE_URL=sqlite:a\nPASSWORD=hunter2",
        "`/p.toml:4: when`: `${PASSWORD:-}` is not understood; accepted: `true 1 t y yes on enable enabled` or `false 0 f n no off disable disabled`, and `${NAME:+true}` for whether a variable is set",
    );
    refused(
        "auto_migration = true\n[[chain]]\nname = 'a'\n[[chain]]\nname = 'a'\ndir = 'b'\ndatabase_url='sqlite:b'",
        "",
        "`/p.toml:2: chain`: lacks `database_url`; write it, or set `DATABASE_URL`; \
         `/p.toml:2: chain`: lacks `dir`; `/p.toml:5: name`: `a` is taken; choose another name",
    );
    refused(
        &format!("{database}database_url_file = '/secret'"),
        "",
        "`/p.toml:1: database_url` and `/p.toml:2: database_url_file` are both set; unset one",
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let named = [(OsString::from("PRELAUNCH_CONFIG"), OsString::from("/gone"))];
    let errors = read(&named, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
    assert_eq!(errors.to_string(), "`PRELAUNCH_CONFIG`: cannot read `/gone`: entity not found");
}

#[test]
fn what_steers_runs_does_not_count_at_the_terminal() {
    let file = "
        database_url = 'sqlite:a'
        auto_migration = 'maybe'
        after_migrate = 'seed ${ABSENT}'
        [[chain]]
        target = '-1'
        [[hook]]
        name = 'user'
        command = \"'\"
        [[hook]]
        name = 'other'
        command = 'user ${PASSWORD}'
    ";
    let found = read_for_terminal(&environment(""), |_| Ok(file.to_owned())).unwrap();
    assert_eq!(found.hooks, []);
    assert_eq!(found.auto_migration, AutoMigration::False);
}
