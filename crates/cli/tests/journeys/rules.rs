//! An owner's standing answers.

use crate::station::{Station, snapshot};

#[test]
fn rules_answer_for_their_owner() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    let rules = "@id(\"by-island\")\n\
        permit(principal == User::\"guest\", action == Action::\"run\", resource)\n\
        when { context.args.hasTag(\"by\") && context.args.getTag(\"by\") == \"island\" };\n\
        @id(\"never-by-sex\")\n\
        forbid(principal, action, resource)\n\
        when { context.args.hasTag(\"by\") && context.args.getTag(\"by\") == \"sex\" };\n";
    let file = station.place.file("rules.cedar", rules);
    snapshot!(lab.does(&["rule", "show"]), @r"
    ---- stderr
    You have no rules; every request waits for you.
    ");
    snapshot!(lab.does(&["rule", "check", &file]), @r"
    ---- stderr
    These rules would be taken.
    ");
    snapshot!(lab.does(&["rule", "set", &file]), @r"
    ---- stderr
    Your rules answer from now on.
    ");
    assert_eq!(lab.does(&["rule", "show"]).out, rules);
    let on = ["run", "devs/mean-mass", "--on", "lab/penguins", "--arg"];
    guest.does(&[&on[..], &["by=island"]].concat());
    snapshot!(guest.tries(&[&on[..], &["by=sex"]].concat()), @r"
    ---- stderr
    refused(forbidden by the rules of lab)
    ---- exit code 1
    ");
    let (run, _) = guest.asks(&[&on[1..], &["by=year"]].concat());
    assert_eq!(guest.reads(&["status", &run])["state"], "waiting");
    let all = lab.reads(&["request", "list", "--all"]);
    let by_rule = all["items"][2]["id"].as_str().unwrap();
    let page = lab.does(&["request", "show", by_rule]).out;
    assert!(
        page.contains("lab: approved by the rule by-island"),
        "{page}"
    );
    snapshot!(lab.does(&["rule", "clear"]), @r"
    ---- stderr
    You have no rules now; every request waits for you.
    ");
    let (run, _) = guest.asks(&[&on[1..], &["by=island"]].concat());
    assert_eq!(guest.reads(&["status", &run])["state"], "waiting");
}

#[test]
fn a_rule_that_speaks_of_what_is_not_there_is_refused_with_its_place() {
    let station = Station::start();
    let lab = station.user("lab");
    let wrong = "permit(principal, action, resource)\nwhen { context.porpoise == \"x\" };\n";
    let file = station.place.file("rules.cedar", wrong);
    snapshot!(lab.tries(&["rule", "set", &file]), @r##"
    ---- stderr
    error: rules, line 2, column 8: for policy `policy0`, attribute `porpoise` in context for Action::"run" not found (did you mean `purpose`?)
    hint: `strongroom rule schema` prints what rules can speak of
    ---- exit code 2
    "##);
    let schema = station.place.run(&["rule", "schema"]);
    assert!(schema.out.contains("entity Function"), "{schema}");
}
