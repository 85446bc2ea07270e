//! Who may run what: plans, approvals, rules, verdicts and permits.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use strongroom_core::{
    approval::{Approval, NotCovered, Scope},
    digest::Digest,
    event::Event,
    id::{ApprovalId, RequestId, RunId},
    limits::Limits,
    manifest::Manifest,
    name::{Name, ObjectName, Reference},
    network::Answers,
    permit::{self, NoPermit, Standing},
    plan::{self, Inputs, Plan, PlanError, RuntimePin},
    request::{self, Desk, Grounds, Verdict, Verdicts},
    rule::{self, Ask, RuleAnswer, RuleSet},
    run,
    runtime::RuntimeName,
    stage::{Expose, Stage},
};

const NOW: i64 = 1_790_000_000_000;

fn name(raw: &str) -> Name {
    raw.parse().unwrap()
}

fn pin() -> RuntimePin {
    RuntimePin {
        name: RuntimeName::python3(),
        digest: Digest::of(b"python"),
    }
}

fn plan(args: Value) -> Plan {
    Plan {
        function: Digest::of(b"function"),
        runtime: pin(),
        inputs: Inputs::Only(Digest::of(b"penguins")),
        args,
        limits: Limits::DEFAULT,
        stages: vec![plan::Stage::Transform],
        download: None,
        secrets: std::collections::BTreeMap::new(),
        config: std::collections::BTreeMap::new(),
        answers: strongroom_core::network::Answers::Live,
    }
}

fn approval(scope: Scope) -> Approval {
    Approval {
        id: ApprovalId::new(NOW, [1; 10]),
        owner: name("lab"),
        caller: name("guest"),
        request: RequestId::new(NOW, [2; 10]),
        scope,
        expose: false,
        limits_max: Limits::DEFAULT,
        uses_left: None,
        until_ms: None,
        revoked: false,
        at_ms: NOW,
    }
}

fn exact(of: &Plan) -> Approval {
    approval(Scope::Plan { plan: of.digest() })
}

#[test]
fn a_plan_changes_its_digest_with_anything_in_it() {
    let base = plan(json!({"by": "species"}));
    let changes: [fn(&mut Plan); 9] = [
        |p| p.function = Digest::of(b"functioN"),
        |p| p.runtime.digest = Digest::of(b"python "),
        |p| p.inputs = Inputs::None,
        |p| p.args = json!({"by": "Species"}),
        |p| p.limits.out_bytes += 1,
        |p| p.stages.clear(),
        |p| p.stages.insert(0, Stage::Download),
        |p| p.download = Some(serde_json::from_value(json!({"hosts": ["a.org"]})).unwrap()),
        |p| drop(p.config.insert("unit".to_owned(), json!("kg"))),
    ];
    for change in changes {
        let mut other = base.clone();
        change(&mut other);
        assert_ne!(other.digest(), base.digest());
    }
    let named = Plan {
        inputs: Inputs::Named(BTreeMap::from([(name("a"), Digest::of(b"penguins"))])),
        ..base.clone()
    };
    assert_ne!(named.digest(), base.digest());
    assert_eq!(base.clone().digest(), base.digest());
}

