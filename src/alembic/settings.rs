//! What `alembic.ini` and `[tool.alembic]` of `pyproject.toml` say of where revisions are.
//!
//! A key of the ini wins over the same key of the TOML, each key for itself, as in Alembic 1.16 and
//! later. Paths are given as they stand, with `%(here)s` replaced, and nothing is looked up.
//!
//! Surprising: in the ini only the word `true`, in small letters, is true. And without a
//! `path_separator` the list of version locations is cut at blanks and commas, with one at colons.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{
    ini::{Ini, IniFault},
    module::line_at,
};
use crate::graph::revision::Place;

/// The settings of one environment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Settings {
    /// The script location and where it is set.
    pub(super) script_location: Option<(String, Place)>,
    /// The version locations; none for `versions` in the script location.
    pub(super) version_locations: Vec<String>,
    /// Where they are set.
    pub(super) version_locations_place: Place,
    /// Directories that Python shall also find packages in.
    pub(super) prepend_sys_path: Vec<String>,
    pub(super) recursive: bool,
    pub(super) sourceless: bool,
}

/// Something wrong with a file of settings, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct SettingsFault {
    /// The file and the line.
    pub place: Place,
    /// What is wrong there.
    pub kind: SettingsFaultKind,
}

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum SettingsFaultKind {
    /// The dialect of `alembic.ini`.
    #[error(transparent)]
    Ini(IniFault),
    /// The syntax of `pyproject.toml`.
    #[error("this is no TOML: {message}; correct the file")]
    Toml { message: String },
    /// A value of another type.
    #[error("`{key}` is {found}; write {wanted}")]
    Type { key: &'static str, found: &'static str, wanted: &'static str },
    /// A word for a separator that is none.
    #[error("`{key}` is `{value}`; write one of `os`, `newline`, `space`, `:` or `;`")]
    Separator { key: &'static str, value: String },
    /// A path in a package that is not found.
    #[error(
        "`{key}` is `{value}`, and the package `{package}` is found in none of the directories of \
         packages ({searched}); write the path of the directory"
    )]
    Package { key: &'static str, value: String, package: String, searched: String },
    /// A directory that is not there.
    #[error("`{key}` is `{value}`, which is no directory {from}; correct the path")]
    NoDirectory { key: &'static str, value: String, from: String },
}

/// A file of settings, with its absolute path.
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl File<'_> {
    fn here(&self) -> String {
        self.path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned()
    }

    fn fault(&self, line: usize, kind: SettingsFaultKind) -> SettingsFault {
        SettingsFault { place: self.place(line), kind }
    }

    fn place(&self, line: usize) -> Place {
        Place { path: PathBuf::from(self.path), line }
    }

    fn line(&self, offset: usize) -> usize {
        line_at(self.text, offset)
    }
}

/// Whether a `pyproject.toml` has something for Alembic.
pub(super) fn speaks_of_alembic(toml: &File) -> Result<bool, SettingsFault> {
    Ok(Table::read(toml)?.is_some())
}

/// The settings of a section of the ini, and of the TOML where that has none.
pub(super) fn read(
    ini: Option<&File>,
    section: &str,
    toml: Option<&File>,
) -> Result<Settings, SettingsFault> {
    let ini = ini.map(|file| Section::read(file, section)).transpose()?;
    let toml = match toml {
        Some(file) => Table::read(file)?,
        None => None,
    };
    let source = Source { ini, toml };
    let (version_locations, version_locations_place) = source.version_locations()?;
    Ok(Settings {
        script_location: source.script_location()?,
        version_locations,
        version_locations_place,
        prepend_sys_path: source.prepend_sys_path()?,
        recursive: source.truth("recursive_version_locations")?,
        sourceless: source.truth("sourceless")?,
    })
}

struct Source<'a> {
    ini: Option<Section<'a>>,
    toml: Option<Table<'a>>,
}

impl Source<'_> {
    fn ini(&self, key: &str) -> Result<Option<(String, Place)>, SettingsFault> {
        self.ini.as_ref().map_or(Ok(None), |ini| ini.get(key))
    }

    fn script_location(&self) -> Result<Option<(String, Place)>, SettingsFault> {
        if let Some(found) = self.ini("script_location")? {
            return Ok(Some(found));
        }
        self.toml.as_ref().map_or(Ok(None), |toml| toml.text("script_location"))
    }

    fn version_locations(&self) -> Result<(Vec<String>, Place), SettingsFault> {
        let key = "version_locations";
        if let Some((value, place)) = self.ini(key)?.filter(|(value, _)| !value.is_empty()) {
            let separator = self.separator(&["path_separator", "version_path_separator"])?;
            return Ok((split(&value, separator, &[' ', ',']), place));
        }
        self.toml.as_ref().map_or(Ok(Default::default()), |toml| toml.texts(key))
    }

    fn prepend_sys_path(&self) -> Result<Vec<String>, SettingsFault> {
        let key = "prepend_sys_path";
        if let Some((value, _)) = self.ini(key)?.filter(|(value, _)| !value.is_empty()) {
            let separator = self.separator(&["path_separator"])?;
            return Ok(split(&value, separator, &[' ', ',', ':']));
        }
        self.toml.as_ref().map_or(Ok(Vec::new()), |toml| Ok(toml.texts(key)?.0))
    }

    fn separator(&self, keys: &[&'static str]) -> Result<Option<char>, SettingsFault> {
        for key in keys {
            let Some((value, place)) = self.ini(key)? else { continue };
            return match value.as_str() {
                "space" => Ok(Some(' ')),
                "newline" => Ok(Some('\n')),
                "os" | ":" => Ok(Some(':')),
                ";" => Ok(Some(';')),
                _ => {
                    Err(SettingsFault { place, kind: SettingsFaultKind::Separator { key, value } })
                }
            };
        }
        Ok(None)
    }

    fn truth(&self, key: &'static str) -> Result<bool, SettingsFault> {
        if let Some((value, _)) = self.ini(key)? {
            return Ok(value == "true");
        }
        self.toml.as_ref().map_or(Ok(false), |toml| toml.truth(key))
    }
}

