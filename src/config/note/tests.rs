//! Which names look like slips, and which do not.

use super::*;
use crate::config::{VARIABLES, read};

/// The notes of an environment in which all of these names are set to nothing.
fn notes(names: &str) -> Vec<String> {
    let mut vars: Vec<(OsString, OsString)> = vec![("ENV_PREFIX".into(), "APP_".into())];
    vars.extend(names.split_whitespace().map(|name| match name.split_once('=') {
        Some((name, value)) => (name.into(), value.into()),
        None => (name.into(), OsString::new()),
    }));
    let config = read(&vars, |_| Ok(String::new())).unwrap();
    config.notes.iter().map(Note::to_string).collect()
}

#[test]
fn a_slip_is_told_with_the_name_that_was_meant() {
    let check = |name: &str, meant: &str| {
        assert_eq!(notes(name), [format!("`{name}` is not read; did you mean `{meant}`?")]);
    };
    check("AUTO_MIGRATIONS", "AUTO_MIGRATION");
    check("AUTO_MIGRATE_ION", "AUTO_MIGRATION");
    check("MIGRATION_DIR", "MIGRATIONS_DIR");
    check("DATABSE_URL", "DATABASE_URL");
    check("DATABASE_ULR", "DATABASE_URL");
    check("database_url", "DATABASE_URL");
    check("RUNAS", "RUN_AS");
    check("PGPASWORD", "PGPASSWORD");
    check("APP_AUTO_MIGRATIONS", "APP_AUTO_MIGRATION");
    check("APPAUTO_MIGRATION", "APP_AUTO_MIGRATION");
    check("PRELAUNCH_AUTO_MIGRATON", "PRELAUNCH_AUTO_MIGRATION");
    check("PRELAUNCH_LOGLEVEL", "PRELAUNCH_LOG_LEVEL");
    check("PRELANCH_LOCK_TIMEOUT", "PRELAUNCH_LOCK_TIMEOUT");
    check("DATABASE_URL_FIL", "DATABASE_URL_FILE");
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let strangers = "PATH HOME LOGLEVEL LOG_LEVELS LOGFORMAT PGHOSTADDR PGPASSFILE PGDATA PGSSLCRL \
                     DATABASE_URI DATABASE_SSL DATABASE_HOST DATABASE_USER POSTGRES_PASSWORD \
                     SQLALCHEMY_DATABASE_URL RUN_FOR APP_LOGLEVEL AUTO_MIGRATION_FILE TIMEOUT";
    assert_eq!(notes(strangers), [""; 0]);
    let ours = VARIABLES.iter().flat_map(|variable| variable.all_spellings(Some("APP_")));
    let ours: Vec<_> =
        ours.map(|(_, name)| name).filter(|name| !name.ends_with("ENV_PREFIX")).collect();
    assert_eq!(notes(&ours.join(" ")), [""; 0]);
}

#[test]
fn a_neighbour_of_a_variable_that_is_set_is_no_slip_unless_it_has_our_prefix() {
    assert_eq!(notes("DATABASE_URL=sqlite:a DATABASE_URL_2 DATABASE_URLS"), [""; 0]);
    assert_eq!(
        notes("SUPERVISE=0 PRELAUNCH_SUPERVISED=1"),
        ["`PRELAUNCH_SUPERVISED` is not read; did you mean `PRELAUNCH_SUPERVISE`?"]
    );
}

#[test]
fn an_unknown_name_with_our_prefix_is_told_without_a_guess() {
    assert_eq!(notes("PRELAUNCH_COLOUR"), ["`PRELAUNCH_COLOUR` is not read"]);
    assert_eq!(
        notes("PRELAUNCH_AUTO_MIGRATION_FILE"),
        ["`PRELAUNCH_AUTO_MIGRATION_FILE` is not read"]
    );
}
