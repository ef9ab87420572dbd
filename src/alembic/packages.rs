//! Where the paths in settings lead, those inside of Python packages among them.
//!
//! `app:alembic` is the directory `alembic` of the package `app`. Python would import the package to
//! know where it is; here it is looked for where packages mostly are: in the directories that are
//! told or that the settings add, above the settings, which often lie inside of the package itself,
//! and in virtual environments beside these and in the usual places.

use std::path::{Path, PathBuf};

use super::{
    Options, disk,
    settings::{Settings, SettingsFault, SettingsFaultKind},
};
use crate::graph::revision::Place;

/// Where paths are looked for.
pub(super) struct Packages<'a> {
    /// The directory of the settings.
    pub(super) beside: &'a Path,
    /// The directory from which relative paths hold.
    pub(super) from: &'a Path,
    pub(super) settings: &'a Settings,
    pub(super) options: &'a Options,
}

/// The parts of `package:directory`, which an absolute path never is.
fn in_package(value: &str) -> Option<(&str, &str)> {
    if value.starts_with('/') { None } else { value.split_once(':') }
}

/// Whether a path depends on where Alembic is run.
pub(super) fn is_relative(value: &str) -> bool {
    !value.starts_with('/') && in_package(value).is_none()
}

impl Packages<'_> {
    /// The path that a key of the settings means, whether it is there or not; but one in a package
    /// is there, or a fault.
    pub(super) fn resolved(
        &self,
        key: &'static str,
        value: &str,
        place: &Place,
    ) -> Result<PathBuf, SettingsFault> {
        let Some((package, rest)) = in_package(value) else {
            // One that is absolute stays as it is.
            return Ok(self.from.join(value));
        };
        let roots = self.roots();
        let mut inner: PathBuf = package.split('.').collect();
        inner.extend(rest.split(':'));
        if let Some(found) = roots.iter().map(|root| root.join(&inner)).find(|path| path.is_dir()) {
            return Ok(found);
        }
        let (value, package) = (value.to_owned(), package.to_owned());
        let kind = SettingsFaultKind::Package { key, value, package, searched: shown(&roots) };
        Err(SettingsFault { place: place.clone(), kind })
    }

    fn roots(&self) -> Vec<PathBuf> {
        let mut roots = self.options.packages.clone();
        roots.extend(self.settings.prepend_sys_path.iter().map(|path| self.from.join(path)));
        let above = || self.beside.ancestors();
        roots.extend(above().flat_map(|directory| [directory.to_owned(), directory.join("src")]));
        let beside =
            above().flat_map(|directory| [directory.join(".venv"), directory.join("venv")]);
        let usual = ["/opt/venv", "/venv", "/usr/local", "/usr"].map(PathBuf::from);
        for environment in beside.chain(usual) {
            let library = environment.join("lib");
            let found = disk::entries(&library).map(|all| all.directories).unwrap_or_default();
            for python in found.iter().filter(|name| name.starts_with("python3")) {
                for packages in ["site-packages", "dist-packages"] {
                    roots.push(library.join(python).join(packages));
                }
            }
        }
        roots.retain(|root| root.is_dir());
        roots
    }
}

/// The first of many directories.
fn shown(roots: &[PathBuf]) -> String {
    let all = roots.iter().map(|root| format!("`{}`", root.display()));
    let mut words: Vec<String> = all.take(3).collect();
    if roots.len() > 3 {
        words.truncate(2);
        words.push(format!("{} more", roots.len() - 2));
    }
    words.join(", ")
}
