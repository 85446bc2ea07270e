//! Runtimes with packages: what functions can import, and what never runs by
//! itself.

use std::{fs, path::Path};

use serde_json::json;
use strongroom_core::{digest::Digest, run::Reason};
use strongroom_run::PrepareError;

use crate::house::{House, Task};

/// Adds a runtime `own` on the base `python3` with these packages.
fn add(house: &House, toml: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("base = \"python3\"\npackages = \"packages\"\n{toml}");
    fs::create_dir(folder.path().join("packages")).unwrap();
    for (path, text) in files {
        let path = folder.path().join("packages").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(folder.path().join("runtime.toml"), toml).unwrap();
    added(house, folder.path(), b"1");
    folder
}

fn added(house: &House, folder: &Path, content: &[u8]) {
    let runtimes = house.local.runtimes();
    let name = "own".parse().unwrap();
    runtimes.add(name, folder, Digest::of(content)).unwrap();
}

#[tokio::test]
async fn a_function_imports_the_packages_of_its_runtime_and_cannot_change_them() {
    let house = House::new();
    let files = [
        ("bird/__init__.py", "from .wing import flaps"),
        ("bird/wing.py", "flaps = 2"),
        ("bird/songs.txt", "tweet"),
        ("space/part.py", "here = __name__"),
    ];
    let _folder = add(&house, "", &files);
    let code = "import bird, space.part\n\
        from importlib import resources\n\
        def transform(data, ctx):\n\
        \x20   try: open('/packages/bird/x', 'w')\n\
        \x20   except OSError as error: fault = error.errno\n\
        \x20   song = resources.files('bird').joinpath('songs.txt').read_text()\n\
        \x20   return [bird.flaps, bird.__file__, song, space.part.here, fault]\n";
    let task = Task::python(code).runs_on("own");
    let value = house.run(task).await.value();
    let expected = json!([2, "/packages/bird/__init__.py", "tweet", "space.part", 30]);
    assert_eq!(value, expected);
    let plain = house.run(Task::python(code)).await;
    assert!(
        plain.stderr().contains("No module named 'bird'"),
        "{plain:?}"
    );
}

#[tokio::test]
async fn nothing_of_the_packages_runs_by_itself() {
    let house = House::new();
    let says = "import sys; print('I run by myself', file=sys.stderr)";
    let files = [
        ("x.pth", says),
        ("sitecustomize.py", says),
        ("usercustomize.py", says),
        ("json/__init__.py", says),
        ("encodings/__init__.py", says),
        ("never.py", says),
    ];
    let _folder = add(&house, "preload = [\"never\"]", &files);
    let code = "import json, site\nprint(json.dumps(1))";
    let outcome = house.run(Task::python(code).runs_on("own")).await;
    let outcome = outcome.succeeded();
    assert_eq!(
        (outcome.stdout(), outcome.stderr()),
        ("1".into(), "".into())
    );
}

#[tokio::test]
async fn a_compiled_module_is_mapped_from_the_packages_and_no_program_is_run_there() {
    let house = House::new();
    let library = Path::new("/usr/lib");
    let name = "lib-dynload/_json.cpython-3";
    // Any compiled module of the host's standard library, in a package of ours.
    let compiled = fs::read_dir(library).unwrap().flatten().find_map(|entry| {
        let folder = entry.path().join("lib-dynload");
        let mut files = fs::read_dir(folder).ok()?.flatten();
        let wanted = |path: &Path| path.to_string_lossy().contains(name);
        files.find_map(|file| Some(file.path()).filter(|path| wanted(path)))
    });
    let Some(compiled) = compiled else {
        return;
    };
    let folder = add(
        &house,
        "",
        &[("fast/__init__.py", ""), ("program", "#!/bin/sh\n")],
    );
    let packages = folder.path().join("packages");
    fs::copy(&compiled, packages.join("fast/_json.so")).unwrap();
    let code = "import fast._json, subprocess\n\
        def transform(data, ctx):\n\
        \x20   try: subprocess.run(['/packages/program'])\n\
        \x20   except PermissionError: refused = True\n\
        \x20   return [fast._json.__file__, fast._json.encode_basestring_ascii('x'), refused]\n";
    let value = house.run(Task::python(code).runs_on("own")).await.value();
    assert_eq!(value, json!(["/packages/fast/_json.so", "\"x\"", true]));
}

#[tokio::test]
async fn a_runtime_with_preloading_computes_with_one_thread_and_adds_its_variables() {
    let house = House::new();
    let toml = "preload = [\"bird\"]\n[environment]\nMPLBACKEND = \"Agg\"\n\
        OMP_NUM_THREADS = \"2\"\n";
    let _folder = add(&house, toml, &[("bird.py", "")]);
    let code = "import os\ndef transform(data, ctx):\n\
        \x20   names = ['MPLBACKEND', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PATH']\n\
        \x20   return [os.environ.get(name) for name in names]\n";
    let value = house.run(Task::python(code).runs_on("own")).await.value();
    assert_eq!(value, json!(["Agg", "2", "1", "/usr/bin:/bin"]));
}

#[tokio::test]
async fn a_module_to_preload_that_fails_is_no_trouble_to_who_does_not_import_it() {
    let house = House::new();
    let files = [
        ("raises.py", "raise RuntimeError('no')"),
        ("ends.py", "import os\nos._exit(3)"),
    ];
    let toml = "preload = [\"raises\", \"ends\", \"absent\"]";
    let _folder = add(&house, toml, &files);
    let task = |code| Task::python(code).runs_on("own");
    let outcome = house.run(task("print(1)")).await.succeeded();
    assert_eq!(outcome.stdout(), "1");
    let failed = house.run(task("import raises")).await;
    assert!(failed.stderr().contains("RuntimeError: no"), "{failed:?}");
}

#[tokio::test]
async fn another_package_is_another_runtime_to_a_plan_that_waits() {
    let house = House::new();
    let folder = add(&house, "", &[("bird.py", "")]);
    let task = Task::python("print(1)").runs_on("own");
    let job = house.job(&task);
    let permit = strongroom_core::permit::Permit::trial(crate::house::run_id(), &job.plan);
    added(&house, folder.path(), b"2");
    let refused = house.local.prepare(permit, job).await.err().unwrap();
    assert!(matches!(refused, PrepareError::RuntimeChanged), "{refused}");
    house.local.runtimes().remove(&"own".parse().unwrap());
    let unknown = house.local.pin(&"own".parse().unwrap()).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no runtime own here");
}

#[tokio::test]
async fn a_main_program_of_ones_own_runs_the_entry() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let toml = "command = [\"/bin/sh\", \"-c\", \"{main_program}\", \"own\", \"{entry}\"]\n\
        main_program = \"main.sh\"\n[function]\nsuffix = \".txt\"\nmain = \"main.txt\"\n";
    fs::write(folder.path().join("runtime.toml"), toml).unwrap();
    let main = "echo '{entry}' runs; cat \"/function/$1\"; exit 3";
    fs::write(folder.path().join("main.sh"), main).unwrap();
    added(&house, folder.path(), b"1");
    let outcome = house
        .run(Task::file("main.txt", "text").runs_on("own"))
        .await;
    assert_eq!(outcome.stdout(), "{entry} runs\ntext");
    let code = Reason::Failed {
        exit_code: Some(3),
        signal: None,
    };
    assert_eq!(*outcome.reason(), code);
}

#[tokio::test]
async fn every_function_can_import_the_package_and_none_can_change_it() {
    let house = House::new();
    let _folder = add(&house, "", &[("bird.py", "")]);
    let code = "import strongroom\n\
        def transform(data, ctx):\n\
        \x20   faults = []\n\
        \x20   for path in (strongroom.__file__, '/kit/strongroom/more.py', '/kit/x.py'):\n\
        \x20       try: open(path, 'w')\n\
        \x20       except OSError as error: faults.append(error.errno)\n\
        \x20   return [strongroom.__file__, strongroom.args(), faults]\n";
    let expected = json!(["/kit/strongroom/__init__.py", {}, [30, 30, 30]]);
    let plain = house.run(Task::python(code)).await;
    assert_eq!(plain.value(), expected);
    let based = house.run(Task::python(code).runs_on("own")).await;
    assert_eq!(based.value(), expected);
    let _folder = add(&house, "", &[("strongroom.py", "args = 'own'")]);
    let own = "import strongroom\ndef transform(data, ctx):\n    return strongroom.args\n";
    let shadowed = house.run(Task::python(own).runs_on("own")).await;
    assert_eq!(shadowed.value(), json!("own"));
}