#[test]
fn an_approval_covers_exactly_what_it_says() {
    let asked = plan(json!({"by": "species"}));
    let guest = name("guest");
    let covers = |a: &Approval, p: &Plan| a.covers_new(&guest, p, NOW);
    assert_eq!(covers(&exact(&asked), &asked), Ok(()));
    let other = plan(json!({"by": "island"}));
    assert_eq!(covers(&exact(&asked), &other), Err(NotCovered::OtherPlan));

    let schema = json!({"type": "object", "properties": {"by": {"enum": ["species", "island"]}}, "additionalProperties": false});
    let domain = approval(Scope::domain(&asked, schema));
    assert_eq!(covers(&domain, &other), Ok(()));
    assert_eq!(
        covers(&domain, &plan(json!({"by": "sex"}))),
        Err(NotCovered::ArgsOutside)
    );
    let edited = Plan {
        function: Digest::of(b"edited"),
        ..asked.clone()
    };
    assert_eq!(covers(&domain, &edited), Err(NotCovered::OtherPlan));
    let more_data = Plan {
        inputs: Inputs::Only(Digest::of(b"newer")),
        ..asked.clone()
    };
    assert_eq!(covers(&domain, &more_data), Err(NotCovered::OtherPlan));
    for answers in [Answers::Record, Answers::Replay(RunId::new(NOW, [0; 10]))] {
        let otherwise_answered = Plan {
            answers,
            ..asked.clone()
        };
        assert_eq!(
            covers(&domain, &otherwise_answered),
            Err(NotCovered::OtherPlan)
        );
    }
    let set = BTreeMap::from([("unit".to_owned(), json!("kg"))]);
    let otherwise_set = asked.clone().configured(set).unwrap();
    assert_eq!(covers(&domain, &otherwise_set), Err(NotCovered::OtherPlan));
    assert_eq!(
        domain.covers_new(&name("mallory"), &asked, NOW),
        Err(NotCovered::OtherCaller)
    );
}

#[test]
fn an_approval_ends_by_time_use_and_revocation() {
    let asked = plan(json!({}));
    let guest = name("guest");
    let timed = Approval {
        until_ms: Some(NOW),
        ..exact(&asked)
    };
    assert_eq!(timed.covers_new(&guest, &asked, NOW - 1), Ok(()));
    assert_eq!(
        timed.covers_new(&guest, &asked, NOW),
        Err(NotCovered::Expired)
    );
    let used = Approval {
        uses_left: Some(0),
        ..exact(&asked)
    };
    assert_eq!(
        used.covers_new(&guest, &asked, NOW),
        Err(NotCovered::UsedUp)
    );
    assert_eq!(
        used.still_covers(&guest, &asked, NOW),
        Ok(()),
        "a run that was counted may start"
    );
    let revoked = Approval {
        revoked: true,
        ..exact(&asked)
    };
    assert_eq!(
        revoked.still_covers(&guest, &asked, NOW),
        Err(NotCovered::Revoked)
    );
}

static NO_SETTINGS: BTreeMap<String, Value> = BTreeMap::new();

fn ask<'a>(
    caller: &'a Name,
    function: &'a ObjectName,
    args: &'a Value,
    datasets: &'a [ObjectName],
) -> Ask<'a> {
    Ask {
        caller,
        function,
        function_digest: Digest::of(b"function"),
        purpose: "teaching",
        args,
        config: &NO_SETTINGS,
        limits: Limits::DEFAULT,
        datasets,
        inputs: datasets,
        stages: &[Stage::Download, Stage::Transform],
        network: None,
        answers: &Answers::Live,
        expose: Expose::Off,
    }
}

#[test]
fn rules_can_speak_of_where_answers_come_from() {
    let rules = r#"permit(principal, action, resource);
        @id("kept") forbid(principal, action, resource) when { context.answers == "replay" };"#;
    let rules = RuleSet::parse(rules).unwrap();
    let (caller, function) = (name("guest"), "devs/mean-mass".parse().unwrap());
    let (args, datasets) = (json!({}), ["lab/a".parse().unwrap()]);
    let answer = |answers: &Answers, stages: &[Stage]| {
        let ask = Ask {
            answers,
            stages,
            ..ask(&caller, &function, &args, &datasets)
        };
        matches!(rules.answer(&ask, NOW), RuleAnswer::Permit { .. })
    };
    let replay = Answers::Replay(RunId::new(NOW, [3; 10]));
    let both = [Stage::Download, Stage::Transform];
    assert!(answer(&Answers::Live, &both) && answer(&Answers::Record, &both));
    assert!(!answer(&replay, &both));
    // Where nothing is asked of anybody, nothing is answered.
    assert!(answer(&replay, &[Stage::Transform]));
}

