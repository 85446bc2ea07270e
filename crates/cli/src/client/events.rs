//! A run while it happens, read from the station's server-sent events.
//!
//! A broken connection is taken up again after the last line that was seen,
//! so that no line is missed and none is told twice.

use std::{
    io::{self, BufRead as _, BufReader, Read},
    thread,
    time::{Duration, Instant},
};

use strongroom_core::id::RunId;
use strongroom_server::api::{LogLine, Run, RunState, RunStep};

use super::{ANSWER_BYTES_MAX, Client, ClientError};
use crate::error::CliError;

/// How often a lost station is looked for before we give up.
const ATTEMPTS_MAX: u32 = 12;
/// How much longer each time.
const PAUSE: Duration = Duration::from_millis(250);

/// Something that happened to a run.
#[derive(Debug)]
pub enum News {
    State(RunState),
    Log(LogLine),
    Step(RunStep),
}

/// What a station sends; the end is the last.
#[derive(Debug)]
enum Event {
    News(News),
    End(Box<Run>),
}

impl News {
    /// Its place among what the guest said.
    fn seq(&self) -> Option<i64> {
        match self {
            Self::Log(line) => Some(line.seq),
            Self::Step(step) => Some(step.seq),
            Self::State(_) => None,
        }
    }
}

/// Which run is followed, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Follow<'a> {
    pub run: &'a RunId,
    /// The moment at which following ends, whatever has happened.
    pub deadline: Option<Instant>,
}

impl Follow<'_> {
    /// Tells `on` all that happens. `None` when the deadline came first.
    pub fn tell(
        &self,
        client: &Client,
        mut on: impl FnMut(News) -> Result<(), CliError>,
    ) -> Result<Option<Run>, CliError> {
        let (mut seen, mut attempts) = (0, 0);
        loop {
            let lost = match self.listen(client, &mut seen, &mut attempts, &mut on) {
                Ok(run) => return Ok(Some(run)),
                Err(CliError::Client(lost)) if lost.is_lost() => lost,
                Err(other) => return Err(other),
            };
            if self.left() == Some(Duration::ZERO) {
                return Ok(None);
            }
            attempts += 1;
            if attempts == ATTEMPTS_MAX {
                return Err(lost.into());
            }
            thread::sleep((PAUSE * attempts).min(self.left().unwrap_or(Duration::MAX)));
        }
    }

    fn left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// One connection, to the end of the run or of the connection.
    fn listen(
        &self,
        client: &Client,
        seen: &mut i64,
        attempts: &mut u32,
        on: &mut impl FnMut(News) -> Result<(), CliError>,
    ) -> Result<Run, CliError> {
        let mut events = client.events(self.run, *seen, self.left())?;
        while let Some(event) = events.next()? {
            *attempts = 0;
            match event {
                Event::End(run) => return Ok(*run),
                Event::News(news) => match news.seq() {
                    Some(seq) if seq <= *seen => {}
                    seq => {
                        *seen = seq.unwrap_or(*seen);
                        on(news)?;
                    }
                },
            }
        }
        Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()).into())
    }
}

impl Client {
    fn events(
        &self,
        run: &RunId,
        after_seq: i64,
        within: Option<Duration>,
    ) -> Result<Events<impl Read + use<>>, ClientError> {
        let place = self.place(&format!("/v1/runs/{run}/events"));
        let request = self.authorized(self.agent.get(place));
        let request = request
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", after_seq.to_string())
            .config()
            .timeout_global(within)
            .build();
        let answer = self.told(request.call())?;
        let body = answer.into_body().into_with_config().limit(u64::MAX);
        Ok(Events {
            lines: BufReader::new(body.reader()),
        })
    }
}

/// A stream of events.
struct Events<R> {
    lines: BufReader<R>,
}

impl<R: Read> Events<R> {
    /// The next event that we know; `None` at the end of the stream.
    fn next(&mut self) -> Result<Option<Event>, ClientError> {
        let (mut name, mut data) = (String::new(), String::new());
        while let Some(line) = self.line()? {
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() => {
                    if let Some(event) = event(&name, &data)? {
                        return Ok(Some(event));
                    }
                    name.clear();
                    data.clear();
                }
                "event" => value.clone_into(&mut name),
                "data" => data.push_str(value),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The next line; a line that is cut off is no line. The longest is a
    /// whole run with its value.
    fn line(&mut self) -> Result<Option<String>, ClientError> {
        let mut raw = Vec::new();
        let mut bounded = (&mut self.lines).take(ANSWER_BYTES_MAX);
        bounded
            .read_until(b'\n', &mut raw)
            .map_err(ClientError::Broken)?;
        if raw.pop() != Some(b'\n') {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&raw);
        Ok(Some(text.trim_end_matches('\r').to_owned()))
    }
}

fn event(name: &str, data: &str) -> Result<Option<Event>, ClientError> {
    let read = match name {
        "log" => serde_json::from_str(data).map(|line| Event::News(News::Log(line))),
        "step" => serde_json::from_str(data).map(|step| Event::News(News::Step(step))),
        "state" => serde_json::from_str(data).map(|state| Event::News(News::State(state))),
        "end" => serde_json::from_str(data).map(Event::End),
        _ => return Ok(None),
    };
    read.map(Some)
        .map_err(|error| ClientError::Broken(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn events(text: &str) -> Events<&[u8]> {
        Events {
            lines: BufReader::new(text.as_bytes()),
        }
    }

    #[test]
    fn events_are_read_whatever_stands_between_them() {
        let mut events = events(
            ": alive\n\nevent: state\ndata: {\"state\":\"queued\"}\n\n\
             event: later\ndata: {}\n\nid: 1\r\nevent: log\r\n\
             data:{\"seq\":1,\"at_ms\":0,\"stream\":\"stdout\",\r\ndata: \"text\":\"a: b\"}\r\n\r\n\
             event: log\ndata: {\"cut",
        );
        assert!(matches!(
            events.next(),
            Ok(Some(Event::News(News::State(_))))
        ));
        match events.next() {
            Ok(Some(Event::News(News::Log(line)))) => {
                assert_eq!((line.seq, line.text.as_str()), (1, "a: b"))
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(events.next(), Ok(None)));
    }

    #[test]
    fn an_event_that_cannot_be_read_is_a_broken_connection() {
        assert!(
            events("event: end\ndata: {}\n\n")
                .next()
                .unwrap_err()
                .is_lost()
        );
    }
}
