//! Runtimes by command line: added, seen, used and removed.

use crate::station::{Station, snapshot};

#[test]
fn an_admin_adds_packages_and_everyones_functions_import_them() {
    crate::starlark::build();
    let station = Station::start();
    let place = &station.place;
    let (admin, devs) = (station.admin(), station.user("devs"));
    let toml =
        "base = \"python3\"\ndescription = \"birds\"\npackages = \"p\"\npreload = [\"bird\"]\n";
    place.file("birds/runtime.toml", toml);
    place.file("birds/p/bird.py", "name = 'robin'\n");
    snapshot!(admin.does(&["runtime", "add", "birds"]), @r"
    birds sha256:DIGEST
    ---- stderr
    Added: 2 files, 88 B, 2 sent.
    Its Python modules are compiled anew in every run. For a faster start:
      /usr/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash FOLDER
    ");
    snapshot!(admin.does(&["runtime", "add", "birds"]), @r"
    birds sha256:DIGEST
    ---- stderr
    Nothing changed: 2 files, 88 B, 0 sent.
    Its Python modules are compiled anew in every run. For a faster start:
      /usr/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash FOLDER
    ");
    place.file("birds/p/bird.py", "name = 'wren'\n");
    snapshot!(admin.tries(&["runtime", "add", "birds"]), @r"
    ---- stderr
    error: there is another runtime birds already; it stays unless it is to be replaced
    ---- exit code 2
    ");
    snapshot!(admin.does(&["runtime", "add", "birds", "--replace"]), @r"
    birds sha256:DIGEST
    ---- stderr
    Added: 2 files, 87 B, 0 sent.
    Its Python modules are compiled anew in every run. For a faster start:
      /usr/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash FOLDER
    ");
    snapshot!(devs.does(&["runtime", "list"]), @r"
    RUNTIME       DIGEST               FILES               DESCRIPTION
    python3       sha256:SHORT  *.py                CPython with its standard library
    sh            sha256:SHORT  *.sh                the POSIX shell with the programs of /usr
    starlark      sha256:SHORT  *.star              Starlark with its standard modules
    python3-data  sha256:SHORT  *.py                CPython with packages for work on data
    node          sha256:SHORT  *.js                Node.js with its standard library
    binary        sha256:SHORT  static executables  a static executable, with nothing of the host beside it
    birds         sha256:SHORT  *.py                birds
    ");
    snapshot!(devs.does(&["runtime", "show", "birds"]), @r"
    runtime      birds
    digest       sha256:DIGEST
    description  birds
    base         python3
    functions    *.py
    preloads     bird
    added        TIME by admin
    files        sha256:DIGEST

    FILE          SIZE  DIGEST
    p/bird.py     14 B  sha256:DIGEST
    runtime.toml  73 B  sha256:DIGEST
    ");
    let code = "# /// script\n# [tool.strongroom]\n# runtime = \"birds\"\n# ///\n\
        import bird\ndef transform(data, ctx):\n    return bird.name\n";
    let file = place.file("f.py", code);
    devs.does(&["function", "push", "devs/f", &file]);
    assert_eq!(devs.does(&["run", "devs/f"]).out, "\"wren\"\n");
    snapshot!(admin.tries(&["runtime", "remove", "birds"]), @r"
    ---- stderr
    error: the runtime birds is used by devs/f
    ---- exit code 2
    ");
    snapshot!(admin.does(&["runtime", "remove", "birds", "--force"]), @r"
    ---- stderr
    Removed birds.
    ");
    snapshot!(devs.tries(&["run", "devs/f"]), @r"
    ---- stderr
    error: this station has no runtime `birds`
    ---- exit code 2
    ");
}

#[test]
fn a_folder_that_is_no_runtime_is_told_before_anything_is_sent() {
    let station = Station::start();
    let place = &station.place;
    let admin = station.admin();
    std::fs::create_dir(place.path("empty")).unwrap();
    place.file("linked/runtime.toml", "base = \"sh\"\n");
    std::os::unix::fs::symlink("/etc", place.path("linked/p")).unwrap();
    place.file("garbled/runtime.toml", "base = \"sh\"\nprelaod = []\n");
    place.file("lacking/runtime.toml", "base = \"sh\"\npackages = \"p\"\n");
    place.file("Big/runtime.toml", "base = \"sh\"\n");
    let tries = |folder: &str| admin.tries(&["runtime", "add", folder]);
    snapshot!(tries("empty"), @r"
    ---- stderr
    error: there is no file `runtime.toml` in the folder, and no `template.yml`
    hint: docs/runtimes.md says what is in it
    ---- exit code 2
    ");
    snapshot!(tries("linked"), @r"
    ---- stderr
    error: DIR/linked/p is a symbolic link; only regular files and folders are taken
    ---- exit code 2
    ");
    snapshot!(tries("garbled"), @r"
    ---- stderr
    error: runtime.toml: line 2: unknown field `prelaod`, expected one of `description`, `base`, `command`, `folders`, `function`, `debian_package`, `main_program`, `packages`, `requirements`, `lock`, `preload`, `environment`, `image`
    ---- exit code 2
    ");
    snapshot!(tries("lacking"), @r"
    ---- stderr
    error: there is no file below `p` in the folder
    ---- exit code 2
    ");
    snapshot!(tries("Big"), @r"
    ---- stderr
    error: the folder's name is no name for a runtime: a name starts with a letter a-z, not `B`
    hint: `--name NAME` gives it another
    ---- exit code 2
    ");
    snapshot!(tries("none"), @r"
    ---- stderr
    error: could not read none: No such file or directory (os error 2)
    ---- exit code 2
    ");
    snapshot!(admin.tries(&["runtime", "add", "Big", "--name", "sh"]), @r"
    ---- stderr
    error: the runtime sh is shipped with Strongroom; give yours another name
    ---- exit code 2
    ");
    let devs = station.user("devs");
    snapshot!(devs.tries(&["runtime", "add", "Big", "--name", "big"]), @r"
    ---- stderr
    error: there is no such page
    hint: what is not yours to see looks as if it were not there
    ---- exit code 2
    ");
}

#[test]
fn a_template_of_openfaas_is_a_runtime_as_it_is() {
    let station = Station::start();
    let place = &station.place;
    let (admin, devs) = (station.admin(), station.user("devs"));
    let template = "language: python3\nfprocess: python3 index.py\nwelcome_message: |\n  hello\n";
    let index = "import sys\nfrom function import handler\nimport lib.mark\n\
        ret = handler.handle(sys.stdin.read())\nif ret is not None:\n    print(ret, lib.mark.MARK)\n";
    place.file("classic/template.yml", template);
    place.file("classic/Dockerfile", "FROM python:3.11\nCOPY . /home/app\n");
    place.file("classic/index.py", index);
    place.file("classic/lib/mark.py", "MARK = 'marked'\n");
    place.file(
        "classic/function/handler.py",
        "def handle(req):\n    return 'the template'\n",
    );
    place.file("classic/function/requirements.txt", "");
    let handler = "import os, sys\ndef handle(req):\n    print('asked', file=sys.stderr)\n    \
        return req + os.environ['Http_Method'] + os.getcwd()\n";
    place.file("echo/handler.py", handler);
    place.file("echo/strongroom.toml", "runtime = \"classic\"\n");
    admin.does(&[
        "runtime",
        "add",
        &place.path("classic").display().to_string(),
    ]);
    devs.does(&[
        "function",
        "push",
        "devs/echo",
        &place.path("echo").display().to_string(),
    ]);
    let ran = devs.does(&["run", "devs/echo", "--arg", "a=1"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let body = "{\"a\":1}POST/home/app marked\n";
    let expected = serde_json::json!({ "statusCode": 200, "headers": {}, "body": body });
    assert_eq!(answer, expected, "{ran}");
    assert!(ran.err.contains("| asked"), "{ran}");
    // A trial on the folder is a trial on the same runtime.
    let folder = place.path("echo").display().to_string();
    let tried = place.run(&[
        "run",
        &folder,
        "--arg",
        "a=1",
        "--runtime-folder",
        "classic",
        "--json",
    ]);
    let tried: serde_json::Value = serde_json::from_str(&tried.out).expect(&tried.err);
    let shown = devs.reads(&["runtime", "show", "classic"]);
    assert_eq!(
        (&tried["runtime"]["digest"], &tried["value"]),
        (&shown["digest"], &expected)
    );
}

#[test]
fn a_template_that_cannot_run_as_a_folder_says_why_and_adds_nothing() {
    let station = Station::start();
    let place = &station.place;
    let admin = station.admin();
    let template = "language: x\nfprocess: cat\n";
    for (folder, file, text, why) in [
        (
            "a",
            "Dockerfile",
            "FROM a\nRUN apt-get update\n",
            "Dockerfile: line 2: RUN makes an image, which docker, buildah or buildctl builds",
        ),
        (
            "b",
            "Dockerfile",
            "FROM a\nCOPPY . .\n",
            "Dockerfile: line 2: there is no instruction `COPPY`",
        ),
        ("c", "Dockerfile", "FROM a\nENV mode=http\n", "speaks HTTP"),
        (
            "d",
            "template.yml",
            "language: x\n",
            "which process to start",
        ),
        ("e", "function/handler.sh", "", "there is no file `handler`"),
    ] {
        place.file(&format!("{folder}/template.yml"), template);
        if folder != "e" {
            place.file(&format!("{folder}/function/handler.sh"), "");
        }
        if folder != "e" {
            place.file(&format!("{folder}/{file}"), text);
        }
        let refused = admin.tries(&["runtime", "add", &place.path(folder).display().to_string()]);
        assert!(
            refused.code == 2 && refused.err.contains(why),
            "{folder}: {refused}"
        );
    }
    place.file("f/runtime.toml", "base = \"sh\"\n");
    place.file("f/Dockerfile", "COPY . .\n");
    let refused = admin.tries(&["runtime", "add", &place.path("f").display().to_string()]);
    assert!(
        refused
            .err
            .contains("line 1: COPY comes before the first FROM"),
        "{refused}"
    );
    let there = admin.does(&["runtime", "list"]);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert!(
            !there
                .out
                .lines()
                .any(|line| line.starts_with(&format!("{name} "))),
            "{there}"
        );
    }
}
