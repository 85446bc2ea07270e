//! Secrets and exposed values that reach a URL, through names, calls and returns.
//!
//! A URL is written to logs on its way, so what is in it is told to many. Each
//! function is summed up: which parameters its answer may carry, and which
//! reach a URL inside of it. The sums are made until they stop growing. The
//! order of statements is not looked at; a name carries all that it was ever
//! given.

use std::collections::{BTreeMap, BTreeSet};

use starlark_syntax::{
    codemap::Span,
    syntax::ast::{
        ArgumentP, AssignTargetP, AstArgument, AstAssignTarget, AstExpr, AstNoPayload, AstStmt,
        CallArgsP, ClauseP, DefP, ExprP, ForClauseP, StmtP,
    },
};

use super::{Found, Part, Rule, network, taint::Taint};

/// How often the sums are made at most; each time, marks travel one call on.
const ROUNDS_MAX: usize = 40;
/// How often one body is read at most; each time, marks travel one line up.
const TURNS_MAX: usize = 10;
/// The methods that make a request.
const METHODS: &[&str] = &[
    "get", "put", "post", "delete", "patch", "options", "head", "get_url",
];

/// What is known of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    parameters: Vec<String>,
    returns: Taint,
    /// What reaches a URL, and where.
    sinks: Vec<(Span, Taint)>,
}

/// Looks at all parts together, since steps share their names.
pub(super) fn look(parts: &[Part], found: &mut Found) {
    let mut flow = Flow {
        http: network::loaded(parts),
        ..Flow::default()
    };
    for _ in 0..ROUNDS_MAX {
        let before = (flow.sums.clone(), flow.globals.clone());
        parts.iter().for_each(|part| flow.file(part));
        if before == (flow.sums.clone(), flow.globals.clone()) {
            break;
        }
    }
    for part in parts {
        flow.leaks.clear();
        flow.file(part);
        for (span, taint) in std::mem::take(&mut flow.leaks) {
            tell(part, span, taint, found);
        }
    }
}

fn tell(part: &Part, span: Span, taint: Taint, found: &mut Found) {
    if taint.has(Taint::SECRET) {
        let message = "a secret reaches a URL, which others write to their logs".to_owned();
        let advice = "send it in a header or in `auth`";
        found.warning(part, span, Rule::Leak, message, advice);
    }
    if taint.has(Taint::EXPOSED) {
        let message = "an exposed value reaches a URL, and so the host that it names".to_owned();
        let advice = "expose no more than the URLs; the owners of the data see what is exposed";
        found.warning(part, span, Rule::Leak, message, advice);
    }
}

type Names = BTreeMap<String, Taint>;

#[derive(Default)]
struct Flow {
    http: BTreeSet<String>,
    sums: BTreeMap<String, Sum>,
    globals: Names,
    /// What reached a URL at the top level, or by a call with marked values.
    leaks: Vec<(Span, Taint)>,
}

/// One body: of a function, or the top level.
#[derive(Default)]
struct Body {
    /// Absent at the top level, where names are those of all.
    locals: Option<Names>,
    returns: Taint,
    sinks: Vec<(Span, Taint)>,
}

impl Flow {
    fn file(&mut self, part: &Part) {
        let mut top = Body::default();
        self.statement(part.module.statement(), &mut top);
        self.leaks.append(&mut top.sinks);
        // A stage's function is called by the station, with nothing marked.
        let stages = ["download", "expose", "transform"].iter();
        let sums = stages.filter_map(|name| self.sums.get(*name));
        let sinks: Vec<(Span, Taint)> = sums.flat_map(|sum| sum.sinks.clone()).collect();
        self.leaks.extend(sinks);
    }

