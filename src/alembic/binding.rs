//! Which names a statement of Python may bind, whatever it is, without saying to what.
//!
//! It promises to leave none out that the statement itself shows: targets, imports, functions,
//! classes, handlers of exceptions, patterns and walruses, at any depth, but not inside functions,
//! classes and comprehensions, whose names are their own.
#![expect(clippy::wildcard_enum_match_arm, reason = "most of Python's grammar binds nothing")]

use std::collections::HashSet;

use ruff_python_ast::{
    ExceptHandler, Expr, ExprContext, Pattern, Stmt, StmtImportFrom,
    visitor::{self, Visitor},
};

/// The names that a statement may bind.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// Each with its offset in the text, and how it is bound, in words.
    pub(super) names: Vec<(String, usize, &'static str)>,
    /// Where it may bind any name at all, and how.
    pub(super) anything: Option<(usize, &'static str)>,
}

/// Libraries that migrations import everything of, and that are known to have none of our names.
const HARMLESS: [&str; 5] = ["alembic", "datetime", "sqlalchemy", "sqlmodel", "typing"];
/// With these a module reaches its own names without naming them.
const REFLECTION: [&str; 6] = ["eval", "exec", "globals", "locals", "setattr", "vars"];

/// What one statement may bind.
pub(super) fn bound_in(statement: &Stmt) -> Bindings {
    let how = match statement {
        Stmt::If(_) | Stmt::Match(_) => "bound under a condition",
        Stmt::For(_) | Stmt::While(_) => "bound in a loop",
        Stmt::Try(_) => "bound where an exception is caught",
        Stmt::With(_) => "bound inside a `with`",
        Stmt::Import(_) | Stmt::ImportFrom(_) => "imported",
        Stmt::FunctionDef(_) => "a function",
        Stmt::ClassDef(_) => "a class",
        _ => "bound inside an expression",
    };
    let mut finder = Finder { found: Bindings::default(), how };
    finder.visit_stmt(statement);
    finder.found
}

/// The names that are bound more than once anywhere in these statements, functions included, each
/// of which may therefore stand for several things.
pub(super) fn bound_again(body: &[Stmt]) -> HashSet<String> {
    let mut finder = Deep { once: HashSet::new(), again: HashSet::new() };
    finder.visit_body(body);
    finder.again
}

struct Finder {
    found: Bindings,
    how: &'static str,
}

impl Finder {
    fn add(&mut self, name: &str, at: impl Into<usize>) {
        self.found.names.push((name.to_owned(), at.into(), self.how));
    }
}

impl<'a> Visitor<'a> for Finder {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                self.add(&function.name, function.name.range.start());
            }
            Stmt::ClassDef(class) => self.add(&class.name, class.name.range.start()),
            Stmt::Import(import) => {
                for alias in &import.names {
                    // `import a.b` binds `a`.
                    let whole = alias.asname.as_ref().unwrap_or(&alias.name);
                    let name = whole.split('.').next().unwrap_or(whole);
                    self.add(name, alias.range.start());
                }
            }
            Stmt::ImportFrom(import) if import.names.iter().any(|alias| &*alias.name == "*") => {
                if !is_harmless(import) {
                    let how = "what an import of everything may bind";
                    self.found.anything = Some((import.range.start().into(), how));
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.add(name, alias.range.start());
                }
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) if is_bound(name.ctx) => self.add(&name.id, name.range.start()),
            Expr::Lambda(_)
            | Expr::ListComp(_)
            | Expr::SetComp(_)
            | Expr::DictComp(_)
            | Expr::Generator(_) => {}
            Expr::Call(call) => {
                if let Expr::Name(name) = &*call.func
                    && REFLECTION.contains(&name.id.as_str())
                {
                    let how = "what the module may bind by reflection";
                    self.found.anything = Some((name.range.start().into(), how));
                }
                visitor::walk_expr(self, expression);
            }
            _ => visitor::walk_expr(self, expression),
        }
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(one) = handler;
        if let Some(name) = &one.name {
            self.add(name, name.range.start());
        }
        visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        if let Some(name) = captured(pattern) {
            self.add(name, name.range.start());
        }
        visitor::walk_pattern(self, pattern);
    }
}

/// Counts at every depth, in functions too.
struct Deep {
    once: HashSet<String>,
    again: HashSet<String>,
}

impl Deep {
    fn add(&mut self, name: &str) {
        if !self.once.insert(name.to_owned()) {
            self.again.insert(name.to_owned());
        }
    }
}

impl<'a> Visitor<'a> for Deep {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        for (name, ..) in own_names(statement) {
            self.add(&name);
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression
            && is_bound(name.ctx)
        {
            self.add(&name.id);
        }
        visitor::walk_expr(self, expression);
    }

    fn visit_parameter(&mut self, parameter: &'a ruff_python_ast::Parameter) {
        self.add(&parameter.name);
        visitor::walk_parameter(self, parameter);
    }
}

/// The names of a definition or an import, which are no expressions.
fn own_names(statement: &Stmt) -> Vec<(String, usize, &'static str)> {
    match statement {
        Stmt::FunctionDef(_) | Stmt::ClassDef(_) | Stmt::Import(_) | Stmt::ImportFrom(_) => {
            bound_in(statement).names
        }
        _ => Vec::new(),
    }
}

fn is_bound(context: ExprContext) -> bool {
    matches!(context, ExprContext::Store | ExprContext::Del)
}

fn is_harmless(import: &StmtImportFrom) -> bool {
    let root = import.module.as_ref().and_then(|module| module.split('.').next());
    import.level == 0 && root.is_some_and(|root| HARMLESS.contains(&root))
}

fn captured(pattern: &Pattern) -> Option<&ruff_python_ast::Identifier> {
    match pattern {
        Pattern::MatchAs(pattern) => pattern.name.as_ref(),
        Pattern::MatchStar(pattern) => pattern.name.as_ref(),
        Pattern::MatchMapping(pattern) => pattern.rest.as_ref(),
        Pattern::MatchValue(_)
        | Pattern::MatchSingleton(_)
        | Pattern::MatchSequence(_)
        | Pattern::MatchClass(_)
        | Pattern::MatchOr(_) => None,
    }
}
