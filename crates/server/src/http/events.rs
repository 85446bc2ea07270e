//! A run while it happens, as server-sent events.
//!
//! `log` carries one line and `step` one thing that a guest tells of its
//! steps, each with its number as the event's id, so a listener that lost the
//! connection goes on after the last that it heard. `state` says
//! that the run came into another state, `end` carries the whole run and is
//! the last. Every line was stored before it is sent, and none is skipped.
//! Some lines at a time are held in memory, however long the log is. The
//! stream ends when the token that opened it does.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use strongroom_core::{id::RunId, run};

use super::{problem::Answer, query::LINES_MAX, read::Segments, runs::last_event_id};
use crate::{
    api::{self, RunState},
    app::{
        Actor, App, AppError,
        heard::Heard,
        watch::{Ear, PLACES_MAX, Place},
    },
};

/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follows a run: its log lines, its states, its end
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs",
    params(("id" = String, Path),
        ("Last-Event-ID" = Option<i64>, Header, description = "Go on after this line.")),
    responses((status = 200, content_type = "text/event-stream", body = String,
        description = "events `log` (LogLine), `step` (RunStep), `state` (RunState) and, last, `end` (Run)")))]
pub(super) async fn run_events(
    State(app): State<App>,
    actor: Actor,
    Segments(id): Segments<RunId>,
    headers: HeaderMap,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let after_seq = last_event_id(&headers)?;
    // Listening begins before the first look, so that nothing falls between.
    let ear = app.watch.listen(&id);
    let run = app.run(&actor, &id).await?;
    let place = app.watch.place(&actor.user).ok_or_else(|| {
        AppError::TooMany(format!("{PLACES_MAX} calls of yours wait for news already"))
    })?;
    let mut follow = Follow {
        _place: place,
        app,
        actor,
        id,
        ear,
        after_seq,
        state: None,
        ready: VecDeque::new(),
        more_of: None,
        over: false,
    };
    follow.look_at(run).await?;
    let events = stream::unfold(follow, |mut follow| async move {
        let event = follow.next().await?;
        Some((Ok(event), follow))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One listener and how far he has come.
struct Follow {
    _place: Place,
    app: App,
    actor: Actor,
    id: RunId,
    ear: Ear,
    after_seq: i64,
    state: Option<run::State>,
    ready: VecDeque<Event>,
    /// The run as it was seen last, while there is more of its log to read.
    more_of: Option<api::Run>,
    over: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            // A listener whose run cannot be read any more comes back and is told why.
            let run = match self.more_of.take() {
                Some(run) => run,
                None => self.news().await?,
            };
            self.app.still(&self.actor).await.ok()?;
            self.look_at(run).await.ok()?;
        }
    }

    /// The run as it is after the next news of it.
    async fn news(&mut self) -> Option<api::Run> {
        tokio::select! {
            () = self.ear.news() => {}
            () = self.app.token_ends(&self.actor) => {}
            () = self.app.stop.cancelled() => return None,
        }
        self.app.run(&self.actor, &self.id).await.ok()
    }

    /// Makes events of what is new. The log comes after the state was read
    /// and before it is told, so that `end` is last.
    async fn look_at(&mut self, run: api::Run) -> Result<(), AppError> {
        let ended = run.state == run::State::Ended;
        if self.state != Some(run.state) && !ended {
            let state = RunState {
                state: run.state,
                waits_for: run.waits_for.clone(),
            };
            self.push("state", &state, None);
        }
        self.state = Some(run.state);
        let may_read = run.caller == self.actor.user && !run.withheld;
        if may_read && !self.look_at_log().await? {
            self.more_of = Some(run);
            return Ok(());
        }
        if ended {
            self.push("end", &run, None);
            self.over = true;
        }
        Ok(())
    }

    /// Reads the next lines and steps; whether they were the last for now.
    async fn look_at_log(&mut self) -> Result<bool, AppError> {
        let heard = self
            .app
            .run_heard(&self.actor, &self.id, self.after_seq, LINES_MAX)
            .await?;
        let count = heard.len();
        for one in heard {
            match one {
                Heard::Line(line) => {
                    self.after_seq = line.seq;
                    self.push("log", &line, Some(line.seq));
                }
                Heard::Step(step) => {
                    self.after_seq = step.seq;
                    self.push("step", &step, Some(step.seq));
                }
            }
        }
        Ok(count < LINES_MAX as usize)
    }

    fn push(&mut self, name: &str, data: &impl serde::Serialize, id: Option<i64>) {
        let data = serde_json::to_string(data).expect("our own types serialise");
        let mut event = Event::default().event(name).data(data);
        if let Some(id) = id {
            event = event.id(id.to_string());
        }
        self.ready.push_back(event);
    }
}
