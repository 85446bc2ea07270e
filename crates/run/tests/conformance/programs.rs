//! The table: programs, and how each ends wherever it runs.

use serde_json::{Value, json};
use strongroom_core::{
    limits::{Limits, MIB},
    plan::Inputs,
    run::Reason,
};

use crate::{
    engine::Engine,
    house::{House, Outcome, Task},
    kinds::runtimes,
};

/// What is promised of one program; what is not said must only be the same.
struct Case {
    name: &'static str,
    task: Task,
    reason: Reason,
    value: Option<Value>,
    stdout: Option<&'static str>,
    files: Option<&'static [(&'static str, &'static str)]>,
}

fn case(name: &'static str, task: Task, reason: Reason) -> Case {
    Case {
        name,
        task,
        reason,
        value: None,
        stdout: None,
        files: None,
    }
}

fn good(name: &'static str, task: Task) -> Case {
    case(name, task, Reason::Succeeded)
}

fn failed(exit_code: Option<i32>, signal: Option<i32>) -> Reason {
    Reason::Failed { exit_code, signal }
}

impl Case {
    fn value(mut self, value: Value) -> Self {
        self.value = Some(value);
        self
    }

    fn says(mut self, stdout: &'static str) -> Self {
        self.stdout = Some(stdout);
        self
    }

    fn leaves(mut self, files: &'static [(&'static str, &'static str)]) -> Self {
        self.files = Some(files);
        self
    }

    #[track_caller]
    fn check(&self, outcome: &Outcome) {
        let name = self.name;
        assert_eq!(outcome.reason, self.reason, "{name}: {outcome:?}");
        if self.value.is_some() {
            assert_eq!(outcome.value, self.value, "{name}: {outcome:?}");
        }
        if let Some(stdout) = self.stdout {
            assert_eq!(outcome.stdout, stdout, "{name}: {outcome:?}");
        }
        if let Some(files) = self.files {
            let files = files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
            assert_eq!(outcome.files, Ok(files.collect()), "{name}: {outcome:?}");
        }
    }
}

const ROWS: &str = "species,mass\nadelie,3700\ngentoo,5000\nadelie,3800\n";
const MEAN: &str = r"
def transform(data, ctx):
    groups = {}
    for row in data.rows():
        groups.setdefault(row[ctx.args['by']], []).append(int(row['mass']))
    (ctx.out / 'count.txt').write_text(str(sum(map(len, groups.values()))))
    return {key: sum(masses) / len(masses) for key, masses in groups.items()}
";
/// What cannot be done anywhere; each line says how it went.
const FORBIDDEN: &str = r"
import os, socket, ctypes
def tried(name, call):
    try:
        call()
        print(name, 'DONE')
    except (OSError, AttributeError) as error:
        print(name, 'refused')
tried('inet', lambda: socket.socket(socket.AF_INET))
tried('unix', lambda: socket.socket(socket.AF_UNIX))
tried('netlink', lambda: socket.socket(socket.AF_NETLINK))
tried('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))
tried('write root', lambda: open('/x', 'w'))
tried('write usr', lambda: open('/usr/x', 'w'))
tried('write function', lambda: open('/function/main.py', 'a'))
tried('write etc', lambda: open('/etc/passwd', 'a'))
tried('read init memory', lambda: open('/proc/1/mem', 'rb').read(1))
tried('read init environment', lambda: open('/proc/1/environ', 'rb').read(1))
tried('read mounts of init', lambda: open('/proc/1/mountinfo').read(1))
tried('read kernel settings', lambda: open('/proc/sys/kernel/core_pattern').read(1))
tried('read sysfs', lambda: open('/sys/kernel/vmcoreinfo').read(1))
tried('list sysfs', lambda: os.listdir('/sys'))
tried('read shadow', lambda: open('/etc/shadow').read(1))
tried('read resolver', lambda: open('/etc/resolv.conf').read(1))
tried('open terminal', lambda: open('/dev/tty'))
tried('link', lambda: os.symlink('/etc/passwd', '/out/link'))
tried('fifo', lambda: os.mkfifo('/out/fifo'))
tried('device', lambda: os.mknod('/out/device', 0o020600, os.makedev(1, 5)))
tried('become root', lambda: os.setuid(0))
tried('chroot', lambda: os.chroot('/tmp'))
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), '')
tried('namespaces', lambda: call(272, 0x10000000))
tried('mount', lambda: call(165, b'none', b'/tmp', b'tmpfs', 0, 0))
tried('ptrace', lambda: call(101, 16, 1, 0, 0))
tried('keyring', lambda: call(248, b'user', b'a', b'b', 1, -4))
tried('bpf', lambda: call(321, 0, 0, 0))
tried('io_uring', lambda: call(425, 1, 0))
tried('reboot', lambda: call(169, 0, 0, 0, 0))
open('/tmp/program', 'w').write('#!/bin/sh\necho ran')
os.chmod('/tmp/program', 0o755)
tried('execute what was written', lambda: os.execv('/tmp/program', ['program']))
";

