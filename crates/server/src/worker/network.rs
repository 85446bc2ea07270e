//! The gateway of a stage that downloads, for as long as its guest lives.
//!
//! What the guest asks for is noted while it runs, and the last of it before
//! the next stage begins; a request that could not be noted is no request that
//! a run may build on.

use std::net::TcpListener;

use strongroom_core::{
    id::RunId,
    network::{Answers as Wanted, made::RequestMade},
    run::Reason,
};
use strongroom_store::{ClaimedRun, REQUESTS_PAGE_MAX, StoreError};
use tokio::sync::mpsc;

use super::{execute::host_error, laid::Laid};
use crate::{
    app::{
        App, AppError,
        network::{RECORD_SECRETS, keeps_secrets},
    },
    gateway::{Answers, Mode, Order, Session, Told},
};

/// Notes that are stored at once.
const NOTES_MAX: usize = 64;

/// A gateway that is open for one guest.
pub struct Download {
    session: Session,
    told: mpsc::Receiver<Told>,
    listener: TcpListener,
}

impl Download {
    /// Opens the gateway that the plan describes, behind `listener`.
    pub async fn open(
        app: &App,
        claimed: &ClaimedRun,
        laid: &Laid,
        listener: TcpListener,
    ) -> Result<Self, Reason> {
        let Some(network) = claimed.plan.download.clone() else {
            return Err(Reason::HostError {
                what: "a stage without a network has a gateway".to_owned(),
            });
        };
        let order = Order {
            network,
            mask: laid.mask.clone(),
            mode: mode(app, claimed).await?,
            clock: app.clock.clone(),
        };
        let (session, told) = Session::new(&app.gateway, order);
        Ok(Self {
            session,
            told,
            listener,
        })
    }

    /// Serves the guest until it has ended, and notes all that it asked for.
    pub async fn beside<T>(
        self,
        app: &App,
        run: &RunId,
        guest: impl Future<Output = T>,
    ) -> (T, Result<(), StoreError>) {
        let Self {
            session,
            told,
            listener,
        } = self;
        tokio::join!(session.beside(listener, guest), note(app, run, told))
    }
}

/// Stores notes until the session is closed. Whoever waits for one waits for
/// its commit, and those that wait together share one.
async fn note(app: &App, run: &RunId, mut told: mpsc::Receiver<Told>) -> Result<(), StoreError> {
    let mut noted = Ok(());
    let mut notes = Vec::new();
    while told.recv_many(&mut notes, NOTES_MAX).await != 0 {
        if noted.is_ok() {
            let made: Vec<RequestMade> = notes.iter().map(|told| told.made.clone()).collect();
            noted = app.store.requests_made_note(run, &made).await;
        }
        let all = notes.drain(..);
        if noted.is_ok() {
            all.for_each(Told::is_kept);
        }
    }
    noted
}

async fn mode(app: &App, claimed: &ClaimedRun) -> Result<Mode, Reason> {
    const WHAT: &str = "could not read the answers that are to be replayed";
    let blobs = || app.store.blobs().clone();
    let run = match &claimed.plan.answers {
        Wanted::Live => return Ok(Mode::Live),
        Wanted::Record if keeps_secrets(&claimed.plan) => {
            return Err(Reason::Refused {
                why: RECORD_SECRETS.to_owned(),
            });
        }
        Wanted::Record => return Ok(Mode::Record(blobs())),
        Wanted::Replay(run) => run,
    };
    let wrong = |error: StoreError| host_error(WHAT, &error);
    match app.may_be_replayed(&claimed.caller, run).await {
        Ok(()) => {}
        Err(AppError::Internal { .. } | AppError::Lacking(_)) => {
            return Err(Reason::HostError {
                what: WHAT.to_owned(),
            });
        }
        Err(why) => {
            return Err(Reason::Refused {
                why: format!("the answers of {run} may not be replayed now: {why}"),
            });
        }
    }
    let made = app.store.requests_made(run, 0, REQUESTS_PAGE_MAX).await;
    Ok(Mode::Replay(Answers::of(made.map_err(wrong)?), blobs()))
}
