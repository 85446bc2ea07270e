//! Why a script ended early, as people read it: what, where, and how it got there.
//!
//! Places are those of the file as it was written. The text of a failure may
//! hold values of the data, so it is a log line like any other and goes to
//! nobody who may not see the log.

use std::fmt;

use starlark::codemap::FileSpan;

use crate::source::{ASSERT, Place, Source};

/// The most frames told, from either end of the stack.
const FRAMES_MAX: usize = 20;
/// The longest line of a script that is shown, in characters.
const LINE_MAX: usize = 160;
/// The longest message, in bytes.
const MESSAGE_MAX: usize = 8192;

/// What ended a script.
#[derive(Clone, Debug)]
pub struct Failure {
    message: String,
    at: Option<Spot>,
    /// The calls that led there, the outermost first.
    frames: Vec<Frame>,
}

/// A place with its line.
#[derive(Clone, Debug)]
struct Spot {
    file: String,
    place: Place,
    line: String,
}

#[derive(Clone, Debug)]
struct Frame {
    /// The function in which the call stands.
    caller: String,
    at: Spot,
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure that has no place in the script.
    pub fn plain(message: impl Into<String>) -> Self {
        Self {
            message: shortened(message.into()),
            at: None,
            frames: Vec::new(),
        }
    }

    /// A failure at a place.
    pub fn at(source: &Source, place: Option<Place>, message: impl Into<String>) -> Self {
        Self {
            at: place.map(|place| Spot::new(source, place)),
            ..Self::plain(message)
        }
    }

    /// What the interpreter says, with the places of `sources`.
    pub fn of_starlark(error: &starlark::Error, sources: &[Source]) -> Self {
        let mut caller = "<module>".to_owned();
        let mut frames = Vec::new();
        for frame in &error.call_stack().frames {
            let caller = std::mem::replace(&mut caller, frame.name.clone());
            let at = frame.location.as_ref();
            // Without a place it is our call of the script, or a native function.
            if let Some(at) = at.and_then(|span| Spot::of_span(span, sources)) {
                frames.push(Frame { caller, at });
            }
        }
        let message = format!("{:#}", error.without_diagnostic());
        Self {
            at: error.span().and_then(|span| Spot::of_span(span, sources)),
            frames,
            ..Self::plain(worded(&message))
        }
    }

    /// Where it happened.
    pub fn place(&self) -> Option<Place> {
        self.at.as_ref().map(|spot| spot.place)
    }

    /// What happened, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Spot {
    fn new(source: &Source, place: Place) -> Self {
        let line = source.line(place.line).unwrap_or_default().trim_end();
        Self {
            file: source.name.clone(),
            place,
            line: line.to_owned(),
        }
    }

    fn of_span(span: &FileSpan, sources: &[Source]) -> Option<Self> {
        let source = sources
            .iter()
            .find(|source| source.is_of(span.file.source()))?;
        let begin = span.resolve_span().begin;
        Some(Self::new(source, source.place(begin.line, begin.column)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.frames.is_empty() {
            writeln!(f, "Traceback (most recent call last):")?;
        }
        let count = self.frames.len();
        for (index, frame) in self.frames.iter().enumerate() {
            if index == FRAMES_MAX && 2 * FRAMES_MAX < count {
                writeln!(f, "  ... {} more calls ...", count - 2 * FRAMES_MAX)?;
            }
            if index < FRAMES_MAX || count - index <= FRAMES_MAX {
                write!(f, "{frame}")?;
            }
        }
        match &self.at {
            None => write!(f, "error: {}", self.message),
            Some(spot) => {
                let Place { line, column } = spot.place;
                let file = &spot.file;
                write!(f, "error: {file}:{line}:{column}: {}", self.message)?;
                if spot.line.chars().count() <= LINE_MAX {
                    let blank: String = spot.line.chars().take(column - 1).map(blank).collect();
                    write!(f, "\n    {}\n    {blank}^", spot.line)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spot = &self.at;
        let Place { line, column } = spot.place;
        writeln!(
            f,
            "  File {}:{line}:{column}, in {}",
            spot.file, self.caller
        )?;
        let shown: String = spot.line.trim_start().chars().take(LINE_MAX).collect();
        writeln!(f, "    {shown}")
    }
}

fn blank(sign: char) -> char {
    match sign {
        '\t' => '\t',
        _ => ' ',
    }
}

/// What the interpreter says when values take too much memory, and what we say.
const HEAP: &str = "Heap memory limit of";
const HEAP_FULL: &str = "the script's values take more memory than the run has for them; \
    what a loop makes is freed when the stage ends and not before, so give it more \
    (`memory` in its limits), or look at fewer values of a row";

/// What the interpreter says, in words for the author of a script.
fn worded(message: &str) -> String {
    match message.contains(HEAP) {
        true => HEAP_FULL.to_owned(),
        false => message.replace(ASSERT, "assert"),
    }
}

fn shortened(mut message: String) -> String {
    if MESSAGE_MAX < message.len() {
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        message.push_str(" ...");
    }
    message
}
