//! The thread that starts wardens.
//!
//! The kernel kills a warden when the thread that started it ends, so that
//! none outlives the station. A worker thread of an async runtime may end at
//! any time; this thread ends with the backend and does nothing else.

use std::{io, sync::mpsc, thread};

use strongroom_jail::{Warden, WardenConfig, WardenError};

type Reply = mpsc::SyncSender<Result<Warden, WardenError>>;

/// A handle to the thread; it ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    asked: mpsc::Sender<Reply>,
}

/// Why there is no warden.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not start the thread that keeps the warden")]
    Thread(#[source] io::Error),
    #[error("the thread that keeps the warden is gone")]
    ThreadGone,
    #[error("could not start the warden")]
    Warden(#[source] WardenError),
    #[error("the warden died {0} times in a row before any guest ended")]
    KeepsDying(u32),
}

impl Keeper {
    pub(crate) fn new(config: WardenConfig) -> Result<Self, StartError> {
        let (asked, requests) = mpsc::channel::<Reply>();
        let keep = move || {
            for reply in requests {
                // An error means that whoever asked has left; the warden goes too.
                let _ = reply.send(Warden::start(config.clone()));
            }
        };
        thread::Builder::new()
            .name("warden-keeper".to_owned())
            .spawn(keep)
            .map_err(StartError::Thread)?;
        Ok(Self { asked })
    }

    /// Starts a warden. Blocks for the milliseconds that it takes.
    pub(crate) fn start(&self) -> Result<Warden, StartError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.asked.send(reply).map_err(|_| StartError::ThreadGone)?;
        answer
            .recv()
            .map_err(|_| StartError::ThreadGone)?
            .map_err(StartError::Warden)
    }
}
