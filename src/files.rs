//! Reads what the image brings: the directory of scripts, and small files that hold values. And
//! writes a new script, at the terminal.
//!
//! Every error names the path. Scripts are read in the order of their names, so that the
//! same image gives the same graph everywhere. Nothing that is there is ever written over.
#![expect(clippy::disallowed_methods, reason = "this file is where files are read")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    alembic::{self, AlembicError, Answer, DEFAULT_VERSION_TABLE, Environment, Options},
    config::ChainConfig,
    engine::Engine,
    graph::{
        Graph, GraphFault, TargetError,
        revision::{Place, RevisionId},
        tags::TagsError,
        target::Target,
    },
    script::{Direction, Script, ScriptFault, Statement},
    version_table::VersionTable,
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
    /// The Alembic environment that brings the revisions, instead of scripts.
    pub alembic: Option<Delegated>,
    /// The version table that the scripts keep in step with the ledger.
    pub versions: Option<VersionTable>,
}

/// Revisions that Alembic applies.
#[derive(Clone, Debug)]
pub struct Delegated {
    /// Where it is to be run.
    pub directory: PathBuf,
    /// Its settings, where the command does not find them by itself.
    pub ini: Option<PathBuf>,
    /// Where it keeps what is applied.
    pub versions: VersionTable,
    /// Where its `env.py` takes a URL for a value of `alembic.ini`.
    pub sets_url: Option<Place>,
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
    /// A script leaves its revision to Alembic, and nothing says where Alembic keeps its version.
    #[error(
        "{place}: revision `{revision}` is left to Alembic (`delegate: alembic`); set VERSION_TABLE to \
         the table in which that keeps its version, mostly `{DEFAULT_VERSION_TABLE}`"
    )]
    NoVersionTable {
        /// Where it says so.
        place: Place,
        /// Which.
        revision: String,
    },
    /// The same, and it is not known how to run it.
    #[error("{place}: revision `{revision}` is left to Alembic (`delegate: alembic`); {why}")]
    NoAlembic {
        /// Where it says so.
        place: Place,
        /// Which.
        revision: String,
        /// What to do.
        why: String,
    },
    /// An Alembic environment that cannot be read.
    #[error(transparent)]
    Alembic(AlembicError),
    /// Tags of the configuration that cannot be.
    #[error("the tags of the configuration: {0}")]
    Tags(TagsError),
    /// The target is none of this graph's.
    #[error("MIGRATION_TARGET: {0}")]
    Target(TargetError),
}

