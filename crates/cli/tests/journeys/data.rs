//! Pushing and reading back.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    process::Command,
};

use serde_json::json;

use crate::{
    relay::Relay,
    station::{Station, example, said, snapshot},
};

#[test]
fn a_file_is_pushed_listed_and_read_back() {
    let station = Station::start();
    let lab = station.user("lab");
    let csv = example("penguins.csv");
    snapshot!(lab.does(&["dataset", "push", "lab/penguins", &csv, "-m", "344 penguins"]), @r"
    lab/penguins@sha256:DIGEST
    ---- stderr
    Pushed: 1 file, 14.9 KiB, 1 sent.
    ");
    snapshot!(lab.does(&["dataset", "push", "lab/penguins", &csv, "-m", "again"]), @r"
    lab/penguins@sha256:DIGEST
    ---- stderr
    Nothing changed: 1 file, 14.9 KiB, 0 sent.
    ");
    snapshot!(lab.does(&["dataset", "list"]), @r"
    DATASET       VERSIONS  NEWEST               PUSHED                SIZE      MESSAGE
    lab/penguins  1         sha256:SHORT  TIME  14.9 KiB  344 penguins
    ");
    snapshot!(lab.does(&["dataset", "log", "lab/penguins"]), @r"
    lab/penguins@sha256:DIGEST
      TIME, 1 file, 14.9 KiB
      344 penguins
    ");
    snapshot!(lab.does(&["dataset", "show", "lab/penguins"]), @r"
    dataset  lab/penguins
    version  sha256:DIGEST
    pushed   TIME
    message  344 penguins
    rows     344 rows of csv in penguins.csv

    COLUMN             TYPE     NULLS  DISTINCT  MIN     MAX
    species            string   0      ~3        Adelie  Gentoo
    island             string   0      ~3        Biscoe  Torgersen
    bill_length_mm     number   2      ~164      32.1    59.6
    bill_depth_mm      number   2      ~80       13.1    21.5
    flipper_length_mm  integer  2      ~55       172     231
    body_mass_g        integer  2      ~94       2700    6300
    sex                string   0      ~3        NA      male
    year               integer  0      ~3        2007    2009

    FILE          SIZE      DIGEST
    penguins.csv  14.9 KiB  sha256:DIGEST
    ");
    let back = lab.does(&["dataset", "get", "lab/penguins"]);
    assert_eq!(back.out, std::fs::read_to_string(csv).unwrap());
}

#[test]
fn a_folder_goes_there_and_back_whole() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    place.file("tree/.hidden/a", "1");
    place.file("tree/empty", "");
    place.file("tree/deep/er/ü # ? % name.bin", [0, 159, 146, 150]);
    place.file("tree/large", vec![7; 3 << 20]);
    place.file("tree/twin", vec![7; 3 << 20]);
    let tree = place.path("tree").to_string_lossy().into_owned();
    snapshot!(lab.does(&["dataset", "push", "lab/tree", &tree]), @r"
    lab/tree@sha256:DIGEST
    ---- stderr
    Pushed: 5 files, 6.0 MiB, 4 sent.
    ");
    snapshot!(lab.tries(&["dataset", "get", "lab/tree"]), @r"
    ---- stderr
    error: it has 5 files
    hint: name one, or give `--out DIR` for all
    ---- exit code 2
    ");
    snapshot!(lab.does(&["dataset", "get", "lab/tree", "--out", "back"]), @r"
    ---- stderr
    5 files of lab/tree in back, 5 written.
    ");
    let same = Command::new("diff")
        .arg("-r")
        .arg(&tree)
        .arg(place.path("back"))
        .status();
    assert!(same.unwrap().success());
    assert_eq!(
        lab.does(&["dataset", "get", "lab/tree", ".hidden/a"]).out,
        "1"
    );
    // What is there already is told apart by its content.
    std::fs::remove_file(place.path("back/empty")).unwrap();
    snapshot!(lab.does(&["dataset", "get", "lab/tree", "--out", "back"]), @r"
    ---- stderr
    5 files of lab/tree in back, 1 written.
    ");
    place.file("back/twin", "mine");
    std::fs::remove_file(place.path("back/empty")).unwrap();
    let refused = lab.cannot(&["dataset", "get", "lab/tree", "--out", "back"]);
    assert!(refused.contains("back/twin is there already"), "{refused}");
    assert!(
        !place.path("back/empty").exists(),
        "nothing is half written"
    );
    // One changed file is all that is sent.
    place.file("tree/deep/new", "2");
    let pushed = lab.does(&["dataset", "push", "lab/tree", &tree]).err;
    assert!(pushed.contains("6 files, 6.0 MiB, 1 sent."), "{pushed}");
    let before = lab.reads(&["dataset", "show", "lab/tree~1"]);
    assert_eq!(before["file_count"], json!(5));
}

#[test]
fn a_push_that_broke_off_goes_on_with_what_is_missing() {
    let station = Station::start();
    let lab = station.user("lab");
    for number in 0..40 {
        station
            .place
            .file(&format!("tree/{number}"), format!("file {number}"));
    }
    let tree = station.place.path("tree").to_string_lossy().into_owned();
    // About half of what the push takes.
    let relay = Relay::cut_after(&station.url, 10_000);
    let mut command = lab.command(&["dataset", "push", "lab/tree", &tree]);
    let broken = said(command.env("STRONGROOM_URL", &relay.url));
    assert_eq!(broken.code, 2, "{broken}");
    assert_eq!(lab.reads(&["dataset", "list"]), json!({ "items": [] }));
    let again = lab.does(&["dataset", "push", "lab/tree", &tree]).err;
    let sent = again
        .trim()
        .strip_suffix(" sent.")
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    assert!((1..40).contains(&sent.parse().unwrap()), "{again}");
}

#[test]
fn nothing_is_written_outside_of_the_folder() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    place.file("tree/sub/a", "theirs");
    place.file("outside/a", "mine");
    let tree = place.path("tree").to_string_lossy().into_owned();
    lab.does(&["dataset", "push", "lab/tree", &tree]);
    std::fs::create_dir(place.path("back")).unwrap();
    symlink(place.path("outside"), place.path("back/sub")).unwrap();
    lab.cannot(&["dataset", "get", "lab/tree", "--out", "back", "--force"]);
    assert_eq!(std::fs::read(place.path("outside/a")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(place.path("outside")).unwrap().count(), 1);
}

#[test]
fn what_is_no_plain_file_is_refused_by_its_name() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    let refused = |folder: &str| {
        let path = place.path(folder).to_string_lossy().into_owned();
        lab.tries(&["dataset", "push", "lab/x", &path])
    };
    place.file("link/a", "1");
    symlink("/etc/passwd", place.path("link/b")).unwrap();
    snapshot!(refused("link"), @r"
    ---- stderr
    error: DIR/link/b is a symbolic link; only regular files and folders are taken
    ---- exit code 2
    ");
    place.file("pipe/a", "1");
    let made = Command::new("mkfifo").arg(place.path("pipe/b")).status();
    assert!(made.unwrap().success());
    snapshot!(refused("pipe"), @r"
    ---- stderr
    error: DIR/pipe/b is a special file; only regular files and folders are taken
    ---- exit code 2
    ");
    place.file("odd/a", "1");
    std::fs::write(
        place.path("odd").join(OsStr::from_bytes(b"\xff\x1b[2J")),
        "1",
    )
    .unwrap();
    snapshot!(refused("odd"), @r##"
    ---- stderr
    error: DIR/odd/�\u{1b}[2J: path `�\u{1b}[2J`: is not UTF-8
    ---- exit code 2
    "##);
    place.file("case/a", "1");
    place.file("case/A", "1");
    snapshot!(refused("case"), @r"
    ---- stderr
    error: DIR/case: paths `A` and `a` differ only in case
    ---- exit code 2
    ");
    std::fs::create_dir(place.path("empty")).unwrap();
    snapshot!(refused("empty"), @r"
    ---- stderr
    error: DIR/empty: there are no files
    ---- exit code 2
    ");
    snapshot!(refused("none"), @r"
    ---- stderr
    error: could not read DIR/none: No such file or directory (os error 2)
    ---- exit code 2
    ");
    let none = lab.reads(&["dataset", "list"]);
    assert_eq!(none, json!({ "items": [] }));
}

#[test]
fn a_function_that_could_not_run_is_refused_when_it_is_pushed() {
    let station = Station::start();
    let devs = station.user("devs");
    let place = &station.place;
    let wrong = "# /// script\n# [tool.strongroom]\n# limits.memroy = 3\n# ///\n";
    let file = place.file("f.py", wrong);
    snapshot!(devs.tries(&["function", "push", "devs/f", &file]), @r"
    ---- stderr
    error: f.py: [tool.strongroom]: unknown field `memroy`, expected one of `cpu`, `memory`, `time`, `processes`, `out`, `out_files`, `log`, `tmp`
    ---- exit code 2
    ");
    let large = place.file("large.py", vec![b'#'; (16 << 20) + 1]);
    snapshot!(devs.tries(&["function", "push", "devs/f", &large]), @r"
    ---- stderr
    error: DIR/large.py is larger than 16777216 bytes
    ---- exit code 2
    ");
    let file = place.file("g.py", "print(1)\n");
    snapshot!(devs.tries(&["function", "push", "lab/f", &file]), @r"
    ---- stderr
    error: you are devs, and only lab can push lab/f
    ---- exit code 2
    ");
    snapshot!(devs.does(&["function", "push", "devs/g", &file, "-m", "first"]), @r"
    devs/g@sha256:DIGEST
    ---- stderr
    Pushed: python3 runs g.py.
    ");
    snapshot!(devs.does(&["function", "show", "devs/g"]), @r"
    function     devs/g
    version      sha256:DIGEST
    pushed       TIME
    message      first
    runtime      python3, g.py
    limits       cpu 1, memory 256 MiB, time 30 s, processes 64, out 64 MiB in 1000 files, log 1 MiB, tmp 64 MiB

    --- g.py
        1  print(1)
    ");
    snapshot!(devs.does(&["function", "list"]), @r"
    FUNCTION  VERSIONS  NEWEST               PUSHED                RUNTIME  DESCRIPTION
    devs/g    1         sha256:SHORT  TIME  python3
    ");
    let guest = station.user("guest");
    let page = guest.does(&["function", "show", "devs/g"]).out;
    assert!(!page.contains("print(1)"), "{page}");
}
