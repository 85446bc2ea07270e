//! Which stages a function has, and who lets it expose data.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom_core::{
    approval::{Approval, NotCovered, Scope},
    digest::Digest,
    id::{ApprovalId, RequestId, RunId},
    limits::Limits,
    manifest::{Files, Manifest, ManifestError},
    name::{Name, ObjectName},
    permit::{self, NoPermit, Standing},
    plan::{Inputs, Plan, PlanError, RuntimePin},
    request::{self, Desk, Grounds, Verdict},
    rule::{Ask, RuleAnswer, RuleSet},
    runtime::{FunctionFiles, Kind, Kinds, RuntimeName},
    stage::{EXPOSE_OFF, Expose, Stage},
};

const NOW: i64 = 1_790_000_000_000;
const ALL_THREE: &str = "def expose(data, ctx):\n  pass\ndef download(ctx):\n  pass\n\ndef transform(data, ctx):\n  pass\n";

fn name(raw: &str) -> Name {
    raw.parse().unwrap()
}

fn manifest(entries: &[(&str, &str)]) -> Result<Manifest, ManifestError> {
    let kind = |name: &str, suffix: &str| Kind {
        runtime: name.parse().unwrap(),
        files: FunctionFiles::new(suffix, format!("main{suffix}").parse().unwrap()),
        implied: true,
    };
    let kinds = Kinds::new([
        kind("python3", ".py"),
        kind("sh", ".sh"),
        kind("starlark", ".star"),
    ]);
    let files: Files = entries
        .iter()
        .map(|(path, text)| (path.parse().unwrap(), text.as_bytes().to_vec()))
        .collect();
    Manifest::of_files(&files, &kinds)
}

#[track_caller]
fn has(entries: &[(&str, &str)], stages: &[Stage]) {
    assert_eq!(manifest(entries).unwrap().stages, stages);
}

#[track_caller]
fn refuses(entries: &[(&str, &str)], why: &str) {
    let error = manifest(entries).unwrap_err();
    let mut whole = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        whole = format!("{whole}: {source}");
    }
    assert!(whole.contains(why), "{whole}");
}

#[test]
fn a_function_has_the_stages_that_its_entry_defines_or_its_manifest_names() {
    has(&[("a.py", ALL_THREE)], &Stage::ALL);
    has(&[("a.star", ALL_THREE)], &Stage::ALL);
    let two = "import os\ndef transform(data, ctx): 1\ndef download(ctx): 1";
    has(&[("a.py", two)], &[Stage::Download, Stage::Transform]);
    // A script has functions for itself, and an indented one is no stage.
    has(
        &[("a.py", "def download(url): 1\nprint(1)")],
        &[Stage::Transform],
    );
    has(
        &[("a.py", "def transform(d, c):\n  def download(): 1")],
        &[Stage::Transform],
    );
    // Unless it says that it downloads. In Starlark there are no such scripts.
    let hosts = ("strongroom.toml", "[download]\nhosts = [\"a.org\"]");
    let only = "def download(ctx): 1";
    has(
        &[("a.py", only), hosts],
        &[Stage::Download, Stage::Transform],
    );
    has(&[("a.star", only)], &[Stage::Download, Stage::Transform]);
    let steps = "x = 1\n---\n# category: download\ny = 1\n";
    has(&[("a.star", steps)], &[Stage::Download, Stage::Transform]);
    has(&[("a.py", steps)], &[Stage::Transform]);
    refuses(&[("a.py", "print(1)"), hosts], "with the stage `download`");
    let named = |toml: &'static str| [("a.sh", ""), ("strongroom.toml", toml)];
    has(
        &named("stages = [\"transform\", \"download\"]"),
        &[Stage::Download, Stage::Transform],
    );
    let plain = [
        ("a.py", ALL_THREE),
        ("strongroom.toml", "stages = [\"transform\"]"),
    ];
    has(&plain, &[Stage::Transform]);
    refuses(
        &named("stages = [\"upload\"]"),
        "there is no stage `upload`",
    );
    refuses(&named("stages = []"), "`transform` is always one of them");
    refuses(&named("stages = [\"transform\", \"transform\"]"), "twice");
    refuses(
        &named("stages = [\"expose\", \"transform\"]"),
        "no `download`",
    );
    refuses(
        &[("a.py", "def expose(d, c): 1\ndef transform(d, c): 1")],
        "no `download`",
    );
    refuses(
        &named("[download]\nhosts = [\"a.org\"]"),
        "with the stage `download`",
    );
}