/// Every fault on the one last line; the first is what people read.
fn joined<T: ToString>(faults: &[T]) -> String {
    faults.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads the scripts, or the Alembic environment, of a chain and resolves a target in them. `answer`
/// is what Python has told of the environment, where it was asked.
pub fn load(
    config: &ChainConfig,
    target: &Target,
    engine: Engine,
    answer: Option<Answer>,
) -> Result<Chain, ChainError> {
    let directory = directory_of(config.dir.as_deref());
    let versions = config.version_table.as_ref();
    let (graph, scripts, alembic, kept) = if is_alembic(&directory) {
        let environment = environment(&directory, answer)?;
        let delegated = Delegated::of(&environment, versions);
        (environment.graph, BTreeMap::new(), Some(delegated), None)
    } else {
        let scripts = read_scripts(&directory, Some(engine))?;
        if let (Some(script), None) = (scripts.iter().find(|one| one.delegates(engine)), versions) {
            let (place, revision) = (script.revision.place.clone(), script.revision.id.to_string());
            return Err(ChainError::NoVersionTable { place, revision });
        }
        let revisions = scripts.iter().map(|script| script.revision.clone()).collect();
        let graph = Graph::new(revisions).map_err(ChainError::Graph)?;
        let by_id = scripts.into_iter().map(|script| (script.revision.id.clone(), script));
        (graph, by_id.collect(), None, versions.cloned())
    };
    let graph = tagged(graph, config)?;
    let ids = graph.resolve(target).map_err(|error| {
        ChainError::Target(if alembic.is_some() { error.of_alembic() } else { error })
    })?;
    let target_text = target.to_string();
    Ok(Chain { graph, scripts, target: ids, target_text, engine, alembic, versions: kept })
}

impl Delegated {
    fn of(environment: &Environment, versions: Option<&VersionTable>) -> Self {
        let found = || VersionTable {
            schema: environment.version_table_schema.named().map(str::to_owned),
            table: environment.version_table.named().unwrap_or(DEFAULT_VERSION_TABLE).to_owned(),
        };
        let directory = environment.directory.clone();
        // Alembic looks for its own file where it is run.
        let by_itself = |ini: &&PathBuf| **ini == directory.join("alembic.ini");
        let ini = environment.ini.as_ref().filter(|ini| !by_itself(ini)).cloned();
        let sets_url = environment.sets_url.clone();
        Self { ini, versions: versions.cloned().unwrap_or_else(found), directory, sets_url }
    }
}

/// Whether a directory is for Alembic rather than for scripts, of which it has none then.
fn is_alembic(directory: &Path) -> bool {
    let has = |name: &str| directory.join(name).exists();
    let is_named = directory.is_file();
    let has_no_script = || matches!(script_paths(directory), Err(ChainError::Empty { .. }));
    is_named
        || has_no_script()
            && (has("alembic.ini")
                || has("env.py")
                || has("versions")
                || has("pyproject.toml")
                || has_python(directory))
}

/// An Alembic environment, from its files or as Python has told it.
fn environment(directory: &Path, answer: Option<Answer>) -> Result<Environment, ChainError> {
    let environment = match answer {
        None => alembic::read(directory),
        Some(answer) => alembic::read_answered(directory, &Options::default(), answer),
    };
    environment.map_err(ChainError::Alembic)
}

fn has_python(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|is| is == "py"))
}

/// Reads the revisions alone, for whom no engine is at hand: that each script serves one is not
/// asked. `answer` as for [`load`].
pub fn load_graph(config: &ChainConfig, answer: Option<Answer>) -> Result<Graph, ChainError> {
    tagged(graph_in(&directory_of(config.dir.as_deref()), answer)?, config)
}

/// The same of any directory.
pub fn graph_in(directory: &Path, answer: Option<Answer>) -> Result<Graph, ChainError> {
    if is_alembic(directory) {
        return Ok(environment(directory, answer)?.graph);
    }
    let scripts = read_scripts(directory, None)?;
    let revisions = scripts.into_iter().map(|script| script.revision).collect();
    Graph::new(revisions).map_err(ChainError::Graph)
}

/// The graph with the tags of the configuration.
fn tagged(graph: Graph, config: &ChainConfig) -> Result<Graph, ChainError> {
    if config.tags.is_empty() {
        return Ok(graph);
    }
    graph.with_tags(&config.tags).map_err(ChainError::Tags)
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
            Ok(script) => match engine.filter(|&engine| !script.can_apply(engine)) {
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
            Self::Directory { .. }
            | Self::Empty { .. }
            | Self::Tags(_)
            | Self::NoVersionTable { .. }
            | Self::NoAlembic { .. } => 10,
            Self::File { .. } | Self::Scripts(_) | Self::Graph(_) => 20,
            Self::Alembic(error) => error.exit_code(),
            Self::Target(_) => 21,
        }
    }
}

impl Chain {
    /// The table in which another tool keeps what is applied, or that is kept in step for it.
    #[must_use]
    pub fn version_table(&self) -> Option<&VersionTable> {
        self.alembic.as_ref().map(|alembic| &alembic.versions).or(self.versions.as_ref())
    }

    /// The version table, where it is ours to keep in step with the ledger.
    #[must_use]
    pub fn kept_versions(&self) -> Option<&VersionTable> {
        self.versions.as_ref().filter(|_| self.alembic.is_none())
    }

    /// The revisions that are left to Alembic on this engine.
    #[must_use]
    pub fn delegated(&self) -> BTreeSet<String> {
        let delegated = self.scripts.values().filter(|script| script.delegates(self.engine));
        delegated.map(|script| script.revision.id.to_string()).collect()
    }

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
