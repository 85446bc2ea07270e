//! The guest's two voices, read line by line while it runs.
//!
//! The station counts every byte of both streams together. The first byte
//! over the bound ends the run, and what is kept ends at the bound. A reader
//! that does not keep up slows the guest down and nobody else: the guest's
//! pipe fills, and its time runs on. There is no thread per run.

use strongroom_core::{
    run::Stream,
    step::{Level, StepEvent},
};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver, sync::mpsc};

/// The longest piece of a line; a longer line comes in pieces.
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// How much is read at once, in bytes.
const READ_LEN: usize = 16 * 1024;

/// Whether lines of stderr that are events are taken for events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Events {
    #[default]
    None,
    OnStderr,
}

/// One line that a guest wrote, without its end, or a piece of a long one.
///
/// It is UTF-8 without NUL: what was not is replaced, so the text of a line
/// can be up to three times as long as its bytes were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    pub stream: Stream,
    pub text: String,
}

/// Reads both streams to their ends, or to the first byte over `bytes_max`;
/// how many bytes were kept.
///
/// `on_over` is called at once when that byte is seen, before the lines that
/// are kept have been taken by `to`. When nobody takes lines any more, they
/// are counted and dropped.
pub(crate) async fn follow(
    stdout: Receiver,
    stderr: Receiver,
    (bytes_max, events): (u64, Events),
    to: &mpsc::Sender<LogChunk>,
    on_over: impl FnOnce(),
) -> u64 {
    let mut stdout = Voice::new(stdout, Stream::Stdout, Events::None);
    let mut stderr = Voice::new(stderr, Stream::Stderr, events);
    let mut left = bytes_max;
    let mut on_over = Some(on_over);
    loop {
        let (voice, count) = tokio::select! {
            count = stdout.read(), if stdout.open => (&mut stdout, count),
            count = stderr.read(), if stderr.open => (&mut stderr, count),
            else => break,
        };
        let kept = usize::try_from(left).map_or(count, |left| left.min(count));
        left -= kept as u64;
        if kept < count
            && let Some(on_over) = on_over.take()
        {
            on_over();
        }
        for text in voice.lines.push(&voice.buffer[..kept]) {
            voice.send(to, text).await;
        }
        if kept < count {
            break;
        }
    }
    for voice in [&mut stdout, &mut stderr] {
        if let Some(text) = voice.lines.rest() {
            voice.send(to, text).await;
        }
    }
    bytes_max - left
}

struct Voice {
    pipe: Receiver,
    stream: Stream,
    events: Events,
    open: bool,
    buffer: Vec<u8>,
    lines: Lines,
}

impl Voice {
    fn new(pipe: Receiver, stream: Stream, events: Events) -> Self {
        Self {
            pipe,
            stream,
            events,
            open: true,
            buffer: vec![0; READ_LEN],
            lines: Lines::default(),
        }
    }

    /// The number of bytes that came; 0 at the end.
    async fn read(&mut self) -> usize {
        let count = match self.pipe.read(&mut self.buffer).await {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, "could not read a guest's log");
                0
            }
        };
        self.open = count != 0;
        count
    }

    async fn send(&self, to: &mpsc::Sender<LogChunk>, text: String) {
        let event = match self.events {
            Events::OnStderr => StepEvent::of_line(&text),
            Events::None => None,
        };
        let chunks = match event {
            Some(event) => told(&event),
            None => vec![LogChunk {
                stream: self.stream,
                text,
            }],
        };
        for chunk in chunks {
            // An error means that nobody reads the log of this run any more.
            let _ = to.send(chunk).await;
        }
    }
}

/// An event, and before it the lines that people read of it.
fn told(event: &StepEvent) -> Vec<LogChunk> {
    let mut chunks = Vec::new();
    if let StepEvent::Print { level, message } = event {
        let (stream, before) = match level {
            Level::Info => (Stream::Stdout, ""),
            Level::Warn => (Stream::Stderr, "warning: "),
        };
        let line = |line: &str| LogChunk {
            stream,
            text: format!("{before}{line}").replace('\0', ""),
        };
        chunks.extend(message.split('\n').map(line));
    }
    chunks.push(LogChunk {
        stream: Stream::Event,
        text: event.text(),
    });
    chunks
}

/// Bytes in, lines out.
#[derive(Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// The lines that `bytes` complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(part);
            if self.pending.last() == Some(&b'\n') {
                self.pending.pop();
                self.cut_to(LINE_LEN_MAX, &mut out);
                out.push(text(&std::mem::take(&mut self.pending)));
            }
            self.cut_to(LINE_LEN_MAX, &mut out);
        }
        out
    }

    /// What has no end of line yet.
    pub(crate) fn rest(&mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| text(&std::mem::take(&mut self.pending)))
    }

    fn cut_to(&mut self, length: usize, out: &mut Vec<String>) {
        while length < self.pending.len() {
            let rest = self
                .pending
                .split_off(character_start(&self.pending, length));
            out.push(text(&std::mem::replace(&mut self.pending, rest)));
        }
    }
}

/// The last place at or before `at` where a UTF-8 character starts, or `at`
/// itself when the bytes are no UTF-8.
fn character_start(bytes: &[u8], at: usize) -> usize {
    let continues = |index: usize| bytes[index] & 0b1100_0000 == 0b1000_0000;
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|index| !continues(*index))
        .filter(|start| *start != 0)
        .unwrap_or(at)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

#[cfg(test)]
mod tests;
