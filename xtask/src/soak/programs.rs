//! The programs of the soak: what users run, and what they should not.
//!
//! Each has bounds of its own, so that the hostile ones meet them soon, and the
//! ends that it may come to. None harms a host whose sandbox holds.

/// A program, how it may end, and how often it comes.
pub struct Program {
    pub name: &'static str,
    pub source: &'static str,
    /// What it runs on: the caller's table, or nothing.
    pub on_table: bool,
    /// Keys of `limits` in the request, as JSON.
    pub limits: &'static str,
    /// Codes of reasons.
    pub ends: &'static [&'static str],
    /// Out of the sum of all.
    pub weight: u32,
}

const fn program(
    name: &'static str,
    weight: u32,
    limits: &'static str,
    ends: &'static [&'static str],
    source: &'static str,
) -> Program {
    Program {
        name,
        source,
        on_table: false,
        limits,
        ends,
        weight,
    }
}

const SHORT: &str = r#"{"time": "300ms"}"#;
const SMALL: &str = r#"{"memory": "32 MiB", "time": "10s"}"#;
const FEW: &str = r#"{"processes": 8, "time": "400ms"}"#;
const TIGHT: &str =
    r#"{"out": "1 MiB", "out_files": 20, "tmp": "1 MiB", "log": "64 KiB", "time": "10s"}"#;

/// All of them.
pub const PROGRAMS: &[Program] = &[
    program("hello", 40, "{}", &["succeeded"], "print('hello')\n"),
    Program {
        on_table: true,
        ..program(
            "csv-sum",
            20,
            "{}",
            &["succeeded"],
            "def transform(data, ctx):\n    return sum(float(row['mass'] or 0) for row in data.rows())\n",
        )
    },
    program(
        "writes-files",
        10,
        "{}",
        &["succeeded"],
        "import os\nos.mkdir('/out/a')\nfor n in range(5): open(f'/out/a/{n}', 'w').write('x' * n)\n",
    ),
    program("exits-badly", 4, "{}", &["failed"], "raise SystemExit(3)\n"),
    program(
        "crashes",
        4,
        "{}",
        &["failed"],
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    ),
    program(
        "memory-bomb",
        3,
        SMALL,
        &["out_of_memory"],
        "x = []\nwhile True: x.append(bytearray(1 << 20))\n",
    ),
    program(
        "memory-bomb-of-many",
        2,
        SMALL,
        &["out_of_memory", "failed", "timed_out"],
        "import os\nfor _ in range(6): os.fork()\nx = []\nwhile True: x.append(bytearray(1 << 20))\n",
    ),
    program(
        "files-in-memory",
        2,
        r#"{"memory": "24 MiB", "tmp": "64 MiB", "time": "10s"}"#,
        &["out_of_memory", "disk_full", "failed"],
        "f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))\n",
    ),
    program(
        "fork-bomb",
        2,
        FEW,
        &["too_many_processes", "timed_out"],
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
    ),
    program(
        "threads",
        2,
        FEW,
        &["too_many_processes", "timed_out", "failed"],
        "import threading, time\nfor _ in range(100): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
    ),
    program(
        "sleeps",
        2,
        SHORT,
        &["timed_out"],
        "import time\ntime.sleep(3600)\n",
    ),
    program("spins", 1, SHORT, &["timed_out"], "while True: pass\n"),
    program(
        "is-deaf",
        2,
        SHORT,
        &["timed_out"],
        "import signal, time\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\nwhile True: time.sleep(60)\n",
    ),
    program(
        "stops-itself",
        2,
        SHORT,
        &["timed_out"],
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
    ),
    program(
        "leaves-daemons",
        4,
        "{}",
        &["succeeded"],
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0: time.sleep(3600)\n        os._exit(0)\n",
    ),
    program(
        "leaves-zombies",
        2,
        "{}",
        &["succeeded"],
        "import os\nfor _ in range(20):\n    if os.fork() == 0: os._exit(0)\n",
    ),
    program(
        "floods-its-log",
        2,
        TIGHT,
        &["log_limit"],
        "while True: print('x' * 1000)\n",
    ),
    program(
        "floods-its-result",
        2,
        TIGHT,
        &["output_too_large"],
        "def transform(data, ctx):\n    return 'x' * (4 << 20)\n",
    ),
    program(
        "fills-out",
        2,
        TIGHT,
        &["output_too_large", "failed"],
        "f = open('/out/x', 'wb')\nwhile True: f.write(b'x' * 65536)\n",
    ),
    program(
        "makes-many-files",
        2,
        TIGHT,
        &["output_too_large", "output_refused", "failed"],
        "for n in range(1000): open(f'/out/{n}', 'w')\n",
    ),
    program(
        "fills-tmp",
        2,
        TIGHT,
        &["disk_full", "failed"],
        "f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * 65536)\n",
    ),
    program(
        "leaves-a-link",
        2,
        "{}",
        &["output_refused", "failed"],
        "import os\nos.symlink('/etc/passwd', '/out/x')\n",
    ),
    program(
        "leaves-a-fifo",
        1,
        "{}",
        &["output_refused", "failed"],
        "import os\nos.mkfifo('/out/x')\n",
    ),
    program(
        "says-nonsense",
        2,
        "{}",
        &["failed", "succeeded"],
        "import os, sys\nsys.stdout.buffer.write(bytes(range(256)) * 20)\ntry: os.write(3, b'{\"a\": 1, \"a\": NaN}')\nexcept OSError: pass\n",
    ),
];
