//! A whole script: header, sections, statements, checksum.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use prelaunch::{
    engine::Engine,
    script::{Direction, Script, ScriptFault},
};

fuzz_target!(|text: &str| {
    let parsed = parse(text);
    match &parsed {
        Err(faults) => {
            assert!(!faults.is_empty());
            in_order_and_inside(text, faults);
        }
        Ok(script) => {
            sections_are_of_the_file(text, script);
            for engine in Engine::ALL {
                for direction in [Direction::Up, Direction::Down] {
                    statements_are_of_the_file(text, script, engine, direction);
                }
            }
        }
    }
    line_ends_do_not_matter(text, &parsed);
});

fn parse(text: &str) -> Result<Script, Vec<ScriptFault>> {
    Script::parse(Path::new("s.sql"), text)
}

fn in_order_and_inside(text: &str, faults: &[ScriptFault]) {
    let lines = text.lines().count().max(1);
    assert!(faults.is_sorted_by_key(|fault| fault.place.line));
    for fault in faults {
        assert!((1..=lines).contains(&fault.place.line), "{fault}");
    }
}

/// From the beginning of this line of the file on.
fn from_line(text: &str, line: usize) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    &text[start..]
}

fn sections_are_of_the_file(text: &str, script: &Script) {
    let (mut lines, mut bytes) = (0, 0);
    for section in &script.sections {
        assert!(from_line(text, section.line).starts_with(&section.text));
        lines += section.text.split_inclusive('\n').count() + 1;
        bytes += section.text.len();
    }
    // All that is below the first marker is in a section, but for the markers.
    let first = script.sections.first().unwrap().line;
    let below = from_line(text, first - 1);
    assert_eq!(below.split_inclusive('\n').count(), lines);
    assert!(bytes <= below.len());
}

fn statements_are_of_the_file(text: &str, script: &Script, engine: Engine, direction: Direction) {
    let faults = script.statement_faults(engine, direction);
    in_order_and_inside(text, &faults);
    match script.statements(engine, direction) {
        Err(fault) => assert!(faults.contains(&fault)),
        Ok(statements) => {
            assert_eq!(faults, []);
            for statement in statements {
                let line = from_line(text, statement.line);
                let mut before = line.char_indices();
                let (at, _) = before.nth(statement.column - 1).unwrap();
                assert!(line[at..].starts_with(&statement.text));
                assert_eq!(statement.position(1), (statement.line, statement.column));
                let beyond = statement.position(usize::MAX);
                assert!(beyond > (statement.line, statement.column));
                assert!(statement.words(4).len() <= 4);
                if let Some(index) = statement.concurrent_index() {
                    assert!(index.name.len() < 64 && index.table.len() < 64);
                }
            }
        }
    }
}

/// CR LF for LF, a byte order mark, blanks at the ends of lines: the same script, or the same faults.
fn line_ends_do_not_matter(text: &str, parsed: &Result<Script, Vec<ScriptFault>>) {
    if text.contains('\r') || text.starts_with('\u{feff}') {
        return;
    }
    for other in
        [text.replace('\n', "\r\n"), text.replace('\n', " \t\n"), format!("\u{feff}{text}")]
    {
        match (parsed, parse(&other)) {
            (Err(faults), Err(others)) => assert_eq!(*faults, others, "{other:?}"),
            (Ok(script), Ok(other)) => {
                assert_eq!(script.revision, other.revision);
                assert_eq!(script.settings, other.settings);
                for engine in Engine::ALL {
                    assert_eq!(script.checksum(engine), other.checksum(engine));
                }
            }
            (parsed, others) => panic!("{parsed:?}\nand of {other:?}\n{others:?}"),
        }
    }
}
