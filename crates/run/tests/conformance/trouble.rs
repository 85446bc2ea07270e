//! An engine that hangs, breaks off, lies or talks for ever, between a backend
//! and a real one: each is an error with a name after a bounded time, nothing is
//! left, and the next run works once the engine is itself again.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use strongroom_core::run::Reason;
use strongroom_run::{Backend, Docker, DockerConfig, EngineError, PrepareError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
};

use crate::{
    containers::{containers, until_none_of},
    engine::Engine,
    house::{House, Task, docker_config},
};

/// How long the backend waits for an answer: long enough for an engine on a busy
/// machine, and short enough to be waited for here.
const ENGINE_PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// What becomes of what is said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    /// It hears everything and answers nothing.
    Hangs,
    /// It hangs up as soon as it is asked something.
    HangsUp,
    /// It does what it is asked, and hangs up when a container was made.
    LosesAnswers,
    Refuses,
    /// It answers with a body that never ends.
    TalksForEver,
    IsNoEngine,
    /// It says of everything that it was done, and names what is not there.
    Lies,
}

impl Mood {
    /// What is answered in the engine's place.
    fn says(self) -> Option<&'static str> {
        match self {
            Self::Refuses => Some(
                "HTTP/1.1 500 X\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n\
                 {\"message\":\"broken\"}",
            ),
            Self::TalksForEver => {
                Some("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Id\":\"")
            }
            Self::IsNoEngine => Some("SSH-2.0-x\r\n\r\n"),
            Self::Lies => Some(
                "HTTP/1.1 201 X\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n\
                 {\"Id\":\"../../x\",\"Warnings\":[]}\n",
            ),
            _ => None,
        }
    }
}

/// A socket with an engine behind it.
struct Relay {
    mood: watch::Sender<Mood>,
    socket: PathBuf,
}

impl Relay {
    fn start(engine: &Engine, folder: &Path) -> Self {
        let socket = folder.join("relay");
        let listener = UnixListener::bind(&socket).unwrap();
        let (mood, seen) = watch::channel(Mood::Well);
        let behind = engine.host().replace("unix://", "");
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = UnixStream::connect(&behind).await else {
                    continue;
                };
                let (near, far) = (near.into_split(), far.into_split());
                let (to_near, from_far) = (near.1, far.0);
                tokio::spawn(asks(near.0, far.1, to_near, from_far, seen.clone()));
            }
        });
        Self { mood, socket }
    }

    fn is(&self, mood: Mood) {
        self.mood.send(mood).unwrap();
    }
}

/// Passes one connection on, as the mood is when something is said.
async fn asks(
    mut near: OwnedReadHalf,
    mut far: OwnedWriteHalf,
    to_near: OwnedWriteHalf,
    from_far: OwnedReadHalf,
    mood: watch::Receiver<Mood>,
) {
    let (answer, answers) = mpsc::channel::<&'static str>(1);
    let loses = Arc::new(AtomicBool::new(false));
    let losing = Arc::clone(&loses);
    let back = tokio::spawn(answered(from_far, to_near, mood.clone(), answers, losing));
    let mut part = [0; 8192];
    while let Ok(count @ 1..) = near.read(&mut part).await {
        let now = *mood.borrow();
        if let Some(said) = now.says() {
            let _ = answer.send(said).await;
            continue;
        }
        if now == Mood::HangsUp {
            break;
        }
        let head = String::from_utf8_lossy(&part[..count.min(100)]).into_owned();
        if now == Mood::LosesAnswers && head.contains("/containers/create") {
            loses.store(true, Ordering::SeqCst);
        }
        if far.write_all(&part[..count]).await.is_err() {
            break;
        }
    }
    drop(answer);
    back.abort();
}

