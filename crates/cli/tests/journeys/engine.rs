//! Images that go out, under a real Docker Engine of the test's own.
//!
//! It has its own data and socket and no network. Where none is installed, or
//! this user may not start one, that is said and nothing of this is run.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::station::{PATIENCE, Place, Station, example, said, snapshot};

pub struct Engine {
    process: Child,
    folder: tempfile::TempDir,
}

impl Engine {
    #[allow(clippy::print_stderr)]
    pub fn start() -> Option<Self> {
        let program = ["/usr/sbin/dockerd", "/usr/bin/dockerd"];
        let program = program.into_iter().find(|path| Path::new(path).is_file());
        let is_root = rustix::process::geteuid().is_root();
        let Some(program) = program.filter(|_| is_root) else {
            eprintln!("NOT RUN under an engine: it takes docker.io, and root to start it");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("strongroom-engine-")
            .tempdir()
            .unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let process = Command::new(program)
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args([
                "--pidfile",
                &at("pid"),
                "-H",
                &format!("unix://{}", at("socket")),
            ])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let engine = Self { process, folder };
        let latest = Instant::now() + PATIENCE;
        while said(engine.docker().arg("version")).code != 0 {
            let log = fs::read_to_string(engine.folder.path().join("log"));
            assert!(Instant::now() < latest, "no engine: {log:?}");
            sleep(Duration::from_millis(50));
        }
        Some(engine)
    }

    pub fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        let socket = self.folder.path().join("socket");
        docker.args(["-H", &format!("unix://{}", socket.display())]);
        docker
    }

    /// Takes an archive in, and answers what the image is called there.
    pub fn load(&self, archive: &str) -> String {
        let loaded = said(self.docker().args(["load", "-i", archive]));
        let name = loaded.out.trim().strip_prefix("Loaded image: ");
        name.unwrap_or_else(|| panic!("{loaded}")).to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It ends its containers and containerd on this signal.
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let below = below.filter(|path| Path::new(path).starts_with(self.folder.path()));
        for path in below.collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").arg(path).status();
        }
    }
}

/// A folder that is a root with the host's Python, called `python` as an image.
pub fn with_python(place: &Place) {
    let root = place.path("root");
    let asked = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let library = said(Command::new("/usr/bin/python3").args(["-I", "-c", asked])).out;
    let library = Path::new(library.trim());
    let to = root.join(library.strip_prefix("/").unwrap());
    fs::create_dir_all(&to).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(library.join("."))
        .arg(&to)
        .status();
    assert!(copied.unwrap().success());
    let modules = fs::read_dir(library.join("lib-dynload")).unwrap().flatten();
    let programs = modules
        .map(|module| module.path())
        .chain(["/usr/bin/python3".into()]);
    for program in programs.collect::<Vec<PathBuf>>() {
        copy(&fs::canonicalize(&program).unwrap(), &root, &program);
        libraries(&program, &root);
    }
    // The resolver of packages loads what an image has, as Debian's do.
    libraries(Path::new(&uv()), &root);
    let (root, home) = (root.display().to_string(), place.home());
    let home = home.display().to_string();
    let words = [
        "runtime", "import", &root, "--name", "python", "--home", &home,
    ];
    let imported = place.run(&words);
    assert_eq!(imported.code, 0, "{imported}");
}

/// Copies what a program loads.
fn libraries(program: &Path, root: &Path) {
    let listed = said(Command::new("ldd").arg(program)).out;
    let words = listed.split_whitespace();
    for word in words.filter(|word| word.starts_with('/')) {
        let word = word.trim_end_matches(':');
        copy(&fs::canonicalize(word).unwrap(), root, Path::new(word));
    }
}

