//! The whole environment, as lines `NAME=value`, and behind a line `---` the configuration file: every
//! choice, duration, list and misspelt name, every key and every `${NAME}`.
#![no_main]

use std::{ffi::OsString, io, path::Path};

use libfuzzer_sys::fuzz_target;
use prelaunch::config;

/// A password that nothing else is.
const SECRET: &str = "q7Vx2mZk9R";

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let (lines, file) = text.split_once("\n---\n").map_or((text, None), |(a, b)| (a, Some(b)));
    for line in lines.lines().take(50) {
        let Some((name, value)) = line.split_once('=') else { continue };
        // An environment has each name once.
        if !variables.iter().any(|(other, _)| other == name) {
            variables.push((name.into(), value.into()));
        }
    }
    if !variables.iter().any(|(name, _)| name == "PGPASSWORD") {
        variables.push(("PGPASSWORD".into(), SECRET.into()));
    }
    if file.is_some() && !variables.iter().any(|(name, _)| name == "PRELAUNCH_CONFIG") {
        variables.push(("PRELAUNCH_CONFIG".into(), "file.toml".into()));
    }
    let read_file = |path: &Path| match path.to_str() {
        Some("file.toml") => Ok(file.unwrap_or_default().to_owned()),
        Some("secret") => Ok(format!("postgres://u:{SECRET}@h/d\n")),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    // At the terminal there is no server to keep anything from.
    for (has_server, read) in [
        (true, config::read(&variables, read_file)),
        (false, config::read_for_terminal(&variables, read_file)),
    ] {
        let mut shown = format!("{read:?}");
        match read {
            Err(errors) => {
                assert!(!errors.to_string().is_empty());
                shown.push_str(&errors.to_string());
            }
            Ok(config) => {
                let urls = config.chains.iter().filter_map(|chain| chain.database.as_ref());
                urls.for_each(|url| shown.push_str(&url.to_string()));
                let names = config.chains.iter().map(|chain| &chain.name);
                let several: Vec<&String> = names.collect();
                for (at, name) in several.iter().enumerate() {
                    assert!(!several[..at].contains(name), "two chains are called {name:?}");
                }
                let removed = |name: &OsString| config.for_server.remove.contains(name);
                for (name, _) in &variables {
                    let own = has_server && name.to_string_lossy().starts_with("PRELAUNCH_");
                    assert!(!own || removed(name), "the server sees {name:?}");
                }
            }
        }
        // A file may put the password where none belongs, and that is shown.
        let is_told = file.is_some_and(|file| file.contains("PGPASSWORD"));
        assert!(is_told || !shown.contains(SECRET), "{shown}");
    }
    let _ = config::log_settings(&variables, read_file);
    let _ = config::termination_log(&variables, read_file);
});
