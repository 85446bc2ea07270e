//! Runs in guests that waited for them: they see and do what any run does.

use serde_json::json;
use strongroom_core::{
    plan::Inputs,
    run::{Reason, Stream},
};

use crate::house::{House, Outcome, PATIENCE, Task, files, name, until};
use crate::wardens::{children, kill_warden};

/// What a run showed of itself.
#[derive(Debug, PartialEq)]
struct Shown {
    reason: Reason,
    value: Option<serde_json::Value>,
    lines: Vec<(Stream, String)>,
}

impl Shown {
    fn of(outcome: Outcome) -> Self {
        let mut lines: Vec<_> = outcome
            .lines
            .into_iter()
            .map(|line| (line.stream, line.text))
            .collect();
        // The two streams are not read in step.
        lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        Self {
            reason: outcome.ended.reason,
            value: outcome.ended.value,
            lines,
        }
    }
}

/// The plain way, and in a guest that waited.
async fn both(plain: &House, ahead: &House, task: &Task) -> [Shown; 2] {
    let first = Shown::of(plain.run(task.clone()).await);
    ahead.until_waiting(task).await;
    let second = Shown::of(ahead.run(task.clone()).await);
    [first, second]
}

/// A house whose guests wait, and one where nobody does.
async fn houses(task: &Task) -> (House, House) {
    let ahead = House::with_pool(2, 2);
    ahead.run(task.clone()).await;
    (House::new(), ahead)
}

/// Whether a Python program runs in a guest that waited.
const WAITED: &str = "import sys; print('csv' in sys.modules)";

/// All that a program can see of where it is. Differences that are allowed: the
/// command line and the first environment of the process, which modules are
/// loaded already, how mounts are numbered and layered, and the slot's host user.
const LOOK: &str = "
import os, resource, signal, stat, sys, time
print(sorted(os.environ.items()), os.getcwd(), sys.argv, sys.orig_argv[:-2], sys.orig_argv[-1:])
print(sys.path, sys.flags, __name__, __file__, sorted(globals()))
def kind(n):
    found = os.fstat(n)
    link = os.readlink(f'/proc/self/fd/{n}').partition(':')[0]
    return (n, link, stat.filemode(found.st_mode), found.st_uid, os.get_inheritable(n))
print([kind(int(n)) for n in os.listdir('/proc/self/fd') if int(n) < 4], os.listdir('/proc/self/fd'))
import fcntl
print([fcntl.fcntl(n, fcntl.F_GETFL) for n in range(4)])
print(sys.stdin, sys.stdin.seekable(), sys.stdin.buffer.raw, sys.stdin.line_buffering, sys.stdin.newlines)
print(sys.stdin is sys.__stdin__, repr(sys.stdin.read()), sys.stdin.seek(0), repr(sys.stdin.readline()))
print(sys.stdout, sys.stderr, sys.stdout.line_buffering)
print(os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0), os.getresuid(), os.getgroups(), os.umask(0o77))
limits = [name for name in sorted(dir(resource)) if name.startswith('RLIMIT_')]
print({name: resource.getrlimit(getattr(resource, name)) for name in limits})
print([signal.getsignal(n) for n in range(1, 65) if n not in (32, 33)])
print([line for line in open('/proc/self/status') if line.startswith(('Cap', 'Seccomp', 'NoNew', 'Threads', 'Sig', 'Shd'))])
def mounted(line):
    before, _, after = line.partition(' - ')
    options = after.split()[2].split(',')
    return (*before.split()[3:6], after.split()[0], [o for o in options if not o.startswith(('lowerdir', 'uid', 'gid'))])
print(sorted(mounted(line) for line in open('/proc/self/mountinfo')))
def tree(top):
    return sorted((path, sorted(folders), sorted(found)) for path, folders, found in os.walk(top))
print(sorted(os.listdir('/')), *map(tree, ('/function', '/data', '/out', '/tmp', '/dev')))
print([oct(os.stat(path).st_mode) for path in ('/', '/function', '/out', '/tmp', '/dev')])
print(time.tzname, os.uname().nodename, sys.getfilesystemencoding(), sys.getrecursionlimit())
";

#[tokio::test]
async fn a_run_in_a_guest_that_waited_is_like_any_other() {
    let input = || files(&[("rows.csv", "a,b\n1,2\n")]);
    let tasks = [
        Task::python(LOOK),
        Task::python(LOOK).on(Inputs::Only(input())).args(json!({"é": [1, null]})),
        Task::python(LOOK).on(Inputs::Named([(name("left"), input()), (name("right"), input())].into())),
        Task::python("def transform(data, ctx):\n    return [list(data.rows()), ctx.args, ctx.run_id, ctx.stage]")
            .on(Inputs::Only(input()))
            .args(json!({"by": "a"})),
        Task::python("def handle(event, context):\n    return {'statusCode': 418, 'body': event.body}")
            .args(json!("x".repeat(300_000))),
        Task::python("def f():\n    return 1 / 0\nf()"),
        Task::python("import sys\nprint('out'); print('err', file=sys.stderr); sys.exit('words')"),
        Task::python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"),
        Task::python("raise KeyboardInterrupt"),
        Task::python("import subprocess, sys\nsubprocess.run(['/bin/sh', '-c', 'env; pwd; cat; ls /proc/self/fd'])"),
        Task::python("import json\nprint(json.WHO)").and_file("json.py", "WHO = 'mine'"),
        Task::python("import re, csv\nprint(re.WHO, csv.DictReader)").and_file("re/__init__.py", "WHO = 'mine'"),
        Task::python("import other; print(other.__file__)").and_file("other.py", ""),
        Task::python("x = bytearray(1 << 30)"),
        Task::python("import time; time.sleep(60)").limits(|limits| limits.time_ms = 700),
        Task::python("print('y' * 5000)").limits(|limits| limits.log_bytes = 1000),
        Task::python("open('/out/f', 'wb').write(bytes(1 << 20))").limits(|limits| limits.out_bytes = 1 << 16),
        Task::python("import threading\nthreads = [threading.Thread(target=threading.Event().wait) for _ in range(99)]\nfor t in threads: t.daemon = True; t.start()"),
    ];
    let (plain, ahead) = houses(&tasks[0]).await;
    ahead.until_waiting(&tasks[0]).await;
    assert_eq!(ahead.run(Task::python(WAITED)).await.stdout(), "True");
    assert_eq!(plain.run(Task::python(WAITED)).await.stdout(), "False");
    for task in &tasks {
        let [first, second] = both(&plain, &ahead, task).await;
        assert_eq!(first, second, "{:?}", task.files);
    }
}

