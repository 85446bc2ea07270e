//! A client that knows just enough HTTP/1.1 to measure and to load a station.
//!
//! One keep-alive connection, one question at a time, answers with a length.
//! It costs next to nothing, so that what is measured is the station.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest answer that is read, in bytes.
const ANSWER_LEN_MAX: usize = 32 << 20;

/// A client who is somebody.
pub struct Http {
    host: String,
    token: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What the station said.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text, where the station was of the same opinion.
    pub fn good(self) -> anyhow::Result<Self> {
        if self.status < 300 {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body);
        bail!("the station answered {}: {body}", self.status);
    }
}

impl Http {
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://");
        Ok(Self {
            host: host
                .context("the station's address is no http:// one")?
                .to_owned(),
            token: token.to_owned(),
            stream: None,
            buffer: vec![0; 64 * 1024],
        })
    }

    pub fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.ask("POST", path, &body.to_string())
    }

    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.ask("GET", path, "")
    }

    /// Asks and does not wait for the answer: the connection is gone.
    pub fn hang_up_on(&mut self, path: &str, body: &Value) -> anyhow::Result<()> {
        let request = self.request("POST", path, &body.to_string());
        self.stream()?.write_all(&request)?;
        self.stream = None;
        Ok(())
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let request = self.request(method, path, body);
        let used = self.stream.is_some();
        match self.send(&request) {
            Ok(answer) => Ok(answer),
            // The station closes connections that were silent for long.
            Err(_) if used && self.stream.is_none() => self.send(&request),
            Err(error) => Err(error),
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             {kind}Content-Length: {}\r\n\r\n{body}",
            self.host,
            self.token,
            body.len()
        )
        .into_bytes()
    }

    fn stream(&mut self) -> anyhow::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.host)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.stream = Some(stream);
        }
        self.stream.as_mut().context("the connection is gone")
    }

    /// A connection that ends before the first byte of an answer is forgotten.
    fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let written = self.stream()?.write_all(request);
        if let Err(error) = written {
            self.stream = None;
            return Err(error.into());
        }
        let mut got = Vec::new();
        loop {
            let stream = self.stream.as_mut().context("the connection is gone")?;
            let count = stream.read(&mut self.buffer)?;
            if count == 0 {
                self.stream = None;
                bail!(
                    "the station closed the connection after {} bytes",
                    got.len()
                );
            }
            got.extend_from_slice(&self.buffer[..count]);
            if let Some(answer) = complete(&got)? {
                return Ok(answer);
            }
            if ANSWER_LEN_MAX < got.len() {
                bail!("the answer is too long");
            }
        }
    }
}

/// `None` until the whole answer is there.
fn complete(got: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&got[..end])?;
    let status = head.get(9..12).context("no status line")?.parse()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let body = &got[end + 4..];
    let length = length.unwrap_or(0);
    Ok((length <= body.len()).then(|| Answer {
        status,
        body: body[..length].to_vec(),
    }))
}
