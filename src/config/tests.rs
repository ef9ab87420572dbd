//! Whole configurations: defaults, faults, and what must be set together.

use super::*;
use crate::graph::target::Target;

/// Lines of `NAME=value` as an environment; `/secret` is the one file.
fn config(text: &str) -> Result<Config, ConfigErrors> {
    read(&environment(text), |path| match path.to_str() {
        Some("/secret") => Ok("postgres://u:hunter2@h/d\n".to_owned()),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    })
}

fn environment(text: &str) -> Vec<(OsString, OsString)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| line.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

fn refused(text: &str, expected: &[&str]) {
    let errors = config(text).expect_err(text);
    let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(messages, expected, "{text}");
    assert_eq!(errors.to_string(), expected.join("; "));
    assert!(!format!("{errors:?} {errors}").contains("hunter2"), "{text}");
}

#[test]
fn an_empty_environment_gives_the_defaults() {
    for text in ["", "DATABASE_URL=\nAUTO_MIGRATION= \nRUN_AS=\nLOG_LEVEL=\nWAIT_FOR=\nENV_PREFIX="]
    {
        let config = config(text).unwrap();
        let [chain] = &*config.chains else { panic!("one chain") };
        assert_eq!(chain.database, None);
        assert_eq!(config.auto_migration, AutoMigration::False);
        assert_eq!(chain.dir, None);
        assert_eq!(chain.target, Target::Head);
        assert_eq!(config.database_ahead, DatabaseAhead::Refuse);
        assert_eq!(config.wait_timeout, Duration::from_mins(1));
        assert_eq!(config.wait_for, []);
        assert_eq!(config.lock_timeout, Duration::from_mins(5));
        assert_eq!(config.ddl_lock_timeout, Duration::from_secs(5));
        assert_eq!(config.reindex, Reindex::False);
        assert_eq!(config.reindex_command, None);
        assert_eq!(config.hooks, []);
        assert_eq!(config.stop_timeout, Duration::from_secs(8));
        assert_eq!(config.log, LogSettings { format: LogFormat::Text, level: LogLevel::Info });
        assert!(!config.supervise);
        assert_eq!(config.run_as, None);
        assert_eq!(config.termination_log, Path::new("/dev/termination-log"));
        assert_eq!(config.for_commands, EnvironmentChange::default());
        assert_eq!(config.for_server, EnvironmentChange::default());
        assert_eq!(config.notes, []);
    }
}

