//! The engine itself: reached by its API, and asked for nothing twice.
//!
//! What it answers is read by a library, which waits for the head of an answer
//! and for ever for its body; so each question has its end here. A container is
//! named before it is asked for: where the answer is lost it can be removed all
//! the same. What the engine says in words goes to the operator and never to a
//! caller.

use std::{
    collections::HashMap,
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use bollard::{
    container::AttachContainerResults,
    models::{ContainerCreateBody, ContainerState, ContainerSummaryStateEnum},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptions,
        ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use tokio::time::{sleep, timeout};

use super::address::Address;

/// How long the engine may take for one answer, in seconds; and one that takes
/// what it is sent over a network.
const ANSWER_S_MAX: u64 = 60;
const ANSWER_ELSEWHERE_S_MAX: u64 = 900;
/// The same where a run waits for its end: how a container is, and its killing.
const END_S_MAX: u64 = 10;
/// How long it may take to say who it is.
const REACH_MS_MAX: u64 = 10_000;
/// The label with the station whose container it is.
pub(super) const STATION: &str = "strongroom.station";
/// What that label says of a container of no station.
pub(super) const TRIAL: &str = "trial";
/// The label with the run.
pub(super) const RUN: &str = "strongroom.run";
/// How often removing is tried again, and the first rest between; it doubles.
const REMOVE_TRIES: u32 = 6;
const REMOVE_REST: Duration = Duration::from_millis(200);
/// How long a container of a trial may be there before it is started, in seconds.
const UNSTARTED_S_MAX: i64 = 600;
/// The oldest engine whose API has all that is asked for.
const API_MIN: (usize, usize) = (1, 41);

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("`{0}` is no place of an engine; write unix:///PATH or tcp://HOST:PORT")]
    Host(String),
    #[error(
        "the engine at {0} would be spoken to without TLS, and whoever speaks to it owns its host; \
         name a folder of certificates"
    )]
    Plain(String),
    #[error("could not read {}", .path.display())]
    Certificates {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not reach a Docker Engine at {host}")]
    Reach {
        host: String,
        source: bollard::errors::Error,
    },
    #[error("the engine at {host} took too long to say who it is")]
    Silent { host: String },
    #[error("the engine is too old: it speaks version {found} of the API, and 1.41 is needed")]
    Old { found: String },
    #[error("the engine runs containers of {0}, not of Linux")]
    System(String),
    #[error("the engine is a machine of {found}, and this program is for {needed}")]
    Machine { found: String, needed: &'static str },
    #[error("could not {what}")]
    Api {
        what: &'static str,
        source: bollard::errors::Error,
    },
    #[error("the engine took too long to make a container")]
    Slow,
    #[error("could not {what}: the engine did not answer in time")]
    Unanswered { what: &'static str },
    #[error("could not find the program for containers and its libraries")]
    Tools(#[source] std::io::Error),
    #[error("the runtime has something at /.strongroom, where the first process lies")]
    AmongTools,
    #[error("could not write down what the container is to do")]
    Order(#[source] std::io::Error),
    #[error("the arguments are longer than {max} bytes")]
    OrderTooLong { max: usize },
    #[error("could not make the image that roots are made of")]
    Image(#[source] std::io::Error),
    #[error("could not make a place for what the guest leaves")]
    Folder(#[source] std::io::Error),
}

/// What the engine says of itself.
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) remaps_users: bool,
}

pub(super) struct Engine {
    pub(super) api: bollard::Docker,
    /// It does not see this host's files.
    pub(super) is_elsewhere: bool,
    /// How long it may take for one answer.
    pub(super) patience: Duration,
}

/// Tells the containers of one process apart.
static MADE: AtomicU64 = AtomicU64::new(0);

impl Engine {
    pub(super) async fn connect(
        host: &str,
        certificates: Option<&Path>,
        is_elsewhere: bool,
        patience: Option<Duration>,
    ) -> Result<Self, EngineError> {
        let reach = |source| EngineError::Reach {
            host: host.to_owned(),
            source,
        };
        let address = Address::new(host, certificates)?;
        let is_elsewhere = is_elsewhere || address.is_a_port();
        let answer_s_max = match is_elsewhere {
            true => ANSWER_ELSEWHERE_S_MAX,
            false => ANSWER_S_MAX,
        };
        let api = address.connect(answer_s_max)?;
        let negotiated = timeout(Duration::from_millis(REACH_MS_MAX), api.negotiate_version());
        let api = negotiated
            .await
            .map_err(|_| EngineError::Silent {
                host: host.to_owned(),
            })?
            .map_err(reach)?;
        let speaks = api.client_version();
        if (speaks.major_version, speaks.minor_version) < API_MIN {
            let found = format!("{}.{}", speaks.major_version, speaks.minor_version);
            return Err(EngineError::Old { found });
        }
        Ok(Self {
            api,
            is_elsewhere,
            patience: patience.unwrap_or(Duration::from_secs(answer_s_max)),
        })
    }

    /// Waits for an answer to its last byte, but not for ever.
    pub(super) async fn answer<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match timeout(self.patience, asked).await {
            Ok(answered) => answered.map_err(failed(what)),
            Err(_) => Err(EngineError::Unanswered { what }),
        }
    }

    pub(super) async fn facts(&self) -> Result<Facts, EngineError> {
        let info = self.answer("ask what it is", self.api.info()).await?;
        if let Some(other) = info.os_type.filter(|system| system != "linux") {
            return Err(EngineError::System(other));
        }
        let needed = std::env::consts::ARCH;
        if let Some(found) = info.architecture.filter(|found| found != needed) {
            return Err(EngineError::Machine { found, needed });
        }
        let options = info.security_options.unwrap_or_default();
        let has = |name: &str| options.iter().any(|option| option.contains(name));
        Ok(Facts {
            version: info.server_version.unwrap_or_default(),
            remaps_users: has("name=userns") || has("name=rootless"),
        })
    }

    /// Removes what an earlier start of the same station left, or else what trials
    /// left that were ended hard: their containers have ended with them.
    pub(super) async fn sweep(&self, station: Option<&str>) -> Result<(), EngineError> {
        let label = vec![format!("{STATION}={}", station.unwrap_or(TRIAL))];
        let mut filters = HashMap::from([("label".to_owned(), label)]);
        if station.is_none() {
            let over = ["exited", "dead", "created"].map(str::to_owned);
            filters.insert("status".to_owned(), over.to_vec());
        }
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters);
        let left = self.api.list_containers(Some(options.build()));
        let left = self.answer("list what is left", left).await?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_s = now.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
        let left = left.into_iter().filter(|container| {
            let was_made = container.state == Some(ContainerSummaryStateEnum::CREATED);
            // That of a trial which goes on right now is about to be started.
            station.is_some() || !was_made || is_old(container.created, now_s)
        });
        let ids = left.filter_map(|container| container.id);
        let mut count = 0;
        for id in ids {
            self.remove(&id).await;
            count += 1;
        }
        if count != 0 {
            tracing::info!(count, "removed containers that an earlier start left");
        }
        Ok(())
    }

    /// Makes a container. One whose making was not answered is removed: it may be
    /// there all the same.
    pub(super) async fn create(&self, body: ContainerCreateBody) -> Result<String, EngineError> {
        let name = name();
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let made = self.api.create_container(Some(options), body);
        match self.answer("create a container", made).await {
            Ok(made) => Ok(made.id),
            Err(refused) if is_answered(&refused) => Err(refused),
            Err(lost) => {
                self.remove(&name).await;
                Err(lost)
            }
        }
    }

    pub(super) async fn attach(&self, id: &str) -> Result<AttachContainerResults, EngineError> {
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.api.attach_container(id, Some(options));
        self.answer("attach to a container", attached).await
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let started = self.api.start_container(id, None::<StartContainerOptions>);
        self.answer("start a container", started).await
    }

    pub(super) async fn kill(&self, id: &str) {
        let killed = self.api.kill_container(id, None::<KillContainerOptions>);
        match timeout(self.end_max(), killed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "could not kill a container"),
            Err(_) => tracing::warn!("the engine did not answer when a container was to be killed"),
        }
    }

    /// How a container is, once it has ended.
    pub(super) async fn state(&self, id: &str) -> Option<ContainerState> {
        let found = self.api.inspect_container(
            id,
            None::<bollard::query_parameters::InspectContainerOptions>,
        );
        timeout(self.end_max(), found).await.ok()?.ok()?.state
    }

    fn end_max(&self) -> Duration {
        self.patience.min(Duration::from_secs(END_S_MAX))
    }

    /// Ends and removes a container, and tries until it is gone.
    pub(super) async fn remove(&self, id: &str) {
        let mut rest = REMOVE_REST;
        for attempt in 1..=REMOVE_TRIES {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
            let removed = self.api.remove_container(id, Some(options.build()));
            match self.answer("remove a container", removed).await {
                Ok(()) => return,
                Err(error) if is_missing(&error) => return,
                Err(error) if attempt == REMOVE_TRIES => {
                    tracing::error!(%error, container = id, "could not remove a container; the next start does");
                }
                Err(_) => {
                    sleep(rest).await;
                    rest *= 2;
                }
            }
        }
    }
}

/// A name that no other container of this engine has.
fn name() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since_ns = since.map_or(0, |since| since.as_nanos());
    let count = MADE.fetch_add(1, Ordering::Relaxed);
    format!("strongroom-{}-{since_ns:x}-{count}", std::process::id())
}

