//! Where a contained guest's words go on: pipes, as if they came from the jail.

use strongroom_jail::inside::{Order, Voice};
use tokio::{io::AsyncWriteExt as _, net::unix::pipe, sync::mpsc};

/// Where the guest's words go on. Each has a task that writes, so that a reader
/// who does not keep up holds up nobody; how much can wait is bounded by what
/// there may be of them.
pub(super) struct Mouths {
    mouths: [Option<mpsc::UnboundedSender<Vec<u8>>>; 3],
    log_left: u64,
    value_left: u64,
}

impl Mouths {
    pub(super) fn new(pipes: [pipe::Sender; 3], order: &Order) -> Self {
        let mouths = pipes.map(|mut pipe| {
            let (to, mut from) = mpsc::unbounded_channel::<Vec<u8>>();
            tokio::spawn(async move {
                while let Some(bytes) = from.recv().await {
                    // An error means that nobody reads it any more.
                    if pipe.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
            Some(to)
        });
        Self {
            mouths,
            // One more tells what is full from what is over.
            log_left: order.log_bytes.saturating_add(1),
            value_left: order.value_bytes.saturating_add(1),
        }
    }

    pub(super) fn say(&mut self, voice: Voice, mut bytes: Vec<u8>) {
        let (index, left) = match voice {
            Voice::Stdout => (0, &mut self.log_left),
            Voice::Stderr => (1, &mut self.log_left),
            Voice::Result => (2, &mut self.value_left),
        };
        bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= bytes.len() as u64;
        if let Some(mouth) = &self.mouths[index] {
            let _ = mouth.send(bytes);
        }
    }

    /// Nothing more will be said.
    pub(super) fn close(&mut self) {
        self.mouths = [None, None, None];
    }
}
