//! A station that is killed between the end of a run and the version that it
//! was to make: nothing is saved by halves, and the next start finishes it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::station::{PATIENCE, Person, Station, text};

/// So many rows that holding them to their structure takes longer than asking.
const ROWS: usize = 1_500_000;
/// Starts that are killed before they are done.
const KILLED: usize = 3;

/// Leaves many rows as the body of the next version.
const MAKES: &str = "
def transform(data, ctx):
    with open('/out/body.csv', 'w') as body:
        body.write('a\\n' + '7\\n' * ctx.args['rows'])
    (ctx.out / 'dataset.json').write_text('{\"body\": \"body.csv\"}')
";

fn versions(lab: &Person<'_>) -> Vec<Value> {
    let log = lab.reads(&["dataset", "log", "lab/many"]);
    log["items"].as_array().unwrap().clone()
}

/// A person whose token was given out by an earlier start.
fn again<'a>(station: &'a Station, token: &str) -> Person<'a> {
    Person {
        station,
        name: "lab".to_owned(),
        token: token.to_owned(),
    }
}

#[test]
fn a_station_killed_between_a_runs_end_and_its_save_finishes_it_at_its_next_start() {
    let mut station = Station::start();
    let lab = station.user("lab");
    let token = lab.token.clone();
    let few = station.place.file("many.csv", "a\n1\n");
    let columns = json!({"columns": [{"name": "a", "type": "integer"}]});
    let structure = station
        .place
        .file("structure.json", columns.to_string().as_bytes());
    let push = ["dataset", "push", "lab/many", &few, "--structure"];
    lab.does(&[&push[..], &[&structure]].concat());
    let first = versions(&lab);
    let code = station.place.file("makes.py", MAKES);
    let rows = format!("rows={ROWS}");
    let save = ["save", "--file", &code, "lab/many", "--arg", &rows];
    let asked = lab.reads(&[&save[..], &["--no-wait"]].concat());
    let run = text(&asked["run"], "id");
    let ended = lab.waits_for(&run, "ended");
    assert_eq!(ended["reason"]["code"], "succeeded", "{ended}");
    drop(lab);
    for start in 0..KILLED {
        let lab = again(&station, &token);
        let whole = lab.does(&["dataset", "get", "lab/many", "--format", "csv"]);
        assert_eq!(whole.out, "a\n1\n", "start {start}");
        assert_eq!(versions(&lab), first, "it is saved before it is killed");
        drop(lab);
        station = Station::start_in(station.kill());
    }
    let lab = again(&station, &token);
    let deadline = Instant::now() + PATIENCE;
    while versions(&lab).len() == 1 {
        assert!(Instant::now() < deadline, "it was never saved");
    }
    let now = lab.reads(&["dataset", "show", "lab/many"]);
    assert_eq!(now["made_by"]["run"], run.as_str(), "{now}");
    assert_eq!(now["statistics"]["rows"], ROWS, "{now}");
    assert_eq!(now["parent"], first[0]["version"]);
    let found = versions(&lab);
    assert_eq!((found.len(), &found[1..]), (2, &first[..]));
    let before = ["dataset", "get", "lab/many~1", "--format", "csv"];
    assert_eq!(lab.does(&before).out, "a\n1\n");
}