    fn statement(&mut self, statement: &AstStmt, body: &mut Body) {
        match &statement.node {
            StmtP::Statements(all) => all.iter().for_each(|one| self.statement(one, body)),
            StmtP::Return(Some(value)) => {
                let taint = self.of(value, body);
                body.returns |= taint;
            }
            StmtP::Expression(value) => {
                self.of(value, body);
            }
            StmtP::Assign(assign) => {
                let taint = self.of(&assign.rhs, body);
                self.assign(&assign.lhs, taint, body);
            }
            StmtP::AssignModify(target, _, value) => {
                let taint = self.of(value, body);
                self.assign(target, taint, body);
            }
            StmtP::If(condition, then) => {
                self.of(condition, body);
                self.statement(then, body);
            }
            StmtP::IfElse(condition, branches) => {
                self.of(condition, body);
                self.statement(&branches.0, body);
                self.statement(&branches.1, body);
            }
            StmtP::For(each) => {
                let taint = self.of(&each.over, body);
                self.assign(&each.var, taint, body);
                self.statement(&each.body, body);
            }
            StmtP::Def(def) => self.function(def, body),
            StmtP::Break | StmtP::Continue | StmtP::Pass | StmtP::Return(None) | StmtP::Load(_) => {
            }
        }
    }

    /// Sums up a function; one inside of another sees that one's names.
    fn function(&mut self, def: &DefP<AstNoPayload>, around: &Body) {
        let named = def.params.iter().filter_map(|one| one.node.ident());
        let parameters: Vec<String> = named.map(|name| name.node.ident.clone()).collect();
        let mut locals = around.locals.clone().unwrap_or_default();
        for (number, name) in parameters.iter().enumerate() {
            locals.insert(name.clone(), Taint::parameter(number));
        }
        let mut body = Body {
            locals: Some(locals),
            ..Body::default()
        };
        // What the end of a loop's turn gives, the next begins with. A function
        // inside of another is read again as often as that one is.
        let turns = if around.locals.is_some() {
            1
        } else {
            TURNS_MAX
        };
        for _ in 0..turns {
            let before = body.locals.clone();
            body.sinks.clear();
            self.statement(&def.body, &mut body);
            if before == body.locals {
                break;
            }
        }
        let mut sinks = body.sinks;
        sinks.sort_by_key(|(span, _)| (span.begin(), span.end()));
        sinks.dedup();
        let sum = Sum {
            parameters,
            returns: body.returns,
            sinks,
        };
        self.sums.insert(def.name.node.ident.clone(), sum);
    }

    fn assign(&mut self, target: &AstAssignTarget, taint: Taint, body: &mut Body) {
        match &target.node {
            AssignTargetP::Tuple(all) => all.iter().for_each(|one| self.assign(one, taint, body)),
            AssignTargetP::Identifier(name) => self.mark(&name.node.ident, taint, body),
            AssignTargetP::Index(place) => self.mark_root(&place.0, taint, body),
            AssignTargetP::Dot(place, _) => self.mark_root(place, taint, body),
        }
    }

    fn mark(&mut self, name: &str, taint: Taint, body: &mut Body) {
        let names = body.locals.as_mut().unwrap_or(&mut self.globals);
        *names.entry(name.to_owned()).or_default() |= taint;
    }

    /// Marks the value that something is put into.
    fn mark_root(&mut self, expression: &AstExpr, taint: Taint, body: &mut Body) {
        match &expression.node {
            ExprP::Identifier(name) => self.mark(&name.node.ident, taint, body),
            ExprP::Dot(inner, _) => self.mark_root(inner, taint, body),
            ExprP::Index(place) => self.mark_root(&place.0, taint, body),
            _ => {}
        }
    }

    /// The marks of a value.
    fn of(&mut self, expression: &AstExpr, body: &mut Body) -> Taint {
        match &expression.node {
            ExprP::Identifier(name) => {
                let name = name.node.ident.as_str();
                let local = body.locals.as_ref().and_then(|names| names.get(name));
                let found = local.or_else(|| self.globals.get(name));
                found.copied().unwrap_or_default()
            }
            ExprP::Dot(inner, name) => {
                let own = match name.node.as_str() {
                    "expose" => Taint::EXPOSED,
                    _ => Taint::default(),
                };
                own | self.of(inner, body)
            }
            ExprP::Call(function, arguments) => self.call(function, arguments, body),
            ExprP::Lambda(lambda) => self.of(&lambda.body, body),
            ExprP::ListComprehension(item, first, rest) => {
                self.clauses(first, rest, body);
                self.of(item, body)
            }
            ExprP::DictComprehension(item, first, rest) => {
                self.clauses(first, rest, body);
                self.of(&item.0, body) | self.of(&item.1, body)
            }
            _ => {
                let mut all = Taint::default();
                expression.visit_expr(|inner| all |= self.of(inner, body));
                all
            }
        }
    }

