//! One request as an owner reads it before he decides.
//!
//! Whole digests, whole source, whole diff: what is approved is what is
//! shown. Everything that the caller or the developer wrote is escaped.

use std::fmt::Write as _;

use strongroom_core::{
    dependency::{Change, Package},
    network::Method,
    plan::{Plan, Stage},
    request::{Grounds, Verdict},
    rule::RulePolicy,
    text::line_shown,
    transform::Mode,
};
use strongroom_server::api::{Request, RequestDetail, RequestMakes};

use crate::{show, source, ui::Ink};

/// The longest purpose or reason that is shown, in characters; a station
/// takes none that is longer.
const TEXT_CHARS_MAX: usize = 2000;

/// The whole page.
pub fn shown(request: &Request, ink: Ink) -> String {
    let mut rows = head(request);
    if let Some(detail) = &request.detail {
        rows.extend(plan(detail));
    }
    if let Some(detail) = &request.detail {
        rows.extend(packages(detail));
    }
    rows.extend(answers(request));
    let plan = request.detail.as_ref().map(|detail| &detail.plan);
    let mut out = plan.map_or_else(String::new, |plan| warning(plan, ink));
    for (name, value) in rows {
        let _ = writeln!(out, "{name:10} {value}");
    }
    if let Some(detail) = request
        .detail
        .as_ref()
        .filter(|detail| !detail.files.is_empty())
    {
        out += &changes(detail);
        let _ = write!(
            out,
            "\nThe source that would run:\n{}",
            source::shown(&detail.files)
        );
    }
    out
}