fn split(value: &str, separator: Option<char>, otherwise: &[char]) -> Vec<String> {
    let parts: Vec<&str> = match separator {
        Some(separator) => value.split(separator).collect(),
        None => value.split(otherwise).collect(),
    };
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A section of an ini.
struct Section<'a> {
    file: &'a File<'a>,
    ini: Ini,
    name: &'a str,
}

impl<'a> Section<'a> {
    fn read(file: &'a File<'a>, name: &'a str) -> Result<Self, SettingsFault> {
        let ini = Ini::read(file.text, &file.here());
        let ini = ini.map_err(|(line, fault)| file.fault(line, SettingsFaultKind::Ini(fault)))?;
        Ok(Self { file, ini, name })
    }

    fn get(&self, key: &str) -> Result<Option<(String, Place)>, SettingsFault> {
        match self.ini.get(self.name, key) {
            Ok(found) => Ok(found.map(|(value, line)| (value, self.file.place(line)))),
            Err((line, fault)) => Err(self.file.fault(line, SettingsFaultKind::Ini(fault))),
        }
    }
}

/// `[tool.alembic]`.
struct Table<'a> {
    file: &'a File<'a>,
    values: DeTable<'a>,
    here: Ini,
}

impl<'a> Table<'a> {
    /// The table, if there is one.
    fn read(file: &'a File<'a>) -> Result<Option<Self>, SettingsFault> {
        let table = DeTable::parse(file.text).map_err(|error| {
            let line = file.line(error.span().map_or(0, |span| span.start));
            file.fault(line, SettingsFaultKind::Toml { message: error.message().to_owned() })
        })?;
        let mut table = table.into_inner();
        for key in ["tool", "alembic"] {
            let Some(value) = table.remove(key) else { return Ok(None) };
            let line = file.line(value.span().start);
            let value = value.into_inner();
            let found = kind(&value);
            let DeValue::Table(inner) = value else {
                let (key, wanted) = ("tool.alembic", "a table");
                return Err(file.fault(line, SettingsFaultKind::Type { key, found, wanted }));
            };
            table = inner;
        }
        Ok(Some(Self { file, values: table, here: Ini::empty(&file.here()) }))
    }

    fn get(&self, key: &str) -> Option<(&DeValue<'a>, usize)> {
        let value = self.values.get(key)?;
        Some((value.get_ref(), self.file.line(value.span().start)))
    }

    fn wrong(
        &self,
        line: usize,
        key: &'static str,
        found: &DeValue,
        wanted: &'static str,
    ) -> SettingsFault {
        self.file.fault(line, SettingsFaultKind::Type { key, found: kind(found), wanted })
    }

    fn text(&self, key: &'static str) -> Result<Option<(String, Place)>, SettingsFault> {
        match self.get(key) {
            None => Ok(None),
            Some((DeValue::String(text), line)) => {
                Ok(Some((self.filled(key, text, line)?, self.file.place(line))))
            }
            Some((found, line)) => Err(self.wrong(line, key, found, "a text")),
        }
    }

    fn texts(&self, key: &'static str) -> Result<(Vec<String>, Place), SettingsFault> {
        let Some((value, line)) = self.get(key) else { return Ok(Default::default()) };
        let wanted = "a list of texts";
        let DeValue::Array(values) = value else {
            return Err(self.wrong(line, key, value, wanted));
        };
        let mut texts = Vec::new();
        for value in values {
            let DeValue::String(text) = value.get_ref() else {
                return Err(self.wrong(line, key, value.get_ref(), wanted));
            };
            texts.push(self.filled(key, text, line)?);
        }
        Ok((texts, self.file.place(line)))
    }

    fn truth(&self, key: &'static str) -> Result<bool, SettingsFault> {
        match self.get(key) {
            None => Ok(false),
            Some((DeValue::Boolean(value), _)) => Ok(*value),
            Some((found, line)) => Err(self.wrong(line, key, found, "true or false")),
        }
    }

    fn filled(&self, key: &str, text: &str, line: usize) -> Result<String, SettingsFault> {
        let filled = self.here.filled(key, text);
        filled.map_err(|fault| self.file.fault(line, SettingsFaultKind::Ini(fault)))
    }
}

fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
