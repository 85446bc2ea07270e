//! The gateway between a guest and hosts that mean no good.
//!
//! Hosts are listeners of the test on the loopback, which the gateway is told
//! to open; the guest is a client of raw text.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use strongroom_core::{
    digest::Digest,
    network::{
        Network,
        made::{Outcome, RequestMade},
    },
};
use strongroom_server::{
    app::clock::Clock,
    gateway::{Answers, Bounds, Gateway, GatewayConfig, Mask, Mode, Names, Order, Session, Told},
};
use strongroom_store::{Database, Store};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bounds that a test can wait for.
pub const SHORT: Bounds = Bounds {
    requests_max: 5,
    answer_bytes_max: 100_000,
    received_bytes_max: 400_000,
    sent_bytes_max: 100_000,
    lookup_ms_max: 5_000,
    connect_ms_max: 500,
    head_ms_max: 500,
    idle_ms_max: 500,
    whole_ms_max: 1_500,
};

/// A gateway with one session, and its guest's side.
pub struct Gate {
    proxy: SocketAddr,
    told: mpsc::Receiver<RequestMade>,
    session: Arc<Session>,
    serving: JoinHandle<()>,
}

impl Gate {
    async fn new(hosts: &[SocketAddr], bounds: Bounds) -> Self {
        Self::of(&network(hosts, ""), open(hosts, bounds), Mode::Live, &[]).await
    }

    pub async fn of(network: &str, config: GatewayConfig, mode: Mode, secrets: &[&str]) -> Self {
        let gateway = Arc::new(Gateway::new(config).unwrap());
        Self::by(network, &gateway, mode, secrets)
    }

    fn by(network: &str, gateway: &Arc<Gateway>, mode: Mode, secrets: &[&str]) -> Self {
        let network: Network = toml::from_str(network).unwrap();
        let order = Order {
            network,
            mask: Mask::new(secrets.iter().copied()),
            mode,
            clock: Clock::default(),
        };
        let (session, told) = Session::new(gateway, order);
        let told = kept(told);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = listener.local_addr().unwrap();
        let session = Arc::new(session);
        let serves = Arc::clone(&session);
        let serving = tokio::spawn(async move {
            serves.serve(listener).await;
        });
        Self {
            proxy,
            told,
            session,
            serving,
        }
    }

    /// What the guest gets for these bytes, up to the connection's end.
    pub async fn ask(&self, request: &str) -> String {
        let bytes = timeout(PATIENCE, ask(self.proxy, request)).await;
        String::from_utf8_lossy(&bytes.expect("no end")).into_owned()
    }

    pub async fn get(&self, url: &str) -> String {
        self.ask(&get(url)).await
    }

    async fn note(&mut self) -> RequestMade {
        timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap()
    }

    /// Ends the session; what it told that was not taken yet.
    async fn close(self) -> Vec<RequestMade> {
        self.serving.abort();
        let _ = self.serving.await;
        let mut told = self.told;
        let session = Arc::into_inner(self.session).unwrap();
        timeout(PATIENCE, session.close()).await.unwrap();
        let mut rest = Vec::new();
        while let Some(note) = told.recv().await {
            rest.push(note);
        }
        rest
    }
}

/// Keeps every note, and hands on those of requests that have ended.
fn kept(mut told: mpsc::Receiver<Told>) -> mpsc::Receiver<RequestMade> {
    let (hand_on, ended) = mpsc::channel(10_000);
    tokio::spawn(async move {
        while let Some(note) = told.recv().await {
            if note.made.outcome != Outcome::Begun {
                hand_on.send(note.made.clone()).await.unwrap();
            }
            note.is_kept();
        }
    });
    ended
}

pub fn network(hosts: &[SocketAddr], more: &str) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("'{host}'")).collect();
    format!("hosts = [{}]\n{more}", hosts.join(","))
}

pub fn open(hosts: &[SocketAddr], bounds: Bounds) -> GatewayConfig {
    let opened = hosts.iter().map(|host| host.to_string().parse().unwrap());
    GatewayConfig {
        bounds,
        allow_private: opened.collect(),
        ..GatewayConfig::default()
    }
}

pub fn get(url: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n")
}

async fn ask(proxy: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    // A refusal may come before the request was taken.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// A host that answers every request with these bytes, and tells of its head.
pub async fn host(answer: impl Into<Vec<u8>>) -> (SocketAddr, mpsc::Receiver<String>) {
    let answer: Arc<[u8]> = answer.into().into();
    let (heads, heard) = mpsc::channel(100);
    let address = rude_host(move |mut stream| {
        let (answer, heads) = (Arc::clone(&answer), heads.clone());
        async move {
            let head = head(&mut stream).await;
            let _ = heads.send(head).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            // Until the other side has read it all.
            let _ = stream.read(&mut [0; 16]).await;
        }
    })
    .await;
    (address, heard)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn rude_host<F: Future<Output = ()> + Send + 'static>(
    does: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(does(stream));
        }
    });
    address
}

