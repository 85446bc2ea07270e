//! Where `http` is used, and where data is: never in one place.

use std::collections::{BTreeMap, BTreeSet};

use starlark_syntax::{
    codemap::Span,
    syntax::ast::{AstExpr, AstStmt, ExprP, StmtP},
};

use super::{Found, Part, Rule};
use crate::script::top_level;

/// The modules whose functions make requests.
pub(super) const MODULES: &[&str] = &["http.star", "xlsx.star"];
/// Functions that need data.
const DATA: &[&str] = &["load_dataset"];

/// Looks at every use of a name that the network is behind.
pub(super) fn look(parts: &[Part], found: &mut Found) {
    let http = loaded(parts);
    for part in parts {
        match &part.step {
            Some(step) => {
                if !step.is_download() {
                    let uses = uses(part.module.statement(), &http);
                    outside(part, &uses, "the head `# category: download`", found);
                }
            }
            None => functions(part, &http, found),
        }
    }
}

/// The names that modules with requests are loaded as.
pub(super) fn loaded(parts: &[Part]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for load in parts.iter().flat_map(|part| part.module.loads()) {
        if MODULES.contains(&load.module_id) {
            names.extend(load.symbols.keys().map(|name| (*name).to_owned()));
        }
    }
    names
}

fn functions(part: &Part, http: &BTreeSet<String>, found: &mut Found) {
    let (mut defined, mut top) = (BTreeMap::new(), Vec::new());
    top_level(
        part.module.statement(),
        &mut |statement| match &statement.node {
            StmtP::Def(def) => {
                defined.insert(def.name.node.ident.clone(), statement);
            }
            _ => top.push(statement),
        },
    );
    let advice = "the function `download`, whose value `ctx.download` carries on";
    for statement in top {
        outside(part, &uses(statement, http), advice, found);
        let data: BTreeSet<String> = DATA.iter().map(|name| (*name).to_owned()).collect();
        for (span, name) in uses(statement, &data) {
            let message = format!("`{name}` is called at the top level, which runs in every stage");
            let advice = "call it inside of `transform` or `expose`";
            found.error(part, span, Rule::Data, message, advice);
        }
    }
    for stage in ["expose", "transform"] {
        for name in reached(stage, &defined) {
            if let Some(statement) = defined.get(&name) {
                outside(part, &uses(statement, http), advice, found);
            }
        }
    }
    let data: BTreeSet<String> = DATA.iter().map(|name| (*name).to_owned()).collect();
    for name in reached("download", &defined) {
        let Some(statement) = defined.get(&name) else {
            continue;
        };
        for (span, name) in uses(statement, &data) {
            let message =
                format!("`{name}` is called in `download`, which has the network and no data");
            let advice = "return from `expose` what `download` needs; the data's owners are asked";
            found.error(part, span, Rule::Data, message, advice);
        }
    }
}

fn outside(part: &Part, uses: &[(Span, String)], place: &str, found: &mut Found) {
    for (span, name) in uses {
        let message = format!("`{name}` is used outside of download, where there is no network");
        let advice = format!("make requests in {place}");
        found.error(part, *span, Rule::Network, message, &advice);
    }
}

/// The functions that one calls, and those that they call.
fn reached(from: &str, defined: &BTreeMap<String, &AstStmt>) -> BTreeSet<String> {
    let all: BTreeSet<String> = defined.keys().cloned().collect();
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        if let Some(statement) = defined.get(&name)
            && reached.insert(name)
        {
            open.extend(uses(statement, &all).into_iter().map(|(_, name)| name));
        }
    }
    reached
}

/// Where any of these names is read.
fn uses(statement: &AstStmt, names: &BTreeSet<String>) -> Vec<(Span, String)> {
    let mut out = Vec::new();
    statement.visit_expr(|expression| inside(expression, names, &mut out));
    out
}

fn inside(expression: &AstExpr, names: &BTreeSet<String>, out: &mut Vec<(Span, String)>) {
    if let ExprP::Identifier(name) = &expression.node
        && names.contains(&name.node.ident)
    {
        out.push((expression.span, name.node.ident.clone()));
    }
    expression.visit_expr(|inner| inside(inner, names, out));
}