    fn clauses(
        &mut self,
        first: &ForClauseP<AstNoPayload>,
        rest: &[ClauseP<AstNoPayload>],
        body: &mut Body,
    ) {
        let taint = self.of(&first.over, body);
        self.assign(&first.var, taint, body);
        for clause in rest {
            match clause {
                ClauseP::For(each) => {
                    let taint = self.of(&each.over, body);
                    self.assign(&each.var, taint, body);
                }
                ClauseP::If(condition) => {
                    self.of(condition, body);
                }
            }
        }
    }

    fn call(
        &mut self,
        function: &AstExpr,
        arguments: &CallArgsP<AstNoPayload>,
        body: &mut Body,
    ) -> Taint {
        let given: Vec<Taint> = arguments
            .args
            .iter()
            .map(|argument| self.of(argument.node.expr(), body))
            .collect();
        let all = given.iter().fold(Taint::default(), |all, one| all | *one);
        match &function.node {
            ExprP::Dot(object, method) => {
                let method = method.node.as_str();
                let is = |wanted: &str| matches!(&object.node, ExprP::Identifier(name) if name.node.ident == wanted);
                if method == "get_secret" || (method == "get" && is("secrets")) {
                    return Taint::SECRET;
                }
                if METHODS.contains(&method) && self.http.iter().any(|name| is(name)) {
                    request(&arguments.args, &given, body);
                    // An answer is the world's, whatever was asked.
                    return Taint::default();
                }
                // `list.append(x)` and the like put it into the object.
                self.mark_root(object, all, body);
                all | self.of(object, body)
            }
            ExprP::Identifier(name) => match self.sums.get(&name.node.ident).cloned() {
                Some(sum) => summed(&sum, function.span, &arguments.args, &given, body),
                None => all | self.of(function, body),
            },
            _ => all | self.of(function, body),
        }
    }
}

/// Keeps what a request has in its URL.
fn request(arguments: &[AstArgument], given: &[Taint], body: &mut Body) {
    for (index, (argument, taint)) in arguments.iter().zip(given).enumerate() {
        let in_url = match &argument.node {
            ArgumentP::Positional(_) => index < 2,
            ArgumentP::Named(name, _) => matches!(name.node.as_str(), "url" | "params"),
            ArgumentP::Args(_) | ArgumentP::KwArgs(_) => true,
        };
        if in_url && *taint != Taint::default() {
            body.sinks.push((argument.span, *taint));
        }
    }
}

/// What a call of a known function answers, and what reaches a URL by it.
fn summed(
    sum: &Sum,
    span: Span,
    arguments: &[AstArgument],
    given: &[Taint],
    body: &mut Body,
) -> Taint {
    let mut by_number = vec![Taint::default(); sum.parameters.len()];
    for (index, (argument, taint)) in arguments.iter().zip(given).enumerate() {
        let number = match &argument.node {
            ArgumentP::Positional(_) => Some(index.min(sum.parameters.len().saturating_sub(1))),
            ArgumentP::Named(name, _) => sum.parameters.iter().position(|one| *one == name.node),
            ArgumentP::Args(_) | ArgumentP::KwArgs(_) => {
                by_number.iter_mut().for_each(|one| *one |= *taint);
                None
            }
        };
        if let Some(one) = number.and_then(|number| by_number.get_mut(number)) {
            *one |= *taint;
        }
    }
    for (_, sink) in &sum.sinks {
        // The callee's own marks are told where they are.
        let carried = sink.with(&by_number);
        let own = sink.with(&[]);
        if carried != own {
            body.sinks.push((span, carried));
        }
    }
    sum.returns.with(&by_number)
}