#[test]
fn rules_can_speak_of_settings() {
    let rules = RuleSet::parse(
        r#"permit(principal, action, resource) when {
            context.config.hasTag("unit") && context.config.getTag("unit") == "kg" &&
            context.config_numbers.hasTag("most") && context.config_numbers.getTag("most") <= 5
        };"#,
    )
    .unwrap();
    let (caller, function) = (name("guest"), "devs/mean-mass".parse().unwrap());
    let (args, datasets) = (
        json!({ "unit": "kg", "most": 1 }),
        ["lab/a".parse().unwrap()],
    );
    let answer = |config: Value| {
        let config: BTreeMap<String, Value> = serde_json::from_value(config).unwrap();
        let ask = Ask {
            config: &config,
            ..ask(&caller, &function, &args, &datasets)
        };
        matches!(rules.answer(&ask, NOW), RuleAnswer::Permit { .. })
    };
    assert!(answer(json!({ "unit": "kg", "most": 5 })));
    // Arguments are none, and none says nothing.
    for other in [
        json!({}),
        json!({ "unit": "g", "most": 5 }),
        json!({ "unit": "kg", "most": 6.0 }),
        json!({ "unit": ["kg"], "most": 5 }),
    ] {
        assert!(!answer(other.clone()), "{other}");
    }
}

fn answer(rules: &str, caller: &str, args: &Value) -> RuleAnswer {
    let function = "devs/mean-mass".parse().unwrap();
    let datasets = ["lab/penguins".parse().unwrap()];
    RuleSet::parse(rules)
        .unwrap()
        .answer(&ask(&name(caller), &function, args, &datasets), NOW)
}

