//! The checksum is a contract for ever: what it covers, what it does not, and its digits.

use super::{super::*, parse, script};

const TEXT: &str = "-- migrate:up\n\n\
    CREATE TABLE t (a int); \t\n\n\n  SELECT 'é'; -- ok\n\n \n";

fn of(sections: &str) -> String {
    script(sections).checksum(Engine::Postgres).to_string()
}

#[test]
fn its_digits_never_change() {
    let check = |sections: &str, expected: &str| assert_eq!(of(sections), expected, "{sections:?}");
    // printf "CREATE TABLE t (a int);\n\n\n  SELECT 'é'; -- ok\n" | sha256sum
    check(TEXT, "012ad09dac7721f4e14e165636c5835fdc6afc78a0f180199159bb2299cd1e53");
    // printf "" | sha256sum
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    check("-- migrate:up\n", nothing);
    check("-- migrate:up", nothing);
    check("-- migrate:up\n \t\r\n\n", nothing);
    check("-- migrate:down\nSELECT 1;\n", nothing);
    check("-- migrate:up sqlite\nSELECT 1;\n", nothing);
}

#[test]
fn blanks_that_an_editor_or_git_may_change_do_not_count() {
    let expected = of(TEXT);
    let check = |text: &str| assert_eq!(of(text), expected, "{text:?}");
    check(&TEXT.replace('\n', "\r\n"));
    check(&TEXT.replace('\n', "  \n"));
    check(&TEXT.replace('\n', "\u{b}\u{c}\t \n"));
    check(TEXT.trim_end());
    check(&format!("{TEXT}\n\n\n"));
    check(&TEXT.replace("up\n\n", "up\n"));
    check(&TEXT.replace("up\n\n", "up\n\t\n\n\n"));
}

#[test]
fn what_is_not_run_does_not_count() {
    let expected = of(TEXT);
    let check = |text: &str| assert_eq!(of(text), expected, "{text:?}");
    check(&format!("-- Prose.\n-- tag: 1.0\n-- transaction: no\n{TEXT}"));
    check(&format!("{TEXT}-- migrate:down\nDROP TABLE t;\n"));
    check(&format!("-- migrate:down\nDROP TABLE t;\n{TEXT}"));
    check(&format!("-- migrate:up sqlite\nSELECT 2;\n{TEXT}"));
    check(&TEXT.replace(":up", ":up postgres"));
    let marked = format!("\u{feff}-- other\n-- revision: ffff\n-- revises: eeee\n{TEXT}");
    assert_eq!(parse(&marked).unwrap().checksum(Engine::Postgres).as_str(), expected);
}

#[test]
fn what_is_run_counts() {
    let expected = of(TEXT);
    let check = |text: &str| assert_ne!(of(text), expected, "{text:?}");
    check(&TEXT.replace("\n\n\n", "\n\n"));
    check(&TEXT.replace("  SELECT", "SELECT"));
    check(&TEXT.replace("ok", "OK"));
    check(&TEXT.replace('é', "e\u{301}"));
    check(&TEXT.replace("(a", "( a"));
    check(&TEXT.replace("(a", "(\ra"));
    check(&format!("{TEXT}-- migrate:up postgres\nSELECT 2;\n"));
    assert_ne!(
        script(TEXT).checksum(Engine::Sqlite),
        script("-- migrate:up").checksum(Engine::Sqlite)
    );
}

#[test]
fn sections_count_in_the_order_of_the_file() {
    let (one, two) = ("-- migrate:up\nA;\n", "-- migrate:up postgres\nB;\n");
    assert_eq!(of(&format!("{one}{two}")), of("-- migrate:up\nA;\nB;\n"));
    assert_eq!(of(&format!("{two}{one}")), of("-- migrate:up\nB;\nA;"));
}
