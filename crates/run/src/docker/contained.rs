//! One container from its making to its removal.
//!
//! A task of its own makes it, speaks with its first process and removes it; it
//! outlives whoever wanted the run, so that a container is removed whatever
//! happens to them. What comes from inside is bounded here as well, since it is a
//! guest's neighbour that sends it. The guest's words go on through pipes, as if
//! they came from the jail.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use strongroom_core::{limits::Limits, text};
use strongroom_jail::{
    Cause, Exit, Status,
    inside::{FRAME_LEN_MAX, FromInside, Order, ToInside, Unframed},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    EngineError, Shared,
    container::Place,
    copy::{self, Part},
    making::Making,
    mouths::Mouths,
    talk::{News, Output, Talk, say},
    usage::believed,
};
use crate::{collect::OutFolder, prepare::PrepareError};

/// How long the first process may be silent while it tells what is in `/out`.
const SILENCE_MS_MAX: u64 = 30_000;
/// How long it may take to end the guest when told to, before the engine does.
const KILL_MS_MAX: u64 = 5_000;
/// Parts of `/out` on their way to the disk.
const PARTS_MAX: usize = 16;
/// What is told and heard before somebody takes it.
const WORDS_MAX: usize = 4;

/// What the guest left, or nothing if it could not be taken.
pub(crate) type Out = oneshot::Receiver<Option<OutFolder>>;

/// What is heard of a container.
pub(crate) enum Word {
    Ready,
    Refused(PrepareError),
    /// The guest is dead, all of it.
    Dead(Exit, Out),
}

/// A container. Dropping it ends and removes it.
pub(crate) struct Contained {
    commands: mpsc::Sender<ToInside>,
    words: mpsc::Receiver<Word>,
}

/// Kills the guest of one container.
pub(crate) struct Killer(mpsc::Sender<ToInside>);

impl Killer {
    pub(crate) fn kill(&self) {
        // An error means that it is over, or that it was told already.
        let _ = self.0.try_send(ToInside::Kill);
    }
}

impl Contained {
    pub(crate) fn killer(&self) -> Killer {
        Killer(self.commands.clone())
    }

    pub(crate) fn begin(&self) -> io::Result<()> {
        let told = self.commands.try_send(ToInside::Begin);
        told.map_err(|_| io::Error::other("it is gone"))
    }

    /// The next thing that is heard; `None` when it is gone.
    pub(crate) async fn word(&mut self) -> Option<Word> {
        self.words.recv().await
    }
}

/// A container's whole life.
pub(super) struct Life {
    limits: Limits,
    mouths: Mouths,
    words: mpsc::Sender<Word>,
    commands: mpsc::Receiver<ToInside>,
    out: Option<Taking>,
    began: Option<Instant>,
}

/// `/out` while it is told.
struct Taking {
    parts: mpsc::Sender<Part>,
    made: tokio::task::JoinHandle<io::Result<OutFolder>>,
    to: oneshot::Sender<Option<OutFolder>>,
}

/// How a conversation ended.
enum End {
    /// Everything was told, or nobody wants to hear more.
    Over,
    /// Before the guest began.
    Early(PrepareError),
    /// In the middle of it; whether because it was to be killed.
    Lost { killed: bool },
}

impl Life {
    /// A life to come, and who is to have the container.
    pub(super) fn new(limits: Limits, mouths: Mouths) -> (Self, Contained) {
        let (commands, heard) = mpsc::channel(WORDS_MAX);
        let (to, words) = mpsc::channel(WORDS_MAX);
        let life = Self {
            limits,
            mouths,
            words: to,
            commands: heard,
            out: None,
            began: None,
        };
        (life, Contained { commands, words })
    }