#[test]
fn a_manifest_without_stages_is_written_as_before_there_were_any() {
    let plain = manifest(&[("a.py", "print(1)")]).unwrap();
    let written = serde_json::to_value(&plain).unwrap();
    assert_eq!(
        (written.get("stages"), written.get("download")),
        (None, None)
    );
    assert_eq!(serde_json::from_value::<Manifest>(written).unwrap(), plain);
}

fn plan(stages: &[Stage]) -> Plan {
    Plan {
        function: Digest::of(b"function"),
        runtime: RuntimePin {
            name: RuntimeName::python3(),
            digest: Digest::of(b"python"),
        },
        inputs: Inputs::Only(Digest::of(b"penguins")),
        args: Value::Null,
        limits: Limits::DEFAULT,
        stages: stages.to_vec(),
        download: None,
        secrets: std::collections::BTreeMap::new(),
        config: std::collections::BTreeMap::new(),
        answers: strongroom_core::network::Answers::Live,
    }
}

fn approval(of: &Plan, expose: bool) -> Approval {
    Approval {
        id: ApprovalId::new(NOW, [1; 10]),
        owner: name("lab"),
        caller: name("guest"),
        request: RequestId::new(NOW, [2; 10]),
        scope: Scope::Plan { plan: of.digest() },
        expose,
        limits_max: Limits::DEFAULT,
        uses_left: None,
        until_ms: None,
        revoked: false,
        at_ms: NOW,
    }
}

/// What the owner `lab` answers when `caller` asks for a function of `devs`.
fn judged(
    caller: &str,
    inputs: &[&str],
    expose: Expose,
    rules: &str,
    approvals: &[Approval],
) -> Verdict {
    let asked = plan(&Stage::ALL);
    let (lab, caller) = (name("lab"), name(caller));
    let function: ObjectName = "devs/f".parse().unwrap();
    let inputs: Vec<ObjectName> = inputs.iter().map(|raw| raw.parse().unwrap()).collect();
    let rules = RuleSet::parse(rules).unwrap();
    let desk = Desk {
        owner: if inputs[0].owner == caller {
            &caller
        } else {
            &lab
        },
        rules: Some(&rules),
        approvals,
    };
    let ask = Ask {
        caller: &caller,
        function: &function,
        function_digest: asked.function,
        purpose: "",
        args: &asked.args,
        config: &asked.config,
        limits: asked.limits,
        datasets: &inputs,
        inputs: &inputs,
        stages: &asked.stages,
        network: None,
        answers: &strongroom_core::network::Answers::Live,
        expose,
    };
    request::judge(&desk, &ask, &asked, NOW)
}

#[test]
fn a_function_that_exposes_is_refused_unless_that_is_asked_for() {
    let refused = plan(&Stage::ALL).wanted(Expose::Off).unwrap_err();
    assert_eq!(refused, PlanError::ExposeOff);
    assert_eq!(refused.to_string(), EXPOSE_OFF);
    assert!(plan(&Stage::ALL).wanted(Expose::AskOwners).is_ok());
    assert!(plan(&[Stage::Transform]).wanted(Expose::Off).is_ok());
}

#[test]
fn only_an_approval_that_names_expose_lets_data_be_exposed() {
    let asked = plan(&Stage::ALL);
    let guest = name("guest");
    let plainly = approval(&asked, false);
    assert_eq!(
        plainly.covers_new(&guest, &asked, NOW),
        Err(NotCovered::ExposeNotNamed)
    );
    assert_eq!(
        approval(&asked, true).covers_new(&guest, &asked, NOW),
        Ok(())
    );
    let permit = "permit(principal, action, resource);";
    let ask = |approvals: &[Approval]| {
        judged(
            "guest",
            &["lab/penguins"],
            Expose::AskOwners,
            permit,
            approvals,
        )
    };
    // A rule that permits everything does not permit this.
    assert_eq!(ask(&[]), Verdict::PENDING);
    assert_eq!(ask(&[plainly]), Verdict::PENDING);
    assert!(matches!(
        ask(&[approval(&asked, true)]),
        Verdict::Approved {
            grounds: Grounds::Approval { .. }
        }
    ));
    let forbid =
        "forbid(principal, action, resource) when { context.stages.contains(\"expose\") };";
    assert!(matches!(
        judged(
            "guest",
            &["lab/penguins"],
            Expose::AskOwners,
            forbid,
            &[approval(&asked, true)]
        ),
        Verdict::Rejected { .. }
    ));
}

