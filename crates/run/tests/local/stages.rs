//! Stages one after another: what each sees, what is handed on, and that
//! nothing else gets from one to the next.

use serde_json::{Value, json};
use strongroom_core::{
    json::canonical,
    permit::Permits,
    plan::{Inputs, Stage},
    run::Reason,
};
use strongroom_run::{Carried, Course, LogChunk, Reach, stages::LAID};
use tokio::sync::{mpsc, oneshot};

use crate::house::{House, Task, run_id};

/// What came of a run of several stages.
#[derive(Debug)]
pub struct Through {
    reason: Reason,
    value: Option<Value>,
    carried: Vec<Carried>,
    lines: Vec<LogChunk>,
}

impl Through {
    /// The value of a run that succeeded.
    #[track_caller]
    pub fn value(&self) -> &Value {
        assert_eq!(self.reason, Reason::Succeeded, "{self:?}");
        self.value.as_ref().unwrap()
    }

    pub fn said(&self) -> String {
        let lines = self.lines.iter().map(|line| line.text.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Runs all of a plan's stages, as a station does.
pub async fn through(house: &House, task: &Task, stages: &[Stage]) -> Through {
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
            job.stage_dir = Some(folder.path().join(LAID));
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
    print(secret, flush=True)
    print(secret, file=sys.stderr, flush=True)
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

def heard():
    # The other end of a pipe can be opened anew by who has one.
    said = b""
    for number in range(16):
        try:
            pipe = os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_NONBLOCK)
            said += os.read(pipe, 65536)
        except OSError:
            pass
    return b"4711" in said

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
    own = (1, os.getpid(), os.getppid())
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in own]
    return [texts, sorted(names), "4711" in repr(sys.argv) + repr(os.environ), len(others), heard()]

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
    json!([nothing, ["expose.json", "main.py"], false, 0, false])
}

/// A program that could not find what is there proves nothing: within one stage
/// the same one finds what it left wherever it left it.
#[tokio::test]
async fn what_is_left_within_one_stage_is_found_there_by_every_way() {
    let both = "
def transform(data, ctx):
    leave(data.text())
    class Here:
        expose = None
    return download(Here)
";
    let (ways, _) = EVERY_WAY.split_once("def transform").unwrap();
    let house = House::new();
    let task = on_secret(&format!("{ways}{both}"));
    let found = house.run(task).await.value();
    let all = json!([
        "4711",
        "4711",
        "4711",
        ["4711"],
        "4711",
        "4711",
        "4711",
        true,
        "4711",
        null,
        "4711",
        true
    ]);
    assert_eq!(found[0], all);
    let names: Vec<&str> = found[1]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let leaks = names.iter().filter(|name| **name == "leak").count();
    // In /tmp, in /dev/shm and in /out.
    assert_eq!(leaks, 3, "{names:?}");
    assert_eq!(found[2], true);
    assert_ne!(found[3], 0);
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

/// One guest holds whatever another could notice, until it is told to end; the
/// other looks.
const NEIGHBOURS: &str = r#"
import ctypes, fcntl, os, socket, struct, time

CODE = open("/function/main.py", "rb")
KEY = 4711
C = ctypes.CDLL(None, use_errno=True)
LOCK = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
PLACES = ("/tmp", "/dev/shm", "/out", "/function", "/stage", "/var/tmp", "/run")

def tries(work):
    try:
        return work()
    except OSError:
        return None

def hold():
    own = open("/function/main.py", "rb")
    kept = [own]
    def bind():
        kept.append(socket.socket(socket.AF_UNIX))
        kept[-1].bind("\0leak")
    tries(bind)
    tries(lambda: fcntl.flock(own, fcntl.LOCK_EX))
    tries(lambda: fcntl.fcntl(own, fcntl.F_SETLK, LOCK))
    tries(lambda: fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_RDLCK))
    tries(lambda: os.utime("/function/main.py", (KEY, KEY)))
    C.shmget(KEY, 4096, 0o1666)
    C.mq_open(b"/leak", os.O_CREAT | os.O_RDWR, 0o666, None)
    for place in PLACES:
        tries(lambda: open(place + "/leak", "w"))
        tries(lambda: os.mkfifo(place + "/leak-fifo"))
    print("holding", flush=True)
    time.sleep(1000)

def look():
    found = []
    try:
        fcntl.flock(CODE, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found.append("flock")
    except OSError:
        pass
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    told = tries(lambda: fcntl.fcntl(CODE, fcntl.F_GETLK, asked))
    if told and struct.unpack("hhqqi4x", told)[0] != fcntl.F_UNLCK:
        found.append("record lock")
    def connect():
        with socket.socket(socket.AF_UNIX) as one:
            one.connect("\0leak")
            found.append("abstract socket")
    tries(connect)
    if tries(lambda: os.stat("/function/main.py").st_mtime) == KEY:
        found.append("time of a file")
    if C.shmget(KEY, 4096, 0) != -1:
        found.append("shared memory")
    if C.mq_open(b"/leak", os.O_RDWR) != -1:
        found.append("message queue")
    for place in PLACES:
        names = tries(lambda: os.listdir(place)) or []
        found += [place + "/" + name for name in names if "leak" in name]
    for file in ("/proc/locks", "/proc/net/unix", "/proc/sysvipc/shm"):
        text = tries(lambda: open(file).read()) or ""
        if "leak" in text or str(KEY) in text:
            found.append(file)
    return found

def download(ctx):
    return look()

def transform(data, ctx):
    if "beside" not in ctx.args:
        return hold()
    held, holds = os.pipe()
    if os.fork() == 0:
        os.dup2(holds, 1)
        hold()
    os.read(held, 1)
    return sorted(look())
"#;

/// What walls keep from nobody within one sandbox is noticed there: whoever
/// looks can see.
#[tokio::test]
async fn what_is_held_within_one_stage_is_noticed_there() {
    let house = House::new();
    let task = on_secret(NEIGHBOURS).args(json!({ "beside": true }));
    let found = house.run(task).await.value();
    // Sockets, queues, shared memory and locks of whole files no guest has.
    let held = ["/dev/shm/leak", "/out/leak", "/tmp/leak", "record lock"];
    assert_eq!(found, json!(held));
}

#[tokio::test]
async fn a_stage_with_a_network_notices_nothing_that_one_with_data_holds_meanwhile() {
    let house = House::with_slots(2);
    let task = on_secret(NEIGHBOURS);
    let holder = house.prepare(&task).await.unwrap();
    let (sender, mut lines) = mpsc::channel(100);
    let (cancel, cancelled) = oneshot::channel();
    let holds = holder.run(sender, cancelled);
    let looks = async {
        let line = tokio::time::timeout(crate::house::PATIENCE, lines.recv()).await;
        assert_eq!(line.unwrap().unwrap().text, "holding");
        let mut other = Task::python(NEIGHBOURS);
        other.reach = Reach::Gateway;
        let found = house.run(other).await.value();
        cancel.send("tester".parse().unwrap()).unwrap();
        // Whoever holds is heard to its end.
        while lines.recv().await.is_some() {}
        found
    };
    let (ended, found) = tokio::join!(holds, looks);
    assert!(
        matches!(ended.reason, Reason::Cancelled { .. }),
        "{ended:?}"
    );
    assert_eq!(found, json!([]));
}
