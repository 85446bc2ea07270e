//! A host that lacks something for a while: it is named, and when it is mended
//! everything goes on.

use std::fs::File;

use crate::support::{Reply, Station, text};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use strongroom_core::digest::Digest;

/// All the descriptors that this process may have, until it is dropped.
struct NoDescriptors {
    before: Rlimit,
    _taken: Vec<File>,
}

impl NoDescriptors {
    fn take() -> Self {
        let before = getrlimit(Resource::Nofile);
        let highest = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().parse().ok())
            .max();
        let few = Rlimit {
            current: highest.map(|highest: u64| highest + 1),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, few).unwrap();
        let taken = std::iter::from_fn(|| File::open("/dev/null").ok());
        Self {
            _taken: taken.collect(),
            before,
        }
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

async fn put(station: &Station, bytes: &[u8]) -> Reply {
    let path = format!("/v1/blobs/{}", Digest::of(bytes));
    station.send("lab", "PUT", &path, bytes.to_vec()).await
}

async fn run(station: &Station) -> Value {
    let asked = station.ask("guest", "devs/f", &[], json!({})).await;
    let path = format!("/v1/runs/{}?wait=30s", text(&asked, "id"));
    let run = station.get("guest", &path).await.ok();
    assert_eq!(run["state"], "ended", "{run}");
    run["reason"].clone()
}

#[tokio::test]
async fn without_descriptors_requests_and_runs_say_so_and_the_next_ones_work() {
    let mut station = Station::working().await;
    station.push_function("devs/f", "print(1)\n").await;
    assert_eq!(run(&station).await["code"], "succeeded");
    let none = NoDescriptors::take();
    let refused = put(&station, b"rows").await;
    assert_eq!(refused.refused(503), "no_descriptors");
    let reason = run(&station).await;
    assert_eq!(reason["code"], "host_error", "{reason}");
    drop(none);
    assert_eq!(put(&station, b"rows").await.status, 204);
    assert_eq!(run(&station).await["code"], "succeeded");
    station.stop().await;
}
