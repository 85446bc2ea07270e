//! Who may do what, and how one logs in.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use crate::station::{Place, Station, rest, said, snapshot};

#[test]
fn the_first_start_says_how_to_log_in_and_the_second_does_not() {
    let station = Station::start();
    snapshot!(&station.announced, @r"
    Listening on URL
    First start: log in as admin with `strongroom login URL --home DIR/home`
    ");
    let line = station.announced.split('`').nth(1).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    snapshot!(station.place.run(&words), @r"
    ---- stderr
    Logged in to URL as admin (kept in DIR/user/.config/strongroom/login.toml).
    ");
    let file = station.place.path("user/.config/strongroom/login.toml");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    snapshot!(station.place.run(&["user", "list"]), @r"
    NAME   SINCE
    admin  TIME  admin
    ");
    let again = Station::start_in(station.kill());
    assert!(!again.announced.contains("login"), "{}", again.announced);
    assert_eq!(again.admin().does(&["user", "list"]).code, 0);
}

#[test]
fn a_token_can_be_piped_and_a_wrong_one_is_not_stored() {
    let station = Station::start();
    let lab = station.user("lab");
    let login = |token: &str| {
        let mut command = station.place.command();
        command.args(["login", &station.url, "--token", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
        rest(child)
    };
    snapshot!(login("srt_wrong"), @r"
    ---- stderr
    error: a valid token is needed: `Authorization: Bearer srt_…`
    hint: `strongroom login` stores a token that is valid
    ---- exit code 2
    ");
    snapshot!(login("two words"), @r"
    ---- stderr
    error: a token is one line of letters, digits, `-` and `_`
    ---- exit code 2
    ");
    snapshot!(station.place.run(&["runs"]), @r"
    ---- stderr
    error: you are not logged in
    hint: `strongroom login [URL]`, or set STRONGROOM_URL and STRONGROOM_TOKEN
    ---- exit code 2
    ");
    snapshot!(login(&lab.token), @r"
    ---- stderr
    Logged in to URL as lab (kept in DIR/user/.config/strongroom/login.toml).
    ");
    snapshot!(station.place.run(&["runs"]), @r"
    ---- stderr
    You have no runs.
    ");
}

#[test]
fn a_stored_token_goes_to_its_own_station_only() {
    let (station, other) = (Station::start(), Station::start());
    let home = station.place.home().to_string_lossy().into_owned();
    let said_login = station.place.run(&["login", &station.url, "--home", &home]);
    assert_eq!(said_login.code, 0, "{said_login}");
    let mut elsewhere = station.place.command();
    elsewhere.args(["runs"]).env("STRONGROOM_URL", &other.url);
    snapshot!(said(&mut elsewhere), @r"
    ---- stderr
    error: you are not logged in to URL; the stored token is for URL
    hint: `strongroom login URL`, or set STRONGROOM_TOKEN
    ---- exit code 2
    ");
    // An address that was only named does not get the admin's token either.
    assert!(station.place.home().join("admin.token").exists());
    let asked = station.place.run(&["login", &other.url]);
    snapshot!(asked, @r"
    ---- stderr
    error: there is no token
    hint: give one with `--token`, or as a line on stdin
    ---- exit code 2
    ");
}

#[test]
fn a_station_that_is_not_there_is_told_with_what_to_do() {
    let place = Place::new();
    let mut command = place.command();
    command
        .args(["runs"])
        .env("STRONGROOM_URL", "http://127.0.0.1:1");
    command.env("STRONGROOM_TOKEN", "srt_x");
    snapshot!(said(&mut command), @r"
    ---- stderr
    error: could not reach URL: io: Connection refused (os error 111)
    hint: is it running? `strongroom serve` starts a station
    ---- exit code 2
    ");
    snapshot!(place.run(&["login", "ftp://example.org"]), @r"
    ---- stderr
    error: `ftp://example.org` is not the address of a station
    hint: an address is written like URL
    ---- exit code 2
    ");
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let station = Station::start();
    let lab = station.user("lab");
    snapshot!(lab.does(&["token", "create", "--label", "laptop", "--until", "7d"]), @r"
    SECRET
    ---- stderr
    Made tok-ID for lab. Its secret is not shown again:
    ");
    let made = lab.reads(&["token", "create", "--label", "robot"]);
    let (id, secret) = (
        made["id"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    snapshot!(lab.does(&["token", "list"]), @r"
    TOKEN                           MADE                  ENDS                  LABEL
    tok-ID  TIME  never                 robot
    tok-ID  TIME  TIME  laptop
    tok-ID  TIME  never                 first token
    ");
    let robot = crate::station::Person {
        station: &station,
        name: "robot".to_owned(),
        token: secret.to_owned(),
    };
    robot.does(&["runs"]);
    snapshot!(lab.does(&["token", "revoke", id]), @r"
    ---- stderr
    Revoked tok-ID.
    ");
    snapshot!(robot.tries(&["runs"]), @r"
    ---- stderr
    error: a valid token is needed: `Authorization: Bearer srt_…`
    hint: `strongroom login` stores a token that is valid
    ---- exit code 2
    ");
    let listed = lab.does(&["token", "list"]).out;
    assert!(!listed.contains("srt_"), "{listed}");
}

#[test]
fn a_stranger_sees_nothing_and_learns_nothing() {
    let station = Station::start();
    let [lab, devs, guest] = station.people();
    let stranger = station.user("stranger");
    let (run, request) = guest.asks(&[
        "devs/mean-mass",
        "--on",
        "lab/penguins",
        "--arg",
        "by=species",
    ]);
    lab.does(&["request", "approve", &request]);
    guest.waits_for(&run, "ended");
    let nothing_of: [&[&str]; 14] = [
        &["dataset", "show", "lab/penguins"],
        &["dataset", "log", "lab/penguins"],
        &["dataset", "get", "lab/penguins"],
        &["status", &run],
        &["logs", &run],
        &["logs", &run, "--follow"],
        &["output", &run],
        &["output", &run, "mean_mass.csv"],
        &["cancel", &run],
        &["request", "show", &request],
        &["request", "approve", &request],
        &["request", "reject", &request],
        &["request", "revoke", &request],
        &["user", "list"],
    ];
    for words in nothing_of {
        let why = stranger.cannot(words);
        assert!(why.contains("there is no such"), "{words:?}: {why}");
    }
    for words in [
        &["runs"][..],
        &["request", "list", "--all"],
        &["dataset", "list"],
    ] {
        assert_eq!(stranger.does(words).out, "", "{words:?}");
    }
    // An owner who was asked sees that it ran, and not what came out.
    assert_eq!(lab.reads(&["status", &run])["state"], "ended");
    let seen = lab.reads(&["output", &run]);
    assert_eq!(
        (&seen["value"], &seen["files"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    lab.cannot(&["logs", &run]);
    devs.cannot(&["status", &run]);
}

#[test]
fn the_audit_record_says_who_did_what() {
    let station = Station::start();
    let [lab, _, guest] = station.people();
    let (_, request) = guest.asks(&[
        "devs/mean-mass",
        "--on",
        "lab/penguins",
        "--arg",
        "by=species",
    ]);
    lab.does(&["request", "reject", &request]);
    let record = lab.reads(&["audit"]);
    let entries = record["items"].as_array().unwrap();
    let line = |e: &serde_json::Value| format!("{} {}", e["actor"], e["action"]).replace('"', "");
    let lines: Vec<String> = entries.iter().map(line).collect();
    snapshot!(lines.join("\n"), @r"
    admin user.add
    admin token.add
    lab dataset.push
    guest run.submit
    lab request.reject
    ");
    let shown = lab.does(&["audit", "--limit", "1"]);
    assert!(shown.err.contains("there are more: --after"), "{shown}");
}
