//! URLs as tables: what is read, what is filled in, what is refused.

use super::*;

fn parse(text: &str, variables: &PgVariables) -> Result<DatabaseUrl, DatabaseUrlError> {
    DatabaseUrl::parse(text, variables).map(|(url, _)| url)
}

/// Everything that was resolved, in one line; what is at its default is left out.
fn resolved(text: &str, variables: &PgVariables) -> String {
    let url = match parse(text, variables) {
        Ok(url) => url,
        Err(error) => return format!("error: {error}"),
    };
    let Address::Postgres(pg) = url.address() else { return url.to_string() };
    let mut line = url.to_string();
    let mut add = |name: &str, value: Option<String>| {
        line.extend(value.map(|value| format!(" {name}={value}")));
    };
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    add("password", pg.password.as_ref().map(|p| p.expose().to_owned()));
    add("tls", (pg.ssl_mode != SslMode::Prefer).then(|| format!("{:?}", pg.ssl_mode)));
    add("root", path(&pg.ssl_root_cert));
    add("cert", path(&pg.ssl_client_cert));
    add("key", path(&pg.ssl_client_key));
    add("options", (!pg.options.is_empty()).then(|| format!("{:?}", pg.options)));
    line
}

fn check(text: &str, expected: &str) {
    assert_eq!(resolved(text, &PgVariables::default()), expected, "{text}");
}

/// The message, and that neither it nor its `Debug` shows the secret.
fn refused(text: &str, expected: &str) {
    let error = parse(text, &PgVariables::default()).expect_err(text);
    assert_eq!(error.to_string(), expected, "{text}");
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{text}");
}

#[test]
fn postgres_urls_are_read_as_sqlalchemy_and_libpq_write_them() {
    check("postgres://u@h/d", "postgres://u@h:5432/d");
    check("postgresql://u:p@h:6543/d", "postgres://u@h:6543/d password=p");
    check("postgresql+asyncpg://u:p@h/d", "postgres://u@h:5432/d password=p");
    check("POSTGRESQL+psycopg2://u@h/d", "postgres://u@h:5432/d");
    check("  postgres://u@h/d\n", "postgres://u@h:5432/d");
    check("postgres://u@h", "postgres://u@h:5432/u");
    check("postgres://u@h/", "postgres://u@h:5432/u");
    check("postgres://u@/d", "postgres://u@localhost:5432/d");
    check("postgres:///d?user=u", "postgres://u@localhost:5432/d");
    check("postgres://u:@h:/d", "postgres://u@h:5432/d");
    check("postgres://u%40x:p%2F%40%23@h/d%20e", "postgres://u%40x@h:5432/d%20e password=p/@#");
    check("postgres://u:%C3%A9@h/d", "postgres://u@h:5432/d password=é");
    check("postgres://u:p+%zz@h/d", "postgres://u@h:5432/d password=p+%zz");
    check("postgres://u:a:b@h/d", "postgres://u@h:5432/d password=a:b");
    check("postgres://u@10.0.0.1/d", "postgres://u@10.0.0.1:5432/d");
    check("postgres://u@[::1]/d", "postgres://u@[::1]:5432/d");
    check("postgres://u@[2001:db8::1]:6543/d", "postgres://u@[2001:db8::1]:6543/d");
    check("postgres://u@my_host/a/b", "postgres://u@my_host:5432/a%2Fb");
}

#[test]
fn characters_that_libpq_and_sqlalchemy_allow_in_a_password_are_no_query_and_no_fragment() {
    check("postgres://u:p#x@h/d", "postgres://u@h:5432/d password=p#x");
    check("postgres://u:p?x@h/d", "postgres://u@h:5432/d password=p?x");
    check("postgres://u@h/d#e", "postgres://u@h:5432/d%23e");
}

#[test]
fn a_host_that_begins_with_a_slash_is_a_unix_socket() {
    let expected = "postgres://u@%2Fvar%2Frun:5432/d";
    check("postgres://u@%2Fvar%2Frun/d", expected);
    check("postgres://u@/d?host=/var/run", expected);
    check("postgres:///d?host=%2Fvar%2Frun&user=u", expected);
    let url = parse("postgres://u@/d?host=/var/run", &PgVariables::default()).unwrap();
    let Address::Postgres(url) = url.address() else { panic!("not PostgreSQL") };
    assert_eq!(url.host, Host::UnixSocket("/var/run".into()));
}