#[tokio::test]
async fn a_request_is_made_by_the_gateway_and_noted_whole() {
    let (host, mut heads) = host("HTTP/1.1 200 Fine\r\nContent-Length: 4\r\nX-A: b\r\nKeep-Alive: 9\r\nStrongroom-Refused: no\r\n\r\nrows").await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let request = format!(
        "GET http://{host}/a?b=c HTTP/1.1\r\nHost: evil.example\r\nAccept: x/y\r\n\
         Proxy-Authorization: Basic eA==\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
         Upgrade: h2c\r\nExpect: 100-continue\r\n\r\n"
    );
    let answer = gate.ask(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("x-a: b\r\n") && answer.ends_with("\r\n\r\nrows"),
        "{answer}"
    );
    assert!(
        !answer.contains("keep-alive") && !answer.contains("strongroom"),
        "{answer}"
    );
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    let mut fields: Vec<&str> = head
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, ["accept: x/y".to_owned(), format!("host: {host}")]);
    let note = gate.note().await;
    assert_eq!(
        (
            note.number,
            note.method.as_str(),
            note.url.as_str(),
            note.status
        ),
        (1, "GET", format!("http://{host}/a?b=c").as_str(), Some(200))
    );
    assert_eq!((note.sent_bytes, note.received_bytes), (0, 4));
    assert_eq!(
        (note.outcome, note.digest),
        (Outcome::Answered, Some(Digest::of(b"rows")))
    );
    assert!(gate.close().await.is_empty());
}

