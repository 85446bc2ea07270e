//! The developer kit: the Python package, connectors, a function's first start.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::station::{Place, Said, Station, example, read_until, rest, said, snapshot};

/// The folder of the Python package.
fn package() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python");
    path.canonicalize().unwrap()
}

/// The host's Python with the package, and nothing of the machine's own.
fn python(words: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYTHONPATH", package().join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-W", "error"])
        .args(words);
    command
}

#[track_caller]
fn passes(said: &Said) {
    assert_eq!(said.code, 0, "{said}");
    assert!(said.err.contains("\nOK\n"), "{said}");
}

#[test]
fn the_python_package_keeps_its_promises_to_functions_and_callers() {
    let tests = package().join("tests");
    let mut command = python(&["-m", "unittest", "discover"]);
    passes(&said(command.arg("-s").arg(tests)));
}

#[test]
fn a_python_program_calls_functions_and_an_owner_answers_from_one() {
    let station = Station::start();
    let mut command = python(&["-m", "unittest", "journey"]);
    command
        .current_dir(package().join("tests"))
        .env("STRONGROOM_TEST_URL", &station.url);
    for name in ["lab", "devs", "guest"] {
        let variable = format!("STRONGROOM_TEST_{}", name.to_uppercase());
        command.env(variable, station.user(name).token);
    }
    passes(&said(&mut command));
}

#[test]
fn a_connector_is_called_like_a_local_function() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    guest.does(&["connector", "devs/mean-mass", "--out", "mean_mass.py"]);
    guest.cannot(&["connector", "devs/mean-mass", "--out", "mean_mass.py"]);
    let program = "\
import sys, strongroom
from mean_mass import mean_mass
def approve(run):
    with strongroom.Station(token=sys.argv[1]) as lab:
        lab.requests.approve(run.request, args_schema=True, uses=2)
def refuse(run):
    raise AssertionError(run)
print(mean_mass('lab/penguins', by='species', on_pending=approve)['mean_mass_g']['Gentoo'])
print(mean_mass(on='lab/penguins', by='island', on_pending=refuse)['by'])
try: mean_mass('lab/penguins', by='year', timeout=0.01)
except strongroom.PendingApproval as error: print(error.waits_for)
try: mean_mass('lab/penguins', by='wing')
except strongroom.Invalid as error: print(error.code)
";
    let mut command = python(&["-c", program, &lab.token]);
    command
        .current_dir(station.place.path(""))
        .env(
            "PYTHONPATH",
            format!("{}:.", package().join("src").display()),
        )
        .env("STRONGROOM_URL", &station.url)
        .env("STRONGROOM_TOKEN", &guest.token);
    let said = said(&mut command);
    assert_eq!(said.out, "5076.0\nisland\n('lab',)\nbad_args\n", "{said}");
    assert!(said.err.contains(" waits for lab (req-"), "{said}");
    let text = guest.does(&["connector", "devs/mean-mass", "--language", "typescript"]);
    let file = station.place.file("mean_mass.ts", &text.out);
    assert!(text.out.contains("readonly \"by\": \"species\""), "{file}");
}

