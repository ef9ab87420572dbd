//! Texts as tests write and compare them.
//!
//! [`unindent`] lets a literal follow the indentation of the code around it. [`normalised`] takes
//! out of an output what differs from run to run, so that the rest can be compared in full:
//!
//! | in the output | becomes |
//! |---|---|
//! | the time at the start of a log line | nothing |
//! | `took=…`, `left=…`, `next=…`, `waited=…` in a log line | `took=…` and so on |
//! | `7 tries`, `since 2026-…` | `… tries`, `since …` |
//! | `pid 123`, `pid=123` | `pid PID`, `pid=PID` |
//! | the run id in `prelaunch:<key>:keeper:<run id>:<host>` | `RUN`, the host `HOST` |
//! | what a test gave itself: directory, port, database, role | `DIR`, `PORT`, `DB`, `ROLE` |

/// A word that differs from run to run, and what stands for it.
pub(crate) type Stand = (String, &'static str);

/// The text less the first line break, the indentation that all lines share, and blanks after the
/// last line break.
pub(crate) fn unindent(text: &str) -> String {
    let Some(text) = text.strip_prefix('\n') else { return text.to_owned() };
    let indented = |line: &&str| !line.trim().is_empty();
    let width = text
        .lines()
        .filter(indented)
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or_default();
    let cut: Vec<&str> =
        text.split('\n').map(|line| line.get(width..).unwrap_or_default()).collect();
    let cut = cut.join("\n");
    match cut.rsplit_once('\n') {
        Some((head, tail)) if tail.trim().is_empty() => format!("{head}\n"),
        _ => cut,
    }
}

/// The output without what differs from run to run.
pub(crate) fn normalised(output: &str, stands: &[Stand]) -> String {
    let mut text = String::new();
    for line in output.split_inclusive('\n') {
        match without_time(line) {
            Some(rest) => {
                let fields = [" took=", " left=", " next=", " waited="];
                let rest = fields.iter().fold(rest.to_owned(), |rest, field| {
                    masked(&rest, field, "…", |c| !c.is_whitespace())
                });
                text.push_str(&rest);
            }
            None => text.push_str(line),
        }
    }
    for (word, stand) in stands {
        text = text.replace(word.as_str(), stand);
    }
    for before in ["pid ", "pid="] {
        text = masked(&text, before, "PID", |c| c.is_ascii_digit());
    }
    for before in [":keeper:", ":worker:"] {
        text = masked(&text, before, "RUN", |c| c.is_ascii_hexdigit());
    }
    text = counts_masked(&text, " tries");
    text = masked(&text, "since 2", "…", |c| !matches!(c, ',' | ' ' | '\n' | ';'));
    text = text.replace("since 2…", "since …");
    let host = hostname();
    text.replace(&format!("RUN:{host}"), "RUN:HOST").replace(&format!("`{host}`"), "`HOST`")
}

/// A log line behind its time, `2026-01-01T00:00:00.000000Z  INFO …`, or none if it is no log line.
fn without_time(line: &str) -> Option<&str> {
    let (time, rest) = line.split_once(' ')?;
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    (time.len() == 27 && time.ends_with('Z') && digits == 20).then(|| rest.trim_start())
}

/// Replaces the run of characters that follows each `before` by `stand`, if there is one.
fn masked(text: &str, before: &str, stand: &str, part: impl Fn(char) -> bool) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(before) {
        masked.push_str(head);
        masked.push_str(before);
        rest = tail.trim_start_matches(&part);
        if rest.len() < tail.len() {
            masked.push_str(stand);
        }
    }
    masked + rest
}

/// Replaces the number in front of each `unit` by `…`.
fn counts_masked(text: &str, unit: &str) -> String {
    let mut parts = text.split(unit).peekable();
    let mut masked = String::new();
    while let Some(part) = parts.next() {
        let head = part.trim_end_matches(|c: char| c.is_ascii_digit());
        match parts.peek() {
            None => masked.push_str(part),
            Some(_) if head.len() == part.len() => masked.extend([part, unit]),
            Some(_) => masked.extend([head, "…", unit]),
        }
    }
    masked
}

fn hostname() -> String {
    nix::unistd::gethostname().unwrap().into_string().unwrap()
}
