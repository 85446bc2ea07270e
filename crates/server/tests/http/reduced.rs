//! A whole station in the tier `reduced`: the same walk, with the tier told.

use crate::support::{Station, text};
use serde_json::{Value, json};

const FUNCTION: &str = r#"
import os, sys

def transform(data, ctx):
    rows = list(data.rows())
    print("read", len(rows), "rows", file=sys.stderr)
    import strongroom
    strongroom.write("count.txt", str(len(list(strongroom.read().rows()))))
    return {"rows": len(rows), "by": ctx.args.get("by"), "cwd": sorted(os.listdir("."))}
"#;

async fn ended(station: &Station, who: &str, run: &Value) -> Value {
    let path = format!("/v1/runs/{}?wait=30s", text(run, "id"));
    let run = station.get(who, &path).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run
}

#[tokio::test]
async fn a_reduced_station_walks_the_whole_way_and_tells_its_tier_with_each_run() {
    let mut station = Station::reduced().await;
    let rows = b"species,mass\na,1\nb,2\n";
    station.push_dataset("lab/d", "d.csv", rows).await;
    station.push_function("devs/f", FUNCTION).await;
    let asked = station
        .ask("guest", "devs/f", &["lab/d"], json!({ "by": "mass" }))
        .await;
    assert_eq!(text(&asked, "state"), "waiting");
    let approve = format!("/v1/requests/{}/approve", text(&asked, "request"));
    station.post("lab", &approve, json!({})).await.ok();
    let run = ended(&station, "guest", &asked).await;
    assert_eq!(run["reason"]["code"], "succeeded", "{run}");
    let value = json!({ "rows": 2, "by": "mass", "cwd": ["main.py"] });
    assert_eq!(run["value"], value);
    assert_eq!(run["enforced"]["tier"], "reduced");
    let walls = run["enforced"]["walls"].as_array().unwrap();
    assert!(walls.contains(&json!("landlock")) && !walls.contains(&json!("cgroup")));
    let file = format!("/v1/runs/{}/files/count.txt", text(&run, "id"));
    assert_eq!(&station.get("guest", &file).await.body[..], b"2");
    for (source, code) in [
        ("import time; time.sleep(60)", "timed_out"),
        (
            "open(__import__('os').environ['STRONGROOM_ROOT'] + '/etc')",
            "failed",
        ),
        (
            "x = bytearray(1 << 30); import time; time.sleep(60)",
            "out_of_memory",
        ),
    ] {
        station.push_function("devs/g", source).await;
        let body = json!({ "function": "devs/g", "limits": { "time": "2s", "memory": "64MiB" } });
        let asked = station.post("guest", "/v1/runs", body).await.json();
        let run = ended(&station, "guest", &asked).await;
        assert_eq!(run["reason"]["code"], code, "{run}");
    }
    // Packages are installed elsewhere, and what to do about it is said.
    let files = json!({ "main.py": "import six", "requirements.txt": "six" });
    let body = json!({ "files": files });
    let pushed = station
        .post("devs", "/v1/functions/devs/h/versions", body)
        .await;
    let detail = format!("{pushed:?}");
    assert_eq!(pushed.refused(422), "no_installer", "{detail}");
    assert!(detail.contains("the folder of a runtime"), "{detail}");
    station.stop().await;
}
