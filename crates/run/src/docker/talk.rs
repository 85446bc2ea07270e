//! A conversation with the first process of a container: what is kept of it.

use std::{io, pin::Pin, time::Duration};

use bollard::container::LogOutput;
use strongroom_jail::inside::{ORDER_LEN_MAX, ToInside, Unframed, frame};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// What is kept of what a container says in case of need, in bytes.
const COMPLAINT_LEN_MAX: usize = 2048;
/// How long it may take to hear something.
const HEAR_MS_MAX: u64 = 10_000;

/// A conversation with the first process.
pub(super) struct Talk {
    pub(super) input: Input,
    pub(super) unframed: Unframed,
    /// What it said in case of need.
    pub(super) complaint: Vec<u8>,
    /// When the engine ends it, if it does not do what it was told.
    pub(super) kill_at: Option<tokio::time::Instant>,
    /// Whether somebody still has the container.
    pub(super) is_wanted: bool,
}

impl Talk {
    pub(super) fn take(&mut self, part: LogOutput) {
        match part {
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                self.unframed.push(&message);
            }
            LogOutput::StdErr { message } => {
                let left = COMPLAINT_LEN_MAX.saturating_sub(self.complaint.len());
                let kept = &message[..left.min(message.len())];
                self.complaint.extend_from_slice(kept);
            }
            LogOutput::StdIn { .. } => {}
        }
    }
}

/// What happened next.
pub(super) enum News {
    Part(LogOutput),
    Ended,
    Command(ToInside),
    /// Nobody has the container any more.
    Unwanted,
    Late,
    Silent,
}

pub(super) type Output =
    Pin<Box<dyn futures::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Says something, and waits until it is on its way.
pub(super) async fn say(input: &mut Input, message: &ToInside) -> io::Result<()> {
    let frame = frame(message)?;
    if ORDER_LEN_MAX + 4 < frame.len() {
        return Err(io::Error::other("it is too long"));
    }
    let said = async {
        input.write_all(&frame).await?;
        input.flush().await
    };
    let said = timeout(Duration::from_millis(HEAR_MS_MAX), said).await;
    said.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
