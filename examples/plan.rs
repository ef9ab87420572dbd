//! Plans without a database: graphs and questions in, routes out, a line of JSON each.
//!
//! ```text
//! $ cargo run --example plan
//! {"revisions":[{"id":"a"},{"id":"b","parents":["a"]}],"cases":[{"recorded":["a"],"target":"+1"}]}
//! {"from":["a"],"steps":["b"],"to":["b"],"way":"up"}
//! ```
//!
//! Revisions may also have `depends_on` and `labels`; `recorded` lists all that is applied, not the
//! heads alone. A line of input is answered by a line for each of its cases: a route, of which the
//! way is `up`, `down` or `there`, or an `error` with the name of its kind. `tests/alembic`
//! compares these answers with those of Alembic itself.

use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, BufRead as _, Write as _},
    path::Path,
};

use prelaunch::graph::{
    Graph, RouteError, Way,
    revision::{Place, Revision, RevisionId},
    target::Target,
};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let revisions =
            list(&line["revisions"]).iter().enumerate().map(revision).collect::<Result<_, _>>()?;
        let graph = Graph::new(revisions).map_err(|faults| format!("{faults:?}"))?;
        for case in list(&line["cases"]) {
            writeln!(out, "{}", answer(&graph, case))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn answer(graph: &Graph, case: &Value) -> Value {
    let recorded: BTreeSet<String> = texts(&case["recorded"]).into_iter().collect();
    let target = match Target::parse(case["target"].as_str().unwrap_or_default()) {
        Ok(target) => target,
        Err(error) => return json!({"error": "Syntax", "message": error.to_string()}),
    };
    let route = match graph.route(&recorded, &target) {
        Ok(route) => route,
        Err(error) => return json!({"error": kind(&error), "message": error.to_string()}),
    };
    let (way, steps) = match &route.way {
        Way::There => ("there", Vec::new()),
        Way::Up(steps) => ("up", words(steps)),
        Way::Down(steps) => ("down", words(steps)),
    };
    json!({"from": words(&route.from), "to": words(&route.to), "way": way, "steps": steps})
}

/// The name of the innermost variant, as the code has it.
fn kind(error: &RouteError) -> String {
    let text = match error {
        RouteError::Target(error) => format!("{error:?}"),
        RouteError::Unknown { .. } | RouteError::Gap { .. } => format!("{error:?}"),
    };
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

fn revision((at, value): (usize, &Value)) -> Result<Revision, Box<dyn Error>> {
    let id = value["id"].as_str().unwrap_or_default();
    let parents = texts(&value["parents"]);
    Ok(Revision {
        id: RevisionId::new(id)?,
        parents: parents.iter().map(|id| RevisionId::new(id)).collect::<Result<_, _>>()?,
        depends_on: texts(&value["depends_on"]),
        labels: texts(&value["labels"]),
        tag: None,
        title: id.to_owned(),
        created: None,
        place: Place { path: Path::new(id).with_extension("sql"), line: at + 1 },
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn words(ids: &[RevisionId]) -> Vec<&str> {
    ids.iter().map(RevisionId::as_str).collect()
}
