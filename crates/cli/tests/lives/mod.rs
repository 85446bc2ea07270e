//! A station that is started to be killed, and doors to it that may close at any time.
#![allow(clippy::unwrap_used, dead_code)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use strongroom_core::digest::Digest;

pub struct Life {
    pub child: Child,
    pub url: String,
    pub agent: ureq::Agent,
}

impl Life {
    pub fn start(home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        Self::start_by(
            command
                .args(["serve", "--listen", "127.0.0.1:0", "--home"])
                .arg(home),
        )
    }

    /// Starts what serves on a free port.
    pub fn start_by(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines
                .next()
                .expect("the station ended before it listened")
                .unwrap();
            if let Some(at) = line.find("http://") {
                break line[at..].split_whitespace().next().unwrap().to_owned();
            }
        };
        thread::spawn(move || lines.for_each(drop));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)));
        Self {
            child,
            url,
            agent: config.build().into(),
        }
    }

    pub fn door(&self, token: &str) -> Door {
        Door {
            url: self.url.clone(),
            token: token.to_owned(),
            agent: self.agent.clone(),
        }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[derive(Clone)]
pub struct Door {
    pub url: String,
    pub token: String,
    pub agent: ureq::Agent,
}

impl Door {
    /// `None` when the station died under the question.
    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let answer = request
            .header("Authorization", format!("Bearer {}", self.token))
            .call();
        Self::read(answer.ok()?)
    }

    pub fn post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Prefer", "respond-async");
        Self::read(request.send_json(body).ok()?)
    }

    pub fn put_blob(&self, bytes: &[u8]) -> Option<u16> {
        let request = self
            .agent
            .put(format!("{}/v1/blobs/{}", self.url, Digest::of(bytes)));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        Some(request.send(bytes).ok()?.status().as_u16())
    }

    fn read(mut answer: ureq::http::Response<ureq::Body>) -> Option<(u16, Value)> {
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

pub fn wait_until(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !done() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        thread::yield_now();
    }
}
