//! Finds an environment from a path: its settings, its script location, its version locations.
//!
//! A relative path in the settings holds from where `alembic` is run, which the settings do not
//! say. It is taken to be the nearest directory, from that of the settings upwards, from which all
//! of them lead somewhere; that directory is where the command has to be run.
//!
//! Surprising: an `alembic.ini` without `script_location` that stands beside `env.py` is
//! in order; Flask-Migrate writes such files and gives the directory itself.

use std::path::{Component, Path, PathBuf};

use super::{
    AlembicError, Answer, Environment, Options,
    disk::{self, RevisionFile, Walk},
    env::{self, Said},
    packages::{Packages, is_relative},
    script::{self, Taken, taken},
    settings::{self, File, Settings, SettingsFault, SettingsFaultKind, speaks_of_alembic},
    unread::{self, Unread},
};
use crate::graph::{
    Graph,
    revision::{Place, Revision},
};

/// An environment that is found and not yet read.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) script_location: PathBuf,
    /// Those that there are; Alembic passes over the others.
    pub(super) version_locations: Vec<PathBuf>,
    pub(super) ini: Option<PathBuf>,
    pub(super) toml: Option<PathBuf>,
    pub(super) directory: PathBuf,
    /// Whether the settings leave it to somebody else to say where the script location is.
    implied: bool,
    /// Whether the version locations are not those of the settings.
    chosen: bool,
    walk: Walk,
}

/// As much of an environment as Alembic has to be told to find the rest.
pub(super) struct Known {
    pub(super) ini: Option<PathBuf>,
    pub(super) toml: Option<PathBuf>,
    /// None where the settings say it.
    pub(super) script_location: Option<PathBuf>,
    /// None where the settings say them.
    pub(super) version_locations: Vec<PathBuf>,
    pub(super) directory: PathBuf,
}

/// What Alembic has to be told. It needs no path inside of a package resolved: Python does that.
pub(super) fn known(path: &Path, options: &Options) -> Result<Known, AlembicError> {
    let (ini, toml, script_location, version_locations, directory) = match locate(path, options) {
        Ok(located) => (
            located.ini,
            located.toml,
            located.implied.then_some(located.script_location),
            if located.chosen { located.version_locations } else { Vec::new() },
            located.directory,
        ),
        Err(error) => {
            let Config { directory, ini, toml } = Config::in_a_package(path, error)?;
            (ini, toml, None, Vec::new(), directory)
        }
    };
    Ok(Known { ini, toml, script_location, version_locations, directory })
}

/// The environment that a path names, where Python has told what the settings do not.
pub(super) fn located(
    path: &Path,
    options: &Options,
    answer: &Answer,
) -> Result<Located, AlembicError> {
    locate(path, options).or_else(|error| {
        let Config { directory, ini, toml } = Config::in_a_package(path, error)?;
        Ok(Located {
            script_location: answer.script_location.clone(),
            version_locations: answer.version_locations(),
            ini,
            toml,
            directory,
            implied: false,
            chosen: false,
            walk: Walk::default(),
        })
    })
}

/// Finds the environment that a path names.
pub(super) fn locate(path: &Path, options: &Options) -> Result<Located, AlembicError> {
    let path = absolute(path)?;
    if let Some(config) = Config::named_by(&path)? {
        return config.located(&config.settings(options)?, options);
    }
    let (script_location, versions) = shape(&path)?;
    for directory in script_location.ancestors() {
        for config in Config::all_of(directory) {
            // What belongs to others may be as broken as it likes.
            let Ok(settings) = config.settings(options) else { continue };
            let Ok(mut located) = config.located(&settings, options) else { continue };
            let is_ours = |place: &Path| is_same(place, &script_location) || is_same(place, &path);
            let locations = &located.version_locations;
            if is_ours(&located.script_location) || locations.iter().any(|place| is_ours(place)) {
                if let Some(versions) = versions {
                    located.choose(versions);
                }
                return Ok(located);
            }
        }
    }
    let versions = versions.unwrap_or_else(|| script_location.join(VERSIONS));
    Ok(Located {
        directory: script_location.clone(),
        script_location,
        version_locations: vec![versions].into_iter().filter(|path| path.is_dir()).collect(),
        ini: None,
        toml: None,
        implied: true,
        chosen: true,
        walk: Walk::default(),
    })
}

const VERSIONS: &str = "versions";
const ENV: &str = "env.py";
const INI: &str = "alembic.ini";
const TOML: &str = "pyproject.toml";

fn absolute(path: &Path) -> Result<PathBuf, AlembicError> {
    let failed = |source| AlembicError::Unreadable { path: path.to_owned(), source };
    // What lies above `a/..` is not `a`.
    if path.components().any(|part| part == Component::ParentDir) {
        return path.canonicalize().map_err(failed);
    }
    std::path::absolute(path).map_err(failed)
}

