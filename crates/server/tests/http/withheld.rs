//! What came out of a run, at every door, once an owner allows it no more.

use crate::support::{self, Reply, Sent, Station, text};
use serde_json::{Value, json};
use strongroom_core::{
    digest::Digest,
    id::RunId,
    structure::StructureAsked,
    tree::{Tree, TreeFile},
    version::{Change, Changes, MadeBy},
};
use strongroom_server::app::versions::NewFiles;

/// In whatever a guest says, and nowhere else.
const CANARY: &str = "4711canary";

const FUNCTION: &str = r##"
import sys
def transform(data, ctx):
    said = "47" + "11canary"
    print(said)
    print(said, file=sys.stderr)
    (ctx.out / (said + ".csv")).write_text("found\n" + said + "\n")
    return {"found": said}
"##;

/// Ways for an owner to give his yes, and to take it back.
#[derive(Clone, Copy, Debug)]
enum Way {
    ApprovalRevoked,
    RuleDeleted,
    RuleReplaced,
    Forbidden,
}

const PERMIT: &str = "permit(principal, action, resource);";
const OTHER: &str = r#"permit(principal == User::"zoo", action, resource);"#;
const FORBID: &str = r#"forbid(principal == User::"guest", action, resource);"#;

async fn put_rules(station: &Station, rules: &str) {
    let body = json!({ "text": rules });
    let put = station.send("lab", "PUT", "/v1/rules", body).await;
    assert!(put.status.is_success(), "{put:?}");
}

impl Way {
    const ALL: [Self; 4] = [
        Self::ApprovalRevoked,
        Self::RuleDeleted,
        Self::RuleReplaced,
        Self::Forbidden,
    ];

    async fn ran(self, station: &Station) -> Value {
        if matches!(self, Self::RuleDeleted | Self::RuleReplaced) {
            put_rules(station, PERMIT).await;
        }
        let asked = station.ask("guest", "devs/f", &["lab/d"], json!({})).await;
        if matches!(self, Self::ApprovalRevoked | Self::Forbidden) {
            let path = format!("/v1/requests/{}/approve", text(&asked, "request"));
            station.post("lab", &path, json!({})).await.ok();
        }
        let path = format!("/v1/runs/{}?wait=30s", text(&asked, "id"));
        let run = station.get("guest", &path).await.ok();
        assert_eq!(run["reason"]["code"], "succeeded", "{run}");
        run
    }

    async fn taken_back(self, station: &Station, run: &Value) {
        match self {
            Self::ApprovalRevoked => {
                let path = format!("/v1/requests/{}/revoke", text(run, "request"));
                station.post("lab", &path, json!({})).await.ok();
            }
            Self::RuleDeleted => {
                let gone = station
                    .send("lab", "DELETE", "/v1/rules", Sent::nothing())
                    .await;
                assert!(gone.status.is_success(), "{gone:?}");
            }
            Self::RuleReplaced => put_rules(station, OTHER).await,
            Self::Forbidden => put_rules(station, FORBID).await,
        }
    }
}

/// Keeps what the run left as a version of its caller's.
async fn save(station: &Station, run: &Value) {
    save_with(station, run, Change::Keep).await;
}

async fn save_with(station: &Station, run: &Value, structure: Change<StructureAsked>) {
    let id: RunId = text(run, "id").parse().unwrap();
    let file = &run["files"][0];
    let left = TreeFile {
        digest: text(file, "digest").parse().unwrap(),
        size_bytes: file["size_bytes"].as_u64().unwrap(),
    };
    let changes = Changes {
        title: CANARY.to_owned(),
        readme: Change::Set(CANARY.to_owned()),
        structure,
        made_by: Some(MadeBy {
            run: id,
            function: None,
            function_version: Digest::of(b"f"),
        }),
        derived_from: [serde_json::from_value(run["labels"][0].clone()).unwrap()].into(),
        ..Changes::default()
    };
    let tree = Tree::new([("body.csv".parse().unwrap(), left)]).unwrap();
    let new = NewFiles::left_by_run(tree, CANARY.to_owned(), changes);
    let (guest, name) = ("guest".parse().unwrap(), "guest/made".parse().unwrap());
    let saved = station.app.dataset_version_add(&guest, &name, new);
    saved.await.unwrap();
}