type Row = (&'static str, String);

fn head(request: &Request) -> Vec<Row> {
    let caller = format!("{}, who gets the result", request.caller);
    let mut rows = vec![
        (
            "request",
            format!("{}, {}", request.id, request.state.as_str()),
        ),
        ("asked", show::time(request.at_ms)),
        ("by", caller),
        (
            "function",
            format!("{}@{}", request.function, request.function_version),
        ),
    ];
    if !request.purpose.is_empty() {
        rows.push((
            "purpose",
            strongroom_core::text::shown(&request.purpose, TEXT_CHARS_MAX),
        ));
    }
    let inputs = show::inputs(&request.inputs);
    rows.extend(inputs.into_iter().map(|input| ("reads", input)));
    let made_of = request.derived_from.iter();
    rows.extend(made_of.map(|version| {
        let version = format!("{}@{}", version.dataset, version.version);
        ("made of", version)
    }));
    rows
}

/// What comes before everything else, where data may reach a network.
fn warning(plan: &Plan, ink: Ink) -> String {
    if !plan.exposes() {
        return String::new();
    }
    let lines = [
        "EXPOSES DATA: what `expose` of this function makes of your data goes to its stage",
        "`download`, which has a network. Read `expose` below. If that may leave, approve with",
        "`strongroom request approve --expose`; without `--expose` it does not run.",
    ];
    let hosts = format!("That stage can reach {}.", hosts(plan));
    let lines = lines.into_iter().chain([hosts.as_str()]);
    let lines = lines.map(|line| format!("{}\n", ink.red(&format!("!! {line}"))));
    lines.chain(["\n".to_owned()]).collect()
}

/// What the stage with a network can reach.
fn hosts(plan: &Plan) -> String {
    let Some(network) = &plan.download else {
        return "nothing".to_owned();
    };
    let hosts: Vec<String> = network.hosts().map(ToString::to_string).collect();
    let methods: Vec<&str> = network.methods().map(Method::as_str).collect();
    let tunnel = match network.has_tunnels() {
        true => ", also by connections that nobody sees into",
        false => "",
    };
    format!("{} by {}{tunnel}", hosts.join(", "), methods.join(", "))
}

fn plan(detail: &RequestDetail) -> Vec<Row> {
    let plan = &detail.plan;
    let stage = |stage: &Stage| match stage {
        Stage::Expose => "expose (sees the data, has no network, hands one value to download)",
        Stage::Download => "download (has a network, does not see the data)",
        Stage::Transform => "transform (sees the data, has no network)",
    };
    let stages: Vec<&str> = plan.stages.iter().map(stage).collect();
    let runtime = format!("{} {}", plan.runtime.name.as_str(), plan.runtime.digest);
    let mut rows = vec![
        ("arguments", show::json_line(&plan.args)),
        ("limits", show::limits(&plan.limits)),
        ("stages", stages.join(", ")),
        ("runtime", runtime),
        ("entry", detail.manifest.entry.to_string()),
        ("plan", plan.digest().to_string()),
    ];
    rows.extend(detail.makes.iter().flat_map(makes));
    if plan.stages.contains(&Stage::Download) {
        rows.insert(3, ("network", hosts(plan)));
    }
    if !plan.config.is_empty() {
        let config = serde_json::Value::from_iter(plan.config.clone());
        rows.insert(1, ("config", show::json_line(&config)));
    }
    for (stage, names) in &plan.secrets {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let told = format!(
            "{} is told the caller's {}",
            stage.as_str(),
            names.join(", ")
        );
        rows.push(("secrets", told));
    }
    rows
}

/// The version that the run would make, and what its author says of it.
fn makes(makes: &RequestMakes) -> Vec<Row> {
    let follows = match &makes.parent {
        Some(parent) => format!("after {parent}"),
        None => "as its first version".to_owned(),
    };
    let what = match makes.mode {
        Mode::Save => format!("a version of {}, {follows}, by itself", makes.dataset),
        Mode::Apply => format!(
            "nothing; it shows what a version of {} would be",
            makes.dataset
        ),
    };
    let said = [("title", &makes.title), ("message", &makes.message)];
    let said = said.into_iter().filter(|(_, text)| !text.is_empty());
    let said = said.map(|(name, text)| {
        let text = strongroom_core::text::shown(text, TEXT_CHARS_MAX);
        (name, text)
    });
    [("saves", what)].into_iter().chain(said).collect()
}

/// What would run besides the source: each package, and what changed of them
/// since the version that was approved before.
fn packages(detail: &RequestDetail) -> Vec<Row> {
    let shown = |package: &Package| {
        let (name, at) = (line_shown(&package.name), line_shown(&package.version));
        ("package", format!("{name} {at}"))
    };
    let mut rows: Vec<Row> = detail.packages.iter().map(shown).collect();
    if detail.approved_before.is_some() {
        let changes = detail.packages_changed.iter();
        rows.extend(changes.map(|change| ("changed", change_shown(change))));
    }
    rows
}

fn change_shown(change: &Change) -> String {
    let name = line_shown(&change.name);
    match (change.before.as_deref(), change.after.as_deref()) {
        (None, after) => format!("{name} {} is new", line_shown(after.unwrap_or_default())),
        (Some(before), None) => format!("{name} {} is gone", line_shown(before)),
        (Some(before), Some(after)) if before == after => {
            format!("{name} {} has other files", line_shown(after))
        }
        (Some(before), Some(after)) => {
            format!(
                "{name} was {}, is {}",
                line_shown(before),
                line_shown(after)
            )
        }
    }
}

fn answers(request: &Request) -> Vec<Row> {
    let mut rows = vec![("run", request.run.to_string())];
    for (owner, verdict) in &request.verdicts {
        rows.push(("answer", format!("{owner}: {}", verdict_shown(verdict))));
    }
    rows
}

fn verdict_shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pending { rule_errors } if rule_errors.is_empty() => "pending".to_owned(),
        Verdict::Pending { rule_errors } => {
            format!(
                "pending, since the rules failed: {}",
                line_shown(&rule_errors.join("; "))
            )
        }
        Verdict::Approved {
            grounds: Grounds::Own,
        } => "approved, as his own data".to_owned(),
        Verdict::Approved {
            grounds: Grounds::OwnExposed,
        } => "approved and exposed, as his own data and function".to_owned(),
        Verdict::Approved {
            grounds: Grounds::Approval { approval },
        } => {
            format!("approved ({approval})")
        }
        Verdict::Approved {
            grounds: Grounds::Rule { policies },
        } => {
            format!("approved by the rule {}", names(policies))
        }
        Verdict::Rejected { reason, policies } => {
            let reason = strongroom_core::text::shown(reason, TEXT_CHARS_MAX);
            match (reason.is_empty(), policies.is_empty()) {
                (true, _) => "rejected".to_owned(),
                (false, true) => format!("rejected: {reason}"),
                (false, false) => format!("rejected: {reason} ({})", names(policies)),
            }
        }
    }
}

fn names(policies: &[RulePolicy]) -> String {
    let names: Vec<String> = policies
        .iter()
        .map(|policy| show::cell(&policy.name))
        .collect();
    names.join(", ")
}

fn changes(detail: &RequestDetail) -> String {
    let Some(before) = &detail.approved_before else {
        return "\nYou have not approved a version of this function before.\n".to_owned();
    };
    match detail.diff.as_deref() {
        None | Some("") => "\nThis is the version that you approved before.\n".to_owned(),
        Some(diff) => {
            format!(
                "\nWhat changed since {before}, which you approved:\n{}",
                source::diff_shown(diff)
            )
        }
    }
}