#[tokio::test]
async fn a_body_is_passed_on_with_its_length_and_counted() {
    let (host, mut heads) = host("HTTP/1.1 204 No\r\n\r\n").await;
    let plan = network(&[host], "methods = ['POST']");
    let mut gate = Gate::of(&plan, open(&[host], SHORT), Mode::Live, &[]).await;
    let request = format!(
        "POST http://{host}/ HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    );
    assert!(gate.ask(&request).await.starts_with("HTTP/1.1 204"));
    assert!(
        heads
            .recv()
            .await
            .unwrap()
            .contains("content-length: 5\r\n")
    );
    assert_eq!(gate.note().await.sent_bytes, 5);
}

#[track_caller]
fn refused(answer: &str, note: &RequestMade, code: &str) {
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(
        answer.contains(&format!("strongroom-refused: {code}\r\n")),
        "{answer}"
    );
    assert!(
        matches!(&note.outcome, Outcome::Refused { code: noted, .. } if noted == code),
        "{note:?}"
    );
    assert_eq!(note.status, None);
}

#[track_caller]
fn failed(answer: &str, note: &RequestMade, code: &str) {
    assert!(
        answer.contains(&format!("strongroom-failed: {code}\r\n")),
        "{answer} {note:?}"
    );
    noted(note, code);
}

#[track_caller]
fn noted(note: &RequestMade, code: &str) {
    assert!(
        matches!(&note.outcome, Outcome::Failed { code: noted, .. } if noted == code),
        "{note:?} is not {code}"
    );
}

#[tokio::test]
async fn what_the_plan_does_not_name_is_refused_and_nobody_hears_of_it() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\n\r\n").await;
    let mut gate = Gate::new(&[host], SHORT).await;
    for (request, code) in [
        (
            get(&format!("http://127.0.0.1:{}/", host.port() ^ 1)),
            "host",
        ),
        (get("http://example.org/"), "host"),
        (
            get(&format!("http://{host}/")).replacen("GET", "POST", 1),
            "method",
        ),
        (
            get(&format!("http://{host}/")).replacen("GET", "TRACE", 1),
            "method",
        ),
        (get(&format!("ftp://{host}/")), "scheme"),
    ] {
        let answer = gate.ask(&request).await;
        refused(&answer, &gate.note().await, code);
    }
    assert!(heads.try_recv().is_err());
    for (request, code) in [
        (get("/"), "not_absolute"),
        (get(&format!("http://user:word@{host}/")), "target"),
        (get("http://0x7f.1/"), "target"),
        (
            format!("CONNECT {host} HTTP/1.1\r\nConnection: close\r\n\r\n"),
            "tunnel",
        ),
    ] {
        let mut gate = Gate::new(&[host], SHORT).await;
        let answer = gate.ask(&request).await;
        refused(&answer, &gate.note().await, code);
    }
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn a_name_that_points_to_a_private_address_is_refused_though_the_plan_names_it() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\n\r\n").await;
    let port = host.port();
    let plan = format!(
        "hosts = ['localhost:{port}', '127.0.0.1:{port}', '[::1]:{port}', '[::ffff:127.0.0.1]:{port}', '169.254.169.254:80']"
    );
    let closed = GatewayConfig {
        bounds: SHORT,
        ..GatewayConfig::default()
    };
    for url in [
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let mut gate = Gate::of(&plan, closed.clone(), Mode::Live, &[]).await;
        let answer = gate.get(&url).await;
        refused(&answer, &gate.note().await, "private_address");
    }
    assert!(heads.try_recv().is_err());
    let mut gate = Gate::of(&plan, open(&[host], SHORT), Mode::Live, &[]).await;
    let answer = gate.get(&format!("http://localhost:{port}/")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(gate.note().await.outcome, Outcome::Answered);
}

#[tokio::test]
async fn a_redirect_is_the_guests_to_follow_and_is_checked_anew() {
    let (inside, mut heads) = host("HTTP/1.1 200 OK\r\n\r\ninside").await;
    let (outside, _heads) = host(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{inside}/\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
    let mut gate = Gate::of(
        &network(&[outside], ""),
        open(&[outside, inside], SHORT),
        Mode::Live,
        &[],
    )
    .await;
    let answer = gate.get(&format!("http://{outside}/")).await;
    assert!(
        answer.starts_with("HTTP/1.1 302")
            && answer.contains(&format!("location: http://{inside}/")),
        "{answer}"
    );
    assert_eq!(gate.note().await.status, Some(302));
    let answer = gate.get(&format!("http://{inside}/")).await;
    refused(&answer, &gate.note().await, "host");
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn redirects_without_end_end_with_the_requests() {
    let (host, _heads) =
        host("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let url = format!("http://{host}/");
    for _ in 0..SHORT.requests_max {
        assert!(gate.get(&url).await.starts_with("HTTP/1.1 302"));
        assert_eq!(gate.note().await.status, Some(302));
    }
    for _ in 0..3 {
        assert!(
            gate.get(&url)
                .await
                .contains("strongroom-refused: too_many_requests")
        );
    }
    let rest = gate.close().await;
    assert_eq!(
        rest.len(),
        1,
        "one note says that there were too many: {rest:?}"
    );
    assert_eq!(rest[0].number, SHORT.requests_max + 1);
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_reaches_its_host_as_one() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let plan = network(&[host], "methods = ['GET', 'POST']");
    let smuggled = format!("GET http://{host}/smuggled HTTP/1.1\r\n\r\n");
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Content-Length: 4\r\nContent-Length: 40",
        "Content-Length: +4",
        "Transfer-Encoding: xchunked",
        "X: y\r\n Content-Length: 4",
        "Content-Length: 4\nTransfer-Encoding: chunked",
    ] {
        let gate = Gate::of(&plan, open(&[host], SHORT), Mode::Live, &[]).await;
        let request =
            format!("POST http://{host}/ HTTP/1.1\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        gate.ask(&request).await;
        let notes = gate.close().await;
        let mut seen = 0;
        while let Ok(head) = heads.try_recv() {
            seen += 1;
            let framed =
                head.matches("content-length").count() + head.matches("transfer-encoding").count();
            assert!(framed <= 1, "{framing:?}: {head}");
        }
        // What is a request of its own to us was checked and noted as one.
        assert!(seen <= notes.len(), "{framing:?}: {seen} of {notes:?}");
    }
}

#[tokio::test]
async fn a_line_break_in_a_url_or_a_field_makes_no_second_request() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for request in [
        format!("GET http://{host}/a\rGET /b HTTP/1.1\r\n\r\n"),
        format!("GET http://{host}/ HTTP/1.1\r\nX: a\rY: b\r\n\r\n"),
        format!("GET http://{host}/\0 HTTP/1.1\r\n\r\n"),
        format!("GET  http://{host}/ x HTTP/1.1\r\n\r\n"),
    ] {
        let gate = Gate::new(&[host], SHORT).await;
        let answer = gate.ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn a_host_that_hangs_ends_in_time() {
    let host = rude_host(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let answer = gate.get(&format!("http://{host}/")).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    failed(&answer, &gate.note().await, "too_slow");
    // TLS hangs as well, within its own bound.
    let answer = gate.get(&format!("https://{host}/")).await;
    failed(&answer, &gate.note().await, "too_slow");
}

#[tokio::test]
async fn a_host_that_hangs_up_or_refuses_is_named() {
    let host = rude_host(|stream| async move { drop(stream) }).await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let answer = gate.get(&format!("http://{host}/")).await;
    failed(&answer, &gate.note().await, "answer");
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut gate = Gate::new(&[nobody], SHORT).await;
    let answer = gate.get(&format!("http://{nobody}/")).await;
    failed(&answer, &gate.note().await, "connect");
}

#[tokio::test]
async fn a_host_that_drips_or_falls_silent_in_its_answer_ends_in_time() {
    for (every_ms, piece) in [(100, "x"), (60_000, "")] {
        let host = rude_host(move |mut stream| async move {
            head(&mut stream).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
                .await;
            while stream.write_all(piece.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(every_ms)).await;
            }
        })
        .await;
        let mut gate = Gate::new(&[host], SHORT).await;
        let answer = gate.get(&format!("http://{host}/")).await;
        assert!(answer.contains("content-length: 1000\r\n"), "{answer}");
        noted(&gate.note().await, "too_slow");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    for (answer, has_end) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhalf",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n",
            true,
        ),
    ] {
        let (host, _heads) = host(answer).await;
        let mut gate = Gate::new(&[host], SHORT).await;
        let seen = gate.get(&format!("http://{host}/")).await;
        let note = gate.note().await;
        assert_eq!(seen.ends_with("\r\n0\r\n\r\n"), has_end, "{seen}");
        assert_eq!(note.outcome == Outcome::Answered, has_end, "{note:?}");
        assert_eq!(note.digest.is_some(), has_end);
    }
}

#[tokio::test]
async fn what_a_host_says_past_its_length_is_not_passed_on() {
    let (host, _heads) =
        host("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrowsHTTP/1.1 200 OK\r\n\r\nmore").await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let seen = gate.get(&format!("http://{host}/")).await;
    assert!(seen.ends_with("\r\n\r\nrows"), "{seen}");
    assert_eq!(gate.note().await.received_bytes, 4);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_its_bound() {
    let host = rude_host(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let url = format!("http://{host}/");
    gate.get(&url).await;
    let note = gate.note().await;
    noted(&note, "too_long");
    assert!(
        note.received_bytes <= SHORT.answer_bytes_max + (1 << 18),
        "{note:?}"
    );
    // Others count together, with all that came.
    for _ in 0..3 {
        gate.get(&url).await;
    }
    let codes: Vec<String> = gate
        .close()
        .await
        .into_iter()
        .map(|note| code(&note))
        .collect();
    assert!(codes.contains(&"spent".to_owned()), "{codes:?}");
}

fn code(note: &RequestMade) -> String {
    match &note.outcome {
        Outcome::Failed { code, .. } | Outcome::Refused { code, .. } => code.clone(),
        Outcome::Begun => "begun".to_owned(),
        Outcome::Answered => "answered".to_owned(),
        Outcome::Replayed => "replayed".to_owned(),
    }
}

#[tokio::test]
async fn ten_gigabytes_that_are_announced_are_not_fetched() {
    let (host, _heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\nx").await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let answer = gate.get(&format!("http://{host}/")).await;
    failed(&answer, &gate.note().await, "too_long");
    let head = gate
        .ask(&get(&format!("http://{host}/")).replacen("GET", "HEAD", 1))
        .await;
    assert!(head.contains("content-length: 10737418240"), "{head}");
}

#[tokio::test]
async fn what_is_packed_is_passed_as_it_is() {
    // The first bytes of what would unpack to a great many.
    let packed = [0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3, 0xec, 0xc0];
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n".to_vec();
    answer.extend(packed);
    let (host, _heads) = host(answer).await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let bytes = ask(gate.proxy, &get(&format!("http://{host}/"))).await;
    assert!(bytes.ends_with(&packed));
    let note = gate.note().await;
    assert_eq!(
        (note.received_bytes, note.digest),
        (12, Some(Digest::of(&packed)))
    );
}

#[tokio::test]
async fn heads_without_bound_and_answers_that_are_none_are_refused() {
    let fields = |count: usize| {
        (0..count)
            .map(|n| format!("X-{n}: y\r\n"))
            .collect::<String>()
    };
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    for answer in [
        long,
        format!("HTTP/1.1 200 OK\r\n{}\r\n", fields(5_000)),
        "this is no HTTP\r\n\r\n".to_owned(),
        "HTTP/1.1 99999 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        "\0\0\0\0".to_owned(),
    ] {
        let shown: String = answer.chars().take(40).collect();
        let (host, _heads) = host(answer).await;
        let mut gate = Gate::new(&[host], SHORT).await;
        let seen = gate.get(&format!("http://{host}/")).await;
        assert!(seen.starts_with("HTTP/1.1 502"), "{shown}: {seen}");
        failed(&seen, &gate.note().await, "answer");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_ended() {
    let host = rude_host(|mut stream| async move {
        head(&mut stream).await;
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n".repeat(10);
        while stream.write_all(interim.as_bytes()).await.is_ok() {}
    })
    .await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let answer = gate.get(&format!("http://{host}/")).await;
    assert!(answer.starts_with("HTTP/1.1 50"), "{answer}");
    let code = code(&gate.note().await);
    assert!(
        ["spent", "too_slow", "answer"].contains(&code.as_str()),
        "{code}"
    );
}

#[tokio::test]
async fn an_answer_before_the_question_does_no_harm() {
    let host = rude_host(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
            .await;
        let _ = stream.shutdown().await;
        head(&mut stream).await;
    })
    .await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let answer = gate.get(&format!("http://{host}/")).await;
    let note = gate.note().await;
    match code(&note).as_str() {
        "answered" => assert!(answer.ends_with("early"), "{answer}"),
        "answer" => assert!(answer.starts_with("HTTP/1.1 502"), "{answer}"),
        _ => panic!("{note:?}"),
    }
}

/// A certificate for `127.0.0.1`, as files and as a server's configuration.
fn certificate() -> (
    tempfile::NamedTempFile,
    Arc<tokio_rustls::rustls::ServerConfig>,
) {
    use std::io::Write as _;
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])
            .unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())
            .unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (file, Arc::new(server))
}

async fn secure_host(config: Arc<tokio_rustls::rustls::ServerConfig>) -> SocketAddr {
    rude_host(move |stream| {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
                .await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

#[tokio::test]
async fn the_gateway_speaks_tls_itself_with_hosts_that_it_trusts_and_no_other() {
    let (trust, config) = certificate();
    let host = secure_host(config).await;
    let url = format!("https://{host}/");
    let mut gate = Gate::new(&[host], SHORT).await;
    let answer = gate.get(&url).await;
    failed(&answer, &gate.note().await, "tls");
    let mut trusting = open(&[host], SHORT);
    trusting.trust = Some(trust.path().to_owned());
    let mut gate = Gate::of(&network(&[host], ""), trusting, Mode::Live, &[]).await;
    let answer = gate.get(&url).await;
    assert!(answer.ends_with("\r\n\r\nsecret"), "{answer}");
    let note = gate.note().await;
    assert_eq!((note.url, note.outcome), (url, Outcome::Answered));
}

#[tokio::test]
async fn a_certificate_for_another_name_and_no_tls_at_all_are_refused() {
    let (trust, config) = certificate();
    let host = secure_host(config).await;
    let other: SocketAddr = format!("127.0.0.2:{}", host.port()).parse().unwrap();
    let listener = TcpListener::bind(other).await.unwrap();
    let relay = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut to = TcpStream::connect(host).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
        }
    });
    let mut config = open(&[other], SHORT);
    config.trust = Some(trust.path().to_owned());
    let mut gate = Gate::of(&network(&[other], ""), config, Mode::Live, &[]).await;
    let answer = gate.get(&format!("https://{other}/")).await;
    failed(&answer, &gate.note().await, "tls");
    relay.abort();
    let plain = rude_host(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    })
    .await;
    let mut gate = Gate::new(&[plain], SHORT).await;
    let answer = gate.get(&format!("https://{plain}/")).await;
    failed(&answer, &gate.note().await, "tls");
}

#[tokio::test]
async fn a_tunnel_is_joined_where_the_plan_allows_it_and_its_size_is_noted() {
    let host = rude_host(|mut stream| async move {
        let mut heard = [0; 4];
        let _ = stream.read_exact(&mut heard).await;
        let _ = stream.write_all(b"pong!").await;
    })
    .await;
    let plan = network(&[host], "tunnel = true");
    let mut gate = Gate::of(&plan, open(&[host], SHORT), Mode::Live, &[]).await;
    let mut stream = TcpStream::connect(gate.proxy).await.unwrap();
    stream
        .write_all(format!("CONNECT {host} HTTP/1.1\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(b"ping").await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong!");
    drop(stream);
    let note = gate.note().await;
    assert_eq!(
        (note.method.as_str(), note.url.as_str()),
        ("CONNECT", host.to_string().as_str())
    );
    assert_eq!(
        (note.sent_bytes, note.received_bytes, note.digest),
        (4, 5, None)
    );
    let answer = gate
        .ask("CONNECT 127.0.0.1:1 HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    refused(&answer, &gate.note().await, "host");
}

#[tokio::test]
async fn secrets_are_noted_by_no_spelling() {
    let (host, _heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut gate = Gate::of(
        &network(&[host], ""),
        open(&[host], SHORT),
        Mode::Live,
        &["s3cr3t/key"],
    )
    .await;
    gate.get(&format!("http://{host}/?key=s3cr3t/key&again=s3cr3t%2Fkey"))
        .await;
    let note = gate.note().await;
    assert_eq!(
        note.url,
        format!("http://{host}/?key=[secret]&again=[secret]")
    );
}

#[tokio::test]
async fn headers_of_answers_that_are_kept_hide_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Database::Sqlite).await.unwrap();
    let answer = "HTTP/1.1 200 OK\r\nX-Again: of s3cr3t/key\r\nContent-Length: 0\r\n\r\n";
    let (host, _heads) = host(answer).await;
    let record = Mode::Record(store.blobs().clone());
    let (plan, opened) = (network(&[host], ""), open(&[host], SHORT));
    let mut gate = Gate::of(&plan, opened, record, &["s3cr3t/key"]).await;
    gate.get(&format!("http://{host}/")).await;
    let kept = gate.note().await.kept.unwrap();
    let again = ("x-again".to_owned(), "of [secret]".to_owned());
    assert!(kept.headers.contains(&again), "{kept:?}");
}

#[tokio::test]
async fn answers_that_were_recorded_are_given_again_with_nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Database::Sqlite).await.unwrap();
    let counter = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let host = rude_host(move |mut stream| {
        let n = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            head(&mut stream).await;
            let answer =
                format!("HTTP/1.1 203 Odd\r\nX-N: {n}\r\nContent-Length: 7\r\n\r\nanswer{n}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let (plan, url) = (network(&[host], ""), format!("http://{host}/"));
    let record = Mode::Record(store.blobs().clone());
    let gate = Gate::of(&plan, open(&[host], SHORT), record, &[]).await;
    let first = [gate.get(&url).await, gate.get(&url).await];
    let notes = gate.close().await;
    assert!(notes.iter().all(|note| note.kept.is_some()), "{notes:?}");
    let replay = Mode::Replay(Answers::of(notes), store.blobs().clone());
    // Nothing is open, so nobody could be dialled.
    let mut gate = Gate::of(&plan, GatewayConfig::default(), replay, &[]).await;
    for earlier in first {
        let again = gate.get(&url).await;
        assert_eq!(again, earlier);
        assert_eq!(gate.note().await.outcome, Outcome::Replayed);
    }
    for asked in [url, format!("http://{host}/other")] {
        let answer = gate.get(&asked).await;
        refused(&answer, &gate.note().await, "not_recorded");
    }
}

fn post(url: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn an_answer_is_given_again_to_the_body_that_it_answered_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Database::Sqlite).await.unwrap();
    let host = rude_host(|mut stream| async move {
        head(&mut stream).await;
        let mut body = [0; 1];
        let _ = stream.read_exact(&mut body).await;
        let said = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}",
            body[0] as char
        );
        let _ = stream.write_all(said.as_bytes()).await;
    })
    .await;
    let plan = network(&[host], "methods = ['GET', 'POST']\n");
    let url = format!("http://{host}/");
    let record = Mode::Record(store.blobs().clone());
    let gate = Gate::of(&plan, open(&[host], SHORT), record, &[]).await;
    for body in ["a", "b"] {
        assert!(gate.ask(&post(&url, body)).await.ends_with(body));
    }
    let notes = gate.close().await;
    assert_eq!(notes[1].body, Some(Digest::of(b"b")), "{notes:?}");
    // One from before bodies were noted is the answer to nobody knows what.
    let mut unknown = notes[0].clone();
    unknown.body = None;
    let notes = notes.into_iter().chain([unknown]);
    let replay = Mode::Replay(Answers::of(notes), store.blobs().clone());
    let mut gate = Gate::of(&plan, GatewayConfig::default(), replay, &[]).await;
    for body in ["b", "a"] {
        assert!(gate.ask(&post(&url, body)).await.ends_with(body));
        assert_eq!(gate.note().await.outcome, Outcome::Replayed);
    }
    let chunked = format!(
        "POST {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    );
    for asked in [post(&url, "a"), post(&url, "c"), post(&url, ""), chunked] {
        let answer = gate.ask(&asked).await;
        refused(&answer, &gate.note().await, "not_recorded");
    }
}

#[tokio::test]
async fn an_answer_to_half_a_request_is_kept_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Database::Sqlite).await.unwrap();
    let (host, _heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    let record = Mode::Record(store.blobs().clone());
    let plan = network(&[host], "methods = ['POST']\n");
    let mut gate = Gate::of(&plan, open(&[host], SHORT), record, &[]).await;
    let mut stream = TcpStream::connect(gate.proxy).await.unwrap();
    let half = post(&format!("http://{host}/"), "half").replace("Length: 4", "Length: 9");
    stream.write_all(half.as_bytes()).await.unwrap();
    let note = gate.note().await;
    assert_eq!((note.kept, note.body), (None, None));
}

#[tokio::test]
async fn an_answer_that_broke_off_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Database::Sqlite).await.unwrap();
    let (host, _heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let record = Mode::Record(store.blobs().clone());
    let mut gate = Gate::of(&network(&[host], ""), open(&[host], SHORT), record, &[]).await;
    gate.get(&format!("http://{host}/")).await;
    let note = gate.note().await;
    noted(&note, "broken_off");
    assert_eq!(note.kept, None);
    assert!(store.blobs().open(&Digest::of(b"half")).await.is_err());
}

#[tokio::test]
async fn a_session_that_is_closed_ends_everything_and_tells_of_it() {
    let host = rude_host(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
            .await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let mut bounds = SHORT;
    (bounds.idle_ms_max, bounds.whole_ms_max, bounds.head_ms_max) = (600_000, 600_000, 600_000);
    let gate = Gate::new(&[host], bounds).await;
    let mut stream = TcpStream::connect(gate.proxy).await.unwrap();
    stream
        .write_all(get(&format!("http://{host}/")).as_bytes())
        .await
        .unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let _idle = TcpStream::connect(gate.proxy).await.unwrap();
    let notes = gate.close().await;
    assert_eq!(notes.len(), 1);
    noted(&notes[0], "not_taken");
}

/// A gate whose notes are taken by the test itself.
async fn gate_and_notes(host: SocketAddr) -> (SocketAddr, mpsc::Receiver<Told>, JoinHandle<()>) {
    let network: Network = toml::from_str(&network(&[host], "")).unwrap();
    let gateway = Arc::new(Gateway::new(open(&[host], SHORT)).unwrap());
    let order = Order {
        network,
        mask: Mask::default(),
        mode: Mode::Live,
        clock: Clock::default(),
    };
    let (session, told) = Session::new(&gateway, order);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let proxy = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        session.serve(listener).await;
    });
    (proxy, told, serving)
}

#[tokio::test]
async fn nothing_leaves_before_it_is_noted_and_no_answer_is_whole_before_that_is() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrows").await;
    let (proxy, mut told, serving) = gate_and_notes(host).await;
    let request = get(&format!("http://{host}/a"));
    let asked = tokio::spawn(async move { ask(proxy, &request).await });
    let begun = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!(begun.made.outcome, Outcome::Begun);
    assert_eq!(begun.made.url, format!("http://{host}/a"));
    assert!(heads.try_recv().is_err(), "the host has heard of it");
    begun.is_kept();
    let ended = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!((ended.made.number, ended.made.status), (1, Some(200)));
    assert!(heads.recv().await.is_some());
    assert!(!asked.is_finished(), "the guest has the whole answer");
    ended.is_kept();
    let answer = timeout(PATIENCE, asked).await.unwrap().unwrap();
    assert!(answer.ends_with(b"\r\n\r\nrows"));
    serving.abort();
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_made_and_an_answer_that_cannot_is_not_whole() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrows").await;
    let (proxy, mut told, serving) = gate_and_notes(host).await;
    let request = get(&format!("http://{host}/"));
    let fails = request.clone();
    let asked = tokio::spawn(async move { ask(proxy, &fails).await });
    drop(timeout(PATIENCE, told.recv()).await.unwrap().unwrap());
    let answer = timeout(PATIENCE, asked).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("strongroom-failed: not_noted"), "{answer}");
    assert!(heads.try_recv().is_err());
    // The note of its end comes by itself, and the next request begins.
    let asked = tokio::spawn(async move { ask(proxy, &request).await });
    let answer = loop {
        let note = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        match note.made.outcome {
            Outcome::Begun => note.is_kept(),
            Outcome::Answered => {
                drop(note);
                break timeout(PATIENCE, asked).await.unwrap().unwrap();
            }
            _ => {}
        }
    };
    assert!(!answer.ends_with(b"rows"), "an answer that is whole");
    serving.abort();
}

