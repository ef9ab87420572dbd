//! Reads what the image brings: the directory of scripts, and small files that hold values. And
//! writes a new script, at the terminal.
//!
//! Every error names the path. Scripts are read in the order of their names, so that the
//! same image gives the same graph everywhere. Nothing that is there is ever written over.
#![expect(clippy::disallowed_methods, reason = "this file is where files are read")]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    engine::Engine,
    graph::{Graph, GraphFault, TargetError, revision::RevisionId, target::Target},
    script::{Direction, Script, ScriptFault, Statement},
};

/// Where scripts are looked for when `MIGRATIONS_DIR` is not set, in this order.
pub const DEFAULT_DIRECTORIES: [&str; 2] = ["migrations", "/migrations"];

/// What the image brings, and where it wants the database to be.
#[derive(Debug)]
pub struct Chain {
    /// How the revisions follow each other.
    pub graph: Graph,
    /// The script of each.
    pub scripts: BTreeMap<RevisionId, Script>,
    /// What is to be reached.
    pub target: Vec<RevisionId>,
    /// How the target was named.
    pub target_text: String,
    /// The engine that decides which sections are in use.
    pub engine: Engine,
}

/// Why the scripts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The directory is not there, or cannot be read.
    #[error("cannot read the directory of scripts `{}`; set MIGRATIONS_DIR", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It has no script: more likely a mistake in a mount than a wish.
    #[error("`{}` has no `.sql` file; set MIGRATIONS_DIR", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A script cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Scripts that are not well-formed, all of them.
    #[error("{}", joined(.0))]
    Scripts(Vec<ScriptFault>),
    /// Revisions that form no sound graph.
    #[error("{}", joined(.0))]
    Graph(Vec<GraphFault>),
    /// The target is none of this graph's.
    #[error("MIGRATION_TARGET: {0}")]
    Target(TargetError),
}

/// Every fault on the one last line; the first is what people read.
fn joined<T: ToString>(faults: &[T]) -> String {
    faults.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads the scripts and resolves the target.
pub fn load(
    directory: Option<&Path>,
    target: &Target,
    engine: Engine,
) -> Result<Chain, ChainError> {
    let scripts = read_scripts(&directory_of(directory), Some(engine))?;
    let revisions = scripts.iter().map(|script| script.revision.clone()).collect();
    let graph = Graph::new(revisions).map_err(ChainError::Graph)?;
    let ids = graph.resolve(target).map_err(ChainError::Target)?;
    let scripts = scripts.into_iter().map(|script| (script.revision.id.clone(), script)).collect();
    Ok(Chain { graph, scripts, target: ids, target_text: target.to_string(), engine })
}

/// Reads the revisions alone, for whom no engine is at hand: that each script serves one is not
/// asked.
pub fn load_graph(directory: Option<&Path>) -> Result<Graph, ChainError> {
    let scripts = read_scripts(&directory_of(directory), None)?;
    let revisions = scripts.into_iter().map(|script| script.revision).collect();
    Graph::new(revisions).map_err(ChainError::Graph)
}

/// The directory of scripts: the configured one, or the default one that is there.
#[must_use]
pub fn directory_of(configured: Option<&Path>) -> PathBuf {
    if let Some(directory) = configured {
        return directory.to_path_buf();
    }
    let [first, second] = DEFAULT_DIRECTORIES.map(PathBuf::from);
    if !first.is_dir() && second.is_dir() { second } else { first }
}

/// A file and what is in it, or why that cannot be told.
pub type Content = (PathBuf, io::Result<Vec<u8>>);

/// Every script as it is on the disk, readable or not.
pub fn read_each(directory: &Path) -> Result<Vec<Content>, ChainError> {
    let paths = script_paths(directory)?.into_iter();
    Ok(paths.map(|path| (path.clone(), std::fs::read(path))).collect())
}

/// Makes a directory, and those above it; whether there was none.
pub fn create_directory(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    std::fs::create_dir_all(path).map(|()| true)
}

/// Writes a file that is not there yet; anything that bears its name is an error.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    File::create_new(path)?.write_all(text.as_bytes())
}

fn script_paths(directory: &Path) -> Result<Vec<PathBuf>, ChainError> {
    let failed = |source| ChainError::Directory { path: directory.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "sql") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(ChainError::Empty { path: directory.to_path_buf() });
    }
    paths.sort();
    Ok(paths)
}

fn read_scripts(directory: &Path, engine: Option<Engine>) -> Result<Vec<Script>, ChainError> {
    let (mut scripts, mut faults) = (Vec::new(), Vec::new());
    for path in script_paths(directory)? {
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ChainError::File { path: path.clone(), source })?;
        match Script::parse(&path, &text) {
            Ok(script) => match engine.filter(|&engine| !script.serves(engine, Direction::Up)) {
                Some(engine) => faults.push(script.missing_section(engine, Direction::Up)),
                None => scripts.push(script),
            },
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(scripts) } else { Err(ChainError::Scripts(faults)) }
}

/// A file that holds a value, such as a mounted secret.
pub fn read_value(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

impl ChainError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Directory { .. } | Self::Empty { .. } => 10,
            Self::File { .. } | Self::Scripts(_) | Self::Graph(_) => 20,
            Self::Target(_) => 21,
        }
    }
}

impl Chain {
    /// The scripts that are to be applied with their statements, in order, or every fault in them.
    pub fn statements(
        &self,
        steps: &[RevisionId],
    ) -> Result<Vec<(&Script, Vec<Statement>)>, ChainError> {
        let scripts = steps.iter().filter_map(|id| self.scripts.get(id));
        statements(scripts, self.engine, Direction::Up)
    }
}

/// Scripts with their statements in one direction, or every fault in them.
pub fn statements<'s>(
    scripts: impl IntoIterator<Item = &'s Script>,
    engine: Engine,
    direction: Direction,
) -> Result<Vec<(&'s Script, Vec<Statement>)>, ChainError> {
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for script in scripts {
        match script.statements(engine, direction) {
            Ok(found) => all.push((script, found)),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(all) } else { Err(ChainError::Scripts(faults)) }
}
