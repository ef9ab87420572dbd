//! Database URLs: what is shown leads to the same place, and never shows the password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prelaunch::config::{
    DatabaseUrl,
    url::{Address, PgVariables, PostgresUrl},
};

/// A password that nothing else is.
const SECRET: &str = "q7Vx2mZk9R";

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    read(text);
    // A secret in each place that a password can have. What stands before it holds no `@`, which
    // would have ended the password to every reader of URLs.
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (before, behind, rest) = (part(), part(), part());
    if !before.contains('@') {
        read(&format!("postgres://{before}:{SECRET}{behind}@{rest}"));
        // A raw `@` in the password is refused, unless all that makes a URL stands behind it.
        if !behind.contains('?') {
            read(&format!("postgresql+asyncpg://{before}:{behind}{SECRET}@{rest}"));
        }
    }
    // As a parameter, where the parameters begin.
    if !before.contains('?') {
        read(&format!("postgres://{before}?password={SECRET}{behind}"));
        if !behind.contains('&') {
            read(&format!("postgres://{before}?{rest}&password={behind}{SECRET}"));
        }
    }
});

/// Nothing that comes of it shows the secret.
fn read(text: &str) {
    let variables = PgVariables {
        pguser: Some("somebody".to_owned()),
        pgpassword: Some(SECRET.to_owned()),
        ..PgVariables::default()
    };
    let shown = match DatabaseUrl::parse(text, &variables) {
        Err(error) => format!("{error} {error:?}"),
        Ok((url, ignored)) => {
            leads_to_the_same_place(&url);
            format!("{url} {url:?} {:?} {ignored:?}", url.address())
        }
    };
    assert!(!shown.contains(SECRET), "{text:?} is shown as {shown}");
}

fn leads_to_the_same_place(url: &DatabaseUrl) {
    let again = || DatabaseUrl::parse(&url.to_string(), &PgVariables::default()).unwrap().0;
    match url.address() {
        Address::Postgres(one) => {
            let again = again();
            let Address::Postgres(other) = again.address() else { panic!("{url}") };
            let place = |url: &PostgresUrl| {
                (url.host.clone(), url.port, url.user.clone(), url.database.clone())
            };
            assert_eq!(place(one), place(other));
        }
        Address::Sqlite(one) => {
            // Two slashes in front are one to the system, and something else in a URL; blanks at
            // the end are not to be seen.
            let path = one.path.to_string_lossy();
            if !path.starts_with("//") && path.trim_end() == path {
                assert_eq!(again().address(), url.address());
            }
        }
    }
}
