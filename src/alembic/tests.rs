//! What is read of an Alembic environment, a group per part: files as text, and directories made of
//! text.

use std::path::Path;

use super::{
    AlembicError, AlembicFault, Answer, Environment, Options, Question, Setting, ask, env, read,
    read_with, script,
};
use crate::graph::revision::{Revision, RevisionId};

mod answer;
mod places;
mod python;
mod revisions;
mod settings;
mod unread;
mod version_table;

/// The revision of a file `x.py`, or its faults as they are displayed.
fn revision(text: impl AsRef<[u8]>) -> Result<Revision, String> {
    named("x.py", text)
}

fn named(name: &str, text: impl AsRef<[u8]>) -> Result<Revision, String> {
    script::read(Path::new(name), name, text.as_ref()).map_err(|unread| {
        unread.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    })
}

/// `id <- parents ^ dependencies [labels] title`, or the faults.
fn told(found: Result<Revision, String>) -> String {
    let revision = match found {
        Ok(revision) => revision,
        Err(faults) => return faults,
    };
    let mut text = revision.id.to_string();
    let parents: Vec<&str> = revision.parents.iter().map(RevisionId::as_str).collect();
    for (mark, names) in [("<-", parents.join("+")), ("^", revision.depends_on.join("+"))] {
        if !names.is_empty() {
            text = format!("{text} {mark} {names}");
        }
    }
    if !revision.labels.is_empty() {
        text = format!("{text} [{}]", revision.labels.join("+"));
    }
    if !revision.title.is_empty() {
        text = format!("{text} {}", revision.title);
    }
    text
}

/// What is told of a file with this text.
#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(told(revision(text)), expected, "{text}");
}

/// A directory with files, given as name and text. A name that ends with `/` is a directory.
fn files(contents: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in contents {
        let path = directory.path().join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).expect("a directory");
            continue;
        }
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        #[expect(clippy::disallowed_methods, reason = "tests write what is read")]
        std::fs::write(path, text).expect("a file");
    }
    directory
}

/// A revision file with these parents.
fn text(id: &str, parent: Option<&str>) -> String {
    let parent = parent.map_or("None".to_owned(), |parent| format!("'{parent}'"));
    format!("revision = '{id}'\ndown_revision = {parent}\n")
}

/// The ids of an environment in order, or the error; the directory is called `DIR`.
fn ids(directory: &Path, found: &Result<Environment, AlembicError>) -> String {
    match found {
        Ok(environment) => {
            let ids = environment.graph.revisions().map(|revision| revision.id.to_string());
            ids.collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.to_string().replace(&directory.display().to_string(), "DIR"),
    }
}

/// A path inside of a directory of a test, as text.
fn inside(directory: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(directory).unwrap_or(path);
    inner.display().to_string()
}