#[test]
fn parameters_beat_what_stands_before_them() {
    check(
        "postgres://a:b@c:1/d?user=u&password=p+q&host=h&port=2&dbname=e",
        "postgres://u@h:2/e password=p+q",
    );
    check("postgres://u:p@h/d?dbname=", "postgres://u@h:5432/u password=p");
}

#[test]
fn ssl_and_sslmode_are_one_option_and_the_strictest_holds() {
    let check = |query: &str, expected: &str| {
        check(&format!("postgres://u@h/d?{query}"), &format!("postgres://u@h:5432/d{expected}"));
    };
    check("sslmode=disable", " tls=Disable");
    check("sslmode=allow", " tls=Allow");
    check("sslmode=prefer", "");
    check("sslmode=require", " tls=Require");
    check("sslmode=verify-ca", " tls=VerifyCa");
    check("sslmode=verify-full", " tls=VerifyFull");
    check("ssl=true", " tls=Require");
    check("ssl=false", " tls=Disable");
    check("ssl=require", " tls=Require");
    check("ssl=verify_full", " tls=VerifyFull");
    check("sslmode=verify-full&ssl=true", " tls=VerifyFull");
    check("ssl=true&sslmode=disable", " tls=Require");
    check("sslmode=verify-full&sslrootcert=/ca", " tls=VerifyFull root=/ca");
    check("sslmode=require&sslrootcert=/ca", " tls=VerifyCa root=/ca");
    check("sslrootcert=/ca", " root=/ca");
    check("sslrootcert=system", " tls=VerifyFull");
    check("sslcert=/c&sslkey=/k%20", " cert=/c key=/k ");
}

