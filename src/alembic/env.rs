//! Which table Alembic keeps its version in, as far as `env.py` says it in plain words; and whether it
//! hands the URL of the database to `set_main_option`.
//!
//! `env.py` is a program, and the names are arguments that it passes to `context.configure(…)`,
//! often at two places, for online and offline mode. Read is what stands there as a constant, or as
//! a name that the module binds once to a constant. Where no call names a table it is Alembic's
//! default, `alembic_version` in the schema that the connection finds first. Where calls differ, or
//! pass what only running the program gives (`**options` among it), it is [`Setting::Unknown`], and whoever knows has to
//! say it.
//!
//! `set_main_option` takes a value of `alembic.ini`, in which `%` has a meaning: with a URL that has one
//! it raises an error, and Python prints the URL with it. Who writes `%%` anywhere in `env.py` is
//! believed to know.

use std::path::Path;

use ruff_python_ast::{
    Expr, ExprAttribute, ExprCall, Keyword,
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

/// What an `env.py` says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Said {
    /// The version table.
    pub(super) table: Setting,
    /// Its schema.
    pub(super) schema: Setting,
    /// Where it sets an option to a URL that is no constant, with no `%%` in sight.
    pub(super) sets_url: Option<Place>,
}

/// Reads an `env.py`. One that cannot be read leaves everything unknown: whether it is in order is
/// for those who run it.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Said {
    let place = |line| Place { path: path.to_owned(), line };
    let unknown = |line| Setting::Unknown(place(line));
    let Ok(text) = source::decode(bytes) else {
        return Said { table: unknown(1), schema: unknown(1), sets_url: None };
    };
    let parsed = match parse(&text) {
        Ok(parsed) => parsed,
        Err(error) => {
            return Said {
                table: unknown(error.line),
                schema: unknown(error.line),
                sets_url: None,
            };
        }
    };
    let module = Module::constants(&text, parsed.suite());
    let mut calls = Calls { module: &module, table: Vec::new(), schema: Vec::new(), url: None };
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
    let sets_url = calls.url.filter(|_| !text.contains("%%"));
    Said {
        table: setting(&calls.table),
        schema: setting(&calls.schema),
        sets_url: sets_url.map(|at| place(line_at(&text, at))),
    }
}

/// What the calls of `configure` pass, in their order, with the offset of each.
struct Calls<'a> {
    module: &'a Module,
    table: Vec<(Value, usize)>,
    schema: Vec<(Value, usize)>,
    /// The offset of the first option that is set to a URL.
    url: Option<usize>,
}

impl Calls<'_> {
    /// `set_main_option(name, value)`, `set_section_option(section, name, value)`.
    fn sets_url(&self, call: &ExprCall, function: &ExprAttribute) -> bool {
        let at = match function.attr.as_str() {
            "set_main_option" => 0,
            "set_section_option" => 1,
            _ => return false,
        };
        let (name, value) = (
            call.arguments.find_argument_value("name", at),
            call.arguments.find_argument_value("value", at + 1),
        );
        let (Some(name), Some(value)) = (name, value) else { return false };
        let is_url = match self.module.value(name) {
            Value::Text(name) => name.to_lowercase().contains("url"),
            Value::None | Value::Sequence(_) | Value::Other(_) | Value::Computed(_) => true,
        };
        is_url && matches!(self.module.value(value), Value::Computed(_))
    }
}

impl<'a> Visitor<'a> for Calls<'_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression
            && let Expr::Attribute(function) = &*call.func
            && self.url.is_none()
            && self.sets_url(call, function)
        {
            self.url = Some(call.arguments.range.start().into());
        }
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
