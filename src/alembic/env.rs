//! Which table Alembic keeps its version in, as far as `env.py` says it in plain words.
//!
//! `env.py` is a program, and the names are arguments that it passes to `context.configure(…)`,
//! often at two places, for online and offline mode. Read is what stands there as a constant, or as
//! a name that the module binds once to a constant. Where no call names a table it is Alembic's
//! default, `alembic_version` in the schema that the connection finds first. Where calls differ, or
//! pass what only running the program gives (`**options` among it), it is [`Setting::Unknown`], and whoever knows has to
//! say it.

use std::path::Path;

use ruff_python_ast::{
    Expr, Keyword,
    visitor::{self, Visitor},
};

use super::{
    module::{Module, Value, line_at, parse},
    source,
};
use crate::graph::revision::Place;

/// A name that `env.py` may set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Setting {
    /// It sets none: what Alembic does by default.
    #[default]
    Default,
    /// This one.
    Named(String),
    /// It sets one that only running it tells, or several; where.
    Unknown(Place),
}

impl Setting {
    /// The name, if `env.py` sets one that can be read.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Default | Self::Unknown(_) => None,
        }
    }
}

/// The version table and its schema.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct VersionTable {
    pub(super) table: Setting,
    pub(super) schema: Setting,
}

/// Reads an `env.py`. One that cannot be read leaves everything unknown: whether it is in order is
/// for those who run it.
pub(super) fn read(path: &Path, bytes: &[u8]) -> VersionTable {
    let unknown = |line| Setting::Unknown(Place { path: path.to_owned(), line });
    let Ok(text) = source::decode(bytes) else {
        return VersionTable { table: unknown(1), schema: unknown(1) };
    };
    let parsed = match parse(&text) {
        Ok(parsed) => parsed,
        Err(error) => {
            return VersionTable { table: unknown(error.line), schema: unknown(error.line) };
        }
    };
    let module = Module::constants(&text, parsed.suite());
    let mut calls = Calls { module: &module, table: Vec::new(), schema: Vec::new() };
    calls.visit_body(parsed.suite());
    let setting = |passed: &[(Value, usize)]| {
        let mut agreed = None;
        for (value, at) in passed {
            let next = match value {
                Value::None => Setting::Default,
                Value::Text(name) => Setting::Named(name.clone()),
                Value::Sequence(_) | Value::Other(_) | Value::Computed(_) => {
                    return unknown(line_at(&text, *at));
                }
            };
            if agreed.as_ref().is_some_and(|agreed| *agreed != next) {
                return unknown(line_at(&text, *at));
            }
            agreed = Some(next);
        }
        agreed.unwrap_or_default()
    };
    VersionTable { table: setting(&calls.table), schema: setting(&calls.schema) }
}

/// What the calls of `configure` pass, in their order, with the offset of each.
struct Calls<'a> {
    module: &'a Module,
    table: Vec<(Value, usize)>,
    schema: Vec<(Value, usize)>,
}

impl<'a> Visitor<'a> for Calls<'_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression
            && let Expr::Attribute(function) = &*call.func
            && function.attr.as_str() == "configure"
        {
            let arguments = &call.arguments.keywords;
            for (name, list) in
                [("version_table", &mut self.table), ("version_table_schema", &mut self.schema)]
            {
                let named = |keyword: &&Keyword| keyword.arg.as_deref() == Some(name);
                if let Some(keyword) = arguments.iter().find(named) {
                    list.push((self.module.value(&keyword.value), keyword.range.start().into()));
                } else if let Some(keyword) = arguments.iter().find(|one| one.arg.is_none())
                    && is_context(&function.value)
                {
                    let value = Value::Computed("an unpacked expression");
                    list.push((value, keyword.range.start().into()));
                }
            }
        }
        visitor::walk_expr(self, expression);
    }
}

fn is_context(receiver: &Expr) -> bool {
    matches!(receiver, Expr::Name(name) if name.id.as_str() == "context")
}
