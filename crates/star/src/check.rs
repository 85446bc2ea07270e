//! What can be said of a script without running it.
//!
//! Faults are what a run would fail on; warnings are what the owner of the
//! data or the author would want to know. Everything here is advice: the walls
//! do not rest on it.

mod flow;
mod names;
mod network;
mod shape;
mod taint;

use serde::Serialize;
use starlark::syntax::AstModule;
use starlark_syntax::codemap::Span;

use crate::{
    failure::Failure,
    host::Stage,
    script::{Last, Script, Step},
    source::{Place, Source},
};

/// The most findings of one file.
const FINDINGS_MAX: usize = 200;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warning,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Syntax,
    Signature,
    Network,
    Data,
    Leak,
    UnusedFunction,
    UnusedResult,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub rule: Rule,
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub advice: String,
}

/// All that was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The stages that a run of the file has.
    pub stages: Vec<&'static str>,
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether a run would fail on any of it.
    pub fn has_errors(&self) -> bool {
        let mut all = self.findings.iter();
        all.any(|finding| finding.level == Level::Error)
    }
}

/// Looks at a file.
pub fn check(name: &str, text: &str) -> Report {
    let script = match Script::parse(name, text) {
        Ok(script) => script,
        Err(failure) => return syntax(&failure),
    };
    let stages = script.stages().into_iter().map(Stage::name).collect();
    let mut parts = Vec::new();
    let answers = matches!(
        script,
        Script::Functions {
            last: Last::Handler,
            ..
        }
    );
    for (source, step) in parts_of(&script) {
        match source.parse() {
            Ok(module) => parts.push(Part {
                source,
                step,
                answers,
                module,
            }),
            Err(failure) => return syntax(&failure),
        }
    }
    let mut found = Found::default();
    shape::look(&parts, &mut found);
    network::look(&parts, &mut found);
    names::look(&parts, &mut found);
    flow::look(&parts, &mut found);
    let mut findings = found.0;
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    Report { stages, findings }
}

/// A text that is parsed on its own: a whole file, or a step of it.
struct Part {
    source: Source,
    /// Absent in a file of functions.
    step: Option<Step>,
    /// Whether it is a file with a handler.
    answers: bool,
    module: AstModule,
}

fn parts_of(script: &Script) -> Vec<(Source, Option<Step>)> {
    match script {
        Script::Functions { source, .. } => vec![(source.clone(), None)],
        Script::Steps(steps) => {
            let parts = steps.iter();
            let parts = parts.map(|step| (step.source.clone(), Some(step.clone())));
            parts.collect()
        }
    }
}

fn syntax(failure: &Failure) -> Report {
    let place = failure.place().unwrap_or(Place { line: 1, column: 1 });
    Report {
        stages: Vec::new(),
        findings: vec![Finding {
            level: Level::Error,
            rule: Rule::Syntax,
            line: place.line,
            column: place.column,
            message: failure.message().to_owned(),
            advice: "nothing of a file runs that cannot be parsed".to_owned(),
        }],
    }
}

/// Gathers findings.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn error(&mut self, part: &Part, span: Span, rule: Rule, message: String, advice: &str) {
        self.add(Level::Error, part, span, rule, message, advice);
    }

    fn warning(&mut self, part: &Part, span: Span, rule: Rule, message: String, advice: &str) {
        self.add(Level::Warning, part, span, rule, message, advice);
    }

    fn add(
        &mut self,
        level: Level,
        part: &Part,
        span: Span,
        rule: Rule,
        message: String,
        advice: &str,
    ) {
        let begin = part.module.file_span(span).resolve_span().begin;
        let Place { line, column } = part.source.place(begin.line, begin.column);
        self.0.push(Finding {
            level,
            rule,
            line,
            column,
            message,
            advice: advice.to_owned(),
        });
    }
}
