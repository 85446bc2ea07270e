//! Datasets over HTTP: what versions say, what their rows are, and their names.

use crate::support::{self, Station, text};
use serde_json::{Value, json};
use strongroom_core::{
    tree::{Tree, TreeFile},
    version::{Changes, MadeBy},
};
use strongroom_server::app::versions::NewFiles;

const PENGUINS: &str = "id,species,mass_g\n1,Adelie,3750\n2,Gentoo,5000\n3,Adelie,\n";
const VERSIONS: &str = "/v1/datasets/lab/penguins/versions";

/// Pushes a file with whatever else is said.
async fn push(station: &Station, file: &str, bytes: &str, said: Value) -> support::Reply {
    let files = station.upload("lab", &[(file, bytes.as_bytes())]).await;
    let mut body = json!({ "files": files });
    for (key, value) in said.as_object().unwrap() {
        body[key] = value.clone();
    }
    station.post("lab", VERSIONS, body).await
}

async fn latest(station: &Station) -> Value {
    station.get("lab", &format!("{VERSIONS}/latest")).await.ok()
}

#[tokio::test]
async fn a_version_tells_what_it_says_and_what_was_found_in_it() {
    let station = Station::new().await;
    let said = json!({ "title": "first", "message": "344 of them", "readme": "# Penguins",
        "meta": { "title": "Penguins", "license": "CC0-1.0", "island": ["Biscoe"] } });
    let pushed = push(&station, "penguins.csv", PENGUINS, said).await.ok();
    let shown = latest(&station).await;
    assert_eq!(shown["version"], pushed["version"]);
    assert_eq!(
        (text(&shown, "title"), text(&shown, "readme")),
        ("first", "# Penguins")
    );
    assert_eq!(shown["meta"]["island"], json!(["Biscoe"]));
    assert_eq!(text(&shown, "body"), "penguins.csv");
    assert_eq!(shown["structure"]["columns"][2]["type"], "integer");
    assert_eq!(
        shown["structure"]["schema"]["required"],
        json!(["id", "species"])
    );
    let mass = &shown["statistics"]["columns"][2];
    assert_eq!((&mass["nulls"], &mass["max"]), (&json!(1), &json!(5000)));
    // What is not said again stays, and what is dropped goes.
    let kept = push(
        &station,
        "penguins.csv",
        "id\n1\n",
        json!({ "readme": null }),
    )
    .await
    .ok();
    assert_eq!(kept["meta"], shown["meta"]);
    assert!(kept.get("readme").is_none());
    let log = station.get("lab", VERSIONS).await.ok();
    assert_eq!(log["items"][1]["title"], "first");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_pushed_and_says_why() {
    let station = Station::new().await;
    let pushed = push(&station, "p.csv", "a,b\n1\n", json!({})).await.ok();
    assert_eq!(
        pushed["no_structure"],
        "line 2 has 1 fields where the first record has 2"
    );
    let pushed = push(&station, "notes.txt", "hello", json!({})).await.ok();
    assert!(text(&pushed, "no_structure").starts_with("structure: there is no file of rows"));
    let rows = station
        .get("lab", &format!("{VERSIONS}/latest/rows?format=csv"))
        .await;
    assert_eq!(rows.refused(422), "no_rows");
}

#[tokio::test]
async fn a_body_that_contradicts_its_structure_makes_no_version() {
    let station = Station::new().await;
    let columns = json!([{ "name": "id", "type": "integer" },
        { "name": "species", "type": "string" }, { "name": "mass_g", "type": "integer" }]);
    let said = json!({ "structure": { "columns": columns } });
    push(&station, "p.csv", PENGUINS, said).await.ok();
    let before = latest(&station).await;
    for (bytes, why) in [
        (
            "id,species,mass_g\n1,a,heavy\n",
            "row 1, `mass_g`: `heavy` is no integer",
        ),
        (
            "id,species\n1,a\n",
            "it has 2 columns where the structure says 3",
        ),
        ("id,species,mass_g\n1,a\n", "line 2 has 2 fields"),
    ] {
        let refused = push(&station, "p.csv", bytes, json!({})).await;
        assert!(
            refused.json()["detail"].as_str().unwrap().contains(why),
            "{refused:?}"
        );
        assert_eq!(refused.refused(422), "structure_broken");
        assert_eq!(latest(&station).await, before);
    }
    let nonsense = json!({ "structure": { "columns": [] } });
    let refused = push(&station, "p.csv", PENGUINS, nonsense).await;
    assert_eq!(refused.refused(422), "bad_dataset");
    let dropped = push(&station, "p.csv", "x\ny\n", json!({ "structure": null })).await;
    assert_eq!(dropped.ok()["structure"]["columns"][0]["name"], "x");
}

#[tokio::test]
async fn nobody_learns_what_is_in_a_file_that_he_did_not_bring() {
    let station = Station::new().await;
    let files = station
        .upload("lab", &[("p.csv", PENGUINS.as_bytes())])
        .await;
    let body =
        json!({ "files": files, "structure": { "columns": [{ "name": "x", "type": "any" }] } });
    let stolen = station
        .post("zoo", "/v1/datasets/zoo/p/versions", body)
        .await;
    assert_eq!(stolen.refused(422), "blob_missing");
}

#[tokio::test]
async fn rows_come_in_the_format_and_the_part_that_was_asked_for() {
    let station = Station::new().await;
    push(&station, "p.csv", PENGUINS, json!({})).await.ok();
    let path = format!("{VERSIONS}/latest/rows?format=json&rows=1..9");
    let rows = station.get("lab", &path).await;
    let wanted = json!([{ "id": 2, "species": "Gentoo", "mass_g": 5000 },
        { "id": 3, "species": "Adelie", "mass_g": null }]);
    assert_eq!(serde_json::from_slice::<Value>(&rows.body).unwrap(), wanted);
    assert_eq!(rows.headers["content-type"], "application/json");
    let etag = rows.headers["etag"].to_str().unwrap().to_owned();
    let known = [("if-none-match", etag.as_str())];
    let nothing = || support::Sent::nothing();
    let again = station
        .send_with("lab", "GET", &path, &known, nothing())
        .await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let other = path.replace("1..9", "0..9");
    let other = station
        .send_with("lab", "GET", &other, &known, nothing())
        .await;
    assert_eq!(other.status, 200);
    let parquet = station
        .get("lab", &format!("{VERSIONS}/latest/rows?format=parquet"))
        .await;
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
    for bad in [
        "format=xml",
        "format=csv&rows=9..1",
        "format=csv&rows=x",
        "rows=0..1",
    ] {
        let refused = station
            .get("lab", &format!("{VERSIONS}/latest/rows?{bad}"))
            .await;
        assert_eq!(refused.refused(400), "bad_query", "{bad}");
    }
}

#[tokio::test]
async fn versions_are_compared_checked_and_brought_back() {
    let station = Station::new().await;
    push(&station, "p.csv", PENGUINS, json!({})).await.ok();
    let newer = PENGUINS
        .replace("2,Gentoo,5000", "4,Gentoo,5001")
        .replace("3750", "3751");
    push(&station, "p.csv", &newer, json!({})).await.ok();
    let asked = json!({ "before": "lab/penguins~1", "after": "lab/penguins", "key": ["id"] });
    let diff = station.post("lab", "/v1/datasets/diff", asked).await.ok();
    let counts = ["added", "removed", "changed"].map(|key| diff[key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1]);
    let stranger = json!({ "before": "lab/penguins~1", "after": "lab/penguins" });
    let refused = station.post("zoo", "/v1/datasets/diff", stranger).await;
    assert_eq!(refused.refused(404), "not_found");
    let law = json!({ "structure": { "schema": { "required": ["mass_g"],
        "properties": { "mass_g": { "type": "integer" } } } } });
    let checked = station
        .post("lab", &format!("{VERSIONS}/latest/validate"), law)
        .await
        .ok();
    assert_eq!(
        (&checked["rows"], &checked["faults"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(checked["told"][0]["column"], "mass_g");
    let restored = station
        .post("lab", &format!("{VERSIONS}/~1/restore"), json!({}))
        .await;
    assert_eq!(restored.status, 201);
    let file = station
        .get("lab", &format!("{VERSIONS}/latest/files/p.csv"))
        .await;
    assert_eq!(file.body, PENGUINS.as_bytes());
    let part = [("range", "bytes=3-9")];
    let path = format!("{VERSIONS}/latest/files/p.csv");
    let part = station
        .send_with("lab", "GET", &path, &part, support::Sent::nothing())
        .await;
    assert_eq!(
        (part.status.as_u16(), &part.body[..]),
        (206, &b"species"[..])
    );
}

#[tokio::test]
async fn a_dataset_that_is_needed_is_removed_only_by_force() {
    let station = Station::new().await;
    push(&station, "p.csv", PENGUINS, json!({})).await.ok();
    station.push_function("devs/f", "print(1)").await;
    let run = station
        .ask("guest", "devs/f", &["lab/penguins"], json!({}))
        .await;
    let path = "/v1/datasets/lab/penguins";
    let rename = station
        .post("lab", &format!("{path}/rename"), json!({ "name": "gulls" }))
        .await;
    assert_eq!(rename.refused(409), "conflict");
    let nothing = || support::Sent::nothing();
    let refused = station.send("lab", "DELETE", path, nothing()).await;
    assert_eq!(refused.refused(409), "conflict");
    let removed = station
        .send("lab", "DELETE", &format!("{path}?force=true"), nothing())
        .await;
    assert_eq!(removed.ok()["requests"], json!([run["request"]]));
    assert_eq!(station.get("lab", path).await.refused(404), "not_found");
    let run = station
        .get("guest", &format!("/v1/runs/{}", text(&run, "id")))
        .await
        .ok();
    assert_eq!(
        (text(&run, "state"), text(&run["reason"], "code")),
        ("ended", "cancelled")
    );
}

#[tokio::test]
async fn what_a_run_left_becomes_a_version_that_tells_where_it_comes_from() {
    let station = Station::new().await;
    let pushed = push(&station, "p.csv", PENGUINS, json!({})).await.ok();
    let put = station
        .app
        .store
        .blobs()
        .put_bytes(b"mean\n4375\n")
        .await
        .unwrap();
    let file = TreeFile {
        digest: put.digest,
        size_bytes: put.size_bytes,
    };
    let tree = Tree::new([("mean.csv".parse().unwrap(), file)]).unwrap();
    let input =
        serde_json::from_value(json!({ "dataset": "lab/penguins", "version": pushed["version"] }));
    station.push_function("lab/f", "print(1)").await;
    let run = station
        .ask("guest", "lab/f", &["lab/penguins"], json!({}))
        .await;
    let changes = Changes {
        made_by: Some(MadeBy {
            run: text(&run, "id").parse().unwrap(),
            function: None,
            function_version: put.digest,
        }),
        derived_from: station
            .app
            .store
            .dataset_origins([&input.unwrap()])
            .await
            .unwrap(),
        ..Changes::default()
    };
    let (guest, name) = ("guest".parse().unwrap(), "guest/mean".parse().unwrap());
    let new = NewFiles::left_by_run(tree, "computed".to_owned(), changes);
    station
        .app
        .dataset_version_add(&guest, &name, new)
        .await
        .unwrap();
    let shown = station
        .get("guest", "/v1/datasets/guest/mean/versions/latest")
        .await
        .ok();
    assert_eq!(shown["derived_from"][0]["version"], pushed["version"]);
    assert_eq!(shown["statistics"]["rows"], 1);
    let path = "/v1/datasets/lab/penguins";
    let refused = station
        .send("lab", "DELETE", path, support::Sent::nothing())
        .await;
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("datasets of others") && !detail.contains("guest"),
        "{detail}"
    );
}
