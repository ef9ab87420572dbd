//! A file of Python as text: which encoding it is in, and where its lines end.
//!
//! Python takes UTF-8 unless a comment in one of the first two lines names another encoding
//! (PEP 263). UTF-8, ASCII and Latin-1 are read as they are. Of the other encodings of one byte that
//! begin with ASCII, all is read but the characters beyond: they become U+FFFD, and only where such
//! a character stands in a name of ours does it matter. Any other encoding is read if the file has
//! nothing but ASCII in it.
//!
//! It promises lines that end with `\n`, as many as Python counts.

use std::borrow::Cow;

/// Why the bytes of a file are no text, and on which line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Undecodable {
    /// The encoding as the file names it.
    pub(super) encoding: String,
    /// Whether Python could read it: then what fails is only this reader.
    pub(super) python_may: bool,
    pub(super) line: usize,
}

/// Where the first two lines end, of those that people write.
const HEAD: usize = 4096;

/// The text of a file of Python.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
    let (marked, bytes) = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    let (declared, line) = declared(bytes).unwrap_or_else(|| ("utf-8".to_owned(), 1));
    let encoding = Encoding::named(&declared);
    let failed =
        |python_may, line| Err(Undecodable { encoding: declared.clone(), python_may, line });
    if marked && encoding != Encoding::Utf8 {
        return failed(false, line);
    }
    let text = match encoding {
        Encoding::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => return failed(false, line_of(bytes, error.valid_up_to())),
        },
        Encoding::Latin1 => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
        Encoding::OneByte => Cow::Owned(
            bytes
                .iter()
                .map(|&byte| if byte.is_ascii() { char::from(byte) } else { '\u{fffd}' })
                .collect(),
        ),
        Encoding::Ascii | Encoding::Other => match std::str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => Cow::Borrowed(text),
            _ => {
                let first = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or_default();
                return failed(encoding == Encoding::Other, line_of(bytes, first));
            }
        },
    };
    // Python ends lines so before it looks at anything, inside of texts too.
    if text.contains('\r') {
        return Ok(Cow::Owned(with_plain_ends(&text)));
    }
    Ok(text)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Encoding {
    Utf8,
    Ascii,
    Latin1,
    OneByte,
    Other,
}

impl Encoding {
    fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase().replace('_', "-");
        match name.as_str() {
            "utf-8" | "utf8" | "utf-8-sig" | "u8" => Self::Utf8,
            "ascii" | "us-ascii" | "646" => Self::Ascii,
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "iso-latin-1" | "l1" => {
                Self::Latin1
            }
            _ if ["cp125", "windows-125", "iso-8859-", "iso8859-", "koi8-"]
                .iter()
                .any(|family| name.starts_with(family)) =>
            {
                Self::OneByte
            }
            _ => Self::Other,
        }
    }
}

/// The encoding that a comment in one of the first two lines names, and the line. The second one
/// counts only where the first has no code.
fn declared(bytes: &[u8]) -> Option<(String, usize)> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let head = with_plain_ends(&String::from_utf8_lossy(head));
    for (at, line) in head.split('\n').take(2).enumerate() {
        let code = line.trim_start_matches([' ', '\t', '\u{c}']);
        if code.is_empty() {
            continue;
        }
        let comment = code.strip_prefix('#')?;
        if let Some(name) = named_in(comment) {
            return Some((name, at + 1));
        }
    }
    None
}

/// The name after the first `coding:` or `coding=` that has one.
fn named_in(comment: &str) -> Option<String> {
    comment.match_indices("coding").find_map(|(at, word)| {
        let rest = comment[at + word.len()..].strip_prefix([':', '='])?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let ends = |c: char| !(c.is_alphanumeric() || "-_.".contains(c));
        let name = rest.split(ends).next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    })
}

fn with_plain_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    let before = bytes.get(..offset).unwrap_or(bytes);
    before.split(|&byte| byte == b'\n').count()
}