#[test]
fn rules_speak_of_function_digest_developer_user_purpose_arguments_and_time() {
    let digest = Digest::of(b"function");
    let permits = [
        r#"permit(principal == User::"guest", action == Action::"run", resource == Function::"devs/mean-mass");"#.to_owned(),
        format!(r#"permit(principal, action, resource) when {{ resource.digest == "{digest}" }};"#),
        r#"permit(principal, action, resource) when { resource.developer == User::"devs" };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.purpose == "teaching" };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.args.hasTag("by") && context.args.getTag("by") == "species" };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.numbers.hasTag("min") && context.numbers.getTag("min") >= 5 };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.now < datetime("2030-01-01") && context.datasets.contains("lab/penguins") };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.inputs == ["lab/penguins"] && context.owners == [User::"lab"] };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.limits.memory_bytes <= 268435456 };"#.to_owned(),
        r#"permit(principal, action, resource) when { context.stages.contains("download") && !context.hosts.contains("a.org") };"#.to_owned(),
    ];
    let args = json!({"by": "species", "min": 5});
    for rule in permits {
        assert!(
            matches!(answer(&rule, "guest", &args), RuleAnswer::Permit { .. }),
            "{rule}"
        );
    }
    let narrow = r#"permit(principal == User::"guest", action, resource);"#;
    assert_eq!(answer(narrow, "mallory", &args), RuleAnswer::Silent);
    assert_eq!(answer("", "guest", &args), RuleAnswer::Silent);
}

#[test]
fn a_rule_that_forbids_beats_one_that_permits_and_is_named() {
    let rules = "permit(principal, action, resource);\n@id(\"no-mallory\")\nforbid(principal == User::\"mallory\", action, resource);";
    match answer(rules, "mallory", &json!({})) {
        RuleAnswer::Forbid { policies } => {
            assert_eq!(policies[0].name, "no-mallory");
            assert!(policies[0].text.contains("forbid"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        answer(rules, "guest", &json!({})),
        RuleAnswer::Permit { .. }
    ));
}

#[test]
fn a_caller_who_wrote_the_function_can_be_judged_too() {
    let rule = "permit(principal, action, resource) when { principal == resource.developer };";
    assert!(matches!(
        answer(rule, "devs", &json!({})),
        RuleAnswer::Permit { .. }
    ));
    assert_eq!(answer(rule, "guest", &json!({})), RuleAnswer::Silent);
}

#[test]
fn a_rule_that_fails_leaves_the_answer_to_a_person() {
    let overflow = r#"permit(principal, action, resource) when { context.limits.memory_bytes * 9223372036854775807 > 0 };"#;
    assert!(matches!(
        answer(overflow, "guest", &json!({})),
        RuleAnswer::Failed { .. }
    ));
}

const OVERFLOWS: &str = r#"
    forbid(principal, action, resource) when {
        context.numbers.hasTag("n") && context.numbers.getTag("n") * 2 > 10 };
    permit(principal, action, resource);"#;

#[test]
fn a_rule_that_was_made_to_fail_lets_no_earlier_approval_through() {
    let asked = plan(json!({"n": i64::MAX}));
    let (lab, guest) = (name("lab"), name("guest"));
    let rules = RuleSet::parse(OVERFLOWS).unwrap();
    let function = "devs/mean-mass".parse().unwrap();
    let approvals = [exact(&asked)];
    let desk = Desk {
        owner: &lab,
        rules: Some(&rules),
        approvals: &approvals,
    };
    let verdict = request::judge(
        &desk,
        &ask(&guest, &function, &asked.args, &[]),
        &asked,
        NOW,
    );
    assert!(matches!(verdict, Verdict::Pending { .. }), "{verdict:?}");
}

#[test]
fn a_rule_that_forbids_does_so_though_another_fails() {
    let rules = format!("{OVERFLOWS} forbid(principal == User::\"guest\", action, resource);");
    let answered = answer(&rules, "guest", &json!({"n": i64::MAX}));
    assert!(
        matches!(answered, RuleAnswer::Forbid { .. }),
        "{answered:?}"
    );
}

#[test]
fn a_whole_number_meets_rules_however_it_is_written() {
    for n in [json!(7), json!(7.0), json!(7e0)] {
        let answered = answer(OVERFLOWS, "guest", &json!({ "n": n }));
        assert!(
            matches!(answered, RuleAnswer::Forbid { .. }),
            "{answered:?}"
        );
    }
}

#[test]
fn a_rule_that_could_never_fire_is_refused_with_its_place() {
    let refuses = |text: &str, line: usize, why: &str| {
        let error = RuleSet::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.message.contains(why), "{error}");
    };
    refuses(
        "permit(principal, action, resource)\nwhen { context.porpoise == \"x\" };",
        2,
        "porpoise",
    );
    refuses("\n\npermit(principal, action", 3, "");
    refuses(
        "permit(principal == Person::\"x\", action, resource);",
        1,
        "Person",
    );
    refuses(
        "permit(principal, action == Action::\"read\", resource);",
        1,
        "read",
    );
    refuses(&" ".repeat(rule::LEN_MAX + 1), 1, "longer");
    refuses("// a\n// b\0", 2, "NUL");
}

fn judge(owner: &str, caller: &str, rules: &str, approvals: &[Approval]) -> Verdict {
    let (owner, caller) = (name(owner), name(caller));
    let rules = RuleSet::parse(rules).unwrap();
    let asked = plan(json!({}));
    let function = "devs/mean-mass".parse().unwrap();
    let desk = Desk {
        owner: &owner,
        rules: Some(&rules),
        approvals,
    };
    request::judge(
        &desk,
        &ask(&caller, &function, &asked.args, &[]),
        &asked,
        NOW,
    )
}

#[test]
fn an_owner_answers_by_rule_then_ownership_then_approval_then_in_person() {
    let forbid = "forbid(principal, action, resource);";
    let permit = "permit(principal, action, resource);";
    let approvals = [exact(&plan(json!({})))];
    assert!(matches!(
        judge("lab", "guest", forbid, &approvals),
        Verdict::Rejected { .. }
    ));
    assert!(matches!(
        judge("lab", "lab", forbid, &[]),
        Verdict::Rejected { .. }
    ));
    assert_eq!(
        judge("lab", "lab", "", &[]),
        Verdict::Approved {
            grounds: Grounds::Own
        }
    );
    assert!(matches!(
        judge("lab", "guest", permit, &approvals),
        Verdict::Approved {
            grounds: Grounds::Approval { .. }
        }
    ));
    assert!(matches!(
        judge("lab", "guest", permit, &[]),
        Verdict::Approved {
            grounds: Grounds::Rule { .. }
        }
    ));
    assert_eq!(judge("lab", "guest", "", &[]), Verdict::PENDING);
}

fn verdicts(entries: &[(&str, Verdict)]) -> Verdicts {
    entries
        .iter()
        .map(|(owner, verdict)| (name(owner), verdict.clone()))
        .collect()
}

#[test]
fn one_rejection_ends_it_and_every_owner_is_needed() {
    let yes = Verdict::Approved {
        grounds: Grounds::Own,
    };
    let no = Verdict::Rejected {
        reason: String::new(),
        policies: vec![],
    };
    assert_eq!(request::state_of([]), request::State::Approved);
    assert_eq!(
        request::state_of([&yes, &Verdict::PENDING]),
        request::State::Pending
    );
    assert_eq!(request::state_of([&yes, &yes]), request::State::Approved);
    assert_eq!(
        request::state_of([&Verdict::PENDING, &no, &yes]),
        request::State::Rejected
    );
}

#[test]
fn a_permit_rests_on_the_rules_as_they_are_at_launch() {
    let asked = plan(json!({}));
    let (lab, guest) = (name("lab"), name("guest"));
    let given = exact(&asked);
    let by_approval = Grounds::Approval {
        approval: given.id.clone(),
    };
    let by_rule = Grounds::Rule {
        policies: Vec::new(),
    };
    let mint = |grounds: &Grounds, answer: RuleAnswer| {
        let grounds = grounds.clone();
        let standing = Standing {
            state: request::State::Approved,
            caller: &guest,
            developer: None,
            owners: std::slice::from_ref(&lab),
            verdicts: &verdicts(&[("lab", Verdict::Approved { grounds })]),
            approvals: std::slice::from_ref(&given),
            rules: &BTreeMap::from([(lab.clone(), answer)]),
        };
        permit::mint(RunId::new(NOW, [0; 10]), &asked, &standing, NOW).map(drop)
    };
    let permit = RuleAnswer::Permit {
        policies: Vec::new(),
    };
    let forbid = RuleAnswer::Forbid {
        policies: Vec::new(),
    };
    let failed = RuleAnswer::Failed { errors: Vec::new() };
    assert_eq!(mint(&by_rule, permit.clone()), Ok(()));
    assert_eq!(
        mint(&by_rule, RuleAnswer::Silent),
        Err(NoPermit::RuleGone(lab.clone()))
    );
    assert_eq!(
        mint(&by_rule, failed.clone()),
        Err(NoPermit::RulesFailed(lab.clone()))
    );
    for grounds in [&by_rule, &by_approval] {
        assert_eq!(
            mint(grounds, forbid.clone()),
            Err(NoPermit::Forbidden(lab.clone()))
        );
    }
    // They might have forbidden it.
    assert_eq!(
        mint(&by_approval, failed),
        Err(NoPermit::RulesFailed(lab.clone()))
    );
    assert_eq!(mint(&by_approval, RuleAnswer::Silent), Ok(()));
}

#[test]
fn a_permit_is_minted_only_on_what_still_stands() {
    let asked = plan(json!({}));
    let (lab, guest) = (name("lab"), name("guest"));
    let small = Limits {
        memory_bytes: 32 << 20,
        ..Limits::DEFAULT
    };
    let given = Approval {
        limits_max: small,
        ..exact(&asked)
    };
    let grounds = Grounds::Approval {
        approval: given.id.clone(),
    };
    let said = verdicts(&[("lab", Verdict::Approved { grounds })]);
    let mint =
        |state, owners: &[Name], verdicts: &Verdicts, approvals: &[Approval], plan: &Plan| {
            let standing = Standing {
                state,
                caller: &guest,
                developer: None,
                owners,
                verdicts,
                approvals,
                rules: &BTreeMap::new(),
            };
            permit::mint(RunId::new(NOW, [0; 10]), plan, &standing, NOW)
        };
    let approved = request::State::Approved;
    let owners = [lab.clone()];
    let mut permits = mint(
        approved,
        &owners,
        &said,
        std::slice::from_ref(&given),
        &asked,
    )
    .unwrap();
    assert_eq!(permits.limits().memory_bytes, 32 << 20);
    let permit = permits.next_stage(Limits::MAX).unwrap();
    assert_eq!(permit.limits(), permits.limits());
    assert!(permits.next_stage(Limits::MAX).is_none());
    assert_eq!(permit.plan(), asked.digest());

    let refused = |result: Result<permit::Permits, NoPermit>| result.unwrap_err();
    let revoked = Approval {
        revoked: true,
        ..given.clone()
    };
    assert!(matches!(
        refused(mint(approved, &owners, &said, &[revoked], &asked)),
        NoPermit::NotCovered { .. }
    ));
    assert!(matches!(
        refused(mint(approved, &owners, &said, &[], &asked)),
        NoPermit::ApprovalGone(_)
    ));
    assert!(matches!(
        refused(mint(
            request::State::Revoked,
            &owners,
            &said,
            std::slice::from_ref(&given),
            &asked
        )),
        NoPermit::State(_)
    ));
    assert!(matches!(
        refused(mint(
            approved,
            &owners,
            &said,
            std::slice::from_ref(&given),
            &plan(json!({"x": 1}))
        )),
        NoPermit::NotCovered { .. }
    ));
    let more_owners = [lab.clone(), name("zoo")];
    assert_eq!(
        refused(mint(
            approved,
            &more_owners,
            &said,
            std::slice::from_ref(&given),
            &asked
        )),
        NoPermit::Owners
    );
    let lie = verdicts(&[(
        "lab",
        Verdict::Approved {
            grounds: Grounds::Own,
        },
    )]);
    assert!(matches!(
        refused(mint(approved, &owners, &lie, &[], &asked)),
        NoPermit::NotApproved(_)
    ));
    let pending = verdicts(&[("lab", Verdict::PENDING)]);
    assert!(matches!(
        refused(mint(approved, &owners, &pending, &[], &asked)),
        NoPermit::NotApproved(_)
    ));
    let of_another = Approval {
        owner: name("zoo"),
        ..given
    };
    assert!(matches!(
        refused(mint(approved, &owners, &said, &[of_another], &asked)),
        NoPermit::ApprovalGone(_)
    ));
}

fn manifest(inputs: Option<&[&str]>, args: Option<Value>) -> Manifest {
    Manifest {
        runtime: RuntimeName::python3(),
        entry: "main.py".parse().unwrap(),
        description: String::new(),
        inputs: inputs.map(|names| names.iter().map(|n| (name(n), String::new())).collect()),
        args,
        limits: Limits::DEFAULT,
        stages: vec![Stage::Transform],
        download: None,
        secrets: std::collections::BTreeMap::new(),
        config: std::collections::BTreeMap::new(),
        dependencies: None,
    }
}

fn pinned(manifest: &Manifest, on: &[&str], args: Value) -> Result<Plan, PlanError> {
    let inputs = Inputs::parse(on.iter().copied())?;
    let inputs = inputs.try_map(|_: Reference| Ok::<_, PlanError>(Digest::of(b"d")))?;
    plan::pin(
        manifest,
        Digest::of(b"f"),
        pin(),
        inputs,
        args,
        manifest.limits,
        Limits::MAX,
    )
}

#[test]
fn a_plan_takes_the_inputs_and_arguments_that_its_function_names() {
    let any = manifest(None, None);
    assert!(pinned(&any, &[], json!({})).is_ok());
    assert!(pinned(&any, &["a/b"], json!({})).is_ok());
    assert!(pinned(&any, &["x=a/b", "y=a/c"], json!({})).is_ok());
    assert_eq!(
        pinned(&any, &["a/b", "a/c"], json!({})),
        Err(PlanError::TwoUnnamed)
    );
    assert_eq!(
        pinned(&any, &["a/b", "x=a/c"], json!({})),
        Err(PlanError::TwoUnnamed)
    );
    assert!(matches!(
        pinned(&any, &["x=a/b", "x=a/c"], json!({})),
        Err(PlanError::Input { .. })
    ));
    assert!(matches!(
        pinned(&any, &["../b"], json!({})),
        Err(PlanError::Input { .. })
    ));

    let two = manifest(Some(&["left", "right"]), None);
    assert!(pinned(&two, &["left=a/b", "right=a/c"], json!({})).is_ok());
    assert!(matches!(
        pinned(&two, &["left=a/b"], json!({})),
        Err(PlanError::Inputs { .. })
    ));
    assert!(matches!(
        pinned(&two, &["a/b"], json!({})),
        Err(PlanError::Inputs { .. })
    ));
    assert!(matches!(
        pinned(&manifest(Some(&[]), None), &["a/b"], json!({})),
        Err(PlanError::Inputs { .. })
    ));

    let strict = manifest(None, Some(json!({"type": "object", "required": ["by"]})));
    assert!(pinned(&strict, &[], json!({"by": 1})).is_ok());
    assert!(matches!(
        pinned(&strict, &[], json!({})),
        Err(PlanError::Args { .. })
    ));
    let long = json!("x".repeat(plan::ARGS_LEN_MAX));
    assert_eq!(pinned(&any, &[], long), Err(PlanError::ArgsTooLong));
}

#[test]
fn a_changed_event_breaks_the_chain() {
    let event = |seq, action: &str| Event {
        seq,
        at_ms: NOW,
        actor: "lab".into(),
        action: action.into(),
        subject: "s".into(),
        detail: json!({}),
    };
    let first = event(1, "request.approve").chained(None);
    let second = event(2, "run.start").chained(Some(first));
    assert_ne!(event(1, "request.reject").chained(None), first);
    assert_ne!(event(2, "run.start").chained(Some(Digest::of(b""))), second);
}

fn run_state() -> impl Strategy<Value = run::State> {
    proptest::sample::select(run::State::ALL.to_vec())
}

fn request_state() -> impl Strategy<Value = request::State> {
    proptest::sample::select(request::State::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_run_ends_once_and_its_guest_starts_once(walk in proptest::collection::vec(run_state(), 0..40)) {
        let (mut state, mut started, mut ended) = (run::State::Waiting, 0, 0);
        for next in walk {
            if state.may_become(next) {
                started += i32::from(next == run::State::Running);
                ended += i32::from(next == run::State::Ended);
                prop_assert!(ended == 0 || next == run::State::Ended);
                state = next;
            }
        }
        prop_assert!(started <= 1 && ended <= 1);
    }

    #[test]
    fn a_request_that_is_over_stays_over(walk in proptest::collection::vec(request_state(), 0..40)) {
        let mut seen = vec![request::State::Pending];
        for next in walk {
            let now = *seen.last().unwrap();
            if now.may_become(next) {
                seen.push(next);
            }
        }
        prop_assert!(seen.len() <= 3);
        let over = |s: &request::State| !matches!(s, request::State::Pending | request::State::Approved);
        prop_assert!(seen.iter().rev().skip(1).all(|s| !over(s)));
    }

    #[test]
    fn the_smaller_limits_are_within_both(a in 1u64..1 << 40, b in 1u64..1 << 40, c in 1u32..5000, d in 1u32..5000) {
        let one = Limits { memory_bytes: a, processes: c, ..Limits::DEFAULT };
        let two = Limits { memory_bytes: b, processes: d, ..Limits::DEFAULT };
        let both = one.smaller(two);
        prop_assert!(both.is_within(one) && both.is_within(two));
        prop_assert_eq!(both, two.smaller(one));
    }

    #[test]
    fn canonical_json_is_read_back_as_the_same_value(text in "[ -~]{0,40}", number in any::<i64>()) {
        let value = json!({ "text": text, "number": number, "list": [null, true, {"k": text}] });
        let canonical = strongroom_core::json::canonical(&value);
        prop_assert_eq!(strongroom_core::json::parse(canonical.as_bytes()).unwrap(), value);
    }
}
