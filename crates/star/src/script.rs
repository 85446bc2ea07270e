//! A file's generation: functions found by name, or steps.
//!
//! A line `---` splits a file into steps. A file without such a line that
//! defines `download`, `expose`, `transform` or `handle(event, context)` is of
//! functions; any other is a lone step. The lines of comment at the top of a step may say its name and
//! category: `# name: fetch`, `# category: download`.

use starlark_syntax::syntax::ast::{AstStmt, StmtP};

use crate::{failure::Failure, handler, host::Stage, source::Source};

/// The most steps of a file.
const STEPS_MAX: usize = 100;

/// A script that can be run.
#[derive(Clone, Debug)]
pub enum Script {
    /// With the functions that it defines.
    Functions {
        source: Source,
        stages: Vec<Stage>,
        last: Last,
    },
    Steps(Vec<Step>),
}

/// What a file of functions has in its last stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Transform,
    /// It answers a request.
    Handler,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    pub category: String,
    pub source: Source,
}

impl Step {
    /// Whether it runs where the network is, and nowhere else.
    pub fn is_download(&self) -> bool {
        self.category == "download"
    }

    /// Whether it runs in every stage, without data and network.
    pub fn is_setup(&self) -> bool {
        self.category == "setup"
    }
}

impl Script {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What is wrong with its text, with the place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let separators = Source::separators(text);
        if separators.is_empty() {
            let source = Source::new(name, text)?;
            if let Some((stages, last)) = functions(&source)? {
                return Ok(Self::Functions {
                    source,
                    stages,
                    last,
                });
            }
            return Ok(Self::Steps(vec![Step::new(1, text, source)?]));
        }
        if STEPS_MAX <= separators.len() {
            let why = format!("a script has at most {STEPS_MAX} steps");
            return Err(Failure::plain(why));
        }
        let mut steps = Vec::new();
        let mut start = 0;
        let ends = separators.iter().copied().chain([text.len()]);
        for (index, end) in ends.enumerate() {
            let own = &text[start..end];
            let lines_before = text[..start].matches('\n').count();
            let source = Source::new(name, &format!("{}{own}", "\n".repeat(lines_before)))?;
            steps.push(Step::new(index + 1, own, source)?);
            start = text[end..]
                .find('\n')
                .map_or(text.len(), |line| end + line + 1);
        }
        Ok(Self::Steps(steps))
    }

    /// The stages that a run of it has.
    pub fn stages(&self) -> Vec<Stage> {
        match self {
            Self::Functions { stages, .. } => stages.clone(),
            Self::Steps(steps) => {
                let download = steps.iter().any(Step::is_download);
                let download = download.then_some(Stage::Download);
                download.into_iter().chain([Stage::Transform]).collect()
            }
        }
    }

    /// Every text that is parsed.
    pub fn sources(&self) -> Vec<Source> {
        match self {
            Self::Functions { source, .. } => vec![source.clone()],
            Self::Steps(steps) => steps.iter().map(|step| step.source.clone()).collect(),
        }
    }
}

impl Step {
    fn new(number: usize, own: &str, source: Source) -> Result<Self, Failure> {
        let (mut name, mut category) = (None, None);
        let head = own
            .lines()
            .map(str::trim)
            .take_while(|line| line.is_empty() || line.starts_with('#'));
        for line in head {
            let said = line.trim_start_matches('#').trim().split_once(':');
            let said = said.map(|(key, value)| (key.trim(), value.trim().to_owned()));
            match said {
                Some(("name", value)) => name = Some(value),
                Some(("category", value)) => category = Some(value),
                Some(("syntax", value)) if value != "starlark" => {
                    let why = format!("a step in {value:?} cannot be run; steps are in Starlark");
                    return Err(Failure::at(&source, None, why));
                }
                _ => {}
            }
        }
        let name = name.unwrap_or_else(|| format!("step {number}"));
        let category = category.unwrap_or_else(|| match name.as_str() {
            "download" | "setup" => name.clone(),
            _ => "transform".to_owned(),
        });
        Ok(Self {
            name,
            category,
            source,
        })
    }
}

/// What a file of functions has to run; `None` for a file of another kind.
fn functions(source: &Source) -> Result<Option<(Vec<Stage>, Last)>, Failure> {
    let module = source.parse()?;
    let statement = module.statement();
    let mut stages = defined(statement);
    let must_answer = source.name == handler::FILE_NAME;
    if !answers(statement, must_answer) {
        if must_answer && !stages.contains(&Stage::Transform) {
            let why = "handler.star defines no function handle(event, context)";
            return Err(Failure::plain(why));
        }
        return Ok((!stages.is_empty()).then_some((stages, Last::Transform)));
    }
    if stages.contains(&Stage::Transform) {
        let why = "the file defines both transform and handle; keep one of them";
        return Err(Failure::plain(why));
    }
    stages.push(Stage::Transform);
    Ok(Some((stages, Last::Handler)))
}

/// Whether a file defines a handler: by the names of what it is given, since a
/// step may well have a function of this name; in a file of its name, by any.
fn answers(statement: &AstStmt, by_name: bool) -> bool {
    let mut found = false;
    top_level(statement, &mut |statement| match &statement.node {
        StmtP::Def(def) if def.name.node.ident == handler::NAME => {
            let names: Vec<_> = def
                .params
                .iter()
                .filter_map(|one| one.node.ident().map(|name| name.node.ident.as_str()))
                .collect();
            found |= by_name || names == handler::PARAMETERS;
        }
        _ => {}
    });
    found
}

/// The special functions that a file defines, in the order in which they run.
fn defined(statement: &AstStmt) -> Vec<Stage> {
    let mut names = Vec::new();
    top_level(statement, &mut |statement| match &statement.node {
        StmtP::Def(def) => names.push(def.name.node.ident.clone()),
        StmtP::Assign(assign) => {
            // `transform = lambda ds, ctx: ...`
            assign
                .lhs
                .visit_lvalue(|name| names.push(name.node.ident.clone()));
        }
        _ => {}
    });
    [Stage::Expose, Stage::Download, Stage::Transform]
        .into_iter()
        .filter(|stage| names.iter().any(|name| name == stage.name()))
        .collect()
}

/// Visits the statements that are not inside of any other.
pub(crate) fn top_level<'a>(statement: &'a AstStmt, visit: &mut dyn FnMut(&'a AstStmt)) {
    match &statement.node {
        StmtP::Statements(all) => all.iter().for_each(|one| top_level(one, visit)),
        _ => visit(statement),
    }
}
