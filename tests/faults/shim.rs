//! The library that spoils what a program asks its kernel for: see `shim.c`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::prelaunch::Prelaunch;

/// The library, compiled once.
pub(crate) fn library() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let into = env::temp_dir().join(format!("shim-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&into, &source])
            .arg("-ldl")
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "cc cannot compile {source:?}");
        into
    })
}

/// The variables that load it into one program.
pub(crate) fn into(program: &str) -> Vec<(String, String)> {
    vec![
        ("LD_PRELOAD".to_owned(), library().display().to_string()),
        ("SHIM_EXE".to_owned(), program.to_owned()),
    ]
}

/// Loads it into prelaunch, with these variables.
pub(crate) fn preloaded(mut start: Prelaunch, variables: &[(&str, &str)]) -> Prelaunch {
    for (name, value) in into("prelaunch") {
        start = start.env(name, value);
    }
    variables.iter().fold(start, |start, (name, value)| start.env(name, value))
}

/// A directory whose files tell the library what to do while the program runs.
#[derive(Clone, Debug)]
pub(crate) struct Levers(pub(crate) PathBuf);

impl Levers {
    /// Has the time of day be wrong by so many seconds.
    pub(crate) fn clock(&self, seconds: i64) {
        self.pull("clock", &seconds.to_string());
    }

    /// Has files whose path contains this not grow any more.
    pub(crate) fn full(&self, part: &str) {
        self.pull("full", part);
    }

    /// Puts everything back.
    pub(crate) fn back(&self) {
        for name in ["clock", "full"] {
            // It may not have been pulled.
            let _ = fs::remove_file(self.0.join(name));
        }
    }

    fn pull(&self, name: &str, value: &str) {
        // Whole at once: it is read at any moment.
        fs::write(self.0.join("new"), value).unwrap();
        fs::rename(self.0.join("new"), self.0.join(name)).unwrap();
    }
}