#[test]
fn options_are_settings() {
    let check = |options: &str, expected: &str| {
        let url = format!("postgres://u@h/d?options={options}");
        check(&url, &format!("postgres://u@h:5432/d options={expected}"));
    };
    check("-c%20search_path%3Dapp", r#"[("search_path", "app")]"#);
    check("-csearch_path=app", r#"[("search_path", "app")]"#);
    check("-c+a.b=1+--work-mem=2MB", r#"[("a.b", "1"), ("work_mem", "2MB")]"#);
    check(r"-c%20search_path=a,\%20b", r#"[("search_path", "a, b")]"#);
    check("--a=b=c", r#"[("a", "b=c")]"#);
    for options in ["-d 3", "x", "-c", "-c a", "--=b", "--", "-c =b"] {
        let url = format!("postgres://u@h/d?options={}", options.replace(' ', "%20"));
        refused(&url, "`options` holds something other than `-c name=value` and `--name=value`");
    }
}

#[test]
fn pg_variables_fill_what_the_url_leaves_out() {
    let some = |text: &str| Some(text.to_owned());
    let variables = PgVariables {
        pghost: some("ph"),
        pgport: some("1"),
        pguser: some("pu"),
        pgpassword: some("pp"),
        pgdatabase: some("pd"),
        pgsslmode: some("require"),
        pgsslrootcert: some("/pr"),
        pgsslcert: some("/pc"),
        pgsslkey: some("/pk"),
        pgoptions: some("-c a=b"),
    };
    assert_eq!(
        resolved("postgres://", &variables),
        r#"postgres://pu@ph:1/pd password=pp tls=VerifyCa root=/pr cert=/pc key=/pk options=[("a", "b")]"#
    );
    assert_eq!(
        resolved(
            "postgres://u:p@h:2/d?sslmode=disable&sslrootcert=/r&sslcert=/c&sslkey=/k&options=--c=d",
            &variables
        ),
        r#"postgres://u@h:2/d password=p tls=Disable root=/r cert=/c key=/k options=[("c", "d")]"#
    );
    assert_eq!(resolved("sqlite:a", &variables), "sqlite:a");
}

#[test]
fn a_faulty_pg_variable_counts_only_where_it_is_used() {
    let variables = PgVariables {
        pghost: Some("a,b".to_owned()),
        pgport: Some("x".to_owned()),
        pgsslmode: Some("x".to_owned()),
        pgoptions: Some("x".to_owned()),
        ..PgVariables::default()
    };
    let check =
        |text: &str, expected: &str| assert_eq!(resolved(text, &variables), expected, "{text}");
    let tail = "sslmode=prefer&options=--a=b";
    check(&format!("postgres://u@h:1/d?{tail}"), r#"postgres://u@h:1/d options=[("a", "b")]"#);
    check(
        &format!("postgres://u@:1/d?{tail}"),
        "error: `PGHOST` names several hosts; name one, the primary",
    );
    check(&format!("postgres://u@h/d?{tail}"), "error: `PGPORT` is not a number from 1 to 65535");
    check(
        "postgres://u@h:1/d?options=--a=b",
        "error: `PGSSLMODE` is not understood; accepted are `disable`, `allow`, `prefer`, \
         `require`, `verify-ca` and `verify-full`",
    );
    check(
        "postgres://u@h:1/d?sslmode=prefer",
        "error: `PGOPTIONS` holds something other than `-c name=value` and `--name=value`",
    );
}

#[test]
fn sqlite_paths_follow_sqlalchemys_slash_rule() {
    check("sqlite:///demo.db", "sqlite:demo.db");
    check("sqlite:////data/demo.db", "sqlite:/data/demo.db");
    check("sqlite:demo.db", "sqlite:demo.db");
    check("sqlite:/data/demo.db", "sqlite:/data/demo.db");
    check("sqlite:./demo.db", "sqlite:./demo.db");
    check("sqlite+aiosqlite:///a/b.db?check_same_thread=False", "sqlite:a/b.db");
    check("sqlite:///a b+c#d@e.db", "sqlite:a b+c#d@e.db");
    check("sqlite:///100%.db", "sqlite:100%.db");
    check("sqlite:///a.db?mode=rwc&uri=false", "sqlite:a.db");
}

#[test]
fn sqlite_without_a_sure_file_is_refused() {
    let memory = "a memory database is gone when prelaunch becomes the server; name a file";
    for text in [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite:///:memory:",
        "sqlite+aiosqlite://",
        "sqlite://?cache=shared",
        "sqlite:///a.db?mode=memory",
        "sqlite:///:memory:?cache=shared",
        "sqlite:///file:a?mode=memory&uri=true",
    ] {
        refused(text, memory);
    }
    for text in ["sqlite://demo.db", "sqlite://data/demo.db", "sqlite://:hunter2@/demo.db"] {
        refused(
            text,
            "two slashes begin a host, which SQLite has not; write `sqlite:///relative.db` or \
             `sqlite:////absolute.db`",
        );
    }
    refused(
        "sqlite:///file:a.db?uri=true",
        "SQLite's own `file:` form is not read; write `sqlite:///relative.db`",
    );
    refused(
        "sqlite:///a%20b.db",
        "its path holds a percent-encoded character, which SQLAlchemy takes literally up to 2.0 \
         and decodes from 2.1 on; name the file without it",
    );
}

#[test]
fn a_faulty_url_is_refused_without_showing_what_may_be_a_password() {
    let accepted = "accepted are `postgres://`, `postgresql://`, `sqlite:` and SQLAlchemy's \
                    `+driver` forms of them";
    for text in ["hunter2", "u:hunter2@h/d", "hunter2:x", "postgres:u:hunter2@h", "hunter2 x://h"] {
        refused(text, &format!("is no URL; {accepted}"));
    }
    refused("mysql://u:hunter2@h/d", &format!("scheme `mysql` is not served; {accepted}"));
    refused("mysql+aiomysql://h", &format!("scheme `mysql+aiomysql` is not served; {accepted}"));
    for text in [
        "postgres://u:hunter2@x@h/d",
        "postgres://u:hunter2/x@h/d",
        "postgres://u:1/hunter2@h/d",
        "postgres://u:a@hunter2@h",
        "postgres://h/d?user=hunter2@x",
        "postgres://u:p@h/hunter2@x/d",
        "postgres://u@h/d&password=hunter2",
        "postgres://h?user=u&password=hunter2@x",
        "postgres://h:1?user=u&password=x@hunter2",
    ] {
        refused(
            text,
            "it is not clear where the password ends and the host begins; percent-encode special \
             characters in user, password and parameters (`@` is `%40`, `/` is `%2F`, `#` is `%23`)",
        );
    }
    for text in ["postgres://u@h:hunter2/d", "postgres://u@h:0/d", "postgres://u@h:65536/d"] {
        refused(
            text,
            "its port is not a number from 1 to 65535; special characters in a password must be \
             percent-encoded",
        );
    }
    for text in ["postgres://u@h1,h2/d", "postgres://u@h:1,i:2/d", "postgres://u@/d?host=a&host=b"]
    {
        refused(text, "it names several hosts; name one, the primary");
    }
    for text in ["postgres://u@[::1/d", "postgres://u@[h]/d", "postgres://u@[::1]x/d"] {
        refused(text, "its host is no IPv6 address in brackets; write `[::1]`");
    }
    refused(
        "postgres://h/d",
        "names no user; write `postgres://user@host/database` or set `PGUSER`",
    );
    for (text, part) in [
        ("postgres://%FF:hunter2@h/d", "user"),
        ("postgres://u:hunter2%FF@h/d", "password"),
        ("postgres://u:hunter2@h/%FF", "database"),
        ("postgres://u:hunter2%00@h/d", "password"),
    ] {
        let end = "is not UTF-8 text after percent-decoding; encode it as UTF-8";
        refused(text, &format!("its {part} {end}"));
    }
    refused(
        "postgres://u@h/d?password=a&hunter2",
        "a query parameter has no `=`; write `name=value`, with `&` between them",
    );
    refused(
        "postgres://u@h/d?sslmode=true",
        "`sslmode` is not understood; accepted are `disable`, `allow`, `prefer`, `require`, \
         `verify-ca` and `verify-full`",
    );
}

#[test]
fn a_parameter_that_names_the_schema_is_refused() {
    for parameter in ["schema", "search_path", "currentSchema"] {
        refused(
            &format!("postgres://u@h/d?{parameter}=app"),
            &format!(
                "parameter `{parameter}` is not read; write `options=-c%20search_path%3D<schema>` \
                 or `ALTER ROLE … SET search_path`"
            ),
        );
    }
}

#[test]
fn only_parameters_that_no_driver_is_known_to_read_are_told() {
    let check = |text, expected: &[&str]| {
        let (_, ignored) = DatabaseUrl::parse(text, &PgVariables::default()).unwrap();
        assert_eq!(ignored, expected, "{text}");
    };
    check("postgres://u@h/d?connect_timeout=1&keepalives_idle=2&prepare_threshold=0&", &[]);
    check(
        "postgres://u@h/d?colour=red&application_name=x&requirepeer=p",
        &["colour", "requirepeer"],
    );
    check("sqlite:a?timeout=1&cache=shared&mode=rw&uri=False&isolation_level=", &[]);
    check("sqlite:a?mode=ro&uri=true&vfs=x", &["mode", "uri", "vfs"]);
}

#[test]
fn neither_display_nor_debug_shows_the_password_and_the_text_is_kept() {
    let text = "postgresql+asyncpg://u:hunter2@h/d?ssl=true&password=hunter2";
    let url = parse(text, &PgVariables::default()).unwrap();
    assert_eq!(url.to_string(), "postgres://u@h:5432/d");
    assert_eq!(format!("{url:?}"), "DatabaseUrl(postgres://u@h:5432/d)");
    assert!(!format!("{:?}", url.address()).contains("hunter2"));
    assert_eq!(url.as_written(), text);
    assert_eq!(url.engine(), Engine::Postgres);
    let url = parse("sqlite:a", &PgVariables::default()).unwrap();
    assert_eq!(url.engine(), Engine::Sqlite);
}
