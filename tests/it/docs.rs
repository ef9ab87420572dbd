//! That what the documentation tells people to type does what it says.
//!
//! Each page of `docs/` is a script: its `sh` blocks run one after the other in one shell, with the
//! demonstration's scripts beside it and an empty database. A `text` block that follows such a block is
//! all that it prints on stdout. Blocks with a further word behind `sh` need what a test machine need
//! not have, and are left out.

use std::{env, fs, path::Path, path::PathBuf};

use crate::{postgres::Postgres, prelaunch::Prelaunch};

#[test]
fn every_command_of_the_documentation_works() {
    let mut ran = 0;
    for page in pages() {
        let blocks = blocks(&fs::read_to_string(&page).unwrap());
        if blocks.is_empty() {
            continue;
        }
        ran += blocks.len();
        let database = Postgres::create();
        let binaries = Path::new(env!("CARGO_BIN_EXE_prelaunch")).parent().unwrap();
        let path = format!("{}:{}", binaries.display(), env::var("PATH").unwrap());
        // Between the blocks a line that nothing else says.
        let script = blocks.iter().map(|(block, _)| format!("{block}\necho '{MARK}'\n"));
        let outcome = Prelaunch::on(&database)
            .env("PATH", path)
            .env("POOLED_URL", database.pgbouncer_url())
            .migrations_from("demo")
            .under(&["bash", "-euo", "pipefail", "-c", &script.collect::<String>(), "--"])
            .args(&[])
            .run();
        assert_eq!(outcome.code(), 0, "{}\n{}", page.display(), outcome.transcript());
        let between = format!("{MARK}\n");
        let mut said = outcome.raw_stdout.split(&between);
        for (block, expected) in &blocks {
            let said = said.next().unwrap_or_default();
            if let Some(expected) = expected {
                assert_eq!(said, expected, "{}:\n{block}", page.display());
            }
        }
    }
    assert!(ran > 10, "{ran} blocks");
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["README.md", "CHANGELOG.md", "tests/README.md"].map(|page| root.join(page));
    let examples = fs::read_dir(root.join("examples")).unwrap();
    let examples = examples.map(|entry| entry.unwrap().path().join("README.md"));
    let examples = examples.filter(|page| page.exists());
    for page in pages().into_iter().chain(others).chain(examples) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let found = page.parent().unwrap().join(file);
            assert!(found.exists(), "{}: `{target}` leads nowhere", page.display());
        }
    }
}

#[test]
fn every_page_is_in_the_index() {
    let index = fs::read_to_string(docs().join("README.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name}");
    }
}

const MARK: &str = "--- the next block ---";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

/// The blocks to be run, with what they are to print where the page says it.
fn blocks(page: &str) -> Vec<(String, Option<String>)> {
    let mut blocks: Vec<(String, Option<String>)> = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        open = match (open, line.strip_prefix("```")) {
            (None, Some(kind)) => Some((kind.to_owned(), String::new())),
            (None, None) => None,
            (Some((kind, text)), Some("")) => {
                match kind.as_str() {
                    "sh" => blocks.push((text, None)),
                    "text" => {
                        if let Some((_, expected @ None)) = blocks.last_mut() {
                            *expected = Some(text);
                        }
                    }
                    _ => {}
                }
                None
            }
            (Some((kind, text)), _) => Some((kind, format!("{text}{line}\n"))),
        };
    }
    blocks
}
