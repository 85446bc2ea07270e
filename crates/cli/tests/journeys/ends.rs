//! How runs end before their time: cancelled, revoked, interrupted.

use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::relay::Relay;
use crate::station::{Person, Station, read_until, rest, snapshot};

const ENDLESS: &str = "import time\nprint('begin', flush=True)\ntime.sleep(600)\n";

/// Pushes a function that only ends when it is ended, and data for it.
fn endless(station: &Station) -> [Person<'_>; 2] {
    let (lab, guest) = (station.user("lab"), station.user("guest"));
    let code = station.place.file("endless.py", ENDLESS);
    let data = station.place.file("data.csv", "a\n1\n");
    lab.does(&["function", "push", "lab/endless", &code]);
    lab.does(&["dataset", "push", "lab/data", &data]);
    [lab, guest]
}

const ASK: [&str; 5] = ["lab/endless", "--on", "lab/data", "--limit", "time=10m"];

fn start(person: &Person<'_>, words: &[&str]) -> Child {
    let mut command = person.command(&[&["run"], words].concat());
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn interrupt(child: &Child) {
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_run_that_waits_can_be_cancelled() {
    let station = Station::start();
    let [lab, guest] = endless(&station);
    let (run, request) = guest.asks(&ASK);
    snapshot!(guest.does(&["cancel", &run]), @r"
    ---- stderr
    run-ID: cancelled(guest)
    ");
    let late = lab.cannot(&["request", "approve", &request]);
    assert!(late.starts_with("error: "), "{late}");
    snapshot!(guest.does(&["cancel", &run]), @r"
    ---- stderr
    run-ID: cancelled(guest)
    ");
}

#[test]
fn a_run_that_is_queued_can_be_cancelled() {
    let place = crate::station::Place::new();
    place.configure("workers = 0\n");
    let station = Station::start_in(place);
    let [lab, _] = endless(&station);
    let (run, _) = lab.asks(&ASK);
    assert_eq!(lab.reads(&["status", &run])["state"], "queued");
    snapshot!(lab.does(&["cancel", &run]), @r"
    ---- stderr
    run-ID: cancelled(lab)
    ");
}

#[test]
fn a_run_that_runs_can_be_cancelled_and_what_has_ended_stays_as_it_ended() {
    let station = Station::start();
    let [lab, _] = endless(&station);
    let (run, _) = lab.asks(&ASK);
    lab.waits_for(&run, "running");
    lab.does(&["cancel", &run]);
    let ended = lab.tries(&["status", &run, "--wait", "30s"]);
    assert_eq!(ended.code, 1, "{ended}");
    assert!(ended.out.contains("cancelled(lab)"), "{ended}");
    snapshot!(lab.does(&["cancel", &run]), @r"
    ---- stderr
    run-ID: cancelled(lab)
    ");
}

#[test]
fn ctrl_c_cancels_a_run_and_tells_how_it_ended() {
    let station = Station::start();
    let [lab, _] = endless(&station);
    let mut asking = start(&lab, &ASK);
    read_until(&mut asking, "| begin");
    interrupt(&asking);
    snapshot!(rest(asking), @r"
    ---- stderr
    cancelled(lab): USAGE, 0 B out
    ---- exit code 1
    ");
}

#[test]
fn ctrl_c_cancels_a_trial_run() {
    let station = Station::start();
    let lab = station.user("lab");
    let code = station.place.file("endless.py", ENDLESS);
    let mut trying = start(&lab, &[&code, "--limit", "time=10m"]);
    read_until(&mut trying, "| begin");
    interrupt(&trying);
    snapshot!(rest(trying), @r"
    ---- stderr
    cancelled(you): USAGE, 0 B out
      on python3 sha256:DIGEST
    ---- exit code 1
    ");
}

#[test]
fn taking_a_yes_back_kills_what_runs_under_it() {
    let station = Station::start();
    let [lab, guest] = endless(&station);
    let (run, request) = guest.asks(&ASK);
    lab.does(&["request", "approve", &request]);
    guest.waits_for(&run, "running");
    snapshot!(lab.does(&["request", "revoke", &request]), @r"
    ---- stderr
    req-ID is revoked
    ");
    let ended = guest.reads(&["status", &run, "--wait", "30s"]);
    assert_eq!(ended["reason"]["code"], "cancelled", "{ended}");
}

#[test]
fn who_stops_waiting_does_not_stop_the_run() {
    let station = Station::start();
    let [_, guest] = endless(&station);
    let waited = guest.tries(&[&["run", "--wait", "300ms"], &ASK[..]].concat());
    snapshot!(waited, @r"
    ---- stderr
    run-ID waits for lab (req-ID); once approved it starts by itself
    run-ID has not ended; `strongroom status run-ID --wait 10m` waits on
    ---- exit code 1
    ");
    let newest = &guest.reads(&["runs"])["items"][0];
    assert_eq!(newest["state"], json!("waiting"));
}

#[test]
fn the_reason_says_which_bound_was_met() {
    let station = Station::start();
    let [lab, _] = endless(&station);
    let ended = lab.tries(&["run", "lab/endless", "--limit", "time=300ms"]);
    snapshot!(ended, @r"
    ---- stderr
    | begin
    timed_out(300 ms): USAGE, 0 B out
    hint: `--limit time=…` asks for more
    ---- exit code 1
    ");
    let code = station.place.file("wrong.py", "raise SystemExit(3)\n");
    lab.does(&["function", "push", "lab/wrong", &code]);
    snapshot!(lab.tries(&["run", "lab/wrong"]), @r"
    ---- stderr
    failed(exit 3): USAGE, 0 B out
    ---- exit code 1
    ");
}

#[test]
fn who_waits_goes_on_waiting_when_the_station_is_killed_and_comes_back() {
    let station = Station::start();
    let relay = Relay::start(&station.url);
    let [lab, _, guest] = station.people();
    let lab_token = lab.token.clone();
    let words = [
        "run",
        "devs/mean-mass",
        "--on",
        "lab/penguins",
        "--arg",
        "by=sex",
    ];
    let mut command = guest.command(&words);
    command.env("STRONGROOM_URL", &relay.url);
    let mut asking = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read_until(&mut asking, "waits for lab");
    let station = Station::start_in(station.kill());
    relay.point_to(&station.url);
    let lab = Person {
        station: &station,
        name: "lab".to_owned(),
        token: lab_token,
    };
    let request = lab.reads(&["request", "list"])["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    lab.does(&["request", "approve", &request]);
    let said = rest(asking);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.out.contains("mean_mass_g"), "{said}");
}