/// Every door behind which something of it is: for the caller.
fn doors(run: &Value) -> Vec<(&'static str, String, Value)> {
    let id = text(run, "id");
    let version = "/v1/datasets/guest/made/versions/latest";
    let get = |path: String| ("GET", path, Value::Null);
    vec![
        get(format!("/v1/runs/{id}")),
        get(format!("/v1/runs/{id}?wait=1s")),
        get("/v1/runs".to_owned()),
        get(format!("/v1/runs/{id}/log")),
        get(format!("/v1/runs/{id}/events")),
        get(format!("/v1/runs/{id}/files/{CANARY}.csv")),
        get(format!("/v1/runs/{id}/requests-made")),
        get(format!("/v1/requests/{}", text(run, "request"))),
        get("/v1/requests".to_owned()),
        get("/v1/audit".to_owned()),
        get("/v1/datasets".to_owned()),
        get("/v1/datasets/guest/made".to_owned()),
        get("/v1/datasets/guest/made/versions".to_owned()),
        get(version.to_owned()),
        get(format!("{version}/files/body.csv")),
        get(format!("{version}/rows")),
        ("POST", format!("{version}/validate"), json!({})),
        (
            "POST",
            "/v1/datasets/diff".to_owned(),
            json!({ "before": "guest/own", "after": "guest/made" }),
        ),
        ("POST", format!("/v1/runs/{id}/cancel"), json!({})),
    ]
}

/// What each door says, together.
async fn told(station: &Station, run: &Value) -> Vec<(String, u16, String)> {
    let mut told = Vec::new();
    for (method, path, body) in doors(run) {
        let sent = match body {
            Value::Null => Sent::nothing(),
            body => body.into(),
        };
        let reply = station.send("guest", method, &path, sent).await;
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        told.push((path, reply.status.as_u16(), body));
    }
    told
}

#[tokio::test]
async fn no_door_shows_what_came_out_once_an_owner_allows_it_no_more() {
    for way in Way::ALL {
        let mut station = Station::working().await;
        station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
        station
            .push_dataset("guest/own", "body.csv", b"found\nown\n")
            .await;
        station.push_function("devs/f", FUNCTION).await;
        let run = way.ran(&station).await;
        save(&station, &run).await;
        let before = told(&station, &run).await;
        let showing = |told: &[(String, u16, String)]| {
            let shows = told.iter().filter(|(_, _, body)| body.contains(CANARY));
            shows.map(|(path, ..)| path.clone()).collect::<Vec<_>>()
        };
        assert!(12 <= showing(&before).len(), "{:?}", showing(&before));
        let digest = text(&run["files"][0], "digest");
        assert!(before.iter().any(|(_, _, body)| body.contains(digest)));

        way.taken_back(&station, &run).await;
        let after = told(&station, &run).await;
        assert_eq!(showing(&after), Vec::<String>::new(), "{way:?}");
        // A digest tells who can guess, and so do sizes and times.
        for (path, status, body) in &after {
            assert!(!body.contains(digest), "{way:?}: {path}: {body}");
            assert!(!body.contains("usage"), "{way:?}: {path}: {body}");
            assert!(*status < 500, "{path}: {status} {body}");
        }
        let id = text(&run, "id");
        let shown = station.get("guest", &format!("/v1/runs/{id}")).await.ok();
        assert_eq!(
            (&shown["withheld"], &shown["reason"]),
            (&json!(true), &json!({ "code": "succeeded" })),
            "{way:?}"
        );
        let version = "/v1/datasets/guest/made/versions/latest";
        let shown = station.get("guest", version).await.ok();
        assert_eq!(shown["withheld"], true, "{way:?}: {shown}");
        // Bringing it back as the newest makes it no other.
        let restore = format!("{version}/restore");
        let again = station.post("guest", &restore, json!({})).await;
        let again = String::from_utf8_lossy(&again.body).into_owned();
        assert!(!again.contains(CANARY), "{way:?}: {again}");
        // The owner sees what an owner sees.
        let seen = station.get("lab", &format!("/v1/runs/{id}")).await.ok();
        assert!(seen.get("withheld").is_none(), "{seen}");
        station.stop().await;
    }
}

/// Says anew what its reader may see of the version before, and keeps the rest.
const KEEPS: &str = r#"
def transform(data, ctx):
    (ctx.out / "dataset.json").write_text('{"body": "previous", "meta": {"title": "own"}}')
"#;