const DESCRIPTORS: &str = r"
import os
def is_open(number):
    try:
        os.fstat(number)
        return True
    except OSError:
        return False
print([number for number in range(1024) if is_open(number)])
";

fn rows() -> Inputs<Vec<(&'static str, String)>> {
    Inputs::Only(vec![("rows.csv", ROWS.to_owned())])
}

fn named() -> Inputs<Vec<(&'static str, String)>> {
    let one = |name: &str, text: &str| (name.parse().unwrap(), vec![("text", text.to_owned())]);
    Inputs::Named([one("left", "one\n"), one("right", "two\n")].into())
}

fn small(task: Task) -> Task {
    task.limits(|limits| {
        limits.tmp_bytes = MIB;
        limits.out_bytes = MIB;
    })
}

fn ordinary() -> Vec<Case> {
    vec![
        good("a hello", Task::sh("echo hello; echo aside >&2")).says("hello"),
        good("arguments come on stdin", Task::sh("cat").args(json!({ "n": [1, "é"] })))
            .says("{\"n\":[1,\"é\"]}"),
        good("data and a value", Task::python(MEAN).on(rows()).args(json!({ "by": "species" })))
            .value(json!({ "adelie": 3750.0, "gentoo": 5000.0 }))
            .leaves(&[("count.txt", "3")]),
        good("named inputs", Task::sh("cat /data/left/text /data/right/text").on(named()))
            .says("one\ntwo"),
        good("a handler", Task::python("def handle(event, context): return {'body': event.body.decode()}").args(json!([1])))
            .value(json!({ "body": "[1]", "headers": {}, "statusCode": 200 })),
        good("a value by descriptor 3", Task::sh("echo '{\"a\": 1}' >&3")).value(json!({ "a": 1 })),
        good("files in folders, unreadable ones too", Task::sh("mkdir -p /out/deep /out/empty; echo one > /out/a.txt; echo two > /out/deep/b.txt; chmod 000 /out/a.txt /out/deep"))
            .leaves(&[("a.txt", "one\n"), ("deep/b.txt", "two\n")]),
        good("its environment", Task::sh("env | grep -v PWD | grep -v ^_= | sort")),
        good("who and where it is", Task::python("import os, socket\nprint(os.getcwd(), socket.gethostname(), os.getpid() != 1, os.getuid() != 0, os.environ['HOME'])\nimport pwd\nprint(pwd.getpwuid(os.getuid()).pw_name)"))
            .says("/function strongroom True True /tmp\nguest"),
        good("descriptors", Task::python(DESCRIPTORS))
            .says("[0, 1, 2, 3]"),
        good("children that stay are ended", Task::sh("sleep 1000 & (setsid sleep 1000 &) ; echo left")).says("left"),
        good("orphans are reaped", Task::python("import os, time\nfor _ in range(200):\n    if os.fork() == 0:\n        if os.fork() == 0: os._exit(0)\n        os._exit(0)\n    os.wait()\nprint('reaped')")).says("reaped"),
        good("shared memory and locks of its own", Task::python("import multiprocessing\nwith multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2]))")).says("[1, 2]"),
    ]
}

