//! What a module of Python binds to its names, as far as the text alone tells.
//!
//! [`Module::read`] walks the statements at the top in their order, as Python does, and keeps for
//! each name what was bound to it last: `None`, a text, a sequence of these, or the reason why the
//! text does not tell. Texts may be put together in every way that needs no call, and may refer to
//! names bound above.
//!
//! It promises never to guess: what is bound under a condition, in a loop, by an import or a call
//! is [`Value::Computed`]. Only what the top of the module does not show stays unseen: a function
//! that assigns to a `global`, or another module that reaches into this one.
//!
//! Surprising: the functions of a module are not even parsed where its text shows that nothing
//! below the first one binds a name that is asked for. And `from x import *` may bind any name, and does so here unless `x` is one of the
//! libraries that migrations import everything of (`binding.rs` has the list).
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of Python's grammar binds nothing of ours"
)]

use std::collections::{HashMap, HashSet};

use ruff_python_ast::{
    Expr, ExprStringLiteral, FStringPart, InterpolatedStringElement, ModModule, Operator, Stmt,
};
use ruff_python_parser::{Parsed, parse_module};

use super::binding::{bound_again, bound_in};

/// What a name stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    /// `None`.
    None,
    /// A text.
    Text(String),
    /// A tuple, list or set, in the order of the text.
    Sequence(Vec<Value>),
    /// Something that is neither, in words: `a number`.
    Other(&'static str),
    /// Something that only running the module tells, in words: `the result of a call`.
    Computed(&'static str),
}

/// A value and the line of the statement that bound it, counted from 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bound {
    pub(super) value: Value,
    pub(super) line: usize,
}

/// Why a module cannot be read, and on which line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) line: usize,
}

/// The names of a module, at its end.
#[derive(Debug, Default)]
pub(super) struct Module {
    names: HashMap<String, Bound>,
    /// What every name is that is not bound after it.
    anything: Option<Bound>,
}

/// Longer ones are no names of revisions, and doubling a text in each line has no end.
const LONGEST: usize = 4096;
/// Deeper expressions are not written by people.
const DEEPEST: usize = 64;
const DOC: &str = "__doc__";

/// Parses a text, whose lines end with `\n`.
pub(super) fn parse(text: &str) -> Result<Parsed<ModModule>, SyntaxError> {
    parse_module(text).map_err(|error| SyntaxError {
        message: error.error.to_string(),
        line: line_at(text, error.location.start().into()),
    })
}

/// The line of an offset, counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// The part of a module above its first function or class, where the rest binds none of these
/// names, and so need not be parsed; `None` where it might.
///
/// Most revisions are so, and their functions are nine tenths of them.
fn above_functions<'t>(text: &'t str, names: &[&str]) -> Option<&'t str> {
    let starts = ["\ndef ", "\nclass ", "\nasync def ", "\n@"];
    let at = starts.iter().filter_map(|start| text.find(start)).min()?;
    let (above, rest) = text.split_at(at + 1);
    // Any name may be bound by these.
    let hidden = ["import *", "globals", "locals", "setattr", "exec(", "eval(", "vars("];
    let bound = |name: &&str| rest.contains(*name);
    (!names.iter().any(bound) && !hidden.iter().any(bound)).then_some(above)
}

impl Module {
    /// Reads as much of a module as decides what these names and the docstring are, from its text,
    /// whose lines end with `\n`. What Python cannot read below that is not noticed.
    pub(super) fn read(text: &str, names: &[&str]) -> Result<Self, SyntaxError> {
        // Where the cut went through a text, what is above does not parse by itself.
        if let Some(above) = above_functions(text, &[names, &[DOC]].concat())
            && let Ok(parsed) = parse(above)
        {
            return Ok(Self::of(above, parsed.suite()));
        }
        Ok(Self::of(text, parse(text)?.suite()))
    }

