//! Entries of `WAIT_FOR`, as tables.

use super::*;

#[test]
fn an_entry_is_shown_without_credentials_and_query() {
    let check = |entry, expected: &str| {
        let dependency = Dependency::parse(entry).expect(entry);
        assert_eq!(dependency.to_string(), expected);
        assert_eq!(format!("{dependency:?}"), format!("Dependency({expected})"));
    };
    check("tcp://redis:6379", "tcp://redis:6379");
    check("tcp://my_redis:6379/", "tcp://my_redis:6379");
    check("tcp://10.0.0.1:80", "tcp://10.0.0.1:80");
    check("tcp://[::1]:5432", "tcp://[::1]:5432");
    check("http://es:9200/_cluster/health", "http://es:9200/_cluster/health");
    check("https://user:hunter2@es/x?token=hunter2#f", "https://es/x");
    check("http://[::1]:9200", "http://[::1]:9200/");
}

#[test]
fn the_brackets_of_an_ipv6_address_are_not_part_of_the_host() {
    let expected = Dependency::Tcp { host: "::1".to_owned(), port: 5432 };
    assert_eq!(Dependency::parse("tcp://[::1]:5432"), Some(expected));
}

#[test]
fn what_is_no_entry_is_none() {
    for entry in [
        "",
        "redis:6379",
        "tcp://redis",
        "tcp://:6379",
        "tcp://redis:0",
        "tcp://redis:99999",
        "tcp://u:p@redis:6379",
        "tcp://redis:6379/x",
        "tcp://redis:6379?x",
        "udp://redis:6379",
        "http://",
        "https://h:x",
        "tcp://::1:5432",
        "postgres://h:5432",
    ] {
        assert_eq!(Dependency::parse(entry), None, "{entry}");
    }
}

#[test]
fn a_faulty_entry_is_shown_without_what_may_be_secret() {
    let check = |entry, expected: &str| assert_eq!(Dependency::redacted(entry), expected);
    check("redis:6379", "redis:6379");
    check("ftp://u:hunter2@h/x", "…@h/x");
    check("ftp://u:hun@ter2@h/x?token=1", "…@h/x?…");
}
