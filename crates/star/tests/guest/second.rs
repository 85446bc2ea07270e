//! Files of steps.

use serde_json::{Value, json};

use crate::trial::Trial;

const TOWNS: &str = "town,people\nA,1000\nB,2000\n";

const STEPS: &str = r#"# name: setup
# category: setup
def double(x):
    return x * 2
---
# name: fetch
# category: download
factor = 10
hidden = lambda: 1
---
# name: change
total = 0
for row in dataset.latest().get_body():
    total += double(row["people"])
if total > 100:
    total = total * factor
---
ds = dataset.latest()
ds.body = [{"total": total}]
ds.set_meta("title", "Totals")
dataset.commit(ds)
print("done")
"#;

#[test]
fn steps_share_their_names_and_commit_a_dataset() {
    let trial = Trial::of(STEPS)
        .with("data/towns.csv", TOWNS)
        .with("stage/download.json", r#"{"factor": 10}"#);
    let ended = trial.run();
    assert_eq!(ended.succeeded().stdout, "done\n");
    assert_eq!(ended.out("body.csv"), "total\n60000\n");
    assert_eq!(ended.told()["meta"], json!({"title": "Totals"}));
    assert_eq!(ended.value, None);
}

#[test]
fn download_steps_are_a_stage_of_their_own() {
    let ended = Trial::of(STEPS).stage("download").run();
    assert_eq!(ended.succeeded().value, Some(json!({"factor": 10})));
    assert_eq!(ended.stdout, "");
    let ended = Trial::of(STEPS).with("data/towns.csv", TOWNS).run();
    ended.failed("the file has a download step, and the run has no stage download");
}

#[test]
fn a_download_step_sees_neither_data_nor_what_was_computed_from_it() {
    let data = "# category: download\nx = dataset.latest()\n---\ny = 1\n";
    Trial::of(data)
        .stage("download")
        .with("data/towns.csv", TOWNS)
        .run()
        .failed("t.star:2:5: dataset.latest is not there in a download step");
    let computed = "x = dataset.latest().get_body()\n---\n# category: download\ny = x\n";
    Trial::of(computed)
        .stage("download")
        .with("data/towns.csv", TOWNS)
        .run()
        .failed("t.star:4:5: Variable `x` not found");
}

#[test]
fn a_step_after_a_failure_is_skipped_and_the_events_say_so() {
    let script =
        "# name: one\nprint('hi')\n---\n# name: two\nx = 1 // 0\n---\n# name: three\ny = 1\n";
    let ended = Trial::of(script)
        .variable("STRONGROOM_EVENTS", "stderr")
        .run();
    ended.failed("t.star:5:5: ");
    let events: Vec<Value> = ended
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let brief: Vec<String> = events
        .iter()
        .map(|event| {
            let part = |name: &str| event[name].as_str().unwrap_or("").to_owned();
            format!("{} {} {}", part("event"), part("name"), part("status"))
        })
        .collect();
    assert_eq!(
        brief,
        [
            "start  ",
            "step_start one ",
            "print  ",
            "step_stop one succeeded",
            "step_start two ",
            "step_stop two failed",
            "step_skip three ",
            "error  ",
            "stop  failed",
        ]
    );
}

#[test]
fn a_dataset_is_committed_once_and_a_script_that_never_does_is_warned() {
    let twice = "ds = dataset.latest()\nds.body = [[1]]\ndataset.commit(ds)\ndataset.commit(ds)\n";
    Trial::of(twice)
        .run()
        .failed("commit can only be called once in a transform script");
    let never = Trial::of("ds = dataset.latest()\nds.body = [[1]]\n").run();
    let warned = &never.succeeded().stderr;
    assert!(warned.contains("did not call dataset.commit"), "{warned}");
    assert!(never.made().is_empty());
    assert_eq!(Trial::of("print(1)\n").run().succeeded().stderr, "");
}

#[test]
fn settings_have_defaults() {
    let script = "print(config.get('a', 5), config.get('b'), secrets.get('c'))\n";
    let ended = Trial::of(script)
        .variable("STRONGROOM_CONFIG", r#"{"b": "x"}"#)
        .run();
    assert_eq!(ended.succeeded().stdout, "5 x None\n");
}

#[test]
fn a_line_in_a_string_starts_no_step() {
    let script = "x = '''\n---\n'''\nprint(len(x))\n";
    assert_eq!(Trial::of(script).run().succeeded().stdout, "5\n");
}

#[test]
fn a_body_is_read_as_a_table_and_a_table_is_written_as_a_body() {
    let script = r#"load("dataframe.star", "dataframe")
ds = dataset.latest()
df = ds.body
df["double"] = df["people"] * 2
df["share"] = df["people"] / df["people"].sum()
ds.body = df[df["people"].gt(1000)].append([["C", None, None, None]])
dataset.commit(ds)
"#;
    let trial = Trial::of(script).with("data/towns.csv", "town,people\nA,1000\nB,3000\n");
    let ended = trial.run();
    assert_eq!(ended.succeeded().stdout, "");
    assert_eq!(
        ended.out("body.csv"),
        "town,people,double,share\nB,3000.0,6000.0,0.75\nC,,,\n"
    );
}
