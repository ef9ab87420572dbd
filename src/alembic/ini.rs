//! The dialect of `alembic.ini`: what Python's `configparser` reads with its defaults.
//!
//! ```ini
//! # Comments have lines of their own, which may also begin with a semicolon.
//! [alembic]
//! script_location = %(here)s/migrations
//! version_locations: %(here)s/a
//!     %(here)s/b
//! sqlalchemy.url = driver://user:p%%40ss@host/name
//! ```
//!
//! It promises the same sections, keys and values: a key ends at the first `=` or `:` and counts in
//! lower case; a line that is indented deeper than its key goes on with the value, across blank
//! lines and comments; `[DEFAULT]` lends its keys to every section; a section or a key that is given
//! twice is a fault. `%(name)s` is replaced by the value of that name and `%%` by `%`, in the value
//! that is asked for and not before, so that a stray `%` elsewhere in the file does no harm.
//!
//! Where it is laxer: a byte order mark is passed over.

use std::collections::BTreeMap;

/// A file of settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Ini {
    sections: BTreeMap<String, Keys>,
    /// The keys of `[DEFAULT]`, and `here`.
    defaults: Keys,
}

type Keys = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
struct Entry {
    value: String,
    line: usize,
}

/// What is wrong with a file of settings.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum IniFault {
    /// Text above the first section.
    #[error("this line belongs to no section; write `[alembic]` above it")]
    NoSection,
    /// A section that is there already.
    #[error("section `[{section}]` is given twice; line {first} has it already")]
    SectionTwice { section: String, first: usize },
    /// A key that its section has already.
    #[error("`{key}` is given twice in its section; line {first} has it already")]
    KeyTwice { key: String, first: usize },
    /// A line that is no key with a value.
    #[error("this line has no `=`; write `key = value`")]
    NoValue,
    /// `%(name)s` without such a name.
    #[error("`{key}` refers to `%({name})s`, which its section does not have; correct the name")]
    Unknown { key: String, name: String },
    /// A percent sign that begins nothing.
    #[error("`{key}` has a `%` that is not followed by `(name)s`; write `%%` for the sign itself")]
    Percent { key: String },
    /// Values that refer to one another without end.
    #[error("`{key}` refers to itself; write out one of the values that it refers to")]
    Endless { key: String },
}

/// A fault and its line, counted from 1.
pub(super) type At = (usize, IniFault);

/// As deep as Python goes.
const DEEPEST: usize = 10;

impl Ini {
    /// No file, but `here`.
    pub(super) fn empty(here: &str) -> Self {
        let here = ("here".to_owned(), Entry { value: here.to_owned(), line: 0 });
        Self { sections: BTreeMap::new(), defaults: BTreeMap::from([here]) }
    }

    /// Reads a text. `here` is the directory of the file, which `%(here)s` stands for.
    pub(super) fn read(text: &str, here: &str) -> Result<Self, At> {
        let mut ini = Self::empty(here);
        let mut first_lines: BTreeMap<String, usize> = BTreeMap::new();
        // Where values go now: the section, the key, and how deep the key is indented.
        let mut section: Option<String> = None;
        let mut key: Option<String> = None;
        let mut depth = 0;
        // Blank lines inside a value are part of it, those behind it are not.
        let mut blank = 0;

        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for (at, line) in text.split('\n').enumerate() {
            let number = at + 1;
            let value = line.trim();
            if value.is_empty() {
                blank += 1;
                continue;
            }
            if value.starts_with(['#', ';']) {
                continue;
            }
            let blanks = std::mem::take(&mut blank);
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            if let (Some(section), Some(key)) = (&section, &key)
                && indent > depth
            {
                if let Some(entry) = ini.keys(section).get_mut(key) {
                    entry.value.extend(std::iter::repeat_n('\n', blanks + 1));
                    entry.value.push_str(value);
                }
                continue;
            }
            depth = indent;
            if let Some(name) = header(value) {
                if let Some(&first) = first_lines.get(name) {
                    let section = name.to_owned();
                    return Err((number, IniFault::SectionTwice { section, first }));
                }
                if name != DEFAULT {
                    first_lines.insert(name.to_owned(), number);
                }
                ini.keys(name);
                section = Some(name.to_owned());
                key = None;
                continue;
            }
            let Some(section) = &section else { return Err((number, IniFault::NoSection)) };
            let Some((name, value)) =
                value.split_once(['=', ':']).filter(|(name, _)| !name.is_empty())
            else {
                return Err((number, IniFault::NoValue));
            };
            let name = name.trim_end().to_lowercase();
            let keys = ini.keys(section);
            // What comes from outside may be written over.
            if let Some(entry) = keys.get(&name).filter(|entry| entry.line > 0) {
                let first = entry.line;
                return Err((number, IniFault::KeyTwice { key: name, first }));
            }
            keys.insert(name.clone(), Entry { value: value.trim().to_owned(), line: number });
            key = Some(name);
        }
        Ok(ini)
    }

    /// A value with all references replaced, and its line.
    pub(super) fn get(&self, section: &str, key: &str) -> Result<Option<(String, usize)>, At> {
        if !self.sections.contains_key(section) {
            return Ok(None);
        }
        let Some(entry) = self.entry(section, key) else { return Ok(None) };
        let mut text = String::new();
        self.replace(section, key, &entry.value, &mut text, DEEPEST)
            .map_err(|fault| (entry.line, fault))?;
        Ok(Some((text, entry.line)))
    }

    /// A text with all references to defaults replaced.
    pub(super) fn filled(&self, key: &str, text: &str) -> Result<String, IniFault> {
        let mut into = String::new();
        self.replace(DEFAULT, key, text, &mut into, DEEPEST)?;
        Ok(into)
    }

    fn entry(&self, section: &str, key: &str) -> Option<&Entry> {
        let own = self.sections.get(section).and_then(|keys| keys.get(key));
        own.or_else(|| self.defaults.get(key))
    }

    fn keys(&mut self, section: &str) -> &mut Keys {
        if section == DEFAULT {
            return &mut self.defaults;
        }
        self.sections.entry(section.to_owned()).or_default()
    }

    fn replace(
        &self,
        section: &str,
        key: &str,
        mut rest: &str,
        into: &mut String,
        depth: usize,
    ) -> Result<(), IniFault> {
        let key_name = || key.to_owned();
        let Some(depth) = depth.checked_sub(1) else {
            return Err(IniFault::Endless { key: key_name() });
        };
        while let Some((before, after)) = rest.split_once('%') {
            into.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                into.push('%');
                rest = after;
                continue;
            }
            let reference = after.strip_prefix('(').and_then(|after| after.split_once(")s"));
            // A name ends at the first parenthesis, which must be that of `)s`.
            let Some((name, after)) =
                reference.filter(|(name, _)| !name.is_empty() && !name.contains(')'))
            else {
                return Err(IniFault::Percent { key: key_name() });
            };
            let Some(entry) = self.entry(section, &name.to_lowercase()) else {
                return Err(IniFault::Unknown { key: key_name(), name: name.to_owned() });
            };
            self.replace(section, key, &entry.value, into, depth)?;
            rest = after;
        }
        into.push_str(rest);
        Ok(())
    }
}

const DEFAULT: &str = "DEFAULT";

/// The name of a section: up to the last bracket of the line.
fn header(value: &str) -> Option<&str> {
    let (name, _) = value.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}
