//! Who misses the gateway's checks; built for `cargo xtask mutation` alone.
//!
//! Every host is a listener of the test, and what is looked at is whether it
//! heard of a request, or how much of its answer came through.

use std::net::SocketAddr;

use strongroom_server::gateway::{Bounds, GatewayConfig, Mode};
use tokio::sync::mpsc;

use crate::gateway::{Gate, SHORT, get, host, network, open};

#[path = "../../../run/tests/local/removed.rs"]
mod removed;

const WALLS: [&str; 6] = [
    "GatewayHosts",
    "GatewayMethods",
    "GatewayTunnels",
    "GatewayAddresses",
    "GatewayRequests",
    "GatewayAnswerBytes",
];
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// One byte over what an answer may have.
const LONG_BYTES: usize = 100_001;

#[tokio::test]
async fn who_misses_the_checks_of_the_gateway() {
    if !removed::is_inside() {
        return removed::each("mutants::who_misses_the_checks_of_the_gateway", &WALLS);
    }
    unnamed().await;
    led_away().await;
    by_another_method().await;
    by_tunnel().await;
    private().await;
    too_often().await;
    too_long().await;
}

/// What a host heard so far. Its answer, or the gateway's, has come already.
fn heard(heads: &mut mpsc::Receiver<String>) -> usize {
    std::iter::from_fn(|| heads.try_recv().ok()).count()
}

async fn unnamed() {
    let (named, _kept) = host(PLAIN).await;
    let (other, mut heads) = host(PLAIN).await;
    let gate = gate(&[named], open(&[named, other], SHORT)).await;
    gate.get(&format!("http://{other}/")).await;
    let heard = heard(&mut heads);
    removed::show(
        "gateway: ask for a host that its plan does not name",
        0 < heard,
        heard,
    );
}

async fn led_away() {
    let (other, mut heads) = host(PLAIN).await;
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{other}/\r\nContent-Length: 0\r\n\r\n");
    let (named, _kept) = host(answer).await;
    let gate = gate(&[named], open(&[named, other], SHORT)).await;
    let answer = gate.get(&format!("http://{named}/")).await;
    let led = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    gate.get(led.unwrap()).await;
    let heard = heard(&mut heads);
    removed::show("gateway: go where a redirect leads", 0 < heard, heard);
}

async fn by_another_method() {
    let (named, mut heads) = host(PLAIN).await;
    let gate = gate(&[named], open(&[named], SHORT)).await;
    let request = get(&format!("http://{named}/")).replacen("GET", "DELETE", 1);
    gate.ask(&request).await;
    let heard = heard(&mut heads);
    removed::show(
        "gateway: ask by a method that its plan does not name",
        0 < heard,
        heard,
    );
}

async fn by_tunnel() {
    let (named, mut heads) = host(PLAIN).await;
    let gate = gate(&[named], open(&[named], SHORT)).await;
    let inner = get("/");
    let request = format!("CONNECT {named} HTTP/1.1\r\nHost: {named}\r\n\r\n{inner}");
    let answer = gate.ask(&request).await;
    let got_out = answer.starts_with("HTTP/1.1 200") || 0 < heard(&mut heads);
    removed::show(
        "gateway: hide what it asks for in a tunnel",
        got_out,
        answer,
    );
}

async fn private() {
    let (named, mut heads) = host(PLAIN).await;
    let gate = gate(&[named], open(&[], SHORT)).await;
    gate.get(&format!("http://{named}/")).await;
    let heard = heard(&mut heads);
    removed::show(
        "gateway: reach an address that is not public",
        0 < heard,
        heard,
    );
}

async fn too_often() {
    let (named, mut heads) = host(PLAIN).await;
    let gate = gate(&[named], open(&[named], SHORT)).await;
    for _ in 0..SHORT.requests_max + 2 {
        gate.get(&format!("http://{named}/")).await;
    }
    let heard = heard(&mut heads);
    let got_out = SHORT.requests_max < u32::try_from(heard).unwrap();
    removed::show("gateway: ask more often than it may", got_out, heard);
}

async fn too_long() {
    let body = "x".repeat(LONG_BYTES);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG_BYTES}\r\n\r\n{body}");
    let (named, _heads) = host(long).await;
    let bounds = Bounds {
        idle_ms_max: 30_000,
        head_ms_max: 30_000,
        whole_ms_max: 60_000,
        ..SHORT
    };
    let gate = gate(&[named], open(&[named], bounds)).await;
    let answer = gate.get(&format!("http://{named}/")).await;
    let got_out = answer.ends_with(&body);
    removed::show(
        "gateway: take a longer answer than it may",
        got_out,
        answer.len(),
    );
}

async fn gate(named: &[SocketAddr], config: GatewayConfig) -> Gate {
    Gate::of(&network(named, ""), config, Mode::Live, &[]).await
}