#[test]
fn every_variable_arrives() {
    let config = config(
        "PRELAUNCH_ENV_PREFIX=APP_
         APP_DATABASE_URL=postgres://u@h/d
         MIGRATION_DATABASE_URL_FILE=/secret
         PRELAUNCH_AUTO_MIGRATION=Wait
         MIGRATIONS_DIR=/sql
         MIGRATION_TARGET= 1.13-rc1
         DATABASE_AHEAD=ALLOW
         WAIT_TIMEOUT=1m
         WAIT_FOR=tcp://redis:6379, http://es:9200/,
         LOCK_TIMEOUT=2
         DDL_LOCK_TIMEOUT=500ms
         REINDEX_DATASETS=a, b
         REINDEX_COMMAND=reindex {}
         AFTER_MIGRATE=seed 'a b'
         STOP_TIMEOUT=0
         LOG_FORMAT=JSON
         LOG_LEVEL=WARNING
         SUPERVISE=yes
         RUN_AS=1000:app
         TERMINATION_LOG=/tmp/last
         PGPORT=6543",
    )
    .unwrap();
    assert_eq!(config.chains[0].database.clone().unwrap().to_string(), "postgres://u@h:6543/d");
    assert_eq!(config.auto_migration, AutoMigration::Wait);
    assert_eq!(config.chains[0].dir.clone().unwrap(), Path::new("/sql"));
    assert_eq!(config.chains[0].target.to_string(), "1.13-rc1");
    assert_eq!(config.database_ahead, DatabaseAhead::Allow);
    assert_eq!(config.wait_timeout, Duration::from_mins(1));
    let wait_for: Vec<_> = config.wait_for.iter().map(ToString::to_string).collect();
    assert_eq!(wait_for, ["tcp://redis:6379", "http://es:9200/"]);
    assert_eq!(config.lock_timeout, Duration::from_secs(2));
    assert_eq!(config.ddl_lock_timeout, Duration::from_millis(500));
    assert_eq!(config.reindex, Reindex::Names(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(config.reindex_command.unwrap().to_string(), "reindex {}");
    assert_eq!(config.hooks[0].command.to_string(), "seed 'a b'");
    assert_eq!(config.stop_timeout, Duration::ZERO);
    assert_eq!(config.log, LogSettings { format: LogFormat::Json, level: LogLevel::Warn });
    assert!(config.supervise);
    assert_eq!(config.run_as.unwrap().to_string(), "1000:app");
    assert_eq!(config.termination_log, Path::new("/tmp/last"));
    assert_eq!(config.notes, []);
}

#[test]
fn every_word_has_its_meaning() {
    for (text, expected) in [
        ("TRUE", AutoMigration::True),
        ("on", AutoMigration::True),
        ("0", AutoMigration::False),
        ("check", AutoMigration::Check),
        (" Wait ", AutoMigration::Wait),
    ] {
        let text = format!("DATABASE_URL=sqlite:a\nAUTO_MIGRATION={text}");
        assert_eq!(config(&text).unwrap().auto_migration, expected, "{text}");
    }
    let names = |names: &[&str]| Reindex::Names(names.iter().map(|&n| n.to_owned()).collect());
    for (text, expected) in [
        ("true", Reindex::All),
        ("enabled", Reindex::All),
        ("no", Reindex::False),
        ("AUTO", Reindex::Auto),
        ("a", names(&["a"])),
        ("a,,b ,", names(&["a", "b"])),
    ] {
        let text = format!("DATABASE_URL=sqlite:a\nREINDEX_COMMAND=r\nREINDEX_DATASETS={text}");
        assert_eq!(config(&text).unwrap().reindex, expected, "{text}");
    }
}

#[test]
fn every_fault_is_told_at_once_under_the_name_that_was_written() {
    refused(
        "PRELAUNCH_AUTO_MIGRATION=maybe
         DATABASE_URL=mysql://u:hunter2@h/d
         WAIT_TIMEOUT=soon
         RUN_AS=:app",
        &[
            "`DATABASE_URL`: scheme `mysql` is not served; accepted are `postgres://`, \
             `postgresql://`, `sqlite:` and SQLAlchemy's `+driver` forms of them",
            "`PRELAUNCH_AUTO_MIGRATION`: `maybe` is not understood; accepted: `check`, `wait`, \
             `true 1 t y yes on enable enabled` or `false 0 f n no off disable disabled`",
            "`WAIT_TIMEOUT`: `soon` is not understood; accepted: `500ms`, `5s`, `2m`, `1h` or a \
             bare number of seconds, up to a year",
            "`RUN_AS`: `:app` is not understood; accepted: `uid[:gid]` or `name[:group]`",
        ],
    );
}

#[test]
fn a_faulty_value_is_told_with_what_is_accepted() {
    let durations = "`500ms`, `5s`, `2m`, `1h` or a bare number of seconds, up to a year";
    for name in ["WAIT_TIMEOUT", "LOCK_TIMEOUT", "DDL_LOCK_TIMEOUT", "STOP_TIMEOUT"] {
        let message = format!("`{name}`: `5d` is not understood; accepted: {durations}");
        refused(&format!("{name}=5d"), &[&message]);
    }
    let check = |name: &str, value: &str, accepted: &str| {
        let message = format!("`{name}`: `{value}` is not understood; accepted: {accepted}");
        refused(&format!("{name}={value}"), &[&message]);
    };
    check("DATABASE_AHEAD", "true", "`refuse` or `allow`");
    check("REINDEX_DATASETS", ",", "`auto`, names separated by commas, or a truth word");
    check(
        "SUPERVISE",
        "maybe",
        "`true 1 t y yes on enable enabled` or `false 0 f n no off disable disabled`",
    );
    for value in [":", "app:", ":app", "a:b:c", "a b"] {
        check("RUN_AS", value, "`uid[:gid]` or `name[:group]`");
    }
    check("PRELAUNCH_LOG_LEVEL", "loud", "`error`, `warn`, `info`, `debug` or `trace`");
    check("PRELAUNCH_LOG_FORMAT", "logfmt", "`text` or `json`");
    check("ENV_PREFIX", "APP-", "letters, digits and `_`, as in `ARGILLA_`");
    refused(
        "WAIT_FOR=redis:6379, tcp://ok:1, ftp://u:hunter2@h/x?t=hunter2",
        &[
            "`WAIT_FOR`: `redis:6379` is not understood; accepted: `tcp://host:port`, `http://…` \
             and `https://…`",
            "`WAIT_FOR`: `…@h/x?…` is not understood; accepted: `tcp://host:port`, `http://…` and \
             `https://…`",
        ],
    );
    refused(
        "AFTER_MIGRATE=run 'hunter2",
        &["`AFTER_MIGRATE`: a quote is not closed; words are split as by a POSIX shell"],
    );
}

#[test]
fn what_migrates_needs_a_database() {
    for word in ["true", "1", "check", "wait"] {
        let message = format!("`AUTO_MIGRATION` is `{word}` and needs `DATABASE_URL`; set it");
        refused(&format!("AUTO_MIGRATION={word}"), &[&message]);
    }
    assert!(config("AUTO_MIGRATION=true\nMIGRATION_DATABASE_URL=sqlite:a").is_ok());
    assert!(config("AUTO_MIGRATION=false\nAFTER_MIGRATE=seed").is_ok());
}

#[test]
fn a_misspelt_name_is_told_beside_the_fault_that_it_causes() {
    let errors = config("AUTO_MIGRATION=true\nDATABSE_URL=sqlite:a").unwrap_err();
    let notes: Vec<_> = errors.notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["`DATABSE_URL` is not read; did you mean `DATABASE_URL`?"]);
}

#[test]
fn what_reindexes_needs_a_database_and_a_command() {
    refused(
        "PRELAUNCH_REINDEX_DATASETS=auto",
        &[
            "`PRELAUNCH_REINDEX_DATASETS` is `auto` and needs `DATABASE_URL`; set it",
            "`PRELAUNCH_REINDEX_DATASETS` is `auto` and needs `REINDEX_COMMAND`; set it",
        ],
    );
    assert!(config("REINDEX_DATASETS=off").is_ok());
    assert!(config("REINDEX_COMMAND=r").is_ok());
}

#[test]
fn what_is_set_and_faulty_is_not_told_as_missing_too() {
    refused(
        "AUTO_MIGRATION=true\nDATABASE_URL_FILE=/none",
        &["`DATABASE_URL_FILE`: cannot read `/none`: permission denied"],
    );
    refused(
        "AUTO_MIGRATION=true\nDATABASE_URL=sqlite:a\nDATABASE_URL_FILE=/secret",
        &["`DATABASE_URL` and `DATABASE_URL_FILE` are both set; unset one"],
    );
}

#[test]
fn a_target_that_moves_is_refused() {
    for target in
        ["base", "+1", "-1", "abc+1", "label@base", "label@+2", "label@-1", "1.13+2", "+", "-x"]
    {
        let message = format!(
            "`MIGRATION_TARGET`: `{target}` would move at every restart; name a revision, a tag, \
             `head` or `heads`"
        );
        refused(&format!("MIGRATION_TARGET={target}"), &[&message]);
    }
    for target in
        ["head", "heads", "label@head", "1e629a913727", "1.13-rc1", "1.0+build", "baseline"]
    {
        assert_eq!(
            config(&format!("MIGRATION_TARGET={target}")).unwrap().chains[0].target.to_string(),
            target
        );
    }
}

#[test]
fn a_foreign_log_value_is_the_default_and_a_debug_note() {
    let config = config(
        "ENV_PREFIX=APP_
         APP_LOG_FORMAT=logfmt
         LOG_LEVEL=20",
    )
    .unwrap();
    assert_eq!(config.log, LogSettings::default());
    let notes: Vec<_> = config.notes.iter().map(|n| (n.to_string(), n.level())).collect();
    let expected = [
        "`APP_LOG_FORMAT` is `logfmt`, which is not ours; `text` is used",
        "`LOG_LEVEL` is `20`, which is not ours; `info` is used",
    ];
    assert_eq!(notes, expected.map(|text| (text.to_owned(), LogLevel::Debug)));
}

#[test]
fn a_parameter_without_effect_is_a_warning_under_the_name_that_was_written() {
    let config = config("PRELAUNCH_DATABASE_URL=postgres://u:hunter2@h/d?colour=red").unwrap();
    let notes: Vec<_> = config.notes.iter().map(|n| (n.to_string(), n.level())).collect();
    let expected =
        "`PRELAUNCH_DATABASE_URL`: parameter `colour` is not understood and has no effect";
    assert_eq!(notes, [(expected.to_owned(), LogLevel::Warn)]);
}

#[test]
fn how_to_log_and_where_to_end_are_known_whatever_else_is_wrong() {
    let check = |text, format, level| {
        assert_eq!(
            log_settings(&environment(text), no_file),
            LogSettings { format, level },
            "{text}"
        );
    };
    check("", LogFormat::Text, LogLevel::Info);
    check(
        "LOG_FORMAT=json\nAUTO_MIGRATION=x\nDATABASE_URL_FILE=/x",
        LogFormat::Json,
        LogLevel::Info,
    );
    check("ENV_PREFIX=APP_\nAPP_LOG_LEVEL=debug", LogFormat::Text, LogLevel::Debug);
    check("PRELAUNCH_LOG_LEVEL=loud\nLOG_LEVEL=debug", LogFormat::Text, LogLevel::Info);
    let vars = environment("PRELAUNCH_TERMINATION_LOG= /x\nAUTO_MIGRATION=x");
    assert_eq!(termination_log(&vars, no_file), Path::new("/x"));
    assert_eq!(termination_log(&[], no_file), Path::new("/dev/termination-log"));
}

#[test]
fn no_secret_is_in_debug() {
    let text = "MIGRATION_DATABASE_URL=postgres://u:hunter2@h/d\nAFTER_MIGRATE=seed hunter2
                WAIT_FOR=http://u:hunter2@h/?t=hunter2\nPGPASSWORD=hunter2";
    assert!(!format!("{:?}", config(text).unwrap()).contains("hunter2"));
}

#[test]
fn the_defaults_of_the_table_are_those_that_are_used() {
    let url = "DATABASE_URL=postgres://u@";
    let without = config(url).unwrap();
    // Two defaults are sentences, not values.
    let is_value = |name| !matches!(name, "MIGRATION_DATABASE_URL" | "MIGRATIONS_DIR");
    for variable in VARIABLES.iter().filter(|v| !v.default.is_empty() && is_value(v.name)) {
        let with = config(&format!("{url}\n{}={}", variable.name, variable.default)).unwrap();
        assert_eq!(format!("{with:?}"), format!("{without:?}"), "{}", variable.name);
        assert_eq!(
            with.chains[0].database.clone().unwrap().address(),
            without.chains[0].database.as_ref().unwrap().address(),
            "{}",
            variable.name
        );
    }
}
