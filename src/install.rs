//! `prelaunch install PATH`: the running binary as a file, for an image that does not have it.
//!
//! An init container of this image copies the binary into a volume, from which the server's own
//! image runs it: that image need not be built anew. So it works where there is nothing else: no
//! shell, no `cp`, a read-only root, a user without a name; and no variable is read, since those of
//! the pod may be meant for others.
//!
//! The file appears at once and whole, with the mode 755 whatever the umask: it is written beside
//! its place under another name, and renamed. What has the place is replaced, even if it runs.
#![expect(clippy::disallowed_methods, reason = "it writes one file, and removes it if that fails")]

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

/// The binary that runs, by its inode: also where its path belongs to another file by now.
const RUNNING: &str = "/proc/self/exe";

/// What it is called inside a directory.
const NAME: &str = "prelaunch";

/// Why the binary is not where it was wanted.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no `/proc`, or it may not be read.
    #[error("cannot read `{RUNNING}`; mount /proc")]
    Running(#[source] io::Error),
    /// The directory is not there.
    #[error("there is no directory `{}`; make it, or mount the volume there", .0.display())]
    NoDirectory(PathBuf),
    /// The directory may not be written to.
    #[error(
        "user {user} may not write to `{}`; give it the directory, in Kubernetes by `fsGroup`",
        directory.display()
    )]
    Forbidden {
        /// Which.
        directory: PathBuf,
        /// As whom we came.
        user: u32,
    },
    /// The root of the container, most likely, instead of a volume.
    #[error("`{}` is read-only; name a path in a volume that can be written to", .0.display())]
    ReadOnly(PathBuf),
    /// Its place belongs to a directory.
    #[error("`{}` is a directory; remove it, or name another path", .0.display())]
    InTheWay(PathBuf),
    /// A full volume, and what else may happen.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Copies the running binary to a path, or into a directory under its own name.
pub fn install(destination: &Path) -> Result<PathBuf, InstallError> {
    // A slash at the end says that a directory is meant, whether or not it is there.
    let directory_meant = destination.as_os_str().as_bytes().ends_with(b"/");
    let path = if directory_meant || destination.is_dir() {
        destination.join(NAME)
    } else {
        destination.to_path_buf()
    };
    // Of a bare name the parent is the empty path.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));

    let mut binary = File::open(RUNNING).map_err(InstallError::Running)?;
    let draft = directory.join(draft_name());
    let file = File::create_new(&draft).map_err(|error| refusal(directory, &path, error))?;
    let written = fill(&mut binary, file).and_then(|()| fs::rename(&draft, &path));
    if let Err(error) = written {
        // It is no longer of use, and its name says so.
        let _ = fs::remove_file(&draft);
        return Err(if error.kind() == io::ErrorKind::IsADirectory {
            InstallError::InTheWay(path)
        } else {
            InstallError::Write { path, source: error }
        });
    }
    Ok(path)
}

/// A name that no other container on the same volume chooses: all of them have the process id 1.
fn draft_name() -> OsString {
    format!(".{NAME}-{:016x}", RandomState::new().hash_one(NAME)).into()
}

fn fill(binary: &mut File, mut file: File) -> io::Result<()> {
    io::copy(binary, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    // The rename must not be on the disk before the content.
    file.sync_all()
}

/// What it means that no file can be made in a directory.
#[expect(clippy::wildcard_enum_match_arm, reason = "std's kinds are many, and more may come")]
fn refusal(directory: &Path, path: &Path, error: io::Error) -> InstallError {
    let directory = directory.to_path_buf();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            InstallError::NoDirectory(directory)
        }
        io::ErrorKind::PermissionDenied => {
            InstallError::Forbidden { directory, user: geteuid().as_raw() }
        }
        io::ErrorKind::ReadOnlyFilesystem => InstallError::ReadOnly(directory),
        _ => InstallError::Write { path: path.to_path_buf(), source: error },
    }
}