#[tokio::test]
async fn a_shell_script_in_a_guest_that_waited_is_like_any_other() {
    let look = "env; pwd; echo $0 $$ $PPID; cat; umask; ls -l /function /data /out; ulimit -a; ls /proc/self/fd";
    let tasks = [
        Task::sh(look).args(json!({"by": 1})),
        Task::sh("exit 3"),
        Task::sh("kill -9 $$"),
        Task::sh("no_such_program"),
        Task::sh("sleep 60").limits(|limits| limits.time_ms = 500),
    ];
    let (plain, ahead) = houses(&tasks[0]).await;
    for task in &tasks {
        let [first, second] = both(&plain, &ahead, task).await;
        assert_eq!(first, second, "{:?}", task.files);
    }
}

#[tokio::test]
async fn no_two_runs_that_waited_share_randomness_or_layout() {
    let code = "
import random, ssl, uuid, tempfile, secrets
print('csv' in __import__('sys').modules)
print(hash('x'), id(object()), random.random(), ssl.RAND_bytes(8), uuid.uuid4(), secrets.token_hex(4), next(tempfile._get_candidate_names()))
print([line.split()[0] for line in open('/proc/self/maps') if 'libc.so' in line or '[stack]' in line])";
    let task = Task::python(code);
    let (_, ahead) = houses(&task).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        ahead.until_waiting(&task).await;
        let text = ahead.run(task.clone()).await.succeeded().stdout();
        assert!(text.starts_with("True"), "{text}");
        seen.push(text);
    }
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    let (first, second) = (words(&seen[0]), words(&seen[1]));
    let same: Vec<_> = first
        .iter()
        .zip(&second)
        .filter(|(one, other)| one == other)
        .collect();
    assert!(same.is_empty(), "{same:?}");
}

#[tokio::test]
async fn guests_that_wait_take_no_place_of_a_run() {
    let house = House::with_pool(1, 2);
    let task = Task::python("print('x')");
    for _ in 0..3 {
        house.run(task.clone()).await.succeeded();
        house.until_waiting(&task).await;
        assert_eq!(house.local.slots_free(), 1);
    }
    let prepared = house.prepare(&task).await.unwrap();
    assert_eq!(house.local.slots_free(), 0);
    drop(prepared);
    house.until_empty(1).await;
}

#[tokio::test]
async fn a_run_with_less_memory_than_a_guest_that_waits_goes_the_plain_way() {
    let house = House::with_pool(1, 1);
    let task = Task::python(WAITED);
    house.run(task.clone()).await;
    house.until_waiting(&task).await;
    let small = task.clone().limits(|limits| limits.memory_bytes = 32 << 20);
    assert_eq!(house.run(small).await.stdout(), "False");
    assert_eq!(house.run(task).await.stdout(), "True");
}

#[tokio::test]
async fn what_cannot_be_given_to_a_guest_that_waits_fails_as_any_other() {
    let house = House::with_pool(1, 1);
    let task = Task::python("print('x')");
    house.run(task.clone()).await.succeeded();
    house.until_waiting(&task).await;
    let mut job = house.job(&task);
    job.function_dir = "/nonexistent".into();
    let permit = strongroom_core::permit::Permit::trial(crate::house::run_id(), &job.plan);
    let error = house.local.prepare(permit, job).await.err().unwrap();
    assert!(
        error.to_string().starts_with("read_only_overlay: "),
        "{error}"
    );
    house.until_empty(1).await;
    house.run(task).await.succeeded();
}

#[tokio::test]
async fn a_dead_warden_takes_along_who_waits_and_the_next_run_works() {
    let house = House::with_pool(1, 1);
    let task = Task::python(WAITED);
    house.run(task.clone()).await;
    house.until_waiting(&task).await;
    kill_warden();
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let outcome = house.run(task.clone()).await;
        if *outcome.reason() == Reason::Succeeded {
            break;
        }
        assert!(std::time::Instant::now() < until, "{outcome:?}");
    }
    house.until_waiting(&task).await;
    assert_eq!(house.run(task).await.stdout(), "True");
}

#[tokio::test]
async fn nobody_waits_after_the_end_of_the_backend() {
    let house = House::with_pool(1, 1);
    let task = Task::python("print('x')");
    house.run(task.clone()).await.succeeded();
    house.until_waiting(&task).await;
    assert_eq!(children().len(), 1);
    drop(house);
    until("the warden and all below it end", || children().is_empty()).await;
}