fn copy(from: &Path, root: &Path, at: &Path) {
    let to = root.join(at.strip_prefix("/").unwrap());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[test]
fn the_image_for_developers_gives_in_an_engine_what_the_station_gives() {
    let station = Station::start();
    let place = &station.place;
    let home = place.home().display().to_string();
    with_python(place);
    let archive = place.path("dev.tar").display().to_string();
    let export = ["runtime", "export", "python3"];
    let to = ["--to", "docker-archive", "-o", &archive, "--home", &home];
    let none = place.run(&[&export[..], &to[..]].concat());
    assert!(none.err.contains("runs on the host's /usr"), "{none}");
    let made = place.run(&[&export[..], &["--on", "python"], &to[..]].concat());
    assert_eq!(made.code, 0, "{made}");
    let shell = place.run(&[
        "runtime", "export", "binary", "--on", "python", "-o", "x.tar", "--home", &home,
    ]);
    assert!(shell.err.contains("python3 alone"), "{shell}");

    let (data, function) = (example("penguins.csv"), example("mean_mass.py"));
    let admin = station.admin();
    admin.does(&["dataset", "push", "admin/penguins", &data]);
    admin.does(&["function", "push", "admin/mean-mass", &function]);
    let words = [
        "run",
        "admin/mean-mass",
        "--on",
        "admin/penguins",
        "--arg",
        "by=species",
    ];
    let there = admin.does(&words);
    let Some(engine) = Engine::start() else {
        return;
    };
    let image = engine.load(&archive);
    let mount = place.path("mydata");
    fs::create_dir(&mount).unwrap();
    fs::copy(data, mount.join("penguins.csv")).unwrap();
    let work = Path::new(&function).parent().unwrap();
    let mut here = engine.docker();
    here.args(["run", "--rm", "--network", "none"])
        .args(["-v", &format!("{}:/data", mount.display())])
        .args(["-v", &format!("{}:/work:ro", work.display())])
        .args([
            &image,
            "run-through",
            "./mean_mass.py",
            "--arg",
            "by=species",
        ]);
    let here = said(&mut here);
    assert_eq!(here.code, 0, "{here}");
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&here.out), value(&there.out), "{here}\n{there}");
    assert!(here.out.contains("Gentoo"), "{here}");
    let helped = said(
        engine
            .docker()
            .args(["run", "--rm", "--network", "none", &image]),
    );
    assert!(helped.out.contains("usage: run-through"), "{helped}");
}

/// A package index on the loopback. It ends with the test.
struct Index(Child, u16);

