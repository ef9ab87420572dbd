//! The names of characters, less the names: what Python's `\N{…}` stands for is read as U+FFFD.
//!
//! The parser of Python needs the crate of this name for that escape alone, and its tables make a
//! static binary larger by a tenth. What prelaunch reads are ids, labels and titles. A name or a label
//! with U+FFFD in it counts as one that is not known without Python, as if its file were in an
//! unreadable encoding; in a title it is shown as it is.

/// U+FFFD for whatever could be the name of a character.
#[must_use]
pub fn character(name: &str) -> Option<char> {
    let may_be_part = |c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '-';
    let named = !name.is_empty() && name.chars().all(may_be_part);
    named.then_some(char::REPLACEMENT_CHARACTER)
}
