//! Precedence and the rendered table.

use super::*;

/// `A=1 B=2` as an environment.
fn environment(text: &str) -> Vec<(OsString, OsString)> {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

/// `/one`, `/crlf` and `/empty` are the files that exist.
fn files(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/one") => Ok("from file\n".to_owned()),
        Some("/crlf") => Ok(" from file \r\n\n".to_owned()),
        Some("/empty") => Ok("\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// `spelling=value`, or nothing, or the error.
fn found(variable: &str, text: &str) -> String {
    let variable = Variable::named(variable).unwrap();
    match look_up(&environment(text), variable, Some("APP_"), &files) {
        Ok(Some(found)) => format!("{}={}", found.spelling, found.value),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn our_own_name_beats_the_applications_which_beats_the_bare_one() {
    let check = |text, expected: &str| assert_eq!(found("AFTER_MIGRATE", text), expected, "{text}");
    check("", "nothing");
    check("AFTER_MIGRATE=a", "AFTER_MIGRATE=a");
    check("AFTER_MIGRATE=a APP_AFTER_MIGRATE=b", "APP_AFTER_MIGRATE=b");
    check(
        "AFTER_MIGRATE=a APP_AFTER_MIGRATE=b PRELAUNCH_AFTER_MIGRATE=c",
        "PRELAUNCH_AFTER_MIGRATE=c",
    );
    check("AFTER_MIGRATE=a PRELAUNCH_AFTER_MIGRATE=", "AFTER_MIGRATE=a");
    check("OTHER_AFTER_MIGRATE=a after_migrate=b", "nothing");
}

#[test]
fn a_file_gives_the_value_at_its_own_level() {
    let check = |text, expected: &str| assert_eq!(found("AFTER_MIGRATE", text), expected, "{text}");
    check("AFTER_MIGRATE_FILE=/one", "AFTER_MIGRATE_FILE=from file");
    check("AFTER_MIGRATE_FILE=/crlf", "AFTER_MIGRATE_FILE= from file ");
    check("AFTER_MIGRATE=a APP_AFTER_MIGRATE_FILE=/one", "APP_AFTER_MIGRATE_FILE=from file");
    check("AFTER_MIGRATE=a APP_AFTER_MIGRATE_FILE=/empty", "AFTER_MIGRATE=a");
    check("AFTER_MIGRATE= AFTER_MIGRATE_FILE=/one", "AFTER_MIGRATE_FILE=from file");
    check(
        "AFTER_MIGRATE=a AFTER_MIGRATE_FILE=/one",
        "`AFTER_MIGRATE` and `AFTER_MIGRATE_FILE` are both set; unset one",
    );
    check(
        "PRELAUNCH_AFTER_MIGRATE=c AFTER_MIGRATE=a AFTER_MIGRATE_FILE=/one",
        "PRELAUNCH_AFTER_MIGRATE=c",
    );
    check(
        "AFTER_MIGRATE_FILE=/none",
        "`AFTER_MIGRATE_FILE`: cannot read `/none`: entity not found",
    );
    assert_eq!(found("AUTO_MIGRATION", "AUTO_MIGRATION_FILE=/one"), "nothing");
}

#[test]
fn libpqs_names_are_read_bare_and_the_prefix_not_behind_itself() {
    assert_eq!(found("PGHOST", "PRELAUNCH_PGHOST=a APP_PGHOST=b"), "nothing");
    assert_eq!(found("PGHOST", "PGHOST=c"), "PGHOST=c");
    assert_eq!(found("ENV_PREFIX", "APP_ENV_PREFIX=b"), "nothing");
    assert_eq!(
        found("ENV_PREFIX", "ENV_PREFIX=a PRELAUNCH_ENV_PREFIX=b"),
        "PRELAUNCH_ENV_PREFIX=b"
    );
}

#[test]
#[cfg(unix)]
fn a_value_that_is_not_utf8_is_an_error_only_for_our_names() {
    use std::os::unix::ffi::OsStrExt as _;
    let bad = OsStr::from_bytes(b"\xff").to_owned();
    let vars = vec![(OsString::from("STRANGER"), bad.clone()), ("RUN_AS".into(), bad)];
    let error = look_up(&vars, Variable::named("RUN_AS").unwrap(), None, &files).err().unwrap();
    assert_eq!(error.to_string(), "`RUN_AS` is not UTF-8 text");
    assert!(look_up(&vars, Variable::named("LOG_LEVEL").unwrap(), None, &files).unwrap().is_none());
}

#[test]
fn help_and_readme_list_every_variable() {
    let (help, table) = (help(), markdown_table());
    for variable in VARIABLES {
        assert!(help.contains(&format!("\n  {}", variable.name)), "{}", variable.name);
        assert!(table.contains(&format!("\n| `{}`", variable.name)), "{}", variable.name);
    }
    assert!(help.contains(
        "\n  DATABASE_AHEAD\n          refuse or allow: what to do when the database has \
         revisions that this image lacks [default: refuse]\n"
    ));
    assert!(help.contains("\n  AFTER_MIGRATE (or AFTER_MIGRATE_FILE)\n"));
    assert!(table.contains("\n| `LOG_FORMAT` | `text` | `text` or `json` |\n"));
    assert!(table.contains("\n| `REINDEX_COMMAND` (`_FILE`) | — | the command"));
    assert_eq!(table.lines().count(), VARIABLES.len() + 2);
}
