//! Plain settings of a function, from its manifest and its caller to its guest.

use crate::support::{self, Station, text};
use serde_json::{Value, json};

const TELLS: &str = r#"
import json, os
def transform(data, ctx):
    return [ctx.config, json.loads(os.environ["STRONGROOM_CONFIG"])]
"#;

async fn station() -> Station {
    let station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    let manifest = "entry = 'main.py'\n[config]\nunit = 'g'\nbounds = { low = 1, high = 2.5 }\n";
    let files = json!({ "main.py": TELLS, "strongroom.toml": manifest });
    let body = json!({ "files": files });
    station
        .post("devs", "/v1/functions/devs/f/versions", body)
        .await
        .ok();
    station
}

async fn asked(station: &Station, config: Value) -> support::Reply {
    let body = json!({ "function": "devs/f", "on": ["lab/d"], "config": config });
    station.post("guest", "/v1/runs", body).await
}

#[tokio::test]
async fn settings_are_in_what_is_approved_and_told_to_the_guest() {
    let mut station = station().await;
    let plain = asked(&station, json!({})).await.ok();
    let run = asked(&station, json!({ "unit": "kg" })).await.ok();
    assert_ne!(plain["plan"], run["plan"]);
    let request = format!("/v1/requests/{}", text(&run, "request"));
    let shown = station.get("lab", &request).await.ok();
    let config = json!({ "unit": "kg", "bounds": { "low": 1, "high": 2.5 } });
    assert_eq!(shown["detail"]["plan"]["config"], config, "{shown}");
    // A yes to one is none to the other, not even to any arguments.
    let approve = format!("{request}/approve");
    let domain = json!({ "args_schema": {} });
    station.post("lab", &approve, domain).await.ok();
    let path = format!("/v1/runs/{}?wait=30s", text(&run, "id"));
    let ended = station.get("guest", &path).await.ok();
    assert_eq!(ended["value"], json!([config, config]), "{ended}");
    let path = format!("/v1/runs/{}", text(&plain, "id"));
    assert_eq!(station.get("guest", &path).await.ok()["state"], "waiting");
    station.stop().await;
}

#[tokio::test]
async fn a_setting_that_the_function_does_not_list_or_that_is_too_long_is_refused() {
    let mut station = station().await;
    for config in [
        json!({ "units": "kg" }),
        json!({ "unit": "x".repeat(1 << 16) }),
    ] {
        let refused = asked(&station, config).await;
        assert_eq!(refused.refused(422), "bad_config");
    }
    let manifest = "[config]\nday = 2020-01-01\n";
    let body = json!({ "files": { "main.py": TELLS, "strongroom.toml": manifest } });
    let path = "/v1/functions/devs/g/versions";
    let refused = station.post("devs", path, body).await;
    assert_eq!(refused.refused(422), "bad_manifest");
    station.stop().await;
}