    pub(super) async fn whole(mut self, place: Place, making: Making, order: Order) {
        let shared = Arc::clone(&place.shared);
        let mut carrier = None;
        match making.made(&shared, &mut carrier, &self.words).await {
            Ok(id) => {
                match self.talk(&shared, &id, order).await {
                    End::Over => {}
                    End::Early(error) => self.tell(Word::Refused(error)).await,
                    End::Lost { killed } => self.lost(&shared, &id, killed).await,
                }
                self.mouths.close();
                shared.engine.remove(&id).await;
            }
            Err(error) => self.tell(Word::Refused(error)).await,
        }
        if let Some(id) = carrier {
            shared.engine.remove(&id).await;
        }
        drop(place);
    }

    async fn tell(&mut self, word: Word) {
        // An error means that nobody wants to know.
        let _ = self.words.send(word).await;
    }

    /// Starts it and speaks with it until there is no more to say.
    async fn talk(&mut self, shared: &Shared, id: &str, order: Order) -> End {
        let begun = async {
            let attached = shared.engine.attach(id).await?;
            shared.engine.start(id).await?;
            Ok::<_, EngineError>(attached)
        };
        let attached = match begun.await {
            Ok(attached) => attached,
            Err(error) => return End::Early(error.into()),
        };
        let mut output = attached.output;
        let mut talk = Talk {
            input: attached.input,
            unframed: Unframed::default(),
            complaint: Vec::new(),
            kill_at: None,
            is_wanted: true,
        };
        if let Err(error) = say(&mut talk.input, &ToInside::Order(Box::new(order))).await {
            return End::Early(EngineError::Order(error).into());
        }
        loop {
            let end = match self.news(&mut output, talk.kill_at, talk.is_wanted).await {
                News::Part(part) => {
                    talk.take(part);
                    self.hear_all(shared, &mut talk).await
                }
                News::Ended => Some(self.ended(&talk)),
                News::Command(command) => {
                    self.pass_on(shared, id, &mut talk, command).await;
                    None
                }
                News::Unwanted if self.out.is_none() => Some(End::Over),
                News::Unwanted => {
                    talk.is_wanted = false;
                    None
                }
                News::Late => {
                    shared.engine.kill(id).await;
                    Some(End::Lost { killed: true })
                }
                News::Silent => Some(End::Lost { killed: false }),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Whatever comes first.
    async fn news(
        &mut self,
        output: &mut Output,
        kill_at: Option<tokio::time::Instant>,
        is_wanted: bool,
    ) -> News {
        let is_taking = self.out.is_some();
        let silent = async move {
            match is_taking {
                true => sleep(Duration::from_millis(SILENCE_MS_MAX)).await,
                false => std::future::pending().await,
            }
        };
        let late = async move {
            match kill_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            part = output.next() => match part {
                Some(Ok(part)) => News::Part(part),
                Some(Err(_)) | None => News::Ended,
            },
            command = self.commands.recv(), if is_wanted => match command {
                Some(command) => News::Command(command),
                None => News::Unwanted,
            },
            () = late => News::Late,
            () = silent => News::Silent,
        }
    }

    async fn pass_on(&mut self, shared: &Shared, id: &str, talk: &mut Talk, command: ToInside) {
        match command {
            ToInside::Begin => self.began = Some(Instant::now()),
            ToInside::Kill | ToInside::Order(_) => {
                let latest = tokio::time::Instant::now() + Duration::from_millis(KILL_MS_MAX);
                talk.kill_at.get_or_insert(latest);
            }
        }
        if say(&mut talk.input, &command).await.is_err() && talk.kill_at.is_some() {
            shared.engine.kill(id).await;
        }
    }

    /// Hears every whole message that has come.
    async fn hear_all(&mut self, shared: &Shared, talk: &mut Talk) -> Option<End> {
        loop {
            match talk.unframed.next::<FromInside>(FRAME_LEN_MAX) {
                Ok(None) => return None,
                Ok(Some(message)) => {
                    if matches!(message, FromInside::Dead(_)) {
                        talk.kill_at = None;
                    }
                    if let Some(end) = self.hear(shared, message).await {
                        return Some(end);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a container said what cannot be read");
                    return Some(End::Lost { killed: false });
                }
            }
        }
    }

    /// An end without a word.
    fn ended(&self, talk: &Talk) -> End {
        if self.began.is_some() {
            let killed = talk.kill_at.is_some();
            return End::Lost { killed };
        }
        let complaint = String::from_utf8_lossy(&talk.complaint);
        let complaint = text::shown(complaint.trim(), 500);
        End::Early(PrepareError::Refused {
            wall: "container".to_owned(),
            detail: match complaint.is_empty() {
                true => "it ended before its guest began".to_owned(),
                false => format!("it ended before its guest began: {complaint}"),
            },
        })
    }

    async fn hear(&mut self, shared: &Shared, message: FromInside) -> Option<End> {
        match message {
            FromInside::Ready(_) => self.tell(Word::Ready).await,
            FromInside::Refused { wall, detail } => {
                return Some(End::Early(PrepareError::Refused {
                    wall: text::shown(&wall, 80),
                    detail: text::shown(&detail, 500),
                }));
            }
            FromInside::Said { voice, bytes } if self.began.is_some() => {
                self.mouths.say(voice, bytes.0);
            }
            FromInside::Said { .. } => return Some(End::Lost { killed: false }),
            FromInside::Dead(_) if self.out.is_some() => {}
            FromInside::Dead(exit) => self.dead(shared, exit).await,
            FromInside::Entry(entry) => return self.part(Part::Entry(entry)).await,
            FromInside::Content(bytes) => return self.part(Part::Content(bytes.0)).await,
            FromInside::Over => {
                self.taken().await;
                return Some(End::Over);
            }
        }
        None
    }

    /// How long the guest has run.
    fn elapsed(&self) -> Duration {
        self.began.map(|began| began.elapsed()).unwrap_or_default()
    }

    /// All processes are dead; what they left is told from now on.
    async fn dead(&mut self, shared: &Shared, exit: Exit) {
        self.mouths.close();
        let (parts, told) = mpsc::channel(PARTS_MAX);
        let (folder, limits) = (shared.config.folder.clone(), self.limits);
        let made = tokio::task::spawn_blocking(move || copy::make(&folder, &limits, told));
        let (to, out) = oneshot::channel();
        self.out = Some(Taking { parts, made, to });
        let exit = believed(exit, &self.limits, self.elapsed());
        self.tell(Word::Dead(exit, out)).await;
    }

    async fn part(&mut self, part: Part) -> Option<End> {
        let told = match &self.out {
            Some(out) => out.parts.send(part).await.is_ok(),
            None => false,
        };
        (!told).then_some(End::Lost { killed: false })
    }

    /// All of `/out` was told.
    async fn taken(&mut self) {
        let Some(Taking { parts, made, to }) = self.out.take() else {
            return;
        };
        drop(parts);
        let folder = match made.await {
            Ok(Ok(folder)) => Some(folder),
            Ok(Err(error)) => {
                tracing::error!(%error, "could not take what a guest left");
                None
            }
            Err(error) => {
                tracing::error!(%error, "taking what a guest left panicked");
                None
            }
        };
        let _ = to.send(folder);
    }

    /// A guest whose container is gone: the engine knows whether memory ran out.
    async fn lost(&mut self, shared: &Shared, id: &str, killed: bool) {
        if let Some(out) = self.out.take() {
            let _ = out.to.send(None);
            return;
        }
        let state = shared.engine.state(id).await.unwrap_or_default();
        let out_of_memory = state.oom_killed.unwrap_or(false);
        if !out_of_memory && !killed {
            return;
        }
        let wall = self.elapsed();
        let exit = Exit {
            status: Status::Signaled(9),
            cause: match killed {
                true => Cause::Killed,
                false => Cause::Own,
            },
            out_of_memory,
            processes_refused: false,
            out_full: false,
            tmp_full: false,
            exec_failed: None,
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            cpu_ms: 0,
            memory_peak_bytes: 0,
        };
        self.mouths.close();
        let (to, out) = oneshot::channel();
        let _ = to.send(None);
        self.tell(Word::Dead(exit, out)).await;
    }
}
