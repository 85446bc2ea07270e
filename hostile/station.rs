//! A station as a place for hostile programs, by its public API alone: part of tests and chores.
//!
//! What a run prints judges most attempts. What it leaves for others to read
//! is judged here: the station must answer within bounds and with a reason,
//! tell nothing of the host, and serve the next run.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

use super::canaries::{Canaries, SECRET};
use super::judge::{self, Ended, Judged, Place, Verdict};

/// The limits of a station made for this, in its configuration.
#[allow(dead_code)]
pub const CONFIG: &str = r#"
[script.limits]
memory = "48 MiB"
processes = 24
tmp = "4 MiB"
out = "1 MiB"
out_files = 16
log = "256 KiB"
time = "6s"
cpu = 1.0
"#;
/// The longest answer that a reader should have to bear.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// How long one run may take, queueing on a busy machine included.
const RUN_MAX: Duration = Duration::from_secs(120);

/// A station and a token for it.
pub struct Besieged {
    agent: Agent,
    url: String,
    token: String,
    arguments: Value,
}

impl Besieged {
    /// A station with the limits of [`CONFIG`], on this host.
    pub fn own(url: &str, token: &str, canaries: &Canaries) -> Self {
        let limits = json!({
            "memory_bytes": 48 << 20, "processes": 24, "tmp_bytes": 4 << 20,
            "out_bytes": 1 << 20, "out_files": 16, "cpu_milli": 1000,
        });
        let told =
            json!({"canaries": canaries.told(), "limits": limits, "mark": std::process::id()});
        Self::at(url, token, told)
    }

    /// Any station: what it holds and where its host hides things is not known.
    pub fn at(url: &str, token: &str, arguments: Value) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(RUN_MAX));
        Self {
            agent: config.build().into(),
            url: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            arguments,
        }
    }

    /// Runs every attempt on those who read what comes out.
    pub fn outputs(&self) -> Vec<Judged> {
        let names = judge::names("output");
        names.into_iter().map(|name| self.output(name)).collect()
    }

    fn output(&self, attempt: String) -> Judged {
        let mut arguments = self.arguments();
        arguments["part"] = json!("output");
        arguments["only"] = json!([attempt]);
        let (reason, harm) = match self.submit(&judge::source("output", arguments), &[]) {
            Ok(answer) => (reason(&answer["reason"]), harm(&answer)),
            Err(error) => (String::new(), Some(format!("no answer: {error}"))),
        };
        let harm = harm.or_else(|| self.is_unwell());
        Judged {
            family: "output",
            attempt,
            verdict: match harm {
                None => Verdict::Contained,
                Some(_) => Verdict::GotOut,
            },
            detail: harm.unwrap_or_else(|| format!("the run ended: {reason}")),
        }
    }

    /// What is wrong with the station now.
    fn is_unwell(&self) -> Option<String> {
        match self.submit("print('hello')", &[]) {
            Ok(answer) if answer["stdout"] == "hello\n" => None,
            Ok(answer) => Some(format!(
                "the next run ended like this: {}",
                answer["reason"]
            )),
            Err(error) => Some(format!("the next run was not answered: {error}")),
        }
    }

    fn submit(&self, source: &str, headers: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.agent.post(format!("{}/run-json", self.url));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        read(request.send_json(json!({"client": "hostile", "code": source})))
    }

    fn status(&self, id: &str) -> Result<Value, String> {
        let request = self.agent.get(format!("{}/status/{id}", self.url));
        read(
            request
                .header("Authorization", format!("Bearer {}", self.token))
                .call(),
        )
    }
}

impl Place for Besieged {
    fn arguments(&self) -> Value {
        self.arguments.clone()
    }

    fn run(&self, source: &str) -> Ended {
        match self.submit(source, &[]) {
            Ok(answer) => Ended {
                stdout: text(&answer["stdout"]) + &text(&answer["stderr"]),
                reason: reason(&answer["reason"]),
            },
            Err(error) => Ended {
                stdout: String::new(),
                reason: format!("no answer: {error}"),
            },
        }
    }

    fn run_beside(&self, source: &str, meanwhile: &mut dyn FnMut()) {
        let begun = self.submit(source, &[("Prefer", "respond-async")]);
        let id = begun.map(|answer| text(&answer["id"])).unwrap_or_default();
        let until = Instant::now() + RUN_MAX;
        let is_planted = || {
            let said = self.status(&id).map(|answer| text(&answer["stdout"]));
            said.is_ok_and(|said| said.contains("\"planted\": true"))
        };
        while !is_planted() && Instant::now() < until {
            std::thread::yield_now();
        }
        meanwhile();
        let cancel = self.agent.post(format!("{}/v1/runs/{id}/cancel", self.url));
        let token = format!("Bearer {}", self.token);
        let _ = cancel.header("Authorization", token).send_empty();
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = body.read_to_string().map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// What an answer should not be or hold.
fn harm(answer: &Value) -> Option<String> {
    if answer["state"] != "ended" || answer["reason"]["code"].is_null() {
        return Some(format!(
            "it is {} for {}",
            answer["state"], answer["reason"]
        ));
    }
    if answer["reason"]["code"] == "host_error" {
        return Some(format!(
            "the station took it for its own fault: {}",
            answer["reason"]
        ));
    }
    let whole = answer.to_string();
    if whole.contains(SECRET) || whole.contains("root:") {
        return Some("a secret of the host is in the answer".to_owned());
    }
    let files = answer["files"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let odd = files.iter().map(|file| text(&file["path"])).find(|path| {
        path.starts_with('/') || path.contains("..") || path.chars().any(char::is_control)
    });
    odd.map(|path| format!("a file is called {path:?}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A reason in the words of the programs.
fn reason(reason: &Value) -> String {
    match reason["signal"].as_i64() {
        Some(number) => format!("signal {number}"),
        None => text(&reason["code"]),
    }
}