#[test]
fn a_caller_exposes_his_own_data_only_if_all_is_his_and_he_wrote_the_function_and_said_so() {
    let own = |caller: &str, inputs: &[&str], expose| judged(caller, inputs, expose, "", &[]);
    let yes = Verdict::Approved {
        grounds: Grounds::OwnExposed,
    };
    assert_eq!(own("devs", &["devs/d"], Expose::AllDatasets), yes);
    assert_eq!(
        own("devs", &["devs/d"], Expose::AskOwners),
        Verdict::PENDING
    );
    // A stranger's function, and data of somebody else beside his own.
    assert_eq!(
        own("lab", &["lab/d"], Expose::AllDatasets),
        Verdict::PENDING
    );
    assert_eq!(
        own("devs", &["devs/d", "lab/d"], Expose::AllDatasets),
        Verdict::PENDING
    );
}

#[test]
fn a_permit_to_expose_rests_on_nothing_but_those_two() {
    let asked = plan(&Stage::ALL);
    let mint = |caller: &str, developer: &str, owners: &[&str], grounds: Grounds, named: bool| {
        let owners: Vec<Name> = owners.iter().map(|owner| name(owner)).collect();
        let verdicts = owners
            .iter()
            .map(|owner| {
                (
                    owner.clone(),
                    Verdict::Approved {
                        grounds: grounds.clone(),
                    },
                )
            })
            .collect();
        let given = Approval {
            caller: name(caller),
            owner: owners[0].clone(),
            ..approval(&asked, named)
        };
        let answer = RuleAnswer::Permit {
            policies: Vec::new(),
        };
        let standing = Standing {
            state: request::State::Approved,
            caller: &name(caller),
            developer: Some(&name(developer)),
            owners: &owners,
            verdicts: &verdicts,
            approvals: &[given],
            rules: &BTreeMap::from([(owners[0].clone(), answer)]),
        };
        permit::mint(RunId::new(NOW, [0; 10]), &asked, &standing, NOW)
    };
    let by_approval = Grounds::Approval {
        approval: ApprovalId::new(NOW, [1; 10]),
    };
    let by_rule = Grounds::Rule {
        policies: Vec::new(),
    };
    let not_named = |result: Result<permit::Permits, NoPermit>| {
        matches!(result, Err(NoPermit::ExposeNotNamed(_)))
    };
    assert!(mint("guest", "devs", &["lab"], by_approval.clone(), true).is_ok());
    assert!(matches!(
        mint("guest", "devs", &["lab"], by_approval, false),
        Err(NoPermit::NotCovered {
            why: NotCovered::ExposeNotNamed,
            ..
        })
    ));
    assert!(not_named(mint("guest", "devs", &["lab"], by_rule, true)));
    assert!(not_named(mint("lab", "devs", &["lab"], Grounds::Own, true)));
    assert!(mint("devs", "devs", &["devs"], Grounds::OwnExposed, false).is_ok());
    assert!(not_named(mint(
        "lab",
        "devs",
        &["lab"],
        Grounds::OwnExposed,
        false
    )));
    assert!(not_named(mint(
        "devs",
        "devs",
        &["devs", "lab"],
        Grounds::OwnExposed,
        false
    )));
}

#[test]
fn a_permit_hands_out_each_stage_once_in_order_and_within_what_is_left() {
    let asked = plan(&Stage::ALL);
    let mut permits = permit::Permits::trial(RunId::new(NOW, [0; 10]), &asked);
    let left = Limits {
        time_ms: 500,
        ..Limits::MAX
    };
    for stage in Stage::ALL {
        let permit = permits.next_stage(left).unwrap();
        assert_eq!((permit.stage(), permit.plan()), (stage, asked.digest()));
        assert_eq!(
            permit.limits(),
            Limits {
                time_ms: 500,
                ..Limits::DEFAULT
            }
        );
    }
    assert!(permits.next_stage(left).is_none());
}

#[test]
fn no_stage_has_both_data_and_a_network() {
    for stage in Stage::ALL {
        assert_ne!(stage.sees_data(), stage.has_network(), "{stage:?}");
    }
    assert_eq!(Stage::Download.reads(), Some(Stage::Expose));
}
