//! The whole environment, as lines `NAME=value`: every choice, duration, list and misspelt name.
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
    for line in text.lines().take(50) {
        let Some((name, value)) = line.split_once('=') else { continue };
        // An environment has each name once.
        if !variables.iter().any(|(other, _)| other == name) {
            variables.push((name.into(), value.into()));
        }
    }
    if !variables.iter().any(|(name, _)| name == "PGPASSWORD") {
        variables.push(("PGPASSWORD".into(), SECRET.into()));
    }
    let read_file = |path: &Path| match path.to_str() {
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
                if let Some(url) = &config.database {
                    shown.push_str(&url.to_string());
                }
                let removed = |name: &OsString| config.for_server.remove.contains(name);
                for (name, _) in &variables {
                    let own = has_server && name.to_string_lossy().starts_with("PRELAUNCH_");
                    assert!(!own || removed(name), "the server sees {name:?}");
                }
            }
        }
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let _ = config::log_settings(&variables);
    let _ = config::termination_log(&variables);
});