    /// The same for a text that is parsed already.
    pub(super) fn of(text: &str, body: &[Stmt]) -> Self {
        let mut module = Self::default();
        if let Some(Stmt::Expr(first)) = body.first()
            && let Expr::StringLiteral(doc) = &*first.value
        {
            let value = Value::Text(text_of(doc));
            module.names.insert(DOC.to_owned(), Bound { value, line: 1 });
        }
        for statement in body {
            module.step(statement, text);
        }
        module
    }

    /// The same, of names that no other statement of the text binds, inside functions or not: what
    /// they are anywhere in it.
    pub(super) fn constants(text: &str, body: &[Stmt]) -> Self {
        let mut module = Self::of(text, body);
        let again: HashSet<String> = bound_again(body);
        for (name, bound) in &mut module.names {
            if again.contains(name) {
                bound.value = Value::Computed("a name that is bound more than once");
            }
        }
        module
    }

    /// What a name stands for at the end, if it is bound.
    pub(super) fn get(&self, name: &str) -> Option<&Bound> {
        self.names.get(name).or(self.anything.as_ref())
    }

    /// What the docstring says; nothing where it is computed.
    pub(super) fn doc(&self) -> &str {
        match self.names.get(DOC).map(|bound| &bound.value) {
            Some(Value::Text(text)) => text,
            Some(Value::None | Value::Sequence(_) | Value::Other(_) | Value::Computed(_))
            | None => "",
        }
    }

    fn step(&mut self, statement: &Stmt, text: &str) {
        // Before anything is bound: `a = a + "x"` speaks of the former one.
        let value = match statement {
            Stmt::Assign(assign) => Some(self.value(&assign.value)),
            // Without a value it annotates, and binds nothing.
            Stmt::AnnAssign(assign) => assign.value.as_ref().map(|value| self.value(value)),
            Stmt::AugAssign(assign) => Some(match assign.op {
                Operator::Add => added(self.value(&assign.target), self.value(&assign.value)),
                _ => Value::Computed("the result of an operator"),
            }),
            _ => None,
        };
        let bindings = bound_in(statement);
        if let Some((at, how)) = bindings.anything {
            self.names.retain(|name, _| name == DOC);
            self.anything = Some(Bound { value: Value::Computed(how), line: line_at(text, at) });
        }
        if let Stmt::Delete(_) = statement {
            for (name, ..) in &bindings.names {
                self.names.remove(name);
            }
            return;
        }
        let targets = match (statement, &value) {
            (Stmt::AnnAssign(_), None) => return,
            (Stmt::Assign(assign), _) => assign.targets.as_slice(),
            (Stmt::AnnAssign(assign), _) => std::slice::from_ref(&*assign.target),
            (Stmt::AugAssign(assign), _) => std::slice::from_ref(&*assign.target),
            _ => &[],
        };
        // What cannot be followed is computed; what can is bound once more, below.
        for (name, at, how) in bindings.names {
            let bound = Bound { value: Value::Computed(how), line: line_at(text, at) };
            self.names.insert(name, bound);
        }
        if let Some(value) = value {
            for target in targets {
                self.bind(target, &value, text);
            }
        }
    }

    fn bind(&mut self, target: &Expr, value: &Value, text: &str) {
        let parts = match target {
            Expr::Name(name) => {
                let line = line_at(text, name.range.start().into());
                let bound = Bound { value: value.clone(), line };
                self.names.insert(name.id.to_string(), bound);
                return;
            }
            Expr::Tuple(tuple) => &tuple.elts,
            Expr::List(list) => &list.elts,
            _ => return,
        };
        // A star takes what is left over; such targets stay computed, as do those of other values.
        if let Value::Sequence(values) = value
            && values.len() == parts.len()
            && !parts.iter().any(Expr::is_starred_expr)
        {
            for (part, value) in parts.iter().zip(values) {
                self.bind(part, value, text);
            }
        }
    }