fn endings() -> Vec<Case> {
    let too_large = Reason::OutputTooLarge { limit_bytes: MIB };
    vec![
        case("an exit code", Task::sh("exit 7"), failed(Some(7), None)),
        case(
            "a signal",
            Task::sh("kill -TERM $$"),
            failed(None, Some(15)),
        ),
        case("an exception", Task::python("1 / 0"), failed(Some(1), None)),
        case(
            "a value that is no JSON",
            Task::sh("echo '{' >&3"),
            failed(None, None),
        ),
        case("two values", Task::sh("echo '1 2' >&3"), failed(None, None)),
        case(
            "too long",
            Task::sh("sleep 1000 & sleep 1000").limits(|limits| limits.time_ms = 1500),
            Reason::TimedOut { limit_ms: 1500 },
        ),
        case(
            "too much memory",
            Task::python("held = [bytearray(1 << 20) for _ in range(1000)]")
                .limits(|limits| limits.memory_bytes = 64 * MIB),
            Reason::OutOfMemory {
                limit_bytes: 64 * MIB,
            },
        ),
        case(
            "too much memory in a child",
            Task::sh(
                "\"$(command -v python3 || echo /usr/local/bin/python3)\" -c 'held = [bytearray(1 << 20) for _ in range(1000)]'; echo survived",
            )
            .limits(|limits| limits.memory_bytes = 64 * MIB),
            Reason::OutOfMemory {
                limit_bytes: 64 * MIB,
            },
        ),
        case(
            "too many processes",
            Task::python(
                "import os, time\nfor _ in range(1000):\n    if os.fork() == 0: time.sleep(1000)",
            )
            .limits(|limits| limits.processes = 16),
            Reason::TooManyProcesses { limit: 16 },
        ),
        case(
            "a full /tmp",
            small(Task::sh("set -e; head -c 8388608 /dev/zero > /tmp/x")),
            Reason::DiskFull { limit_bytes: MIB },
        ),
        case(
            "a full /out",
            small(Task::sh("set -e; head -c 8388608 /dev/zero > /out/x")),
            too_large.clone(),
        ),
        case(
            "too many files",
            Task::sh("set -e; for n in 1 2 3 4 5 6 7 8 9; do echo > /out/$n; done")
                .limits(|limits| limits.out_files = 4),
            Reason::OutputTooLarge {
                limit_bytes: Limits::DEFAULT.out_bytes,
            },
        ),
        case(
            "too long a value",
            small(Task::python(
                "def transform(data, ctx): return 'x' * (2 << 20)",
            )),
            too_large,
        ),
        case(
            "too much log",
            Task::python("while True: print('x' * 1000)").limits(|limits| limits.log_bytes = 5000),
            Reason::LogLimit { limit_bytes: 5000 },
        ),
        case(
            "nothing of it is too much",
            Task::python("print('x' * 4999)").limits(|limits| limits.log_bytes = 5000),
            Reason::Succeeded,
        ),
        case(
            "what it may not do",
            Task::python(FORBIDDEN),
            Reason::Succeeded,
        ),
    ]
}

fn all() -> Vec<Case> {
    let mut all = ordinary();
    all.extend(endings());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_ends_in_a_container_as_it_does_in_the_jail() {
    let local = House::local();
    let engine = Engine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut houses = Vec::new();
    if let Some(engine) = &engine {
        houses.push(House::docker(engine).await);
        houses.push(House::elsewhere(engine, runtimes(folder.path())).await);
    }
    for case in all() {
        let in_jail = local.run(&case.task).await;
        case.check(&in_jail);
        for house in &houses {
            let in_container = house.run(&case.task).await;
            case.check(&in_container);
            // What was said before a guest was ended is chance.
            let ended_itself = matches!(case.reason, Reason::Succeeded | Reason::Failed { .. });
            if ended_itself {
                assert_eq!(in_container, in_jail, "{}", case.name);
            }
        }
        assert!(!in_jail.stdout.contains("DONE"), "{in_jail:?}");
    }
    for house in &houses {
        house.backend.close().await;
    }
}
