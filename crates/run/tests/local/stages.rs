//! Stages one after another: what each sees, what is handed on, and that
//! nothing else gets from one to the next.

use serde_json::{Value, json};
use strongroom_core::{
    json::canonical,
    permit::Permits,
    plan::{Inputs, Stage},
    run::Reason,
};
use strongroom_run::{Carried, Course, LogChunk};
use tokio::sync::{mpsc, oneshot};

use crate::house::{House, Task, run_id};

/// What came of a run of several stages.
#[derive(Debug)]
struct Through {
    reason: Reason,
    value: Option<Value>,
    carried: Vec<Carried>,
    lines: Vec<LogChunk>,
}

impl Through {
    /// The value of a run that succeeded.
    #[track_caller]
    fn value(&self) -> &Value {
        assert_eq!(self.reason, Reason::Succeeded, "{self:?}");
        self.value.as_ref().unwrap()
    }

    fn said(&self) -> String {
        let lines = self.lines.iter().map(|line| line.text.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Runs all of a plan's stages, as a station does.
async fn through(house: &House, task: &Task, stages: &[Stage]) -> Through {
    let mut whole = house.job(task);
    whole.plan.stages = stages.to_vec();
    let mut course = Course::new(Permits::trial(run_id(), &whole.plan));
    let mut through = Through {
        reason: Reason::Succeeded,
        value: None,
        carried: Vec::new(),
        lines: Vec::new(),
    };
    let (_keep, mut cancel) = oneshot::channel();
    while let Some(permit) = course.next_stage().unwrap() {
        let stage = permit.stage();
        let folder = tempfile::tempdir().unwrap();
        let mut job = house.job(task);
        job.plan = whole.plan.clone();
        job.function_dir.clone_from(&whole.function_dir);
        if !stage.sees_data() {
            job.inputs = Inputs::None;
        }
        if let Some(carried) = course.carried_to(stage) {
            carried.lay_into(folder.path()).unwrap();
            job.stage_dir = Some(folder.path().to_owned());
        }
        let prepared = house.local.prepare(permit, job).await.unwrap();
        let (sender, mut taken) = mpsc::channel(10_000);
        let mut ended = prepared.run_stage(sender, &mut cancel).await;
        while let Ok(line) = taken.try_recv() {
            through.lines.push(line);
        }
        course.took(stage, &mut ended);
        through.reason = ended.reason;
        through.value = ended.value;
        through.carried.extend(course.carried().cloned());
        if !through.reason.is_success() {
            break;
        }
    }
    through
}

fn on_secret(code: &str) -> Task {
    let secret = vec![("secret.txt".to_owned(), "4711".to_owned())];
    Task::python(code).on(Inputs::Only(secret))
}

#[tokio::test]
async fn each_stage_is_called_with_what_it_may_have_and_the_value_of_the_one_before() {
    const CODE: &str = r#"
import os

def expose(data, ctx):
    return {"rows": len(data.text()), "stage": ctx.stage, "given": os.path.exists("/stage")}

def download(ctx):
    return [ctx.expose, ctx.args, os.path.exists("/data"), sorted(os.listdir("/stage"))]

def transform(data, ctx):
    try:
        ctx.expose
    except AttributeError as error:
        return [ctx.download, data.text(), sorted(os.listdir("/stage")), str(error)]
"#;
    let house = House::new();
    let task = on_secret(CODE).args(json!({"by": 1}));
    let through = through(&house, &task, &Stage::ALL).await;
    let exposed = json!({"rows": 4, "stage": "expose", "given": false});
    let downloaded = json!([exposed, {"by": 1}, false, ["expose.json"]]);
    let why = "the stage transform is given no value of the stage expose";
    let value = json!([downloaded, "4711", ["download.json"], why]);
    assert_eq!(through.value(), &value);
    let carried: Vec<_> = through.carried.iter().map(|c| c.text.clone()).collect();
    assert_eq!(carried, [canonical(&exposed), canonical(&downloaded)]);
}

#[tokio::test]
async fn a_shell_script_is_run_for_each_stage_and_reads_the_value_of_the_one_before() {
    const CODE: &str = r#"
case $STRONGROOM_STAGE in
  download) test -e /data && exit 3; echo '{"a": [1]}' >&3 ;;
  transform) cat /stage/download.json >&3 ;;
esac"#;
    let house = House::new();
    let task = Task::sh(CODE).on(Inputs::Only(vec![("x".to_owned(), "1".to_owned())]));
    let stages = [Stage::Download, Stage::Transform];
    let through = through(&house, &task, &stages).await;
    assert_eq!(through.value(), &json!({"a": [1]}));
}

/// Everything that a stage with data could leave for the one with a network
/// tries to, and that one takes whatever it finds.
const EVERY_WAY: &str = r#"
import builtins, os, string, sys

try:
    TOP = open("/data/secret.txt").read()
except OSError:
    TOP = None
FOUND = None
PLACES = ["/tmp", "/dev/shm", "/out", "/function", "/stage", "/data", "/var/tmp", "/"]

class State:
    kept = None

def kept(default=[]):
    return default

def leave(secret):
    global FOUND
    FOUND = State.kept = string.leak = builtins.leak = sys.leak = secret
    sys.modules["leak"] = string
    kept().append(secret)
    expose.leak = download.leak = secret
    os.environ["LEAK"] = secret
    os.umask(0)
    for place in PLACES:
        for name in ("leak", "main.py", "sitecustomize.py", "string.py"):
            try:
                with open(place + "/" + name, "w") as file:
                    file.write(secret)
            except OSError:
                pass
        try:
            os.symlink("/proc/self/environ", place + "/link-" + secret)
        except OSError:
            pass
    if os.fork() == 0:
        # A child that would outlive its stage.
        os.setsid()
        import time
        while True:
            time.sleep(1)

def expose(data, ctx):
    leave(data.text())
    return None

def download(ctx):
    names = []
    for place in PLACES:
        for folder, _, files in os.walk(place) if place != "/" else []:
            names += files
    texts = [
        TOP, FOUND, State.kept, kept(), getattr(string, "leak", None), getattr(builtins, "leak", None),
        getattr(sys, "leak", None), "leak" in sys.modules, getattr(download, "leak", None), ctx.expose,
        os.environ.get("LEAK"), os.path.exists("/data"),
    ]
    return [texts, sorted(names), "4711" in repr(sys.argv) + repr(os.environ), len(os.listdir("/proc/self/task"))]

def transform(data, ctx):
    return ctx.download
"#;

fn nothing_was_found() -> Value {
    let nothing = [
        json!(null),
        json!(null),
        json!(null),
        json!([]),
        json!(null),
        json!(null),
        json!(null),
        json!(false),
        json!(null),
        json!(null),
        json!(null),
        json!(false),
    ];
    json!([nothing, ["expose.json", "main.py"], false, 1])
}

#[tokio::test]
async fn nothing_but_the_value_gets_from_one_stage_to_the_next() {
    let house = House::new();
    let through = through(&house, &on_secret(EVERY_WAY), &Stage::ALL).await;
    assert_eq!(through.value(), &nothing_was_found());
}

#[tokio::test]
async fn nor_does_it_where_guests_are_made_ahead_or_copied() {
    let house = House::with_zygotes(2, 3, 2);
    let task = on_secret(EVERY_WAY);
    for _ in 0..6 {
        let through = through(&house, &task, &Stage::ALL).await;
        assert_eq!(through.value(), &nothing_was_found());
    }
}

#[tokio::test]
async fn a_function_is_no_value_that_could_carry_what_it_has_seen() {
    let house = House::new();
    for returned in [
        "lambda: text",
        "download",
        "ctx",
        "{'f': print}",
        "{1, 2}",
        "float('nan')",
    ] {
        let code = format!(
            "def expose(data, ctx):\n  text = data.text()\n  return {returned}\ndef download(ctx):\n  raise SystemExit(9)\ndef transform(data, ctx): pass\n"
        );
        let through = through(&house, &on_secret(&code), &Stage::ALL).await;
        let failed = Reason::Failed {
            exit_code: Some(1),
            signal: None,
        };
        assert_eq!(through.reason, failed, "{returned}");
        assert!(through.said().contains("JSON cannot carry"), "{through:?}");
    }
}

#[tokio::test]
async fn the_stages_after_one_that_failed_do_not_start_and_its_words_reach_none() {
    const CODE: &str = r#"
import sys
print("at the top of", __import__("os").environ["STRONGROOM_STAGE"])

def expose(data, ctx):
    print(data.text())
    raise RuntimeError("the secret is " + data.text())

def download(ctx):
    return sys.exc_info()[1]

def transform(data, ctx):
    return 1
"#;
    let house = House::new();
    let through = through(&house, &on_secret(CODE), &Stage::ALL).await;
    assert!(matches!(through.reason, Reason::Failed { .. }));
    assert!(through.carried.is_empty() && through.value.is_none());
    let said = through.said();
    assert!(said.contains("at the top of expose"), "{said}");
    assert!(!said.contains("at the top of download"), "{said}");
}

#[tokio::test]
async fn a_stage_that_its_file_does_not_define_is_an_error_that_names_it() {
    let house = House::new();
    let stages = [Stage::Download, Stage::Transform];
    let through = through(
        &house,
        &on_secret("def transform(data, ctx): pass"),
        &stages,
    )
    .await;
    assert!(!through.reason.is_success());
    assert!(
        through.said().contains("has the stage download"),
        "{through:?}"
    );
}

#[tokio::test]
async fn a_stage_without_data_is_given_none_even_by_mistake() {
    let house = House::new();
    let task = on_secret("def download(ctx): pass");
    let mut job = house.job(&task);
    job.plan.stages = vec![Stage::Download, Stage::Transform];
    let permit = strongroom_core::permit::Permit::trial(run_id(), &job.plan);
    let refused = house.local.prepare(permit, job).await.err().unwrap();
    assert!(refused.to_string().contains("for this stage"), "{refused}");
}

#[tokio::test]
async fn a_value_that_is_handed_on_cannot_be_changed_where_it_lies() {
    const CODE: &str = r#"
import os
def download(ctx):
    return {"n": 1}
def transform(data, ctx):
    tried = []
    for path, flags in (("/stage/download.json", os.O_WRONLY), ("/stage/new", os.O_WRONLY | os.O_CREAT)):
        try:
            os.open(path, flags)
            tried.append(path)
        except OSError:
            pass
    return [tried, ctx.download]
"#;
    let house = House::new();
    let stages = [Stage::Download, Stage::Transform];
    let through = through(&house, &Task::python(CODE), &stages).await;
    assert_eq!(through.value(), &json!([[], {"n": 1}]));
}
