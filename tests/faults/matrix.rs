//! The matrix: fault × where × stage, how many were tried and how many survived.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

/// The stages in which a fault may find a run, in their order.
const STAGES: [&str; 7] = ["configure", "wait", "look", "lock", "apply", "reindex", "exec"];

/// One fault that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) fault: &'static str,
    /// `PostgreSQL 15`, `PostgreSQL 15 through PgBouncer`, `SQLite`.
    pub(crate) engine: String,
    /// Where the run was when it happened.
    pub(crate) stage: String,
    pub(crate) survived: bool,
}

/// All of them, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matrix {
    cells: BTreeMap<(String, &'static str), BTreeMap<&'static str, (u32, u32)>>,
}

impl Matrix {
    pub(crate) fn add(&mut self, tried: &Tried) {
        let stage = STAGES.iter().find(|stage| **stage == tried.stage).unwrap_or(&"exec");
        let row = self.cells.entry((tried.engine.clone(), tried.fault)).or_default();
        let cell = row.entry(stage).or_default();
        cell.0 += 1;
        cell.1 += u32::from(tried.survived);
    }

    /// How many were tried, and how many survived.
    pub(crate) fn total(&self) -> (u32, u32) {
        let cells = self.cells.values().flat_map(BTreeMap::values);
        cells.fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
    }

    /// The engines, without how they are reached.
    pub(crate) fn servers(&self) -> BTreeSet<String> {
        self.cells.keys().map(|(engine, _)| server(engine).to_owned()).collect()
    }

    /// As a table. A cell is the number of faults that were tried there, all of which were survived,
    /// or `survived/tried`.
    pub(crate) fn markdown(&self, of: &str) -> String {
        let rows: Vec<_> = self.cells.iter().filter(|((e, _), _)| server(e) == of).collect();
        let found = |stage: &&&str| rows.iter().any(|(_, row)| row.contains_key(**stage));
        let stages: Vec<&str> = STAGES.iter().filter(found).copied().collect();
        let mut text = format!("| fault | {} | all |\n|---", stages.join(" | "));
        text.push_str(&"|--:".repeat(stages.len() + 1));
        text.push_str("|\n");
        for ((engine, fault), row) in rows {
            let how = engine.strip_prefix(of).unwrap_or_default();
            write!(text, "| {fault}{how} |").unwrap();
            for stage in &stages {
                write!(text, " {} |", row.get(stage).map(cell).unwrap_or_default()).unwrap();
            }
            let sum = row.values().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            writeln!(text, " {} |", cell(&sum)).unwrap();
        }
        text
    }

    /// For people at a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for server in self.servers() {
            let table = self.markdown(&server);
            let rows: Vec<Vec<&str>> = table
                .lines()
                .filter(|line| !line.starts_with("|--"))
                .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
                .collect();
            let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap();
            writeln!(text, "\n{server}").unwrap();
            for row in &rows {
                write!(text, "  {:<w$}", row[0], w = width(0)).unwrap();
                for (column, cell) in row.iter().enumerate().skip(1) {
                    write!(text, "  {cell:>w$}", w = width(column)).unwrap();
                }
                text.push('\n');
            }
        }
        text
    }

    /// Puts the tables between their marks in a page; those of other engines stay.
    pub(crate) fn write(&self, page: &Path, command: &str) {
        let mut text = fs::read_to_string(page).unwrap();
        for server in self.servers() {
            let mark = server.to_lowercase();
            let (open, close) = (format!("<!-- {mark} -->"), format!("<!-- /{mark} -->"));
            let (before, rest) = text
                .split_once(&open)
                .unwrap_or_else(|| panic!("{} has no {open}", page.display()));
            let (_, after) = rest.split_once(&close).unwrap();
            let (tried, survived) = self.of(&server);
            let table = self.markdown(&server);
            text = format!(
                "{before}{open}\n{tried} tried, {survived} survived: `{command}`.\n\n{table}{close}{after}"
            );
        }
        fs::write(page, text).unwrap();
    }

    fn of(&self, wanted: &str) -> (u32, u32) {
        let rows = self.cells.iter().filter(|((engine, _), _)| server(engine) == wanted);
        rows.flat_map(|(_, row)| row.values())
            .fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
    }
}

fn server(engine: &str) -> &str {
    engine.split_once(", ").map_or(engine, |(server, _)| server)
}

fn cell(cell: &(u32, u32)) -> String {
    let (tried, survived) = cell;
    if tried == survived { tried.to_string() } else { format!("**{survived}/{tried}**") }
}