/// Whether the engine said no, so that nothing was made.
fn is_answered(error: &EngineError) -> bool {
    status(error).is_some()
}

pub(super) fn is_missing(error: &EngineError) -> bool {
    status(error) == Some(404)
}

fn status(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::Api {
            source: bollard::errors::Error::DockerResponseServerError { status_code, .. },
            ..
        } => Some(*status_code),
        _ => None,
    }
}

/// Whether whoever made a container would have started it by now.
fn is_old(made_s: Option<i64>, now_s: i64) -> bool {
    made_s.is_some_and(|made_s| made_s.saturating_add(UNSTARTED_S_MAX) < now_s)
}

pub(super) fn failed(what: &'static str) -> impl FnOnce(bollard::errors::Error) -> EngineError {
    move |source| EngineError::Api { what, source }
}

#[cfg(test)]
mod tests {
    use super::{UNSTARTED_S_MAX, is_old};

    #[test]
    fn a_container_that_was_never_started_is_left_alone_while_it_may_still_be() {
        let now_s = 1_000_000;
        assert!(!is_old(Some(now_s), now_s));
        assert!(!is_old(Some(now_s - UNSTARTED_S_MAX), now_s));
        assert!(is_old(Some(now_s - UNSTARTED_S_MAX - 1), now_s));
        assert!(!is_old(None, now_s) && !is_old(Some(i64::MAX), now_s));
    }
}