impl Index {
    fn start() -> Self {
        let program = include_str!("../../../server/tests/http/dependencies/index.py");
        let mut child = Command::new("/usr/bin/python3")
            .args(["-I", "-c", program])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self(child, port)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program that `cargo xtask test` installs beside what is built.
fn uv() -> String {
    let own = std::env::current_exe().unwrap();
    let mut beside = own.ancestors().map(|folder| folder.join("tools/uv"));
    let found = beside.find(|path| path.exists());
    found.map_or_else(|| "uv".to_owned(), |path| path.display().to_string())
}

#[test]
fn a_function_that_brings_packages_goes_out_with_them() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let index = Index::start();
    let host = format!("127.0.0.1:{}", index.1);
    place.configure(&format!(
        "[gateway]\nallow_private = [\"{host}\"]\n[index]\npython = \"http://{host}/simple\"\n\
         hosts = []\nuv = \"{}\"\n",
        uv()
    ));
    with_python(&place);
    let digest = place
        .run(&["runtime", "images", "--json", "--home", &home])
        .out;
    let images: serde_json::Value = serde_json::from_str(&digest).unwrap();
    let digest = images[0]["digest"].as_str().unwrap();
    let toml = format!("base = \"python3\"\nimage = \"{digest}\"\n");
    place.file("own/runtime.toml", toml);
    place.file("f/strongroom.toml", "runtime = \"own\"\n");
    place.file("f/requirements.txt", "hello\n");
    let code = "import hello, strongroom\ndef transform(data, ctx):\n    print(hello.__file__)\n    return [hello.greet(), strongroom.args()]\n";
    place.file("f/main.py", code);
    let archive = place.path("f.tar").display().to_string();
    let (function, own) = (place.path("f"), place.path("own"));
    let (function, own) = (function.display().to_string(), own.display().to_string());
    let export = ["function", "export", &function, "--runtime-folder", &own];
    let to = ["--to", "docker-archive", "-o", &archive, "--home", &home];
    let made = place.run(&[&export[..], &to[..]].concat());
    assert_eq!(made.code, 0, "{made}");
    let again = place.path("again.tar").display().to_string();
    let to = ["--to", "docker-archive", "-o", &again, "--home", &home];
    let second = place.run(&[&export[..], &to[..]].concat());
    assert_eq!(second.out, made.out, "the same function is the same image");
    let Some(engine) = Engine::start() else {
        return;
    };
    let image = engine.load(&archive);
    let mut here = engine.docker();
    here.args(["run", "--rm", "-i", "--network", "none", "--read-only"])
        .arg(&image);
    let arguments = place.file("arguments", "{\"n\":1}");
    here.stdin(fs::File::open(arguments).unwrap());
    let here = here.output().unwrap();
    let out = String::from_utf8_lossy(&here.stdout);
    assert_eq!(out, "[\"hello 1.0\", {\"n\": 1}]", "{here:?}");
    let log = String::from_utf8_lossy(&here.stderr);
    assert_eq!(log, "/deps/hello/__init__.py\n");
}

/// Functions that say hello with what they are given, one for each runtime
/// but Python's.
const HELLOS: [(&str, &str, &str); 3] = [
    (
        "sh",
        "main.sh",
        r#"args=$(cat); echo "was given $args"
printf '{"hello":%s,"stage":"%s"}' "$args" "$STRONGROOM_STAGE" >&3
"#,
    ),
    (
        "node",
        "main.js",
        r#"const hello = require('./hello.js')
exports.transform = (data, ctx) => { console.log('was given'); return hello(ctx) }
"#,
    ),
    (
        "starlark",
        "main.star",
        r#"def transform(data, ctx):
    print("was given")
    return {"hello": ctx.args, "stage": "transform"}
"#,
    ),
];
const HELLO_IN_C: &str = r#"#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    char given[4096];
    ssize_t size = read(0, given, sizeof given);
    printf("was given %zd bytes\n", size);
    dprintf(3, "{\"hello\":%.*s,\"stage\":\"%s\"}", (int)size, given, getenv("STRONGROOM_STAGE"));
}
"#;

/// Folders of functions that say hello, by their runtimes.
fn hellos(place: &Place) -> Vec<(&'static str, String)> {
    let folder = |runtime: &str| format!("hello-{runtime}");
    for (runtime, file, code) in HELLOS {
        place.file(&format!("{}/{file}", folder(runtime)), code);
    }
    let other = "module.exports = (ctx) => ({ hello: ctx.args, stage: ctx.stage })\n";
    place.file("hello-node/hello.js", other);
    let source = place.file("main.c", HELLO_IN_C);
    place.file("hello-binary/strongroom.toml", "");
    let program = place.path("hello-binary/main");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-static", "-O1", "-o"])
        .arg(program)
        .arg(source);
    let built = said(&mut compiler);
    assert_eq!(built.code, 0, "{built}");
    let each = HELLOS.map(|(runtime, ..)| runtime).into_iter();
    let each = each.chain(["binary"]).map(|runtime| {
        let manifest = format!("runtime = \"{runtime}-tiny\"\n");
        place.file(&format!("{}/strongroom.toml", folder(runtime)), manifest);
        (runtime, place.path(&folder(runtime)).display().to_string())
    });
    each.collect()
}

/// An image with these programs, and what they load; answers its digest.
pub fn with_programs(place: &Place, name: &str, programs: &[(&str, &str)]) -> String {
    let root = place.path(name);
    for (from, at) in programs {
        copy(&fs::canonicalize(from).unwrap(), &root, Path::new(at));
        libraries(Path::new(from), &root);
    }
    let (root, home) = (root.display().to_string(), place.home());
    let home = home.display().to_string();
    let imported = place.run(&["runtime", "import", &root, "--home", &home]);
    assert_eq!(imported.code, 0, "{imported}");
    imported.out.trim().to_owned()
}