    /// What an expression is where the module stands now.
    pub(super) fn value(&self, expression: &Expr) -> Value {
        self.value_within(expression, DEEPEST)
    }

    fn value_within(&self, expression: &Expr, depth: usize) -> Value {
        let Some(depth) = depth.checked_sub(1) else {
            return Value::Computed("an expression that is nested too deeply");
        };
        match expression {
            Expr::NoneLiteral(_) => Value::None,
            Expr::StringLiteral(literal) => Value::Text(text_of(literal)),
            Expr::FString(literal) => {
                let mut text = Value::Text(String::new());
                for part in &literal.value {
                    match part {
                        FStringPart::Literal(part) => {
                            text = added(text, Value::Text(part.value.to_string()));
                        }
                        FStringPart::FString(part) => {
                            for element in &part.elements {
                                text = added(text, self.element(element, depth));
                            }
                        }
                    }
                }
                text
            }
            Expr::Tuple(tuple) => self.sequence(&tuple.elts, depth),
            Expr::List(list) => self.sequence(&list.elts, depth),
            Expr::Set(set) => self.sequence(&set.elts, depth),
            Expr::BinOp(operation) if operation.op == Operator::Add => added(
                self.value_within(&operation.left, depth),
                self.value_within(&operation.right, depth),
            ),
            Expr::Named(named) => self.value_within(&named.value, depth),
            Expr::Name(name) => match self.get(&name.id) {
                Some(bound) => bound.value.clone(),
                None => Value::Computed("a name that is not bound above it"),
            },
            Expr::NumberLiteral(_) => Value::Other("a number"),
            Expr::BooleanLiteral(_) => Value::Other("a truth value"),
            Expr::BytesLiteral(_) => Value::Other("bytes"),
            Expr::EllipsisLiteral(_) => Value::Other("an ellipsis"),
            Expr::Call(_) => Value::Computed("the result of a call"),
            Expr::Attribute(_) => Value::Computed("an attribute"),
            Expr::BinOp(_) | Expr::BoolOp(_) | Expr::UnaryOp(_) | Expr::Compare(_) => {
                Value::Computed("the result of an operator")
            }
            Expr::If(_) => Value::Computed("bound under a condition"),
            _ => Value::Computed("an expression"),
        }
    }

    fn sequence(&self, elements: &[Expr], depth: usize) -> Value {
        let mut values = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Expr::Starred(starred) => match self.value_within(&starred.value, depth) {
                    Value::Sequence(more) => values.extend(more),
                    _ => return Value::Computed("an unpacked expression"),
                },
                _ => values.push(self.value_within(element, depth)),
            }
        }
        if values.len() > LONGEST {
            return Value::Computed("an expression that is too long");
        }
        Value::Sequence(values)
    }

    fn element(&self, element: &InterpolatedStringElement, depth: usize) -> Value {
        match element {
            InterpolatedStringElement::Literal(literal) => Value::Text(literal.value.to_string()),
            InterpolatedStringElement::Interpolation(part) => {
                let plain = part.conversion.is_none()
                    && part.format_spec.is_none()
                    && part.debug_text.is_none();
                match self.value_within(&part.expression, depth) {
                    Value::Text(text) if plain => Value::Text(text),
                    _ => Value::Computed("a formatted text"),
                }
            }
        }
    }
}

/// `+`, of two texts or two sequences. (That a tuple cannot be added to a list is Python's concern.)
fn added(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) if left.len() + right.len() <= LONGEST => {
            Value::Text(left + &right)
        }
        (Value::Sequence(mut left), Value::Sequence(right))
            if left.len() + right.len() <= LONGEST =>
        {
            left.extend(right);
            Value::Sequence(left)
        }
        (Value::Computed(how), _) | (_, Value::Computed(how)) => Value::Computed(how),
        _ => Value::Computed("the result of an operator"),
    }
}

fn text_of(literal: &ExprStringLiteral) -> String {
    literal.value.to_str().to_owned()
}