async fn answered(
    mut far: OwnedReadHalf,
    mut near: OwnedWriteHalf,
    mut mood: watch::Receiver<Mood>,
    mut instead: mpsc::Receiver<&'static str>,
    loses: Arc<AtomicBool>,
) {
    let mut part = [0; 8192];
    loop {
        let count = tokio::select! {
            said = instead.recv() => {
                let Some(said) = said else { return };
                if near.write_all(said.as_bytes()).await.is_err() {
                    return;
                }
                // As much as is taken, and not so much that a test is a load.
                while *mood.borrow() == Mood::TalksForEver {
                    if near.write_all(&[b'a'; 64]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                continue;
            }
            read = far.read(&mut part) => match read {
                Ok(count @ 1..) => count,
                _ => return,
            },
        };
        if loses.load(Ordering::SeqCst) {
            return;
        }
        if mood.wait_for(|mood| *mood != Mood::Hangs).await.is_err()
            || near.write_all(&part[..count]).await.is_err()
        {
            return;
        }
    }
}

/// A backend of its own behind a relay.
async fn behind(engine: &Engine, station: &str) -> (House, Relay) {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(engine, folder.path());
    let config = DockerConfig {
        host: format!("unix://{}", relay.socket.display()),
        station: Some(station.to_owned()),
        patience: Some(ENGINE_PATIENCE),
        ..docker_config(engine, folder.path())
    };
    let house = House {
        backend: Backend::Docker(Docker::start(config).await.unwrap()),
        folder,
        on_images: false,
    };
    (house, relay)
}

async fn until_all_places_are_free(house: &House) {
    let latest = Instant::now() + PATIENCE;
    while house.backend.slots_free() < 2 {
        assert!(Instant::now() < latest, "a place is taken for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One mood, from a run that goes well to another.
async fn survives(engine: &Engine, mood: Mood) {
    let station = format!("station-that-{mood:?}");
    let (house, relay) = behind(engine, &station).await;
    let hello = Task::sh("echo hello");
    assert_eq!(house.run(&hello).await.reason, Reason::Succeeded);
    until_all_places_are_free(&house).await;
    relay.is(mood);
    let asked = Instant::now();
    match house.prepare(&hello).await {
        Err(PrepareError::Engine(error)) => {
            assert!(!error.to_string().is_empty(), "{mood:?}: {error}");
        }
        Err(other) => panic!("{mood:?}: {other}"),
        Ok(_) => panic!("{mood:?}: it was prepared"),
    }
    assert!(asked.elapsed() < ENGINE_PATIENCE * 2, "{mood:?}");
    relay.is(Mood::Well);
    until_all_places_are_free(&house).await;
    assert_eq!(
        house.run(&hello).await.reason,
        Reason::Succeeded,
        "{mood:?}"
    );
    until_none_of(engine, &station).await;
    house.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_in_trouble_is_an_error_with_a_name_and_the_next_run_works() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let engine = &engine;
    tokio::join!(
        survives(engine, Mood::Hangs),
        survives(engine, Mood::HangsUp),
        survives(engine, Mood::LosesAnswers),
        survives(engine, Mood::Refuses),
        survives(engine, Mood::TalksForEver),
        survives(engine, Mood::IsNoEngine),
        survives(engine, Mood::Lies),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_cancelled_while_its_engine_hangs_and_its_container_goes() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let station = "station-that-waits";
    let (house, relay) = behind(&engine, station).await;
    let prepared = house.prepare(&Task::sh("echo began; sleep 1000")).await;
    let (sender, mut lines) = mpsc::channel(10);
    let (cancel, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.unwrap().run(sender, cancelled));
    assert_eq!(lines.recv().await.unwrap().text, "began");
    relay.is(Mood::Hangs);
    let ada: strongroom_core::name::Name = "ada".parse().unwrap();
    cancel.send(ada.clone()).unwrap();
    let ended = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    assert_eq!(ended.reason, Reason::Cancelled { by: ada });
    relay.is(Mood::Well);
    until_all_places_are_free(&house).await;
    assert_eq!(containers(&engine, station).await.len(), 0);
    house.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_never_answers_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    // It takes connections and says nothing.
    let _listener = UnixListener::bind(&socket).unwrap();
    let config = DockerConfig {
        host: format!("unix://{}", socket.display()),
        certificates: None,
        is_elsewhere: false,
        patience: None,
        station: None,
        folder: folder.path().to_owned(),
        program: "/bin/true".into(),
        slots_max: 1,
        uid_base: 1_500_000_000,
        runtimes: Arc::default(),
    };
    let started = tokio::time::timeout(PATIENCE, Docker::start(config)).await;
    let error = started.unwrap().err();
    assert!(
        matches!(error, Some(EngineError::Silent { .. })),
        "{error:?}"
    );
}
