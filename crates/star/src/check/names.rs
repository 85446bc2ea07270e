//! Functions that nobody calls, and results that nobody takes.

use std::collections::BTreeSet;

use starlark_syntax::syntax::ast::{AstExpr, AstLiteral, AstStmt, ExprP, StmtP};

use super::{Found, Part, Rule};

/// Builtin functions that do nothing but answer.
const PURE: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "chr",
    "dict",
    "dir",
    "enumerate",
    "float",
    "getattr",
    "hasattr",
    "hash",
    "int",
    "len",
    "list",
    "max",
    "min",
    "ord",
    "range",
    "repr",
    "reversed",
    "set",
    "sorted",
    "str",
    "struct",
    "tuple",
    "type",
    "zip",
];
/// Methods of text and lists that do nothing but answer.
const PURE_METHODS: &[&str] = &[
    "capitalize",
    "count",
    "elems",
    "endswith",
    "find",
    "format",
    "index",
    "join",
    "lower",
    "lstrip",
    "partition",
    "replace",
    "rfind",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "keys",
    "values",
    "items",
    "get_body",
    "get_meta",
    "get_structure",
];

/// Looks at what is defined and never read, in all parts together.
pub(super) fn look(parts: &[Part], found: &mut Found) {
    let mut read = BTreeSet::new();
    for part in parts {
        let statement = part.module.statement();
        statement.visit_expr(|expression| names(expression, &mut read));
    }
    for part in parts {
        let statement = part.module.statement();
        statements(statement, &mut |statement| match &statement.node {
            StmtP::Def(def) => {
                let name = def.name.node.ident.as_str();
                let special = matches!(name, "download" | "expose" | "transform")
                    || (part.answers && name == "handle");
                let is_called = read.contains(name) || (special && part.step.is_none());
                if !is_called {
                    let message = format!("the function `{name}` is never used");
                    let advice = "call it, or take it out";
                    found.warning(part, def.name.span, Rule::UnusedFunction, message, advice);
                }
            }
            StmtP::Expression(expression) if is_lost(expression) => {
                let message = "the result is never used".to_owned();
                let advice = "give it a name, return it, or take the line out";
                found.warning(part, expression.span, Rule::UnusedResult, message, advice);
            }
            _ => {}
        });
    }
}

/// Visits every statement, those inside of others too.
fn statements<'a>(statement: &'a AstStmt, visit: &mut dyn FnMut(&'a AstStmt)) {
    visit(statement);
    statement.visit_stmt(|inner| statements(inner, visit));
}

fn names(expression: &AstExpr, read: &mut BTreeSet<String>) {
    if let ExprP::Identifier(name) = &expression.node {
        read.insert(name.node.ident.clone());
    }
    expression.visit_expr(|inner| names(inner, read));
}

fn is_lost(expression: &AstExpr) -> bool {
    match &expression.node {
        // A text is a docstring, and `...` stands for nothing.
        ExprP::Literal(AstLiteral::String(_) | AstLiteral::Ellipsis) => false,
        ExprP::Identifier(name) => name.node.ident != "None",
        ExprP::Call(function, _) => match &function.node {
            ExprP::Identifier(name) => PURE.contains(&name.node.ident.as_str()),
            ExprP::Dot(_, method) => PURE_METHODS.contains(&method.node.as_str()),
            _ => false,
        },
        // `a and f()` and `f() if a else g()` do something.
        ExprP::If(_) | ExprP::ListComprehension(..) | ExprP::DictComprehension(..) => false,
        ExprP::Op(_, operator, right) => {
            use starlark_syntax::syntax::ast::BinOp::{And, Or};
            let acts = matches!(right.node, ExprP::Call(..));
            !(matches!(operator, And | Or) && acts)
        }
        _ => true,
    }
}
