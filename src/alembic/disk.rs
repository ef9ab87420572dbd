//! Reads the files and directories of an environment, in a fixed order.
#![expect(clippy::disallowed_methods, reason = "this file is where an environment is read")]

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    AlembicError, Instead,
    script::{Taken, taken},
};

/// The bytes of a file.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, AlembicError> {
    std::fs::read(path).map_err(|source| unreadable(path, source))
}

/// How much of a file its `#!` line may take, and the one after it.
const START: u64 = 4096;

/// The first bytes of a file, if it can be read.
pub(super) fn start(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(START).read_to_end(&mut start).ok()?;
    Some(start)
}

/// The text of a file of settings.
pub(super) fn text(path: &Path) -> Result<String, AlembicError> {
    std::fs::read_to_string(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> AlembicError {
    AlembicError::Unreadable { path: path.to_owned(), source }
}

/// What a directory has, by name.
#[derive(Default)]
pub(super) struct Entries {
    /// Everything that is no directory. Links count for what they lead to.
    pub(super) files: Vec<Entry>,
    /// Directories, linked ones left out: Alembic does not follow them.
    pub(super) directories: Vec<String>,
}

pub(super) struct Entry {
    pub(super) name: String,
    is_link: bool,
}

/// Lists a directory.
pub(super) fn entries(directory: &Path) -> Result<Entries, AlembicError> {
    let failed = |source| unreadable(directory, source);
    let mut entries = Entries::default();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            entries.directories.push(name);
        } else if !(kind.is_symlink() && entry.path().is_dir()) {
            entries.files.push(Entry { name, is_link: kind.is_symlink() });
        }
    }
    entries.directories.sort();
    entries.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// A file that Alembic would take for a revision.
pub(super) struct RevisionFile {
    /// As it was found, for messages.
    pub(super) path: PathBuf,
    /// The name that counts: that of the file itself, if this is a link.
    pub(super) name: String,
    /// Whether it has no source.
    pub(super) compiled: bool,
}

/// What else is looked at than the `.py` files of a directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    /// The directories below.
    pub(super) recursive: bool,
    /// What is compiled.
    pub(super) sourceless: bool,
}

/// The revision files of several directories, each file once.
pub(super) fn revision_files(
    locations: &[PathBuf],
    walk: Walk,
) -> Result<Vec<RevisionFile>, AlembicError> {
    let mut listing = Listing { walk, seen: HashSet::new(), found: Vec::new() };
    for location in locations {
        listing.add(location)?;
    }
    Ok(listing.found)
}

struct Listing {
    walk: Walk,
    seen: HashSet<PathBuf>,
    found: Vec<RevisionFile>,
}

const CACHE: &str = "__pycache__";

impl Listing {
    fn add(&mut self, directory: &Path) -> Result<(), AlembicError> {
        let Entries { files, directories } = entries(directory)?;
        let real = directory.canonicalize().map_err(|source| unreadable(directory, source))?;
        let cached = directory.file_name().is_some_and(|name| is_cache(&name.to_string_lossy()));
        if !cached {
            for file in &files {
                self.consider(directory, &real, file)?;
            }
            // Beside these, what Python compiled of files that are gone.
            if self.walk.sourceless && directories.iter().any(|name| name == CACHE) {
                let (cache, real) = (directory.join(CACHE), real.join(CACHE));
                for file in entries(&cache)?.files {
                    if !files.iter().any(|other| stem(&other.name) == stem(&file.name)) {
                        self.consider(&cache, &real, &file)?;
                    }
                }
            }
        }
        if self.walk.recursive {
            for name in directories {
                self.add(&directory.join(name))?;
            }
        }
        Ok(())
    }

    fn consider(
        &mut self,
        directory: &Path,
        real: &Path,
        file: &Entry,
    ) -> Result<(), AlembicError> {
        let path = directory.join(&file.name);
        let real = if file.is_link {
            match path.canonicalize() {
                Ok(real) => real,
                // A link to nowhere matters only if it looks like a revision.
                Err(_) if taken(&file.name, self.walk.sourceless) == Taken::Not => return Ok(()),
                Err(source) => return Err(unreadable(&path, source)),
            }
        } else {
            real.join(&file.name)
        };
        let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let compiled = match taken(&name, self.walk.sourceless) {
            Taken::Not => return Ok(()),
            Taken::Source => false,
            Taken::Compiled if has_better(&real, &name) => return Ok(()),
            Taken::Compiled => true,
        };
        if self.seen.insert(real) {
            self.found.push(RevisionFile { path, name, compiled });
        }
        Ok(())
    }
}

/// Whether the source is there, or a `.pyc` beside a `.pyo`.
fn has_better(real: &Path, name: &str) -> bool {
    let source = &name[..name.len() - 1];
    real.with_file_name(source).exists()
        || name.ends_with('o') && real.with_file_name(format!("{source}c")).exists()
}

fn is_cache(name: &str) -> bool {
    name.ends_with(CACHE)
}

fn stem(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// What these directories have instead of revisions.
pub(super) fn instead(locations: &[PathBuf]) -> Instead {
    let has = |directory: &Path, kind: Taken| {
        let files = entries(directory).map(|entries| entries.files).unwrap_or_default();
        files.iter().any(|file| taken(&file.name, true) == kind)
    };
    let mut below = Vec::new();
    for location in locations {
        let inner = entries(location).map(|entries| entries.directories).unwrap_or_default();
        let inner = inner.iter().map(|name| location.join(name));
        below.extend(inner.filter(|directory| has(directory, Taken::Source)));
    }
    let caches = locations.iter().map(|location| location.join(CACHE));
    let mut places = locations.iter().cloned().chain(caches);
    if !below.is_empty() {
        Instead::Below(below)
    } else if places.any(|directory| has(&directory, Taken::Compiled)) {
        Instead::Compiled
    } else {
        Instead::Nothing
    }
}
