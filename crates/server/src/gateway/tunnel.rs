//! A whole connection to a host, of which only its ends and its size are seen.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, time::timeout};

use super::{
    body::Body,
    ms,
    note::Note,
    session::Inner,
    target::Target,
    verdict::{Failed, NoAnswer},
};

/// Connects, and joins the guest's connection with the host's.
pub async fn open(
    session: &Arc<Inner>,
    target: &Target,
    request: Request<Incoming>,
    mut note: Note,
) -> Response<Body> {
    if let Err(why) = note.leaves().await {
        return NoAnswer::from(why).response();
    }
    let mut host = match session.gateway.dial(target, &session.budget).await {
        Ok(host) => host,
        Err(why) => {
            note.ended(&why).await;
            return why.response();
        }
    };
    let whole_max = ms(session.gateway.bounds().whole_ms_max);
    let stop = session.stop.clone();
    session.tasks.spawn(async move {
        let joined = async {
            let guest = hyper::upgrade::on(request).await;
            let guest = guest.map_err(|_| Failed::NotTaken)?;
            let copied = copy_bidirectional(&mut TokioIo::new(guest), &mut host).await;
            copied.map_err(|error| match super::meter::is_spent(&error) {
                true => Failed::Spent,
                false => Failed::BrokenOff(error.to_string()),
            })
        };
        let joined = tokio::select! {
            joined = timeout(whole_max, joined) => {
                joined.unwrap_or(Err(Failed::TooSlow("the tunnel")))
            }
            () = stop.cancelled() => Err(Failed::NotTaken),
        };
        match joined {
            Ok((sent, received)) => {
                note.passed(sent, received);
                // Its end is the only one who could still be told.
                let _ = note.answered(None, None).await;
            }
            Err(why) => note.ended(&NoAnswer::from(why)).await,
        }
    });
    Response::new(Body::whole(Bytes::new()))
}
