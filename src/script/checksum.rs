//! The checksum of a script: whether it still is what was applied.
//!
//! A contract for ever: it is kept in ledgers, and any change to it would make every applied
//! script look changed. What it covers is written at [`Checksum`] and pinned by tests.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

/// The SHA-256 of the up sections of a script that are in use on one engine, as 64 lower-case
/// hexadecimal digits.
///
/// It is taken over these bytes, UTF-8:
///
/// 1. The texts of the sections in use, in the order of the file, without their marker lines, each
///    ended by a line feed. Nothing else counts: no header, no title, no tag, no down section, no
///    section of another engine, no byte order mark at the start of the file.
/// 2. The text is divided into lines at line feeds. From the end of each line every space, tab,
///    vertical tab, form feed and carriage return is dropped; so CR LF and LF are the same.
/// 3. Empty lines at the start and at the end are dropped; those in between count.
/// 4. Each line that is left is followed by one line feed. If none is left, there are no bytes.
///
/// Comments, indentation and letter case within the sections count.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Checksum(String);

impl Checksum {
    /// From the sections in use, joined.
    pub(crate) fn of(text: &str) -> Self {
        let blanks = [' ', '\t', '\u{b}', '\u{c}', '\r'];
        let mut hash = Sha256::new();
        let lines = text.split('\n').map(|line| line.trim_end_matches(blanks));
        // Empty lines are held back until a line with text shows that they are not the last ones.
        let mut empty = None;
        for line in lines {
            if line.is_empty() {
                empty = empty.map(|count| count + 1);
                continue;
            }
            for _ in 0..empty.unwrap_or(0) {
                hash.update("\n");
            }
            hash.update(line);
            hash.update("\n");
            empty = Some(0);
        }
        let mut hex = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
