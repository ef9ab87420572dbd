//! What the tests of scripts share: a script out of parts of its text, and its faults as text.

mod checksum;
mod header;
mod losses;
mod refusals;
mod statements;

use std::path::Path;

use super::Script;

const HEADER: &str = "-- a title\n-- revision: abcd\n";

fn parse(text: &str) -> Result<Script, String> {
    Script::parse(Path::new("m/x.sql"), text)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// A script with a sound header above this text.
fn script(sections: &str) -> Script {
    parse(&format!("{HEADER}{sections}")).unwrap()
}
