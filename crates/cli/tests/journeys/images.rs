//! Images by command line: taken in, named by a runtime, used, cleared away.

use std::{fs, path::Path, process::Command};

use crate::station::{Place, Station, snapshot};

/// A folder that is a root with the host's shell in it and little else.
fn root(place: &Place, name: &str, marker: &str) -> String {
    let root = place.path(name);
    for program in ["/bin/sh", "/bin/ls", "/bin/cat"] {
        let real = fs::canonicalize(program).unwrap();
        let at = Path::new("/usr/bin").join(Path::new(program).file_name().unwrap());
        copy(&real, &root, &at);
        let listed = Command::new("ldd").arg(&real).output().unwrap();
        for word in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
            if word.starts_with('/') {
                copy(&fs::canonicalize(word).unwrap(), &root, Path::new(word));
            }
        }
    }
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    fs::create_dir_all(root.join("opt")).unwrap();
    fs::write(root.join("opt/marker"), marker).unwrap();
    root.display().to_string()
}

fn copy(from: &Path, root: &Path, at: &Path) {
    let to = root.join(at.strip_prefix("/").unwrap());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[test]
fn a_runtime_on_an_image_runs_functions_and_keeps_its_image() {
    let station = Station::start();
    let place = &station.place;
    let home = place.home().display().to_string();
    let (admin, devs) = (station.admin(), station.user("devs"));
    let import = |name: &str, marker: &str| {
        let folder = root(place, name, marker);
        let said = place.run(&[
            "runtime", "import", &folder, "--name", "tiny", "--home", &home,
        ]);
        assert!(said.err.contains("image = \"sha256:"), "{}", said.err);
        said.out.trim().to_owned()
    };
    let first = import("root", "first");
    let toml = |image: &str| {
        place.file(
            "tiny/runtime.toml",
            format!("base = \"sh\"\nimage = \"{image}\"\n"),
        )
    };
    toml(&first);
    admin.does(&["runtime", "add", "tiny"]);
    let shown = devs.does(&["runtime", "show", "tiny"]).out;
    assert!(shown.contains(&format!("image        {first}")), "{shown}");
    place.file("f/strongroom.toml", "runtime = \"tiny\"\n");
    place.file("f/main.sh", "cat /opt/marker; ls /usr\n");
    devs.does(&[
        "function",
        "push",
        "devs/f",
        &place.path("f").display().to_string(),
    ]);
    let said = devs.does(&["run", "devs/f"]);
    assert!(
        said.err.contains("first") && !said.err.contains("share"),
        "{}",
        said.err
    );
    // Another image takes the name; the runtime's own stays.
    let second = import("other", "second");
    assert_ne!(first, second);
    let gc = place.run(&["runtime", "gc", "--all", "--home", &home]);
    assert!(gc.err.contains("Cleared away 1 image"), "{}", gc.err);
    let said = devs.does(&["run", "devs/f"]);
    assert!(said.err.contains("first"), "{}", said.err);
    // What is cleared away is no runtime any more.
    toml(&second);
    let refused = admin.cannot(&["runtime", "add", "tiny", "--replace"]);
    assert!(refused.contains("there is no image `sha256:"), "{refused}");
    assert!(devs.does(&["run", "devs/f"]).err.contains("first"));
    let again = station.kill();
    let station = Station::start_in(again);
    let devs = station.user("others");
    let shown = devs.does(&["runtime", "show", "tiny"]).out;
    assert!(shown.contains(&first), "{shown}");
}

#[test]
fn an_archive_goes_out_and_comes_in_as_the_same_image() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let folder = root(&place, "root", "here");
    let imported = place.run(&[
        "runtime", "import", &folder, "--name", "tiny", "--home", &home,
    ]);
    let archive = place.path("image.tar").display().to_string();
    let export = ["runtime", "export", "tiny", "-o", &archive, "--home", &home];
    place.run(&export);
    snapshot!(place.run(&export), @r"
    ---- stderr
    error: could not write the output: File exists (os error 17)
    ---- exit code 2
    ");
    let other = place.path("elsewhere").display().to_string();
    let again = place.run(&["runtime", "import", &archive, "--home", &other]);
    assert_eq!(again.out, imported.out);
    place.file(
        "not-an-image",
        "not an image, and long enough to be looked at",
    );
    let wrong = place.path("not-an-image").display().to_string();
    let said = place.run(&["runtime", "import", &wrong, "--home", &home]);
    assert!(
        said.err.starts_with("error: the archive cannot be read"),
        "{}",
        said.err
    );
    snapshot!(place.run(&["runtime", "export", "absent", "-o", "x.tar", "--home", &home]), @r"
    ---- stderr
    error: there is no image `absent` here
    hint: `strongroom runtime images` lists those that are here
    ---- exit code 2
    ");
    let listed = place.run(&["runtime", "images", "--home", &home]).out;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(
        lines[1].contains(&imported.out[..19]) && lines[1].contains("tiny"),
        "{listed}"
    );
}

#[test]
fn a_function_goes_out_as_an_image_that_has_its_runtime_and_its_files() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let folder = root(&place, "root", "here");
    let image = place
        .run(&["runtime", "import", &folder, "--home", &home])
        .out;
    let toml = format!("base = \"sh\"\nimage = \"{}\"\n", image.trim());
    place.file("tiny/runtime.toml", toml);
    place.file("f/strongroom.toml", "runtime = \"tiny\"\n");
    place.file("f/main.sh", "cat /opt/marker\n");
    let (function, tiny) = (place.path("f"), place.path("tiny"));
    let (function, tiny) = (function.display().to_string(), tiny.display().to_string());
    let export = |name: &str| {
        let to = place.path(name).display().to_string();
        let words = [
            "function",
            "export",
            &function,
            "--runtime-folder",
            &tiny,
            "-o",
            &to,
            "--home",
            &home,
        ];
        let said = place.run(&words);
        (said.out.trim().to_owned(), to)
    };
    let (digest, archive) = export("one.tar");
    assert!(digest.starts_with("sha256:"), "{digest}");
    let (again, other) = export("two.tar");
    assert_eq!(digest, again);
    assert_eq!(fs::read(&archive).unwrap(), fs::read(other).unwrap());
    let elsewhere = place.path("elsewhere").display().to_string();
    place.run(&["runtime", "import", &archive, "--home", &elsewhere]);
    let roots = fs::read_dir(place.path("elsewhere/images/roots")).unwrap();
    let root = roots.flatten().next().unwrap().path().join("tree");
    assert_eq!(
        fs::read_to_string(root.join("function/main.sh")).unwrap(),
        "cat /opt/marker\n"
    );
    assert_eq!(fs::read_to_string(root.join("opt/marker")).unwrap(), "here");
    place.file("plain.sh", "echo\n");
    let plain = place.path("plain.sh").display().to_string();
    snapshot!(place.run(&["function", "export", &plain, "-o", "x.tar", "--home", &home]), @r"
    ---- stderr
    error: the runtime sh runs on the host's /usr, and so there is nothing to build on
    ---- exit code 2
    ");
}
