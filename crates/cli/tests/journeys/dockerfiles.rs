//! The Dockerfiles of the shipped runtimes: built here, started by an engine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    engine::{Engine, with_programs, with_python},
    station::{Place, example, said},
};

/// What the start in each folder needs of the base that its Dockerfile names.
const BASE: &[(&str, &str)] = &[
    ("/bin/sh", "/bin/sh"),
    ("/bin/cat", "/bin/cat"),
    ("/usr/bin/sed", "/usr/bin/sed"),
    ("/usr/bin/tr", "/usr/bin/tr"),
    ("/usr/bin/head", "/usr/bin/head"),
    ("/usr/bin/grep", "/usr/bin/grep"),
    ("/usr/bin/awk", "/usr/bin/awk"),
    ("/usr/bin/sort", "/usr/bin/sort"),
    ("/usr/bin/wc", "/usr/bin/wc"),
    ("/usr/bin/node", "/usr/bin/node"),
];

/// The bases that the Dockerfiles name, and that nobody fetches here.
const BASES: [&str; 3] = [
    "python:3.12-slim-bookworm",
    "node:22-bookworm-slim",
    "debian:bookworm-slim",
];

fn repository() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

fn copied(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    let done = said(copy.arg("-a").arg(from).arg(to));
    assert_eq!(done.code, 0, "{done}");
}

/// The folders of the shipped runtimes, with what their Dockerfiles ask for.
fn folders(place: &Place) -> PathBuf {
    let folders = place.path("runtimes");
    let root = repository();
    copied(&root.join("crates/run/runtimes"), &folders);
    copied(
        &root.join("sdk/python/src/strongroom"),
        &folders.join("python3/strongroom"),
    );
    let star = Path::new(env!("CARGO_BIN_EXE_strongroom")).with_file_name("strongroom-star");
    copied(&star, &folders.join("starlark/strongroom-star"));
    let mut build = Command::new("/bin/sh");
    let built = said(build.arg(folders.join("binary/function/build.sh")));
    assert_eq!(built.code, 0, "{built}");
    place.file("runtimes/python3-data/packages/hello.py", "WORLD = 1\n");
    // There is no pandas among them here.
    let code = fs::read_to_string(folders.join("python3/function/main.py")).unwrap();
    place.file("runtimes/python3-data/function/main.py", code);
    folders
}

/// Runs what is in an image, on the example's data.
fn value(engine: &Engine, place: &Place, image: &str) -> Value {
    let data = place.path("data");
    fs::create_dir_all(&data).unwrap();
    fs::copy(example("penguins.csv"), data.join("penguins.csv")).unwrap();
    let arguments = place.file("arguments", "{\"by\":\"island\"}");
    let mut docker = engine.docker();
    docker
        .args([
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            "--cap-drop",
            "all",
        ])
        .args(["-v", &format!("{}:/data:ro", data.display())])
        .args(["--tmpfs", "/out:mode=1777", "--tmpfs", "/tmp:mode=1777"])
        .arg(image)
        .stdin(fs::File::open(arguments).unwrap());
    let here = docker.output().unwrap();
    assert!(here.status.success(), "{image}: {here:?}");
    let out = String::from_utf8(here.stdout).unwrap();
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("{image}: {out}"))
}

#[test]
fn every_shipped_runtime_is_built_of_its_dockerfile_and_started_by_an_engine() {
    crate::starlark::build();
    let place = Place::new();
    let home = place.home().display().to_string();
    let folders = folders(&place);
    // One base for all: the host's Python, Node and tools.
    with_programs(&place, "root", BASE);
    with_python(&place);
    let root = place.path("root").display().to_string();
    for base in BASES {
        let words = ["runtime", "import", &root, "--name", base, "--home", &home];
        let imported = place.run(&words);
        assert_eq!(imported.code, 0, "{imported}");
    }
    let engine = Engine::start();
    let (folder, tars) = (folders.display(), place.path("tars"));
    fs::create_dir(&tars).unwrap();
    // `python3-data` is built on `python3`, so it comes after it.
    for runtime in [
        "python3",
        "python3-data",
        "node",
        "sh",
        "starlark",
        "binary",
    ] {
        let build = ["runtime", "build", &format!("{folder}/{runtime}")];
        let named = ["--name", runtime, "--home", &home];
        let built = place.run(&[&build[..], &named].concat());
        assert_eq!(built.code, 0, "{runtime}: {built}");
        let again = place.run(&[&build[..], &named].concat());
        assert_eq!(again.out, built.out, "{runtime}");
        let archive = tars.join(format!("{runtime}.tar")).display().to_string();
        let to = ["--to", "docker-archive", "-o", &archive, "--home", &home];
        let made = place.run(&[&["runtime", "export", runtime][..], &to].concat());
        assert_eq!(made.code, 0, "{runtime}: {made}");
        let Some(engine) = &engine else { continue };
        let expected = json!({ "Biscoe": 168, "Dream": 124, "Torgersen": 52 });
        let image = engine.load(&archive);
        assert_eq!(value(engine, &place, &image), expected, "{runtime}");
    }
}
