//! Single values: truth words, durations, commands, ids, titles, dependencies.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use prelaunch::{
    config::{CommandLine, Dependency},
    graph::{revision::RevisionId, target::Target},
    revision::text::Title,
    values,
};

/// A password that nothing else is.
const SECRET: &str = "q7Vx2mZk9R";

fuzz_target!(|text: &str| {
    if let Some(duration) = values::duration(text) {
        assert!(duration <= Duration::from_hours(24 * 365));
    }
    if let Some(truth) = values::truth(text) {
        assert_eq!(values::truth(&text.to_uppercase()), Some(truth));
    }
    if let Ok(command) = CommandLine::parse(text) {
        assert!(!command.program().is_empty());
        assert_eq!(CommandLine::parse(&command.to_string()), Ok(command.clone()));
        let named = command.with_name("a {} name");
        assert_eq!(named.program(), command.program());
    }
    if let Ok(id) = RevisionId::new(text) {
        assert_eq!(RevisionId::new(id.as_str()).as_ref(), Ok(&id));
        assert_eq!(Target::parse(id.as_str()), Ok(Target::Name(id.to_string())));
    }
    if let Ok(title) = Title::parse(text) {
        assert_eq!(Title::parse(&title.to_string()).as_ref(), Ok(&title));
    }
    if let Some(dependency) = Dependency::parse(text) {
        let shown = dependency.to_string();
        let again = Dependency::parse(&shown).map(|again| again.to_string());
        assert_eq!(again.as_ref(), Some(&shown));
    }
    let (user, rest) = text.split_once('\n').unwrap_or((text, "host/path"));
    // What ends the authority of a URL would leave the secret in its path.
    if !text.contains(SECRET) && !user.contains(['/', '?', '#', '\\']) {
        let entry = format!("https://{user}:{SECRET}@{rest}");
        if let Some(dependency) = Dependency::parse(&entry) {
            let shown = format!("{dependency} {dependency:?}");
            assert!(!shown.contains(SECRET), "{entry:?} is shown as {shown}");
        }
    }
});
