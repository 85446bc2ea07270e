//! A guest that reaches its gateway, and what comes with it.

use std::collections::BTreeMap;

use serde_json::json;
use strongroom_core::plan::Inputs;
use strongroom_run::{PrepareError, Reach};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::house::{House, PATIENCE, Task, files};

fn task(code: &str) -> Task {
    let code = format!("{code}\ndef download(ctx):\n    return transform(None, ctx)");
    let mut task = Task::python(&code);
    task.reach = Reach::Gateway;
    task
}

/// Answers the first request of a guest with `answer`; the request, and what
/// the guest returned.
async fn answered(task: Task, answer: &str) -> (String, serde_json::Value) {
    let house = House::new();
    let mut prepared = house.prepare(&task).await.unwrap();
    let listener = TcpListener::from_std(prepared.take_gateway().unwrap()).unwrap();
    let (sender, mut lines) = mpsc::channel(100);
    let (_keep, cancel) = oneshot::channel();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let serve = tokio::time::timeout(PATIENCE, serve);
    let (ended, request) = tokio::join!(prepared.run(sender, cancel), serve);
    assert!(
        ended.reason.is_success(),
        "{ended:?} {:?}",
        lines.recv().await
    );
    (request.unwrap(), ended.value.unwrap())
}

#[tokio::test]
async fn an_ordinary_client_finds_the_gateway_by_itself() {
    let code = "
import urllib.request
def transform(data, ctx):
    with urllib.request.urlopen('http://api.example.org/rows?page=1') as answer:
        return answer.read().decode()";
    let (request, value) = answered(
        task(code),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nrows",
    )
    .await;
    assert!(request.starts_with("GET http://api.example.org/rows?page=1 HTTP/1.1\r\n"));
    assert_eq!(value, json!("rows"));
}

#[tokio::test]
async fn a_job_that_shows_data_has_no_gateway() {
    let house = House::new();
    let data = Inputs::Only(files(&[("rows", "1")]));
    let refused = house.prepare(&task("").on(data)).await.err().unwrap();
    assert!(matches!(refused, PrepareError::DataAndNetwork), "{refused}");
}

#[tokio::test]
async fn only_a_guest_with_a_gateway_has_one_and_is_told_where() {
    let code = "
import os
def transform(data, ctx):
    return sorted(name for name in os.environ if 'proxy' in name.lower())";
    let house = House::with_pool(2, 2);
    let plain = Task::python(code);
    house.run(plain.clone()).await.succeeded();
    house.until_waiting(&plain).await;
    let mut prepared = house.prepare(&plain).await.unwrap();
    assert!(prepared.take_gateway().is_none());
    drop(prepared);
    assert_eq!(house.run(plain).await.value(), json!([]));
    let told = house.run(task(code)).await.value();
    assert_eq!(
        told,
        json!(["HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "https_proxy"])
    );
}

#[tokio::test]
async fn secrets_reach_the_guest_that_they_are_for_and_no_other() {
    let code = "
import os
def transform(data, ctx):
    return os.environ.get('STRONGROOM_SECRETS')";
    let house = House::with_pool(2, 2);
    let plain = Task::python(code);
    let mut told = plain.clone();
    told.secrets = BTreeMap::from([("token".to_owned(), "k \"1\"".to_owned())]);
    house.run(plain.clone()).await.succeeded();
    house.until_waiting(&plain).await;
    for _ in 0..3 {
        let value = house.run(told.clone()).await.value();
        assert_eq!(value, json!(r#"{"token":"k \"1\""}"#));
        assert_eq!(house.run(plain.clone()).await.value(), json!(null));
    }
}