#[test]
fn what_was_begun_runs_is_tested_inside_and_can_be_pushed() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    snapshot!(place.run(&["function", "init", "count-rows"]), @r"
    ./count-rows
    ---- stderr
    try it:  strongroom run ./count-rows --on FILE.csv --arg by=COLUMN --watch
    test it: strongroom run ./count-rows --entry test_main.py
    push it: strongroom function push YOU/count-rows ./count-rows
    ");
    let (data, folder) = (example("penguins.csv"), "./count-rows");
    let tested = place.run(&["run", folder, "--entry", "test_main.py"]);
    assert!(
        tested.err.contains("| Ran 3 tests") && tested.code == 0,
        "{tested}"
    );
    let ran = place.run(&["run", folder, "--on", &data, "--arg", "by=island"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        value,
        serde_json::json!({ "Biscoe": 168, "Dream": 124, "Torgersen": 52 })
    );
    lab.does(&["function", "push", "lab/count-rows", folder]);
    snapshot!(place.run(&["function", "init", "count-rows"]), @r"
    ---- stderr
    error: could not make ./count-rows: File exists (os error 17)
    hint: nothing that is there is overwritten
    ---- exit code 2
    ");
    snapshot!(place.run(&["run", folder, "--entry", "../x"]), @r"
    ---- stderr
    error: the function has no file `../x`
    ---- exit code 2
    ");
    snapshot!(lab.tries(&["run", "lab/count-rows", "--watch"]), @r"
    ---- stderr
    error: --entry, --watch and --shell are for a local function
    hint: one is a path such as ./f.py
    ---- exit code 2
    ");
}

#[test]
fn a_local_function_is_run_again_when_it_is_saved_and_not_when_it_is_read() {
    let place = Place::new();
    let source =
        |word: &str| format!("def transform(data, ctx):\n    print('{word}', data.text())\n");
    place.file("f/main.py", source("one"));
    place.file("d.txt", "data");
    let mut child = place
        .command()
        .args(["run", "./f", "--on", "d.txt", "--watch"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waits = "watching for changes";
    assert!(read_until(&mut child, waits).contains("| one data"));
    place.file("f/main.py", source("second"));
    // A save that is not one step may be seen in two.
    let said = read_until(&mut child, "| second data");
    assert!(!said.contains("one"), "{said}");
    read_until(&mut child, waits);
    place.file("f/main.py", "def transform(:\n");
    read_until(&mut child, "SyntaxError");
    std::fs::write(place.path("d.new"), "other").unwrap();
    std::fs::rename(place.path("d.new"), place.path("d.txt")).unwrap();
    place.file("f/main.py", source("third"));
    read_until(&mut child, "| third other");
    read_until(&mut child, waits);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let said = rest(child);
    assert!(!said.err.contains("third"), "{said}");
}

#[test]
fn every_runtime_has_a_start_that_works_and_a_test_that_passes() {
    crate::starlark::build();
    let place = Place::new();
    let data = example("penguins.csv");
    for (runtime, test) in [
        ("python3", "test_main.py"),
        ("node", "test_main.js"),
        ("sh", "test_main.sh"),
        ("starlark", "test.sh"),
        ("binary", "test.sh"),
    ] {
        let name = format!("count-{runtime}");
        let begun = place.run(&["function", "init", "--runtime", runtime, &name]);
        assert_eq!(begun.code, 0, "{begun}");
        let folder = format!("./{name}");
        if test == "test.sh" {
            let mut command = Command::new("/bin/sh");
            command
                .arg(place.path(&format!("{name}/test.sh")))
                .env("STRONGROOM", env!("CARGO_BIN_EXE_strongroom"));
            let tested = said(&mut command);
            assert!(
                tested.code == 0 && tested.out.contains("ok --arg by=species"),
                "{tested}"
            );
        } else {
            let tested = place.run(&["run", &folder, "--entry", test]);
            assert_eq!(tested.code, 0, "{tested}");
        }
        let ran = place.run(&["run", &folder, "--on", &data, "--arg", "by=island"]);
        let value: serde_json::Value = serde_json::from_str(&ran.out).expect(&ran.err);
        let expected = serde_json::json!({ "Biscoe": 168, "Dream": 124, "Torgersen": 52 });
        assert_eq!(value, expected, "{runtime}");
        let wrong = place.run(&["run", &folder, "--on", &data, "--arg", "by=wing"]);
        assert_eq!(wrong.code, 1, "{wrong}");
    }
}

#[test]
fn a_runtime_that_was_begun_runs_what_the_shipped_one_runs_and_can_be_added() {
    crate::starlark::build();
    let station = Station::start();
    let (place, admin) = (&station.place, station.admin());
    let data = example("penguins.csv");
    for from in ["python3", "node", "sh", "starlark", "binary"] {
        let name = format!("own-{from}");
        let begun = place.run(&["runtime", "init", "--from", from, &name]);
        assert_eq!(begun.code, 0, "{begun}");
        if from == "binary" {
            let mut build = Command::new("/bin/sh");
            let built = said(build.arg(place.path(&format!("{name}/function/build.sh"))));
            assert_eq!(built.code, 0, "{built}");
        }
        let (folder, function) = (format!("./{name}"), format!("./{name}/function"));
        let words = ["run", &function, "--on", &data, "--arg", "by=island"];
        let ran = place.run(&[&words[..], &["--runtime-folder", &folder]].concat());
        let value: serde_json::Value = serde_json::from_str(&ran.out).expect(&ran.err);
        let expected = serde_json::json!({ "Biscoe": 168, "Dream": 124, "Torgersen": 52 });
        assert_eq!(value, expected, "{from}");
        admin.does(&["runtime", "add", &folder]);
        assert!(
            place.path(&format!("{name}/Dockerfile")).is_file(),
            "{name}"
        );
    }
    let data = place.run(&["runtime", "init", "--from", "python3-data", "own-data"]);
    assert_eq!(data.code, 0, "{data}");
    admin.does(&["runtime", "add", "./own-data"]);
    snapshot!(place.run(&["runtime", "init", "own-data"]), @r"
    ---- stderr
    error: could not make ./own-data: File exists (os error 17)
    hint: nothing that is there is overwritten
    ---- exit code 2
    ");
}

/// A folder as an image has it: the main program, this mode of it, the package.
fn image(place: &Place) -> PathBuf {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("../run/runtimes/python3");
    for file in ["main_program.py", "run_through.py"] {
        place.file(file, std::fs::read_to_string(runtime.join(file)).unwrap());
    }
    let kit = place.path("kit");
    std::fs::create_dir(&kit).unwrap();
    std::os::unix::fs::symlink(package().join("src/strongroom"), kit.join("strongroom")).unwrap();
    place.path("run_through.py")
}

#[test]
fn a_run_through_without_a_sandbox_gives_what_the_sandbox_gives() {
    let place = Place::new();
    let program = image(&place);
    let data = place.path("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(example("penguins.csv"), data.join("penguins.csv")).unwrap();
    place.run(&["function", "init", "count-rows"]);
    place.file(
        "handler.py",
        "def handle(event, context):\n    return {'body': event.body.decode()}\n",
    );
    place.file("plain.py", "import json, sys\nprint(sys.stdin.read())\n");
    place.file("fails.py", "print('\\x1b[2J')\nimport sys; sys.exit(7)\n");
    let place_of = |name: &str| place.path(name).display().to_string();
    let data = data.display().to_string();
    for (function, code) in [
        ("count-rows", 0),
        ("handler.py", 0),
        ("plain.py", 0),
        ("fails.py", 1),
    ] {
        let function = place_of(function);
        let words = ["--arg", "by=island", "--arg", "n=[1, 2.5]"];
        let words = if function.ends_with("rows") {
            &words[..2]
        } else {
            &words[..]
        };
        let mut through = Command::new("/usr/bin/python3");
        through
            .arg("-B")
            .arg(&program)
            .arg(&function)
            .args(["--data", &data])
            .args(words);
        let through = said(&mut through);
        let mut run = vec!["run", &function, "--on", &data];
        run.extend(words);
        let run = place.run(&run);
        assert_eq!((through.code, run.code), (code, code), "{through}\n{run}");
        let values =
            [&through, &run].map(|said| serde_json::from_str::<serde_json::Value>(&said.out).ok());
        assert_eq!(values[0], values[1], "{function}: {through}\n{run}");
        let lines = |said: &Said| {
            let lines = said.err.lines().filter(|line| line.starts_with('|'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&through), lines(&run), "{function}");
    }
}

#[test]
fn a_run_through_says_what_it_cannot_do() {
    let place = Place::new();
    let program = image(&place);
    place.file(
        "f.py",
        "def download(ctx): pass\ndef transform(data, ctx): return ctx.download\n",
    );
    place.file("d.json", "[1]");
    place.file("slow.py", "import time\ntime.sleep(100)\n");
    place.file("nan.py", "def transform(data, ctx): return float('nan')\n");
    place.file(
        "twice.py",
        "import os\nos.write(3, b'{\"a\": 1, \"a\": 2}')\n",
    );
    place.file("x.sh", "");
    for (words, code, why) in [
        (&["f.py"][..], 2, "here is no gateway"),
        (&["f.py", "--download", "d.json"], 0, "succeeded"),
        (&["f.py", "--download", "f.py"], 2, "--download f.py"),
        (&["none.py"], 2, "there is no function at none.py"),
        (&["x.sh"], 2, "x.sh is no Python file"),
        (&["f.py", "--arg", "x"], 2, "--arg is KEY=VALUE"),
        (
            &["f.py", "--args-json", "{"],
            2,
            "--args-json is no JSON document",
        ),
        (&["."], 2, "say which file is the entry"),
        (&[".", "--entry", "../x"], 2, "the function has no file"),
        (&["slow.py", "--time", "0.2"], 2, "timed_out(0.2 s)"),
        (&["nan.py"], 1, "returned what JSON cannot carry"),
        (&["twice.py"], 1, "an object has a key twice"),
    ] {
        let mut command = Command::new("/usr/bin/python3");
        command
            .current_dir(place.path(""))
            .arg("-B")
            .arg(&program)
            .args(words);
        let through = said(command.args(["--data", "nothing"]));
        assert!(
            through.code == code && through.err.contains(why),
            "{words:?}: {through}"
        );
    }
}

#[test]
fn a_trial_names_the_runtime_as_the_station_does() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    place.file("f.py", "1");
    let tried = place.run(&["run", "./f.py", "--json"]);
    let tried: serde_json::Value = serde_json::from_str(&tried.out).expect(&tried.err);
    let shown = lab.reads(&["runtime", "show", "python3"]);
    assert_eq!(tried["runtime"]["digest"], shown["digest"]);
    assert!(
        place
            .run(&["run", "./f.py"])
            .err
            .contains(&format!("on python3 {}", shown["digest"].as_str().unwrap()))
    );
}

/// A person at a terminal, who types one command and reads what comes.
struct Typist {
    master: std::fs::File,
    child: std::process::Child,
    seen: String,
}

impl Typist {
    fn at(mut command: Command) -> Self {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let side = ioctl_tiocgptpeer(&master, flags).unwrap();
        let window = rustix::termios::Winsize {
            ws_row: 33,
            ws_col: 77,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&side, window).unwrap();
        let end = || Stdio::from(side.try_clone().unwrap());
        let child = command
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self {
            master: master.into(),
            child,
            seen: String::new(),
        }
    }

    fn types(&mut self, text: &str) {
        use std::io::Write as _;
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `wanted` has come; answers what came before it.
    fn reads(&mut self, wanted: &str) -> String {
        use std::io::Read as _;
        let latest = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            if let Some(at) = self.seen.find(wanted) {
                let rest = self.seen.split_off(at + wanted.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(
                std::time::Instant::now() < latest,
                "never came: {wanted}: {}",
                self.seen
            );
            let mut ends = [rustix::event::PollFd::new(
                &self.master,
                rustix::event::PollFlags::IN,
            )];
            let time = rustix::event::Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            if rustix::event::poll(&mut ends, Some(&time)).unwrap() == 0 {
                continue;
            }
            let mut part = [0; 4096];
            match self.master.read(&mut part) {
                Ok(count) if 0 < count => {
                    self.seen.push_str(&String::from_utf8_lossy(&part[..count]))
                }
                // Nobody is at the other side any more.
                _ => panic!("it ended before: {wanted}: {}", self.seen),
            }
        }
    }

    /// Types a command, and reads what it says.
    fn asks(&mut self, command: &str) -> String {
        self.types(&format!("{command}; echo \"<$?>\"e'n'd\n"));
        self.reads(">end")
    }
}

#[test]
fn a_shell_stands_where_the_function_would_and_behind_the_same_walls() {
    let place = Place::new();
    place.file("f/main.py", "print(1)");
    place.file("d/birds.csv", "a\n1\n");
    let folder = place.path("f").display().to_string();
    let data = place.path("d").display().to_string();
    let mut command = place.command();
    command
        .args([
            "run",
            &folder,
            "--on",
            &data,
            "--arg",
            "by=island",
            "--shell",
        ])
        .env("TERM", "xterm-256color");
    let mut person = Typist::at(command);
    person.reads("strongroom:/function$ ");
    for (command, said) in [
        ("id -u", "1000"),
        ("cat /arguments.json", "{\"by\":\"island\"}"),
        ("cat /data/birds.csv", "a\r\n1"),
        (
            "echo $TERM $HOME $STRONGROOM_STAGE",
            "xterm-256color /tmp transform",
        ),
        ("stty size", "33 77"),
        ("touch /function/x", "Read-only file system"),
        ("touch /data/x", "Read-only file system"),
        ("echo a > /tmp/x; cat /tmp/x", "a\r\n"),
        ("ls /root /home /etc/shadow", "No such file or directory"),
        // A device of the guest's own terminal would be one of the host's.
        ("ls -m /dev", "full, null, random, shm"),
        (
            "(exec 9<>/dev/tcp/127.0.0.1/80)",
            "Address family not supported",
        ),
        // Who is in the foreground: a shell that controls its jobs.
        ("set -o | grep monitor", "monitor        \ton"),
        ("sleep 100 & kill %1; wait; jobs", "<0>"),
    ] {
        let heard = person.asks(command);
        assert!(heard.contains(said), "{command}: {heard:?}");
    }
    // What is typed on somebody's behalf, other terminals, other line disciplines.
    for (call, value) in [
        ("0x5412", "b'x'"),
        ("0x541c", "b'\\\\2'"),
        ("0x540e", "1"),
        ("0x5422", "0"),
        ("0x541d", "0"),
        ("0x5423", "b'\\\\5\\\\0\\\\0\\\\0'"),
        ("0x5414", "b'\\\\0' * 8"),
        ("0x80045430", "b'\\\\0' * 4"),
    ] {
        let heard = person.asks(&format!(
            "python3 -c \"import fcntl; fcntl.ioctl(0, {call}, {value})\""
        ));
        assert!(heard.contains("[Errno 25]"), "{call}: {heard:?}");
    }
    // Ctrl-C ends what runs, and not the shell.
    person.types("cat\n");
    person.types("\u{3}");
    assert!(person.asks("echo still").contains("still"));
    // What would make a person's terminal answer, or write his clipboard.
    let heard = person.asks("printf 'A\\033[6n\\033]52;c;eA==\\007B'");
    assert!(heard.contains("AB"), "{heard:?}");
    person.types("exit 3\n");
    person.reads("the shell ended: failed(exit 3)");
    assert!(person.child.wait().unwrap().success());
}

#[test]
fn a_shell_ends_at_its_limits_and_needs_a_terminal() {
    let place = Place::new();
    place.file("f.sh", "true");
    snapshot!(place.run(&["run", "./f.sh", "--shell"]), @r"
    ---- stderr
    error: --shell needs a terminal
    hint: without one, `--entry FILE` runs another file of the function
    ---- exit code 2
    ");
    let mut command = place.command();
    command.args(["run", "./f.sh", "--shell", "--limit", "time=2s"]);
    let mut person = Typist::at(command);
    person.reads("$ ");
    person.reads("the shell ended: timed_out(2 s)");
    assert_eq!(person.child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_person_has_his_terminal_back_whoever_ends_the_shell() {
    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::{LocalModes, tcgetattr};
    let place = Place::new();
    place.file("f.sh", "true");
    for signal in [Signal::TERM, Signal::HUP] {
        let mut command = place.command();
        command.args(["run", "./f.sh", "--shell"]);
        let mut person = Typist::at(command);
        person.reads("$ ");
        let typed_lines = |person: &Typist| {
            let modes = tcgetattr(&person.master).unwrap().local_modes;
            modes.contains(LocalModes::ICANON | LocalModes::ECHO)
        };
        assert!(!typed_lines(&person), "every key is passed on");
        kill_process(Pid::from_child(&person.child), signal).unwrap();
        person.reads("the shell ended: cancelled");
        person.child.wait().unwrap();
        assert!(typed_lines(&person), "{signal:?}");
    }
}
