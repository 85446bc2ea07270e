//! Datasets with a history: what versions say, their rows, what changed.

use crate::station::{Station, snapshot};

const FIRST: &str = "id,species,mass_g\n1,Adelie,3750\n2,Gentoo,5000\n3,Adelie,\n";
const SECOND: &str = "id,species,mass_g\n1,Adelie,3700\n3,Adelie,\n4,Chinstrap,3500\n";

#[test]
fn versions_of_a_dataset_are_described_compared_and_brought_back() {
    let station = Station::start();
    let lab = station.user("lab");
    let place = &station.place;
    place.file("p.csv", FIRST);
    place.file(
        "meta.toml",
        "title = \"Penguins\"\nlicense = \"CC0-1.0\"\nstation = 3\n",
    );
    place.file("README.md", "# Penguins\nOf three islands.\n");
    snapshot!(lab.does(&["dataset", "push", "lab/p", "p.csv", "--title", "first", "-m", "three",
        "--meta", "meta.toml", "--readme", "README.md"]), @r"
    lab/p@sha256:DIGEST
    ---- stderr
    Pushed: 1 file, 56 B, 1 sent.
    ");
    place.file("p.csv", SECOND);
    snapshot!(lab.does(&["dataset", "push", "lab/p", "p.csv"]), @r"
    lab/p@sha256:DIGEST
    ---- stderr
    Pushed: 1 file, 59 B, 1 sent.
    ");
    snapshot!(lab.does(&["dataset", "show", "lab/p"]), @r"
    dataset  lab/p
    version  sha256:DIGEST
    after    sha256:DIGEST
    pushed   TIME
    meta     Penguins
    license  CC0-1.0
             station: 3
    readme   `strongroom dataset show --readme lab/p`
    rows     3 rows of csv in p.csv

    COLUMN   TYPE     NULLS  DISTINCT  MIN     MAX
    id       integer  0      ~3        1       4
    species  string   0      ~2        Adelie  Chinstrap
    mass_g   integer  1      ~2        3500    3700

    FILE   SIZE  DIGEST
    p.csv  59 B  sha256:DIGEST
    ");
    snapshot!(lab.does(&["dataset", "show", "lab/p", "--readme"]), @r"
    # Penguins
    Of three islands.
    ");
    snapshot!(lab.does(&["dataset", "log", "lab/p"]), @r"
    lab/p@sha256:DIGEST
      TIME, 1 file, 59 B
    lab/p@sha256:DIGEST
      TIME, 1 file, 56 B
      first
      three
    ");
    snapshot!(lab.does(&["dataset", "diff", "lab/p~1", "lab/p", "--key", "id"]), @r#"
    - 1 {"id":1,"mass_g":3750,"species":"Adelie"}
    + 1 {"id":1,"mass_g":3700,"species":"Adelie"}
    - 2 {"id":2,"mass_g":5000,"species":"Gentoo"}
    + 3 {"id":4,"mass_g":3500,"species":"Chinstrap"}
    ---- stderr
    1 added, 1 removed, 1 changed; 3 before, 3 after.
    "#);
    snapshot!(lab.does(&["dataset", "get", "lab/p", "--format", "ndjson", "--rows", "1..3"]), @r#"
    {"id":3,"species":"Adelie","mass_g":null}
    {"id":4,"species":"Chinstrap","mass_g":3500}
    "#);
    place.file(
        "law.json",
        r#"{"columns":[{"name":"id","type":"integer"},
        {"name":"species","type":"string"},
        {"name":"mass_g","type":"integer","nullable":false}]}"#,
    );
    snapshot!(lab.tries(&["dataset", "validate", "lab/p", "--structure", "law.json"]), @r"
    ROW  COLUMN  FAULT
    2    mass_g  a value is absent
    ---- stderr
    3 rows, 1 fault.
    ---- exit code 1
    ");
    snapshot!(lab.tries(&["dataset", "push", "lab/p", "p.csv", "--structure", "law.json"]), @r"
    ---- stderr
    error: the body is not as its structure says: p.csv: row 2, `mass_g`: a value is absent
    hint: `--structure FILE` gives another one, `--drop structure` none
    ---- exit code 2
    ");
    snapshot!(lab.does(&["dataset", "restore", "lab/p~1"]), @r"
    lab/p@sha256:DIGEST
    ");
    snapshot!(lab.does(&["dataset", "rename", "lab/p", "birds"]), @r"
    ---- stderr
    lab/p is lab/birds now, with 3 versions.
    ");
    snapshot!(lab.does(&["dataset", "remove", "lab/birds"]), @r"
    ---- stderr
    lab/birds is removed.
    ");
}

#[test]
fn a_body_without_rows_is_pushed_and_the_push_says_why() {
    let station = Station::start();
    let lab = station.user("lab");
    station.place.file("bad.csv", "a,b\n1\n");
    snapshot!(lab.does(&["dataset", "push", "lab/bad", "bad.csv"]), @r"
    lab/bad@sha256:DIGEST
    ---- stderr
    Pushed: 1 file, 6 B, 1 sent.
    No rows can be read: bad.csv: line 2 has 1 fields where the first record has 2
    ");
    snapshot!(lab.tries(&["dataset", "get", "lab/bad", "--format", "json"]), @r"
    ---- stderr
    error: it has no rows that can be read: line 2 has 1 fields where the first record has 2
    ---- exit code 2
    ");
}
