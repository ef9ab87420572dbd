//! The script of a new revision as text: its title, its header, its file name.
//!
//! Promises: what `script` makes is a script that loads, with the title, parents and label that
//! were given. [`Title::parse`] is what it takes: it lets the reader of scripts read a header with
//! that title, and refuses what does not come out as it went in, such as `tag: 1.8`.

use std::{
    fmt::{self, Write as _},
    path::Path,
};

use crate::{graph::revision::RevisionId, script::Script};

/// As long as Alembic lets a slug be.
const SLUG: usize = 40;

/// What a revision does, in one line that its script can begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Title(String);

/// Why a text is no title.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TitleError {
    /// Nothing that could be read.
    #[error("a title needs a letter or a digit")]
    Wordless,
    /// Something that terminals obey, or that ends a text.
    #[error("a title has no control characters, such as `{}`", .0.escape_default())]
    Control(char),
    /// A key of the header, a section marker, dashes in front.
    #[error(
        "a script that begins with `-- {0}` would not have that title, since the line reads as \
         something else; begin with another word"
    )]
    Otherwise(String),
}

impl Title {
    /// Takes what was typed; line breaks and other white space become single blanks.
    pub fn parse(text: &str) -> Result<Self, TitleError> {
        let title = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(control) = title.chars().find(|c| c.is_control()) {
            return Err(TitleError::Control(control));
        }
        if !title.contains(char::is_alphanumeric) {
            return Err(TitleError::Wordless);
        }
        let probe = format!("-- {title}\n--\n-- revision: probe\n\n-- migrate:up\n");
        match Script::parse(Path::new(""), &probe) {
            Ok(script) if script.revision.title == title => Ok(Self(title)),
            _ => Err(TitleError::Otherwise(title)),
        }
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment in UTC, to the second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Created {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
}

impl Created {
    /// So many seconds after the beginning of 1970.
    pub(super) fn at(seconds: u64) -> Self {
        // The calendar in years that begin with March, so that the leap day is the last day, and in
        // eras of 400 years, after which it repeats: 719468 days lie between 0000-03-01 and 1970.
        let days = seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (new_year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
        Self {
            year: era * 400 + year + new_year,
            month,
            day: day - (153 * ((month + 9) % 12) + 2) / 5 + 1,
            second: seconds % 86_400,
        }
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, second } = self;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// A revision that is to be written.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) id: RevisionId,
    pub(super) title: &'a Title,
    /// None for a root, several for a merge.
    pub(super) parents: Vec<RevisionId>,
    pub(super) label: Option<&'a RevisionId>,
}

/// The whole file.
pub(super) fn script(draft: &Draft<'_>, created: Created) -> String {
    let Draft { id, title, parents, label } = draft;
    let mut text = format!("-- {title}\n--\n-- revision: {id}\n");
    // Writing to a `String` cannot fail.
    if !parents.is_empty() {
        let parents: Vec<&str> = parents.iter().map(RevisionId::as_str).collect();
        let _ = writeln!(text, "-- revises: {}", parents.join(", "));
    }
    if let Some(label) = label {
        let _ = writeln!(text, "-- branch: {label}");
    }
    let _ = writeln!(text, "-- created: {created}");
    let (up, down) = if parents.len() > 1 {
        ("nothing to do: the branches above are merged", "nothing to undo")
    } else {
        (
            "the SQL that leads here; for one engine only, below `-- migrate:up postgres` or `sqlite`",
            "the SQL that leads back",
        )
    };
    let _ = write!(text, "\n-- migrate:up\n-- {up}\n\n-- migrate:down\n-- {down}\n");
    text
}

/// `20230724_1e629a913727_fix_suggestions_type_enum_values.sql`
pub(super) fn file_name(draft: &Draft<'_>, created: Created) -> String {
    let Created { year, month, day, .. } = created;
    format!("{year:04}{month:02}{day:02}_{}_{}.sql", draft.id, slug(&draft.title.0))
}

/// The words of a title in lower case, as many as fit.
pub(crate) fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug: String = words.next().unwrap_or_default().chars().take(SLUG).collect();
    for word in words {
        if slug.chars().count() + 1 + word.chars().count() > SLUG {
            break;
        }
        slug.push('_');
        slug.push_str(word);
    }
    slug
}