/// What a function in an engine returns, given the arguments in a file.
fn returned(
    engine: &Engine,
    image: &str,
    flags: &[&str],
    arguments: Option<&str>,
) -> serde_json::Value {
    let mut docker = engine.docker();
    docker.args(["run", "--rm", "--network", "none", "--cap-drop", "all"]);
    docker.args(flags);
    if let Some(path) = arguments {
        docker.arg("-i").stdin(fs::File::open(path).unwrap());
    }
    let here = docker.arg(image).output().unwrap();
    assert!(here.status.success(), "{here:?}");
    assert!(here.stderr.starts_with(b"was given"), "{here:?}");
    serde_json::from_slice(&here.stdout).unwrap_or_else(|_| panic!("{here:?}"))
}

#[test]
fn a_function_of_every_runtime_gives_in_an_engine_what_the_station_gives() {
    crate::starlark::build();
    let station = Station::start();
    let place = &station.place;
    let admin = station.admin();
    let home = place.home().display().to_string();
    let node = ["/usr/bin/node", "/usr/local/bin/node"];
    let star = Path::new(env!("CARGO_BIN_EXE_strongroom")).with_file_name("strongroom-star");
    let programs = [
        ("/bin/sh", "/bin/sh"),
        ("/bin/cat", "/bin/cat"),
        (node[0], node[1]),
        // For what it loads: the program itself is the runtime's.
        (star.to_str().unwrap(), "/opt/star"),
    ];
    let digest = with_programs(place, "tiny", &programs);
    let engine = Engine::start();
    let arguments = place.file("arguments", "{\"n\":1,\"t\":\"\u{e4} b\"}");
    for (runtime, folder) in hellos(place) {
        let tiny = format!("{runtime}-tiny");
        let toml = format!("base = \"{runtime}\"\nimage = \"{digest}\"\n");
        place.file(&format!("{tiny}/runtime.toml"), toml);
        admin.does(&["runtime", "add", &tiny]);
        let function = format!("admin/hello-{runtime}");
        admin.does(&["function", "push", &function, &folder]);
        let there = admin.does(&["run", &function, "--arg", "n=1", "--arg", "t=\u{e4} b"]);
        let there: serde_json::Value = serde_json::from_str(&there.out).unwrap();
        assert_eq!(there["hello"]["n"], 1, "{there}");
        let archive = place.path(&format!("{runtime}.tar")).display().to_string();
        let own = ["--runtime-folder", &tiny, "--home", &home];
        let to = ["--to", "docker-archive", "-o", &archive];
        let export = ["function", "export", &function];
        admin.does(&[&export[..], &own, &to].concat());
        let Some(engine) = &engine else { continue };
        let image = engine.load(&archive);
        let none = admin.does(&["run", &function]).out;
        let none: serde_json::Value = serde_json::from_str(&none).unwrap();
        for flags in [&["--read-only"][..], &[]] {
            let here = returned(engine, &image, flags, Some(&arguments));
            assert_eq!(here, there, "{runtime} {flags:?}");
            let here = returned(engine, &image, flags, None);
            assert_eq!(here, none, "{runtime} {flags:?}");
        }
    }
}

#[test]
fn a_function_whose_value_nothing_in_the_image_could_say_does_not_go_out() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let digest = with_programs(&place, "bare", &[("/usr/bin/cat", "/usr/bin/cat")]);
    let toml = format!("base = \"binary\"\nimage = \"{digest}\"\n");
    place.file("binary-tiny/runtime.toml", toml);
    let (_, folder) = hellos(&place).pop().unwrap();
    let export = |folder: &str, archive: &str| {
        let own = ["--runtime-folder", "binary-tiny", "--home", &home];
        place.run(&[&["function", "export", folder, "-o", archive][..], &own].concat())
    };
    snapshot!(export(&folder, "x.tar"), @r"
    ---- stderr
    error: the image of the runtime binary-tiny lacks /bin/sh or cat, so elsewhere nothing could say on stdout what a function returns; a handler that answers on stdout needs neither
    ---- exit code 2
    ");
    assert!(!place.path("x.tar").exists());
    // A handler answers on stdout in any case.
    let handler = place.path("hello-binary/handler");
    fs::rename(place.path("hello-binary/main"), handler).unwrap();
    let made = export(&folder, "y.tar");
    assert_eq!(made.code, 0, "{made}");
}