/// A gateway whose names are looked up in a list, each time the next entry.
async fn gate_of_names(host: SocketAddr, found: Vec<Vec<SocketAddr>>) -> (Gate, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let names: Names = Arc::new(move |_, _| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Ok(found[number.min(found.len() - 1)].clone())
    });
    let plan = format!("hosts = ['rebind.example:{}']", host.port());
    let gateway = Arc::new(Gateway::with_names(open(&[host], SHORT), names).unwrap());
    (Gate::by(&plan, &gateway, Mode::Live, &[]), asked)
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_each_request_and_dialled_as_it_was_checked() {
    let (host, mut heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let inside: SocketAddr = format!("10.0.0.1:{}", host.port()).parse().unwrap();
    // Public when it is checked, and inside ever after.
    let (mut gate, asked) = gate_of_names(host, vec![vec![host], vec![inside]]).await;
    let url = format!("http://rebind.example:{}/", host.port());
    assert!(gate.get(&url).await.starts_with("HTTP/1.1 200"));
    assert_eq!(gate.note().await.outcome, Outcome::Answered);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let head = heads.recv().await.unwrap();
    assert!(head.contains("host: rebind.example"), "{head}");
    let answer = gate.get(&url).await;
    let note = gate.note().await;
    refused(&answer, &note, "private_address");
    // Nor is a guest told what lies inside.
    assert!(!answer.contains("10.0.0.1"), "{answer}");
    assert!(!format!("{note:?}").contains("10.0.0.1"), "{note:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn of_the_addresses_of_a_name_those_that_are_not_public_are_never_dialled() {
    let (inside, mut inside_heads) = host("HTTP/1.1 200 OK\r\n\r\ninside").await;
    let (host, _heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", inside.port())
        .parse()
        .unwrap();
    let translated: SocketAddr = format!("[64:ff9b::7f00:1]:{}", inside.port())
        .parse()
        .unwrap();
    let found = vec![vec![inside, mapped, translated, host]];
    let (mut gate, _) = gate_of_names(host, found).await;
    let answer = gate
        .get(&format!("http://rebind.example:{}/", host.port()))
        .await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(gate.note().await.outcome, Outcome::Answered);
    assert!(inside_heads.try_recv().is_err());
}

#[tokio::test]
async fn each_request_of_a_connection_is_judged_for_itself() {
    let (host, mut heads) = host("HTTP/1.1 204 No\r\n\r\n").await;
    let mut gate = Gate::new(&[host], SHORT).await;
    let other = format!("127.0.0.1:{}", host.port() ^ 1);
    let first = format!("GET http://{host}/1 HTTP/1.1\r\nHost: {other}\r\n\r\n");
    let both = format!("{first}{}", get(&format!("http://{other}/2")));
    let answer = gate.ask(&both).await;
    let (first, second) = (gate.note().await, gate.note().await);
    assert_eq!(first.outcome, Outcome::Answered, "{answer}");
    refused(
        &answer[answer.rfind("HTTP/1.1 403").unwrap()..],
        &second,
        "host",
    );
    let head = heads.recv().await.unwrap();
    assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn other_versions_of_http_and_tunnels_to_other_ports_are_no_way_out() {
    let (host, mut heads) = host("HTTP/1.1 204 No\r\n\r\n").await;
    let plan = network(&[host], "tunnel = true");
    let gate = Gate::of(&plan, open(&[host], SHORT), Mode::Live, &[]).await;
    let port = host.port();
    for request in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("GET http://{host}/\r\n\r\n"),
        format!(
            "CONNECT 127.0.0.1:{} HTTP/1.1\r\nConnection: close\r\n\r\n",
            port ^ 1
        ),
        format!("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        format!("CONNECT 0177.0.0.1:{port} HTTP/1.1\r\nConnection: close\r\n\r\n"),
        format!("CONNECT user@{host} HTTP/1.1\r\nConnection: close\r\n\r\n"),
        format!("CONNECT http://{host}/ HTTP/1.1\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = gate.ask(&request).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "" | "400" | "403"), "{request}: {answer}");
        assert!(heads.try_recv().is_err(), "{request}");
    }
}

#[tokio::test]
async fn a_guest_whose_names_are_slow_keeps_no_other_waiting() {
    let (host, _heads) = host("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let held = Arc::new((Mutex::new((0, false)), Condvar::new()));
    let holds = Arc::clone(&held);
    let names: Names = Arc::new(move |name, _| {
        let (state, woken) = &*holds;
        let mut state = state.lock().unwrap();
        if name == "slow.example" {
            state.0 += 1;
            woken.notify_all();
            drop(woken.wait_while(state, |state| !state.1).unwrap());
        }
        Ok(vec![host])
    });
    let bounds = Bounds {
        requests_max: 100,
        ..SHORT
    };
    let gateway = Arc::new(Gateway::with_names(open(&[host], bounds), names).unwrap());
    let port = host.port();
    let plan = format!("hosts = ['slow.example:{port}', 'quick.example:{port}']");
    let slow = Gate::by(&plan, &gateway, Mode::Live, &[]);
    let mut quick = Gate::by(&plan, &gateway, Mode::Live, &[]);
    let proxy = slow.proxy;
    let request = get(&format!("http://slow.example:{port}/"));
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move { ask(proxy, &request).await })
        })
        .collect();
    let waits = Arc::clone(&held);
    let begun = tokio::task::spawn_blocking(move || {
        let (state, woken) = &*waits;
        let state = state.lock().unwrap();
        let few = |state: &mut (usize, bool)| state.0 < 4;
        woken.wait_timeout_while(state, PATIENCE, few).unwrap().0.0
    });
    assert_eq!(begun.await.unwrap(), 4);
    let answer = quick.get(&format!("http://quick.example:{port}/")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(quick.note().await.outcome, Outcome::Answered);
    assert_eq!(held.0.lock().unwrap().0, 4);
    held.0.lock().unwrap().1 = true;
    held.1.notify_all();
    for one in asking {
        one.await.unwrap();
    }
    slow.close().await;
}
