//! That every line of the log is one that `docs/log.md` knows: the test bed hands each line of every
//! run to [`check`], whatever the test is about.

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use serde_json::{Value, json};

/// A row of the table.
#[derive(Debug)]
struct Row {
    event: String,
    level: String,
    /// None where it may be anything.
    message: Option<String>,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    optional: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Number,
    Truth,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let page = fs::read_to_string(docs("log.md")).unwrap();
    let table = page.split("<!-- events -->").nth(1).unwrap();
    let table = table.split("<!-- /events -->").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let mut next = || cells.next().unwrap_or_else(|| panic!("{line}"));
        let event = next().trim_matches('`').to_owned();
        let (level, message, fields) = (next().to_owned(), next(), next());
        let message = (message != "*").then(|| message.to_owned());
        let fields =
            fields.split(", ").filter(|field| !field.is_empty()).map(Field::read).collect();
        Row { event, level, message, fields }
    })
    .collect()
});

impl Field {
    fn read(text: &str) -> Self {
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let name = inner.unwrap_or(text).trim_matches('`');
        let (kind, name) = match (name.strip_suffix('#'), name.strip_suffix('?')) {
            (Some(name), _) => (Kind::Number, name),
            (_, Some(name)) => (Kind::Truth, name),
            (None, None) => (Kind::Text, name),
        };
        Self { name: name.to_owned(), kind, optional: inner.is_some() }
    }
}

impl Row {
    /// Whether these are its fields, all that it must have and none that it cannot.
    fn has(&self, fields: &BTreeMap<String, Value>, in_text: bool) -> bool {
        // Any line may say to which of several chains it belongs.
        let known = fields.iter().filter(|(name, _)| *name != "chain").all(|(name, value)| {
            let field = self.fields.iter().find(|field| field.name == *name);
            field.is_some_and(|field| match field.kind {
                // As text, a name may look like something else.
                Kind::Text => value.is_string() || in_text,
                Kind::Number => value.is_number(),
                Kind::Truth => value.is_boolean(),
            })
        });
        known && self.fields.iter().all(|one| one.optional || fields.contains_key(&one.name))
    }
}

/// Fails for a line of the log that the page does not know; what is no line of the log passes.
#[track_caller]
pub(crate) fn check(stderr: &str) {
    // At `debug` there are also the server's notices, which are not ours.
    let with_notices = stderr.contains(" DEBUG ") || stderr.contains("\"level\":\"DEBUG\"");
    for line in stderr.lines() {
        let known = if line.starts_with("{\"timestamp\":") {
            json_is_known(line, with_notices)
        } else if is_text(line) {
            text_is_known(line, with_notices)
        } else {
            true
        };
        assert!(known, "docs/log.md does not know this line:\n{line}");
    }
}

fn json_is_known(line: &str, with_notices: bool) -> bool {
    let Ok(Value::Object(mut line)) = serde_json::from_str(line) else { return false };
    let mut take = |name| match line.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (level, message, stage, event) =
        (take("level"), take("message"), take("stage"), take("event"));
    let time = take("timestamp");
    if stage.is_empty() && event.is_empty() {
        return with_notices;
    }
    let fields: BTreeMap<String, Value> = line.into_iter().collect();
    time.ends_with('Z')
        && STAGES.contains(&stage.as_str())
        && ROWS.iter().any(|row| {
            row.event == event
                && row.level == level
                && row.message.as_ref().is_none_or(|known| *known == message)
                && row.has(&fields, false)
        })
}

const STAGES: [&str; 8] = ["configure", "wait", "look", "lock", "plan", "apply", "reindex", "exec"];

/// A time in front, as only the log has it.
fn is_text(line: &str) -> bool {
    let time = line.split(' ').next().unwrap_or_default();
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    time.len() == 27 && time.ends_with('Z') && digits == 20
}

fn text_is_known(line: &str, with_notices: bool) -> bool {
    let Some((_, rest)) = line.split_once(' ') else { return false };
    let Some((level, rest)) = rest.trim_start().split_once(' ') else { return false };
    let Some((stage, said)) = rest.split_once(": ") else { return with_notices };
    if !STAGES.contains(&stage) {
        return with_notices;
    }
    ROWS.iter().filter(|row| row.level == level).any(|row| match &row.message {
        None => row.fields.is_empty(),
        Some(message) => said
            .strip_prefix(message.as_str())
            .and_then(fields)
            .is_some_and(|fields| row.has(&fields, true)),
    })
}

/// ` name=value name="a value"`; none if it is something else.
fn fields(mut rest: &str) -> Option<BTreeMap<String, Value>> {
    let mut fields = BTreeMap::new();
    while !rest.is_empty() {
        let (name, behind) = rest.strip_prefix(' ')?.split_once('=')?;
        let end = if behind.starts_with('"') {
            let mut escaped = false;
            let closes = |(at, c): (usize, char)| {
                let close = at > 0 && c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                close.then_some(at + 1)
            };
            behind.char_indices().find_map(closes)?
        } else {
            behind.find(' ').unwrap_or(behind.len())
        };
        let (value, behind) = behind.split_at(end);
        let value = match value {
            "true" | "false" => json!(value == "true"),
            digits if digits.parse::<i64>().is_ok() => json!(digits.parse::<i64>().unwrap()),
            text => json!(text),
        };
        fields.insert(name.to_owned(), value);
        rest = behind;
    }
    Some(fields)
}

fn docs(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// The page as a JSON Schema.
fn schema() -> Value {
    let variants = ROWS.iter().map(|row| {
        let mut properties = json!({
            "timestamp": {"type": "string", "format": "date-time"},
            "stage": {"enum": STAGES},
            "chain": {"type": "string"},
            "event": {"const": row.event},
            "level": {"const": row.level},
            "message": match &row.message {
                Some(message) => json!({"const": message}),
                None => json!({"type": "string"}),
            },
        });
        let mut required = vec!["timestamp", "level", "message", "stage", "event"];
        for field in &row.fields {
            let kind = match field.kind {
                Kind::Text => "string",
                Kind::Number => "integer",
                Kind::Truth => "boolean",
            };
            properties[&field.name] = json!({"type": kind});
            if !field.optional {
                required.push(&field.name);
            }
        }
        json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false,
        })
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of prelaunch's log",
        "anyOf": variants.collect::<Vec<_>>(),
    })
}

#[test]
fn the_schema_is_the_page() {
    let expected = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    let path = docs("log.schema.json");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == expected,
        "docs/log.schema.json is not docs/log.md; BLESS=1 ./test.sh log:: writes it"
    );
}

#[test]
fn a_line_that_the_page_does_not_know_is_noticed() {
    let time = "2026-01-02T03:04:05.678901Z";
    let known = format!("{time}  INFO wait: answers what=tcp://a:1 tries=1 took=1ms");
    check(&known);
    check(&format!("{time}  WARN configure: anything at all"));
    check("no line of the log");
    for wrong in [
        known.replace("answers", "responds"),
        known.replace("tries=1", "tries=one"),
        known.replace(" took=1ms", ""),
        known.replace("took=1ms", "took=1ms more=\"and more\""),
    ] {
        let caught = std::panic::catch_unwind(|| check(&wrong));
        assert!(caught.is_err(), "{wrong}");
    }
}