#[tokio::test]
async fn no_run_and_no_push_brings_to_light_what_is_withheld_of_the_version_before() {
    let mut station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    station.push_function("devs/f", FUNCTION).await;
    let way = Way::ApprovalRevoked;
    let run = way.ran(&station).await;
    let schema = json!({ "properties": { "found": { "enum": [CANARY] } } });
    let structure = serde_json::from_value(json!({ "schema": schema })).unwrap();
    save_with(&station, &run, Change::Set(structure)).await;
    way.taken_back(&station, &run).await;

    // Whether or not its owner lets the run read it.
    let at = "/v1/datasets/guest/made/transforms";
    for mode in ["save", "apply"] {
        let asked = json!({ "files": { "main.py": KEEPS }, "mode": mode });
        let asked = station.post("guest", at, asked).await.json();
        let path = format!("/v1/requests/{}/approve", text(&asked["run"], "request"));
        // The second time it is approved already.
        station.post("lab", &path, json!({})).await;
        let id = text(&asked["run"], "id");
        let path = format!("/v1/datasets/guest/made/transforms/{id}?wait=20s");
        let made = station.get("guest", &path).await.ok();
        assert_eq!(made["outcome"]["code"], "withheld", "{made}");
        assert!(!made.to_string().contains(CANARY), "{made}");
    }
    // A body that its structure does not allow would be told what it is.
    let file = station
        .upload("guest", &[("body.csv", b"found\nother\n")])
        .await;
    let at = "/v1/datasets/guest/made/versions";
    let pushed = json!({ "files": file.clone() });
    let refused = station.post("guest", at, pushed).await;
    let body = String::from_utf8_lossy(&refused.body).into_owned();
    assert_eq!(refused.refused(403), "withheld");
    assert!(!body.contains(CANARY), "{body}");
    let own = json!({ "files": file, "structure": null, "readme": "own" });
    let own = station.post("guest", at, own).await;
    assert!(own.status.is_success(), "{own:?}");
    let shown = station.get("guest", &format!("{at}/latest")).await.ok();
    assert_eq!(
        (&shown["readme"], &shown["withheld"]),
        (&json!("own"), &Value::Null)
    );
    station.stop().await;
}

#[tokio::test]
async fn who_follows_a_run_hears_no_more_of_it_once_an_owner_allows_it_no_more() {
    const TALKS: &str = r#"
import time
def transform(data, ctx):
    print("first", flush=True)
    while True:
        time.sleep(0.05)
        print("later", flush=True)
"#;
    let mut station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    station.push_function("devs/talks", TALKS).await;
    put_rules(&station, PERMIT).await;
    let run = station
        .ask("guest", "devs/talks", &["lab/d"], json!({}))
        .await;
    let id = text(&run, "id").to_owned();
    let log = station.until_it_speaks(&id).await;
    put_rules(&station, OTHER).await;
    assert_eq!(station.get("guest", &log).await.refused(403), "withheld");
    // The stream goes on, with states and without a word.
    let follows = async {
        let path = format!("/v1/runs/{id}/events");
        station.get("guest", &path).await
    };
    let cancels = async {
        let path = format!("/v1/runs/{id}/cancel");
        station.post("guest", &path, json!({})).await.ok()
    };
    let (events, _) = tokio::join!(follows, cancels);
    let events = String::from_utf8_lossy(&events.body).into_owned();
    assert!(
        events.contains("event: end") && !events.contains("event: log"),
        "{events}"
    );
    station.stop().await;
}

fn shown(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[tokio::test]
async fn a_guest_at_work_is_ended_by_rules_that_come_to_forbid_it() {
    let mut station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    let sleeps = "import time\nprint('up', flush=True)\ntime.sleep(3600)";
    station.push_function("devs/f", sleeps).await;
    put_rules(&station, PERMIT).await;
    let asked = station.ask("guest", "devs/f", &["lab/d"], json!({})).await;
    let at = format!("/v1/runs/{}", text(&asked, "id"));
    tokio::time::timeout(support::PATIENCE, async {
        let log = format!("{at}/log");
        while !shown(&station.get("guest", &log).await).contains("up") {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    put_rules(&station, FORBID).await;
    let run = station.get("guest", &format!("{at}?wait=30s")).await.ok();
    assert_eq!(
        run["reason"],
        json!({ "code": "cancelled", "by": "lab" }),
        "{run}"
    );
    station.stop().await;
}

#[tokio::test]
async fn the_salt_of_a_version_is_kept_and_shown_at_no_door() {
    let mut station = Station::working().await;
    station.push_dataset("lab/d", "d.csv", b"a\n1\n").await;
    station.push_function("devs/f", FUNCTION).await;
    let run = Way::RuleDeleted.ran(&station).await;
    save(&station, &run).await;
    let store = &station.app.store;
    let made = store.dataset_find(&"guest/made".parse().unwrap()).await;
    let said = store.dataset_says(&made.unwrap().unwrap().newest).await;
    let salt = said.unwrap().salt;
    assert_eq!(salt.len(), 20, "{salt}");
    for (method, path, body) in doors(&run) {
        let reply = station.send("guest", method, &path, body).await;
        assert!(!shown(&reply).contains(&salt), "{path}: {reply:?}");
    }
    station.stop().await;
}
