//! What the binary is made of: `docs/supply-chain.md` lists it, `.deny.toml` allows it.
//!
//! `cargo deny check` says more and takes minutes to install; what is asked here costs nothing, so
//! that it is asked with every change. `BLESS=1 ./test.sh supply` rewrites the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
};

/// What the image's binary links, for both architectures: name, version and licence of each crate.
fn linked() -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--no-default-features", "--target", target])
            .args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{l}|"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (package, rest) = line.split_once('|').unwrap();
            let licence = rest.split('|').next().unwrap().replace('/', " OR ");
            let mut words = package.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            if name != env!("CARGO_PKG_NAME") {
                found.insert((name.to_owned(), version.to_owned(), licence));
            }
        }
    }
    assert!(found.len() > 50, "cargo tree says something else");
    found
}

/// The quoted words of `.deny.toml` between these marks, comments left out.
fn listed(open: &str, close: &str) -> Vec<String> {
    let text = read(".deny.toml");
    let (_, rest) = text.split_once(open).unwrap_or_else(|| panic!("no `{open}`"));
    let (list, _) = rest.split_once(close).unwrap();
    let lines = list.lines().map(|line| line.split('#').next().unwrap());
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_page_lists_every_crate_that_is_linked() {
    let mut crates: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (name, _, licence) in linked() {
        *crates.entry(licence).or_default().entry(name).or_default() += 1;
    }
    let mut table = "| licence | crates |\n|---|---|\n".to_owned();
    for (licence, crates) in crates {
        let names = crates.into_iter().map(|(name, versions)| match versions {
            1 => name,
            several => format!("{name} (×{several})"),
        });
        writeln!(table, "| {licence} | {} |", names.collect::<Vec<_>>().join(", ")).unwrap();
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/supply-chain.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- linked -->\n").unwrap();
    let (found, after) = rest.split_once("<!-- /linked -->").unwrap();
    if env::var_os("BLESS").is_some() {
        let page = format!("{before}<!-- linked -->\n{table}<!-- /linked -->{after}");
        fs::write(&path, page).unwrap();
        return;
    }
    assert!(
        found == table,
        "docs/supply-chain.md lists other crates than are linked; \
         BLESS=1 ./test.sh supply writes:\n{table}"
    );
}

#[test]
fn every_licence_is_allowed() {
    let allowed = listed("allow = [", "\n]");
    for (name, _, licence) in linked() {
        // Without brackets this asks for more than the expression does, never for less.
        let plain = licence.replace(['(', ')'], "");
        let every = plain
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|one| allowed.iter().any(|known| known == one)));
        assert!(every, "{name} is licensed as `{licence}`, of which .deny.toml allows {allowed:?}");
    }
}

#[test]
fn what_is_banned_is_not_linked() {
    let names: BTreeSet<String> = linked().into_iter().map(|(name, ..)| name).collect();
    for banned in ["openssl-sys", "native-tls", "aws-lc-sys"] {
        assert!(
            listed("\ndeny = [", "\n]").contains(&banned.to_owned()),
            "{banned} is no longer banned"
        );
        assert!(!names.contains(banned), "{banned} is linked");
    }
}
