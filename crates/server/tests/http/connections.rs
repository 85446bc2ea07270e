//! Slow, hung and broken clients, on real connections: each is cut off, and
//! others are served meanwhile.

use std::net::SocketAddr;

use crate::support::{PATIENCE, Sent, Station};
use strongroom_core::digest::Digest;
use strongroom_server::http::connection;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How patient the station of these tests is.
const IDLE_MS: u64 = 200;

struct Served {
    station: Station,
    address: SocketAddr,
    task: JoinHandle<()>,
}

async fn served() -> Served {
    let station = Station::with(|config| {
        config.body.idle_ms_max = IDLE_MS;
        config.body.header_ms_max = IDLE_MS;
        config.body.whole_ms_max = 2 * IDLE_MS;
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (app, router) = (station.app.clone(), station.router.clone());
    let task = tokio::spawn(async move {
        connection::serve(listener, router, &app.config.body, app.stop.clone()).await;
    });
    Served {
        station,
        address,
        task,
    }
}

impl Served {
    async fn send(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    fn head(&self, line: &str, headers: &str) -> String {
        let secret = self.station.secret("lab").unwrap();
        format!("{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n{headers}\r\n")
    }

    async fn is_well(&self) {
        let head = self.head("GET /v1/me", "connection: close\r\n");
        assert!(
            answer(self.send(&head).await)
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
}

/// Everything that the station says until it hangs up.
async fn answer(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A connection that is reset has said what it had to say.
    let read = stream.read_to_end(&mut said);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the station hangs up");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_client_that_never_ends_its_headers_is_hung_up_on() {
    let served = served().await;
    let hung = served.send("GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    let silent = served.send("").await;
    served.is_well().await;
    answer(hung).await;
    answer(silent).await;
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_refused_and_nothing_of_it_is_kept() {
    let served = served().await;
    for (line, kind) in [
        ("POST /v1/runs", "content-type: application/json\r\n"),
        (
            "POST /v1/datasets/lab/d/versions",
            "content-type: application/x-tar\r\n",
        ),
        (
            "POST /v1/functions/lab/f/versions",
            "content-type: application/x-tar\r\n",
        ),
        (
            "POST /run-file",
            "content-type: multipart/form-data; boundary=x\r\n",
        ),
        (&*format!("PUT /v1/blobs/{}", Digest::of(b"x")), ""),
    ] {
        let head = served.head(line, &format!("content-length: 100\r\n{kind}"));
        let stream = served.send(&format!("{head}--x\r\n")).await;
        let said = answer(stream).await;
        assert!(
            said.starts_with("HTTP/1.1 408") && said.contains("too_slow"),
            "{line}: {said}"
        );
    }
    let missing = served.station.post(
        "lab",
        "/v1/blobs/missing",
        serde_json::json!({ "digests": [Digest::of(b"x")] }),
    );
    assert_eq!(missing.await.ok()["missing"].as_array().unwrap().len(), 1);
    served.is_well().await;
}

#[tokio::test]
async fn a_body_that_trickles_for_ever_is_refused() {
    let served = served().await;
    let head = served.head(
        "POST /v1/runs",
        "content-length: 1000\r\ncontent-type: application/json\r\n",
    );
    let mut stream = served.send(&head).await;
    let (mut read, mut write) = stream.split();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(IDLE_MS / 4));
    let mut said = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, async {
        loop {
            tokio::select! {
                count = read.read(&mut said) => return count.unwrap(),
                _ = tick.tick() => { let _ = write.write_all(b" ").await; }
            }
        }
    })
    .await
    .unwrap();
    assert!(
        said[..count].starts_with(b"HTTP/1.1 408"),
        "{:?}",
        String::from_utf8_lossy(&said[..count])
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let served = served().await;
    let digest = Digest::of(b"whole");
    let head = served.head(&format!("PUT /v1/blobs/{digest}"), "content-length: 5\r\n");
    let mut stream = served.send(&format!("{head}who")).await;
    stream.shutdown().await.unwrap();
    answer(stream).await;
    let asked = serde_json::json!({ "digests": [digest] });
    let missing = served
        .station
        .post("lab", "/v1/blobs/missing", asked)
        .await
        .ok();
    assert_eq!(missing["missing"].as_array().unwrap().len(), 1);
    let whole = served
        .station
        .send(
            "lab",
            "PUT",
            &format!("/v1/blobs/{digest}"),
            b"whole".to_vec(),
        )
        .await;
    assert_eq!(whole.status, 204);
}

#[tokio::test]
async fn a_stop_lets_go_of_idle_connections() {
    let served = served().await;
    let idle = served.send(&served.head("GET /v1/me", "")).await;
    served.station.app.stop.cancel();
    tokio::time::timeout(PATIENCE, served.task)
        .await
        .unwrap()
        .unwrap();
    answer(idle).await;
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn nothing_is_said_about_the_inside_when_the_station_is_at_fault() {
    let station = Station::new().await;
    station.app.store.close().await;
    let reply = station
        .send("lab", "GET", "/v1/runs", Sent::nothing())
        .await;
    assert_eq!(reply.refused(500), "internal");
    let said = reply.json().to_string();
    assert!(!said.contains("sql") && !said.contains("pool"), "{said}");
}
