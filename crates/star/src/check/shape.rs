//! The special functions: what they are given, and what they are called with.

use starlark_syntax::syntax::ast::{AstNoPayload, AstParameter, DefP, ParameterP, StmtP};

use super::{Found, Part, Rule};
use crate::script::top_level;

/// Looks at the parameters of `download`, `expose`, `transform` and `handle`.
pub(super) fn look(parts: &[Part], found: &mut Found) {
    for part in parts.iter().filter(|part| part.step.is_none()) {
        top_level(part.module.statement(), &mut |statement| {
            if let StmtP::Def(def) = &statement.node {
                signature(part, def, found);
            }
        });
    }
}

fn signature(part: &Part, def: &DefP<AstNoPayload>, found: &mut Found) {
    let name = def.name.node.ident.as_str();
    let (wanted, given) = match name {
        "download" => (1, "download(ctx)"),
        "expose" => (2, "expose(ds, ctx)"),
        "transform" => (2, "transform(ds, ctx)"),
        "handle" if part.answers => (2, "handle(event, context)"),
        _ => return,
    };
    let needed = def.params.iter().filter(|one| is_needed(one)).count();
    let taken = def.params.iter().filter(|one| is_positional(one)).count();
    let any = def
        .params
        .iter()
        .any(|one| matches!(one.node, ParameterP::Args(..)));
    if wanted < needed || (taken < wanted && !any) {
        let message = format!("`{name}` is called with {wanted} arguments and takes {taken}");
        let advice = format!("define it as `def {given}:`");
        found.error(part, def.name.span, Rule::Signature, message, &advice);
    }
}

fn is_positional(parameter: &AstParameter) -> bool {
    matches!(parameter.node, ParameterP::Normal(..))
}

fn is_needed(parameter: &AstParameter) -> bool {
    matches!(parameter.node, ParameterP::Normal(_, _, None))
}
