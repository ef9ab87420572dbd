//! What `env.py` says of the version table, and whether it would take a `%` for a reference.

use super::*;

/// `table, schema`; a name that is not known is the line that sets it.
#[track_caller]
fn check_env(text: &str, expected: &str) {
    let found = env::read(Path::new("env.py"), text.as_bytes());
    let word = |setting: &Setting| match setting {
        Setting::Default => "-".to_owned(),
        Setting::Named(name) => name.clone(),
        Setting::Unknown(place) => place.to_string(),
    };
    assert_eq!(format!("{}, {}", word(&found.table), word(&found.schema)), expected, "{text}");
}

#[test]
fn constants_are_read_wherever_configure_is_called() {
    check_env("context.configure(url=x, version_table='a', version_table_schema=\"s\")", "a, s");
    check_env("def f():\n    with x:\n        context.configure(version_table='a' 'b')", "ab, -");
    check_env("T = 'a'\ndef f():\n    alembic.context.configure(version_table=T)", "a, -");
    check_env("context.configure(version_table_schema=None)", "-, -");
    check_env("context.configure(connection=c)\nother(version_table='a')", "-, -");
    check_env("", "-, -");
}

#[test]
fn online_and_offline_must_agree() {
    let call = |table: &str| format!("context.configure(version_table={table})\n");
    check_env(&[call("'a'"), call("'a'")].concat(), "a, -");
    check_env(&[call("'a'"), "context.configure(url=x)\n".to_owned()].concat(), "a, -");
    check_env(&[call("'a'"), call("'b'")].concat(), "env.py:2, -");
    check_env(&[call("'a'"), call("None")].concat(), "env.py:2, -");
    check_env(&[call("None"), call("'a'")].concat(), "env.py:2, -");
}

#[test]
fn what_only_running_it_tells_is_not_guessed() {
    check_env("context.configure(version_table=name())", "env.py:1, -");
    check_env("\ncontext.configure(\n  **options)", "env.py:3, env.py:3");
    check_env("logging.configure(**options)", "-, -");
    check_env("context.configure(version_table='a', **options)", "a, env.py:1");
    // The name of a function is not that of the module.
    let shadowed = "T = 'a'\ndef f(T):\n    context.configure(version_table=T)";
    check_env(shadowed, "env.py:3, -");
    check_env("def f():\n    T = 'a'\n    context.configure(version_table=T)", "env.py:3, -");
    check_env("if x:\n    T = 'a'\ncontext.configure(version_table=T)", "env.py:3, -");
    check_env("x = (", "env.py:1, env.py:1");
}

/// The line where `env.py` gives a URL to an option.
fn sets_url(text: &str) -> Option<usize> {
    env::read(Path::new("env.py"), text.as_bytes()).sets_url.map(|place| place.line)
}

#[test]
fn an_option_that_is_set_to_a_url_is_seen() {
    for text in [
        "config.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])",
        "config.set_main_option(\"sqlalchemy.url\", settings.database_url)",
        "config.set_main_option('sqlalchemy.url', str(url))",
        "context.config.set_main_option('sqlalchemy.url', f'{url}')",
        "config.set_main_option(name='sqlalchemy.url', value=url)",
        "config.set_main_option(KEY, url)",
        "config.set_section_option(config.config_ini_section, 'DB_URL', url)",
        "config.set_main_option('x', y) or config.set_main_option('sqlalchemy.url', url)",
    ] {
        assert_eq!(sets_url(&format!("\nif x:\n  {text}\n")), Some(3), "{text}");
    }
    let later = "def f():\n    config.set_main_option(\n  'sqlalchemy.url', url)";
    assert_eq!(sets_url(later), Some(2));
}

#[test]
fn who_writes_it_twice_or_sets_something_else_is_not_warned() {
    for text in [
        "",
        "config.set_main_option('sqlalchemy.url', url.replace('%', '%%'))",
        "url = url.replace(\"%\", \"%%\")\nconfig.set_main_option('sqlalchemy.url', url)",
        "config.set_main_option('sqlalchemy.url', 'postgresql://localhost/x')",
        "config.set_main_option('script_location', path)",
        "config.set_main_option('sqlalchemy.url')",
        "config.get_main_option('sqlalchemy.url')",
        "engine = create_engine(os.environ['DATABASE_URL'])",
        "set_main_option(",
    ] {
        assert_eq!(sets_url(text), None, "{text}");
    }
}
