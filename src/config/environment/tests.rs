//! What the server and children see.

use super::*;
use crate::config::read;

/// Both changes for an environment such as `A=1 B=2`, as `name=value` and `-name`.
fn changes(text: &str) -> (String, String) {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    let vars: Vec<_> = pairs.map(|(n, v)| (OsString::from(n), OsString::from(v))).collect();
    let config = read(&vars, |_| Ok("sqlite:file\n".to_owned())).unwrap();
    let shown = |change: &EnvironmentChange| {
        let set = change
            .set
            .iter()
            .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()));
        let remove = change.remove.iter().map(|name| format!("-{}", name.to_string_lossy()));
        set.chain(remove).collect::<Vec<_>>().join(" ")
    };
    (shown(&config.for_server), shown(&config.for_commands))
}

#[test]
fn the_server_sees_neither_our_names_nor_the_owner_role() {
    let check = |text, expected: &str| assert_eq!(changes(text).0, expected, "{text}");
    check("DATABASE_URL=sqlite:a AUTO_MIGRATION=true PATH=/bin", "");
    check("DATABASE_URL=sqlite:a MIGRATION_DATABASE_URL=sqlite:b", "-MIGRATION_DATABASE_URL");
    check(
        "PRELAUNCH_DATABASE_URL=sqlite:a PRELAUNCH_SOMETHING=x MIGRATION_DATABASE_URL_FILE=/f",
        "-PRELAUNCH_DATABASE_URL -PRELAUNCH_SOMETHING -MIGRATION_DATABASE_URL_FILE",
    );
    check(
        "ENV_PREFIX=APP_ APP_MIGRATION_DATABASE_URL=sqlite:a APP_DATABASE_URL=sqlite:b \
         MIGRATION_DATABASE_URL_FILE=/f",
        "-APP_MIGRATION_DATABASE_URL -MIGRATION_DATABASE_URL_FILE",
    );
}

#[test]
fn children_find_the_database_that_we_work_on() {
    let check = |text, expected: &str| assert_eq!(changes(text).1, expected, "{text}");
    check("PATH=/bin", "");
    check("DATABASE_URL=sqlite:a", "");
    check("ENV_PREFIX=APP_ APP_DATABASE_URL=sqlite:a DATABASE_URL=sqlite:b", "");
    check("DATABASE_URL=sqlite:a MIGRATION_DATABASE_URL=sqlite:b", "DATABASE_URL=sqlite:b");
    check("PRELAUNCH_DATABASE_URL=sqlite:a DATABASE_URL=sqlite:b", "DATABASE_URL=sqlite:a");
    check("DATABASE_URL_FILE=/f", "DATABASE_URL=sqlite:file -DATABASE_URL_FILE");
    check(
        "ENV_PREFIX=APP_ MIGRATION_DATABASE_URL=sqlite:b APP_DATABASE_URL_FILE=/f",
        "DATABASE_URL=sqlite:b APP_DATABASE_URL=sqlite:b -APP_DATABASE_URL_FILE",
    );
    check(
        "ENV_PREFIX=APP_ PRELAUNCH_DATABASE_URL_FILE=/f",
        "DATABASE_URL=sqlite:file APP_DATABASE_URL=sqlite:file -PRELAUNCH_DATABASE_URL_FILE",
    );
    check(
        "MIGRATION_DATABASE_URL=postgresql+asyncpg://o:p%40@h/d?timeout=3",
        "DATABASE_URL=postgresql+asyncpg://o:p%40@h/d?timeout=3",
    );
}

#[test]
fn what_the_url_says_of_tls_children_also_find_as_variables() {
    let check = |parameters: &str, more: &str, expected: &str| {
        let text = format!("DATABASE_URL=postgresql://u@h/d?{parameters} {more}");
        assert_eq!(changes(&text).1, expected, "{text}");
    };
    check("", "", "");
    check("", "PGSSLMODE=require", "");
    check("sslmode=require", "", "PGSSLMODE=require");
    // asyncpg's and JDBC's word for the same.
    check("ssl=true", "", "PGSSLMODE=require");
    check("ssl=verify_full", "", "PGSSLMODE=verify-full");
    check("sslmode=disable", "", "PGSSLMODE=disable");
    check(
        "sslmode=verify-full&sslrootcert=%2Fca%20s.crt&sslcert=/c.crt&sslkey=/c.key",
        "",
        "PGSSLMODE=verify-full PGSSLROOTCERT=/ca s.crt PGSSLCERT=/c.crt PGSSLKEY=/c.key",
    );
    // As strict as we are, for those who do not know libpq's rules.
    check("sslmode=require&sslrootcert=/ca", "", "PGSSLMODE=verify-ca PGSSLROOTCERT=/ca");
    check("sslmode=require", "PGSSLROOTCERT=/ca", "PGSSLMODE=verify-ca");
    check("sslrootcert=system", "", "PGSSLMODE=verify-full PGSSLROOTCERT=system");
    check("sslrootcert=/ca", "", "PGSSLROOTCERT=/ca");
    // What is said there stays; what is empty says nothing.
    check("sslmode=require", "PGSSLMODE=verify-full", "");
    check("sslmode=require&sslcert=/c", "PGSSLCERT=/mine", "PGSSLMODE=require");
    check("sslmode=require", "PGSSLMODE=", "PGSSLMODE=require");

    let elsewhere = "MIGRATION_DATABASE_URL=postgresql://o@h/d?sslmode=require DATABASE_URL=postgresql://u@h/d?sslmode=disable";
    assert_eq!(
        changes(elsewhere).1,
        "DATABASE_URL=postgresql://o@h/d?sslmode=require PGSSLMODE=require"
    );
}

#[test]
fn debug_shows_names_only() {
    let change = EnvironmentChange {
        set: vec![("DATABASE_URL".into(), "hunter2".into())],
        remove: vec!["X".into()],
    };
    let expected = r#"EnvironmentChange { set: ["DATABASE_URL"], remove: ["X"] }"#;
    assert_eq!(format!("{change:?}"), expected);
}