/// The script location of a directory without settings, and the version location if that is what
/// the directory is.
fn shape(path: &Path) -> Result<(PathBuf, Option<PathBuf>), AlembicError> {
    if path.join(ENV).is_file() || path.join(VERSIONS).is_dir() {
        return Ok((path.to_owned(), None));
    }
    // `versions/`, or one of several directories in it.
    let env = path.ancestors().skip(1).take(3).find(|above| above.join(ENV).is_file());
    let files = disk::entries(path)?.files;
    if env.is_some() || files.iter().any(|file| taken(&file.name, false) == Taken::Source) {
        let script_location = env.or_else(|| path.parent()).unwrap_or(path);
        return Ok((script_location.to_owned(), Some(path.to_owned())));
    }
    Err(AlembicError::NoEnvironment { path: path.to_owned() })
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Files of settings that belong together.
struct Config {
    directory: PathBuf,
    ini: Option<PathBuf>,
    toml: Option<PathBuf>,
}

impl Config {
    /// That of a file or of a directory, if it has any.
    fn named_by(path: &Path) -> Result<Option<Self>, AlembicError> {
        let unreadable = |source| AlembicError::Unreadable { path: path.to_owned(), source };
        if path.metadata().map_err(unreadable)?.is_file() {
            Self::file(path).map(Some)
        } else {
            Self::of(path)
        }
    }

    /// That of a path at which nothing was found because it is in a package; else the error stays.
    fn in_a_package(path: &Path, error: AlembicError) -> Result<Self, AlembicError> {
        let package = matches!(&error, AlembicError::Settings(fault)
            if matches!(fault.kind, SettingsFaultKind::Package { .. }));
        if !package {
            return Err(error);
        }
        Self::named_by(&absolute(path)?)?.ok_or(error)
    }

    /// A file, with the TOML beside it if it is an ini, as the `alembic` command has it.
    fn file(path: &Path) -> Result<Self, AlembicError> {
        let directory = path.parent().unwrap_or(path).to_owned();
        if path.file_name().is_some_and(|name| name == TOML) {
            let ini = Some(directory.join(INI)).filter(|ini| ini.is_file());
            return Ok(Self { ini, toml: Some(path.to_owned()), directory });
        }
        let toml = toml_of(&directory)?;
        Ok(Self { ini: Some(path.to_owned()), toml, directory })
    }

    /// What a directory has, if it has anything.
    fn of(directory: &Path) -> Result<Option<Self>, AlembicError> {
        let ini = Some(directory.join(INI)).filter(|ini| ini.is_file());
        let toml = toml_of(directory)?;
        let any = ini.is_some() || toml.is_some();
        Ok(any.then(|| Self { directory: directory.to_owned(), ini, toml }))
    }

    /// The same, and then each ini of another name by itself.
    fn all_of(directory: &Path) -> Vec<Self> {
        let mut all: Vec<Self> = Self::of(directory).ok().flatten().into_iter().collect();
        let files = disk::entries(directory).map(|entries| entries.files).unwrap_or_default();
        let others = files.iter().map(|file| directory.join(&file.name));
        let inis = others.filter(|path| path.extension().is_some_and(|it| it == "ini"));
        let inis = inis.filter(|path| path.file_name().is_some_and(|name| name != INI));
        all.extend(inis.map(|ini| Self {
            directory: directory.to_owned(),
            ini: Some(ini),
            toml: None,
        }));
        all
    }

    fn settings(&self, options: &Options) -> Result<Settings, AlembicError> {
        let ini = self.ini.as_deref().map(disk::text).transpose()?;
        let toml = self.toml.as_deref().map(disk::text).transpose()?;
        let ini = self.ini.as_deref().zip(ini.as_deref()).map(|(path, text)| File { path, text });
        let toml =
            self.toml.as_deref().zip(toml.as_deref()).map(|(path, text)| File { path, text });
        settings::read(ini.as_ref(), &options.section, toml.as_ref())
            .map_err(AlembicError::Settings)
    }

    fn located(&self, settings: &Settings, options: &Options) -> Result<Located, AlembicError> {
        let directory = self.run_from(settings).to_owned();
        let packages = Packages { beside: &self.directory, from: &directory, settings, options };
        let script_location = match &settings.script_location {
            Some((location, place)) => {
                let path = packages.resolved("script_location", location, place);
                let path = path.map_err(AlembicError::Settings)?;
                if !path.is_dir() {
                    return Err(self.no_directory(location, place));
                }
                path
            }
            None if self.directory.join(ENV).is_file() => self.directory.clone(),
            None => return Err(self.no_script_location(options)),
        };
        let place = &settings.version_locations_place;
        let mut version_locations = Vec::new();
        for location in &settings.version_locations {
            let path = packages.resolved("version_locations", location, place);
            version_locations.push(path.map_err(AlembicError::Settings)?);
        }
        if settings.version_locations.is_empty() {
            version_locations.push(script_location.join(VERSIONS));
        }
        version_locations.retain(|location| location.is_dir());
        Ok(Located {
            script_location,
            version_locations,
            ini: self.ini.clone(),
            toml: self.toml.clone(),
            directory,
            implied: settings.script_location.is_none(),
            chosen: false,
            walk: Walk { recursive: settings.recursive, sourceless: settings.sourceless },
        })
    }

    /// The nearest directory from which all relative paths lead somewhere, else from which that of
    /// the script location does.
    fn run_from(&self, settings: &Settings) -> &Path {
        let leads = |from: &Path, to: &str| !is_relative(to) || from.join(to).is_dir();
        let Some((location, _)) = &settings.script_location else { return &self.directory };
        let bases = || self.directory.ancestors().filter(|from| leads(from, location));
        let all = |from: &&Path| settings.version_locations.iter().all(|to| leads(from, to));
        bases().find(all).or_else(|| bases().next()).unwrap_or(&self.directory)
    }

    fn no_directory(&self, location: &str, place: &Place) -> AlembicError {
        let from = if is_relative(location) {
            format!("in `{}` or above", self.directory.display())
        } else {
            "there".to_owned()
        };
        let (key, value) = ("script_location", location.to_owned());
        let kind = SettingsFaultKind::NoDirectory { key, value, from };
        AlembicError::Settings(SettingsFault { place: place.clone(), kind })
    }

    fn no_script_location(&self, options: &Options) -> AlembicError {
        let (path, section) = match (&self.ini, &self.toml) {
            (None, Some(toml)) => (toml.clone(), "tool.alembic".to_owned()),
            (ini, _) => (ini.as_ref().unwrap_or(&self.directory).clone(), options.section.clone()),
        };
        AlembicError::NoScriptLocation { path, section }
    }
}

/// The TOML of a directory, if it speaks of Alembic.
fn toml_of(directory: &Path) -> Result<Option<PathBuf>, AlembicError> {
    let path = directory.join(TOML);
    if !path.is_file() {
        return Ok(None);
    }
    let text = disk::text(&path)?;
    // Most do not, and need not be in order for us.
    let speaks = text.contains("alembic")
        && speaks_of_alembic(&File { path: &path, text: &text }).map_err(AlembicError::Settings)?;
    Ok(speaks.then_some(path))
}

impl Located {
    /// The whole of it, with a graph that is made of it.
    pub(super) fn into_environment(
        self,
        graph: impl FnOnce(&Self) -> Result<Graph, AlembicError>,
    ) -> Result<Environment, AlembicError> {
        let said = self.env()?;
        Ok(Environment {
            graph: graph(&self)?,
            script_location: self.script_location,
            version_locations: self.version_locations,
            ini: self.ini,
            toml: self.toml,
            directory: self.directory,
            version_table: said.table,
            version_table_schema: said.schema,
            sets_url: said.sets_url,
        })
    }

    /// Has the revisions of one directory alone, unless they belong to the others anyway: who names
    /// one of several version locations means it.
    fn choose(&mut self, versions: PathBuf) {
        let belongs = |location: &PathBuf| {
            is_same(location, &versions) || self.walk.recursive && versions.starts_with(location)
        };
        if !self.version_locations.iter().any(belongs) {
            self.version_locations = vec![versions];
            self.chosen = true;
        }
    }

    /// What `env.py` says; without one, nothing.
    fn env(&self) -> Result<Said, AlembicError> {
        let path = self.script_location.join(ENV);
        if !path.is_file() {
            return Ok(Said::default());
        }
        Ok(env::read(&path, &disk::bytes(&path)?))
    }

    /// The revisions, as a sound graph.
    pub(super) fn graph(&self) -> Result<Graph, AlembicError> {
        let files = disk::revision_files(&self.version_locations, self.walk)?;
        let (mut revisions, mut unread) = (Vec::with_capacity(files.len()), Vec::new());
        for file in &files {
            match revision(file)? {
                Ok(revision) => revisions.push(revision),
                Err(found) => unread.push(found),
            }
        }
        if !unread.is_empty() {
            return Err(unread::error(revisions, unread));
        }
        if revisions.is_empty() {
            let instead = disk::instead(&self.version_locations);
            let locations = match self.version_locations.as_slice() {
                [] => vec![self.script_location.clone()],
                locations => locations.to_vec(),
            };
            return Err(AlembicError::Empty { locations, instead });
        }
        Graph::new(revisions).map_err(AlembicError::Graph)
    }
}

fn revision(file: &RevisionFile) -> Result<Result<Revision, Unread>, AlembicError> {
    if file.compiled {
        return Ok(Err(Unread::compiled(&file.path)));
    }
    Ok(script::read(&file.path, &file.name, &disk::bytes(&file.path)?))
}
