//! The main job, end to end.

use serde_json::json;

use crate::station::{Station, example, read_until, rest, snapshot, text};

const ASK: [&str; 5] = [
    "devs/mean-mass",
    "--on",
    "lab/penguins",
    "--arg",
    "by=species",
];

#[test]
fn a_run_waits_for_the_owner_and_then_starts_by_itself() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    let mut asking = guest
        .command(
            &[
                &["run"],
                &ASK[..],
                &["--purpose", "a paper", "--out", "result"],
            ]
            .concat(),
        )
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let waits = read_until(&mut asking, "waits for lab");
    snapshot!(waits, @"run-ID waits for lab (req-ID); once approved it starts by itself");
    snapshot!(lab.does(&["request", "list"]), @r"
    REQUEST                         STATE    ASKED                 BY     FUNCTION        ON            PURPOSE
    req-ID  pending  TIME  guest  devs/mean-mass  lab/penguins  a paper
    ");
    let request = text(&lab.reads(&["request", "list"])["items"][0], "id");
    snapshot!(lab.does(&["request", "show", &request]), @r##"
    request    req-ID, pending
    asked      TIME
    by         guest, who gets the result
    function   devs/mean-mass@sha256:DIGEST
    purpose    a paper
    reads      /data is lab/penguins@sha256:DIGEST
    arguments  {"by":"species"}
    limits     cpu 1, memory 64 MiB, time 10 s, processes 64, out 64 MiB in 1000 files, log 1 MiB, tmp 64 MiB
    stages     transform (sees the data, has no network)
    runtime    python3 sha256:DIGEST
    entry      mean_mass.py
    plan       sha256:DIGEST
    run        run-ID
    answer     lab: pending

    You have not approved a version of this function before.

    The source that would run:
    --- mean_mass.py
        1  # /// script
        2  # requires-python = ">=3.9"
        3  # [tool.strongroom]
        4  # description = "Mean body mass of penguins, by species, island, sex or year"
        5  #
        6  # [tool.strongroom.args]
        7  # type = "object"
        8  # required = ["by"]
        9  # additionalProperties = false
       10  # properties.by = { enum = ["species", "island", "sex", "year"] }
       11  #
       12  # [tool.strongroom.limits]
       13  # memory = "64 MiB"
       14  # time = "10s"
       15  # ///
       16  """Mean body mass by group: a table in /out, and the same as the returned value.
       17
       18  Penguins whose mass is not known are left out and counted.
       19  """
       20
       21  import csv
       22  from collections import defaultdict
       23
       24
       25  def transform(data, ctx):
       26      by = ctx.args["by"]
       27      masses, unknown = defaultdict(list), 0
       28      for row in data.rows():
       29          try:
       30              masses[row[by]].append(float(row["body_mass_g"]))
       31          except ValueError:
       32              unknown += 1
       33      print(f"{sum(map(len, masses.values()))} penguins weighed, {unknown} not")
       34
       35      means = {group: round(sum(of) / len(of), 1) for group, of in sorted(masses.items())}
       36      with open(ctx.out / "mean_mass.csv", "w", newline="") as file:
       37          table = csv.writer(file)
       38          table.writerow([by, "penguins", "mean_mass_g"])
       39          table.writerows([group, len(masses[group]), mean] for group, mean in means.items())
       40      return {"by": by, "mean_mass_g": means}
    "##);
    snapshot!(lab.does(&["request", "approve", &request, "--uses", "2"]), @r"
    ---- stderr
    req-ID is approved; run-ID starts by itself
    ");
    snapshot!(rest(asking), @r##"
    {
      "by": "species",
      "mean_mass_g": {
        "Adelie": 3700.7,
        "Chinstrap": 3733.1,
        "Gentoo": 5076.0
      }
    }
    ---- stderr
    approved
    | 342 penguins weighed, 2 not
    succeeded: USAGE, 180 B out
      result/mean_mass.csv, 89 B, sha256:DIGEST
    "##);
    let written = std::fs::read_to_string(station.place.path("result/mean_mass.csv")).unwrap();
    assert_eq!(
        written.replace('\r', ""),
        "species,penguins,mean_mass_g\nAdelie,151,3700.7\nChinstrap,68,3733.1\nGentoo,123,5076.0\n"
    );
    snapshot!(guest.does(&[&["run"], &ASK[..]].concat()), @r##"
    {
      "by": "species",
      "mean_mass_g": {
        "Adelie": 3700.7,
        "Chinstrap": 3733.1,
        "Gentoo": 5076.0
      }
    }
    ---- stderr
    | 342 penguins weighed, 2 not
    succeeded: USAGE, 180 B out
      mean_mass.csv, 89 B, sha256:DIGEST
    `strongroom output run-ID --out DIR` fetches the files
    "##);
    let (run, _) = guest.asks(&ASK);
    assert_eq!(
        guest.reads(&["status", &run])["state"],
        "waiting",
        "the two uses are gone"
    );
    snapshot!(guest.does(&["runs"]), @r"
    RUN                             FUNCTION        ASKED                 STATE
    run-ID  devs/mean-mass  TIME  waits for lab
    run-ID  devs/mean-mass  TIME  succeeded
    run-ID  devs/mean-mass  TIME  succeeded
    ");
}

#[test]
fn what_came_out_of_a_run_can_be_looked_at_later() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    let (run, request) = guest.asks(&ASK);
    snapshot!(guest.tries(&["status", &run]), @r"
    run       run-ID
    state     waits for lab
    function  devs/mean-mass
    caller    guest
    request   req-ID
    plan      sha256:DIGEST
    asked     TIME
    ");
    snapshot!(guest.tries(&["output", &run]), @r"
    ---- stderr
    error: run-ID has not ended
    hint: `strongroom status run-ID --wait 10m` waits for it
    ---- exit code 2
    ");
    lab.does(&["request", "approve", &request]);
    snapshot!(guest.does(&["status", &run, "--wait", "30s"]), @r"
    run       run-ID
    state     succeeded
    function  devs/mean-mass
    caller    guest
    request   req-ID
    plan      sha256:DIGEST
    asked     TIME
    started   TIME
    ended     TIME
    used      USAGE, 180 B out
    files     1 file
    sandbox   full, 15 walls
    ");
    snapshot!(guest.does(&["output", &run]), @r##"
    {
      "by": "species",
      "mean_mass_g": {
        "Adelie": 3700.7,
        "Chinstrap": 3733.1,
        "Gentoo": 5076.0
      }
    }
    ---- stderr
    succeeded: USAGE, 180 B out
      mean_mass.csv, 89 B, sha256:DIGEST
    "##);
    snapshot!(guest.does(&["output", &run, "mean_mass.csv"]), @r"
    species,penguins,mean_mass_g
    Adelie,151,3700.7
    Chinstrap,68,3733.1
    Gentoo,123,5076.0
    ");
    snapshot!(guest.does(&["logs", &run]), @"342 penguins weighed, 2 not");
    assert_eq!(
        guest.does(&["logs", &run, "--follow"]).out,
        guest.does(&["logs", &run]).out
    );
    let line = guest.reads(&["logs", &run]);
    assert_eq!(
        (&line["seq"], &line["stream"]),
        (&json!(1), &json!("stdout"))
    );
    guest.does(&["output", &run, "--out", "kept"]);
    std::fs::write(station.place.path("kept/mean_mass.csv"), "mine").unwrap();
    let refused = guest.cannot(&["output", &run, "--out", "kept"]);
    assert!(refused.contains("is there already"), "{refused}");
    assert_eq!(
        std::fs::read(station.place.path("kept/mean_mass.csv")).unwrap(),
        b"mine"
    );
    guest.does(&["output", &run, "--out", "kept", "--force"]);
}

#[test]
fn one_changed_byte_is_asked_again_and_the_owner_sees_the_difference() {
    let station = Station::start();
    let [lab, devs, guest] = station.people();
    let (_, request) = guest.asks(&ASK);
    lab.does(&["request", "approve", &request]);
    guest.does(&[&["run"], &ASK[..]].concat());
    let source = std::fs::read_to_string(example("mean_mass.py")).unwrap();
    let edited = station
        .place
        .file("mean_mass.py", source + "# and one more line\n");
    devs.does(&["function", "push", "devs/mean-mass", &edited]);
    let (run, request) = guest.asks(&ASK);
    assert_eq!(guest.reads(&["status", &run])["waits_for"], json!(["lab"]));
    let page = lab.does(&["request", "show", &request]).out;
    let changes = page
        .split("\nThe source")
        .next()
        .unwrap()
        .split("\n\n")
        .nth(1)
        .unwrap();
    snapshot!(changes, @r##"
    What changed since sha256:DIGEST, which you approved:
    --- a/mean_mass.py
    +++ b/mean_mass.py
    @@ -38,3 +38,4 @@
             table.writerow([by, "penguins", "mean_mass_g"])
             table.writerows([group, len(masses[group]), mean] for group, mean in means.items())
         return {"by": by, "mean_mass_g": means}
    +# and one more line
    "##);
    // The version before is still approved.
    let before = guest.reads(&[
        "run",
        "devs/mean-mass~1",
        "--on",
        "lab/penguins",
        "--arg",
        "by=species",
    ]);
    assert_eq!(before["reason"]["code"], "succeeded");
    snapshot!(lab.does(&["request", "reject", &request, "--reason", "why this change?"]), @r"
    ---- stderr
    req-ID is rejected
    ");
    let ended = guest.tries(&["status", &run]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("why this change?"), "{ended}");
    snapshot!(lab.does(&["request", "list", "--all"]), @r"
    REQUEST                         STATE     ASKED                 BY     FUNCTION        ON            PURPOSE
    req-ID  approved  TIME  guest  devs/mean-mass  lab/penguins
    req-ID  rejected  TIME  guest  devs/mean-mass  lab/penguins
    req-ID  approved  TIME  guest  devs/mean-mass  lab/penguins
    req-ID  approved  TIME  guest  devs/mean-mass  lab/penguins
    ");
}

#[test]
fn every_owner_is_asked_and_one_no_ends_it() {
    let station = Station::start();
    let [lab, devs, guest] = station.people();
    let zoo = station.user("zoo");
    let table = station.place.file("sizes.csv", "a\n1\n");
    zoo.does(&["dataset", "push", "zoo/sizes", &table]);
    let script = "def transform(data, ctx):\n    return sorted(data.names())\n";
    let both = station.place.file("both.py", script);
    devs.does(&["function", "push", "devs/both", &both]);
    let ask = ["devs/both", "--on", "p=lab/penguins", "--on", "s=zoo/sizes"];
    let (run, request) = guest.asks(&ask);
    snapshot!(lab.does(&["request", "approve", &request]), @r"
    ---- stderr
    req-ID is pending; it still waits for zoo
    ");
    assert_eq!(guest.reads(&["status", &run])["waits_for"], json!(["zoo"]));
    snapshot!(zoo.does(&["request", "approve", &request]), @r"
    ---- stderr
    req-ID is approved; run-ID starts by itself
    ");
    let ended = guest.reads(&["status", &run, "--wait", "30s"]);
    assert_eq!(ended["value"], json!(["p/penguins.csv", "s/sizes.csv"]));
    let (run, request) = guest.asks(&[&ask[..], &["--arg", "x=1"]].concat());
    lab.does(&["request", "approve", &request]);
    zoo.does(&["request", "reject", &request]);
    assert_eq!(guest.reads(&["status", &run])["reason"]["code"], "refused");
}

#[test]
fn an_approval_with_a_schema_covers_other_arguments() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    let (_, request) = guest.asks(&ASK);
    let schema = r#"{"properties":{"by":{"enum":["species","island"]}}}"#;
    let words = ["request", "approve", &request, "--args-schema", schema];
    let bounds = [
        "--until",
        "7d",
        "--limit",
        "time=5s",
        "--limit",
        "memory=32MiB",
    ];
    lab.does(&[&words[..], &bounds].concat());
    let on = ["run", "devs/mean-mass", "--on", "lab/penguins", "--arg"];
    guest.does(&[&on[..], &["by=island"]].concat());
    let (run, _) = guest.asks(&[&on[1..], &["by=sex"]].concat());
    assert_eq!(guest.reads(&["status", &run])["state"], "waiting");
    snapshot!(lab.does(&["request", "approvals"]), @r##"
    REQUEST                         FOR    USES LEFT  ENDS                  AT MOST      COVERS
    req-ID  guest  any        TIME  5 s, 32 MiB  function sha256:SHORT with {"properties":{"by":{"enum":["species","island"]}}}
    "##);
    lab.does(&["request", "revoke", &request]);
    let (run, _) = guest.asks(&[&on[1..], &["by=island"]].concat());
    assert_eq!(
        guest.reads(&["status", &run])["state"],
        "waiting",
        "it was taken back"
    );
}

#[test]
fn the_same_key_is_the_same_run() {
    let station = Station::start();
    let [_, _, guest] = station.people();
    let keyed = [&ASK[..], &["--idempotency-key", "once"]].concat();
    assert_eq!(guest.asks(&keyed), guest.asks(&keyed));
    assert_ne!(guest.asks(&keyed), guest.asks(&ASK));
}
