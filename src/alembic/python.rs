//! Which Python has the Alembic of the image.
//!
//! The one that would run the migration: that of the program which `MIGRATE_COMMAND` names, or of
//! `alembic`. A script of a virtual environment says it in its `#!` line. Where neither is there, it is
//! the Python of a virtual environment, else the one in PATH.
//!
//! Programs are looked for as the system does, in PATH, and then in the virtual environments that
//! images have ([`environments`]). Nothing is run to find out.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::disk;

/// Where images keep a virtual environment, besides beside the settings.
const ENVIRONMENTS: &[&str] = &["/opt/venv", "/venv", "/app/.venv"];

/// How a Python is called.
const NAMES: [&str; 2] = ["python3", "python"];

/// The virtual environments that there may be: beside the settings or above them, nearest first.
pub(crate) fn environments(directory: Option<&Path>) -> Vec<PathBuf> {
    let above = directory.into_iter().flat_map(Path::ancestors);
    let beside = above.flat_map(|path| [path.join(".venv"), path.join("venv")]);
    beside.chain(ENVIRONMENTS.iter().map(PathBuf::from)).collect()
}

/// Where programs are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    path: Vec<PathBuf>,
    environments: Vec<PathBuf>,
    directory: PathBuf,
}

impl Places {
    /// For commands that are run in this directory with this PATH.
    pub(crate) fn of(path: Option<&OsStr>, directory: &Path) -> Self {
        let entries = path.map(OsStr::as_bytes).unwrap_or_default().split(|&byte| byte == b':');
        // An empty one is the working directory.
        let path = entries.map(|entry| directory.join(OsStr::from_bytes(entry))).collect();
        let environments = environments(Some(directory));
        Self { path, environments, directory: directory.to_owned() }
    }

    /// The Python that runs these programs, the first that there is; else any.
    pub(crate) fn python(&self, programs: &[&str]) -> Option<PathBuf> {
        let of_programs = programs.iter().find_map(|program| self.python_of(program));
        of_programs.or_else(|| {
            let pythons = || NAMES.iter();
            pythons()
                .find_map(|name| self.in_environments(name))
                .or_else(|| pythons().find_map(|name| self.in_path(name)))
        })
    }

    fn python_of(&self, program: &str) -> Option<PathBuf> {
        let file = if program.contains('/') {
            Some(self.directory.join(program)).filter(|file| is_program(file))
        } else {
            self.in_path(program).or_else(|| self.in_environments(program))
        }?;
        if is_python(&file) { Some(file) } else { self.interpreter(&file) }
    }

    /// The Python of a script.
    fn interpreter(&self, script: &Path) -> Option<PathBuf> {
        let start = disk::start(script)?;
        let text = String::from_utf8_lossy(&start);
        let (line, rest) = text.strip_prefix("#!")?.split_once('\n')?;
        let mut words = line.split_whitespace();
        let program = Path::new(words.next()?);
        if is_python(program) {
            return Some(program.to_owned());
        }
        if program.file_name()? == "env" {
            let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
            return if is_python(Path::new(name)) { self.in_path(name) } else { None };
        }
        // How a path that is too long for a `#!` line is written: a shell that runs the Python of
        // the same environment.
        if !rest.starts_with("'''exec'") {
            return None;
        }
        let beside = script.canonicalize().ok()?.parent()?.to_owned();
        NAMES.iter().map(|name| beside.join(name)).find(|file| is_program(file))
    }

    fn in_path(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|place| place.join(name)).find(|file| is_program(file))
    }

    fn in_environments(&self, name: &str) -> Option<PathBuf> {
        let files = self.environments.iter().map(|place| place.join("bin").join(name));
        files.into_iter().find(|file| is_program(file))
    }
}

fn is_python(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().as_bytes();
    name.starts_with(b"python") || name.starts_with(b"pypy")
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The PATH of commands: the one that they are given, else ours.
pub(crate) fn path_of<'a>(
    changed: &'a [(OsString, OsString)],
    ours: Option<&'a OsStr>,
) -> Option<&'a OsStr> {
    let given = changed.iter().find(|(name, _)| name == "PATH");
    given.map(|(_, value)| value.as_os_str()).or(ours)
}
