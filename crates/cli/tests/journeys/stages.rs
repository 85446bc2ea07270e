//! A function in stages by command line: refused, asked for, shown in red,
//! named by the owner, and what it exposed.

use crate::station::{Place, Station, snapshot, text};

const FUNCTION: &str = r#"# /// script
# [tool.strongroom.download]
# hosts = ["api.example.org", "*.example.net:8443"]
# ///
def expose(data, ctx):
    return {"rows": len(data.text().splitlines()) - 1}

def download(ctx):
    return {"asked": ctx.expose}

def transform(data, ctx):
    return ctx.download
"#;

#[test]
fn a_function_that_exposes_is_refused_asked_for_and_named_by_the_owner() {
    let station = Station::start();
    let [lab, devs, guest] = station.people();
    let source = station.place.file("exposing.py", FUNCTION);
    devs.does(&["function", "push", "devs/exposing", &source]);
    let run = ["run", "devs/exposing", "--on", "lab/penguins"];
    snapshot!(guest.tries(&run), @r##"
    ---- stderr
    error: this function defines `expose`, which sends data to its network stage; that is off unless the data's owners allow it
    hint: `--expose` asks the owners of the data
    ---- exit code 2
    "##);
    let asked = guest.reads(&[&run[..], &["--expose", "--detach"]].concat());
    let (run, request) = (text(&asked, "id"), text(&asked, "request"));
    let shown = lab.does(&["request", "show", &request]).out;
    snapshot!(shown.split("\nYou have not").next().unwrap(), @r##"
    !! EXPOSES DATA: what `expose` of this function makes of your data goes to its stage
    !! `download`, which has a network. Read `expose` below. If that may leave, approve with
    !! `strongroom request approve --expose`; without `--expose` it does not run.
    !! That stage can reach api.example.org, *.example.net:8443 by GET, HEAD.

    request    req-ID, pending
    asked      TIME
    by         guest, who gets the result
    function   devs/exposing@sha256:DIGEST
    reads      /data is lab/penguins@sha256:DIGEST
    arguments  {}
    limits     cpu 1, memory 256 MiB, time 30 s, processes 64, out 64 MiB in 1000 files, log 1 MiB, tmp 64 MiB
    stages     expose (sees the data, has no network, hands one value to download), download (has a network, does not see the data), transform (sees the data, has no network)
    network    api.example.org, *.example.net:8443 by GET, HEAD
    runtime    python3 sha256:DIGEST
    entry      exposing.py
    plan       sha256:DIGEST
    run        run-ID
    answer     lab: pending
    "##);
    snapshot!(lab.tries(&["request", "approve", &request]), @r##"
    ---- stderr
    error: this function defines `expose`, which sends data to its network stage; that is off unless the data's owners allow it
    hint: `--expose` names it; read first what the request shows
    ---- exit code 2
    "##);
    snapshot!(lab.does(&["request", "approve", &request, "--expose"]), @r##"
    ---- stderr
    req-ID is approved; run-ID starts by itself
    "##);
    snapshot!(guest.does(&["status", &run, "--wait", "60s"]), @r##"
    run       run-ID
    state     succeeded
    function  devs/exposing
    caller    guest
    request   req-ID
    plan      sha256:DIGEST
    asked     TIME
    started   TIME
    ended     TIME
    used      USAGE, 61 B out
    stage     expose succeeded: USAGE, 13 B out; handed on 12 B, sha256:DIGEST
    stage     download succeeded: USAGE, 24 B out; handed on 22 B, sha256:DIGEST
    stage     transform succeeded: USAGE, 24 B out
    sandbox   full, 15 walls
    "##);
    snapshot!(guest.does(&["output", &run]), @r##"
    {
      "asked": {
        "rows": 344
      }
    }
    ---- stderr
    succeeded: USAGE, 61 B out
    "##);
    snapshot!(lab.does(&["output", &run, "--exposed"]), @r#"{"rows":344}"#);
    snapshot!(lab.does(&["request", "approvals"]), @r##"
    REQUEST                         FOR    USES LEFT  ENDS   AT MOST        COVERS
    req-ID  guest  any        never  30 s, 256 MiB  plan sha256:SHORT, and `expose`
    "##);
    snapshot!(lab.does(&["request", "revoke", &request]), @r##"
    ---- stderr
    req-ID is revoked
    "##);
    snapshot!(guest.tries(&["output", &run]), @r##"
    ---- stderr
    succeeded
      an owner of the data does not allow it any more, so what came out is not shown
    "##);
    snapshot!(guest.tries(&["logs", &run]), @r##"
    ---- stderr
    error: an owner of the data does not allow it any more, so nothing of what came out is shown
    ---- exit code 2
    "##);
    snapshot!(guest.tries(&["output", &run, "--exposed"]), @r##"
    ---- stderr
    error: an owner of the data does not allow it any more, so nothing of what came out is shown
    ---- exit code 2
    "##);
}

#[test]
fn a_function_that_exposes_is_tried_at_home_only_when_that_is_said() {
    let place = Place::new();
    place.file("exposing.py", FUNCTION);
    place.file("data.csv", "a\n1\n2\n");
    let run = ["run", "./exposing.py", "--on", "./data.csv"];
    snapshot!(place.run(&run), @r##"
    ---- stderr
    error: this function defines `expose`, which sends data to its network stage; that is off unless the data's owners allow it
    hint: `--transform-expose-all-datasets` lets it, since all of this is yours
    ---- exit code 2
    "##);
    let all = [&run[..], &["--transform-expose-all-datasets"]].concat();
    snapshot!(place.run(&all), @r##"
    {
      "asked": {
        "rows": 2
      }
    }
    ---- stderr
    succeeded: USAGE, 55 B out
      on python3 sha256:DIGEST
    "##);
    place.file(
        "failing.py",
        FUNCTION.replace("return {\"asked\": ctx.expose}", "raise ValueError(\"no\")"),
    );
    snapshot!(place.run(&["run", "./failing.py", "--on", "./data.csv", "--expose"]), @r##"
    ---- stderr
    | Traceback (most recent call last):
    |   File "/function/failing.py", line 9, in download
    |     raise ValueError("no")
    | ValueError: no
    failed(exit 1) in the stage download: USAGE, 11 B out
      on python3 sha256:DIGEST
    ---- exit code 1
    "##);
}
