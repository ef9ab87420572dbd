//! What goes with the import: a directory, and databases.

use std::{
    fs::DirBuilder,
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

use tracing::warn;

use super::{ImportError, Importing};
use crate::{db::scratch::Scratch, engine::Engine, error::Error, stage::Stage};

/// A directory that goes with the import.
pub(super) struct Throwaway(pub(super) PathBuf);

impl Throwaway {
    pub(super) fn new() -> Result<Self, ImportError> {
        let random = RandomState::new().hash_one("import");
        let path = std::env::temp_dir().join(format!("prelaunch_import_{random:016x}"));
        let made = DirBuilder::new().mode(0o700).create(&path);
        let failed = |source: io::Error| ImportError::Write { path: path.clone(), source };
        made.map_err(failed)?;
        Ok(Self(path))
    }

    fn name(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        // Nobody is left to do anything about it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Importing<'_> {
    /// A throwaway database; none for PostgreSQL without a server.
    pub(super) fn scratch(&mut self, engine: Engine) -> Result<Option<Scratch>, Error> {
        self.databases += 1;
        let name = format!("{}_{}", self.directory.name(), self.databases);
        let created = match (engine, &self.server) {
            (Engine::Sqlite, _) => return Ok(Scratch::file(&self.directory.0, &name)),
            (Engine::Postgres, None) => return Ok(None),
            (Engine::Postgres, Some(server)) => {
                self.runtime.block_on(Scratch::create(server, &name))
            }
        };
        created.map(Some).map_err(|error| Error::Import(ImportError::Scratch(error)))
    }

    pub(super) fn drop(&self, scratch: Scratch) {
        let name = scratch.database.clone().unwrap_or_default();
        if let Err(error) = self.runtime.block_on(scratch.drop()) {
            warn!(
                stage = %Stage::Plan, event = "left_behind", database = name,
                why = error.to_string(), "cannot drop a throwaway database; drop it by hand"
            );
        }
    }
}