/// A template of OpenFaaS that starts what it finds in its home.
fn template(place: &Place, folder: &str, more: &str, handler: &str) -> String {
    let at = |name: &str| format!("{folder}/{name}");
    let index = "import sys, lib.mark\nfrom code import handler\n\
        print(handler.handle(sys.stdin.read()), lib.mark.MARK)\n";
    let index = index.replace("from code", &format!("from {handler}"));
    place.file(&at("template.yml"), format!("language: own\n{more}"));
    place.file(&at("index.py"), index);
    place.file(&at("lib/mark.py"), "MARK = 'marked'\n");
    let own = format!("{handler}/handler.py");
    place.file(&at(&own), "def handle(body): return 'the template'\n");
    place.path(folder).display().to_string()
}

#[test]
fn a_function_on_a_template_of_openfaas_goes_out_as_it_runs_here() {
    let place = Place::new();
    let home = place.home().display().to_string();
    with_python(&place);
    let listed = place.run(&["runtime", "images", "--json", "--home", &home]);
    let images: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    let image = images[0]["digest"].as_str().unwrap();
    let handler =
        "import os\ndef handle(body):\n    return body + os.environ['Http_Method'] + os.getcwd()\n";
    let engine = Engine::start();
    for (name, said, dockerfile, folder) in [
        ("a", "fprocess: python3 index.py\n", None, "function"),
        (
            "b",
            "fprocess: '/usr/bin/python3 -B index.py' # quoted\n",
            None,
            "function",
        ),
        (
            "c",
            "handler_folder: ./src/\n",
            Some("FROM x\nENV fprocess=\"python3 index.py\"\n"),
            "src",
        ),
        (
            "d",
            "handler_folder: \"app\"\nbuild_options:\n  - name: dev\n",
            Some("FROM x\nENV fprocess python3 index.py\n"),
            "app",
        ),
    ] {
        let own = template(
            &place,
            &format!("template-{name}"),
            &format!("{said}image: {image}\n"),
            folder,
        );
        if let Some(dockerfile) = dockerfile {
            place.file(&format!("template-{name}/Dockerfile"), dockerfile);
        }
        place.file(&format!("{name}/handler.py"), handler);
        place.file(
            &format!("{name}/strongroom.toml"),
            format!("runtime = \"template-{name}\"\n"),
        );
        let function = place.path(name).display().to_string();
        let on = ["--runtime-folder", &own];
        let here = place.run(&[&["run", &function, "--arg", "a=1"][..], &on].concat());
        let body = "{\"a\":1}POST/home/app marked\n";
        let answer: serde_json::Value = serde_json::from_str(&here.out).expect(&here.err);
        assert_eq!(answer["body"], body, "{name}: {here}");
        let archive = place.path(&format!("{name}.tar")).display().to_string();
        let to = ["--to", "docker-archive", "-o", &archive, "--home", &home];
        let made = place.run(&[&["function", "export", &function][..], &on, &to].concat());
        assert_eq!(made.code, 0, "{name}: {made}");
        let Some(engine) = &engine else { continue };
        let image = engine.load(&archive);
        let mut docker = engine.docker();
        docker.args([
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            "--read-only",
            &image,
        ]);
        let arguments = place.file("arguments", "{\"a\":1}");
        let there = docker
            .stdin(fs::File::open(arguments).unwrap())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&there.stdout),
            body,
            "{name}: {there:?}"
        );
    }
}
