//! A download whose station is killed in the middle.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::station::{Person, Place, Station};

const FETCHES: &str = r#"
import urllib.request
def download(ctx):
    for path in ("/answered", "/hangs"):
        with urllib.request.urlopen(ctx.args["host"] + path) as answer:
            answer.read()
def transform(data, ctx):
    return 1
"#;

#[test]
fn a_station_that_is_killed_in_a_download_has_lost_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            if head.starts_with("GET /answered ") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            open.push(stream);
            let _ = tell.send(head);
        }
    });
    let place = Place::new();
    let own = std::fs::read_to_string(place.home().join("config.toml")).unwrap_or_default();
    place.configure(&format!("{own}\n[gateway]\nallow_private = [\"{host}\"]\n"));
    let station = Station::start_in(place);
    let lab = station.user("lab");
    station.place.file("f/main.py", FETCHES);
    let manifest = format!("[download]\nhosts = [\"{host}\"]\n");
    station.place.file("f/strongroom.toml", manifest);
    lab.does(&["function", "push", "lab/fetches", "./f"]);
    let url = format!("host=http://{host}");
    let (run, _) = lab.asks(&["lab/fetches", "--arg", &url]);
    let patience = Duration::from_secs(30);
    for path in ["/answered", "/hangs"] {
        let head = heard.recv_timeout(patience).unwrap();
        assert!(head.starts_with(&format!("GET {path} ")), "{head}");
    }
    let (name, token) = (lab.name.clone(), lab.token.clone());
    let station = Station::start_in(station.kill());
    let lab = Person {
        station: &station,
        name,
        token,
    };
    let ended = lab.waits_for(&run, "ended");
    assert_eq!(ended["reason"]["code"], "host_error", "{ended}");
    let made = lab.reads(&["network", &run]);
    let made = made["items"].as_array().or(made.as_array()).unwrap();
    let kinds: Vec<(&Value, &Value)> = made
        .iter()
        .map(|one| (&one["url"], &one["outcome"]["kind"]))
        .collect();
    assert_eq!(
        kinds,
        [
            (
                &json!(format!("http://{host}/answered")),
                &json!("answered")
            ),
            (&json!(format!("http://{host}/hangs")), &json!("begun")),
        ]
    );
}
