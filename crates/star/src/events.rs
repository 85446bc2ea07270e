//! What happens in a script, as JSON lines on stderr.
//!
//! Only for who asks, by `STRONGROOM_EVENTS=stderr`, and who then makes lines
//! of what is printed himself; the log of other runs holds nothing but what
//! the script prints. A guest can write such lines itself, so they are shown
//! and never believed.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use serde_json::{Value, json};
use starlark::values::Heap;

use crate::{dataset::Dataset, output, script::Step};

/// The most rows of a preview, and the most bytes.
const PREVIEW_ROWS: usize = 10;
const PREVIEW_BYTES_MAX: usize = 32 << 10;
const META_BYTES_MAX: usize = 16 << 10;
/// The longest text of an event, in bytes. A line is cut at 64 KiB, and a byte
/// can take six in JSON.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Value);

impl Event {
    /// A stage of functions, which is one step.
    pub fn of_stage(name: &str) -> [Self; 2] {
        let begun = json!({ "event": "step_start", "name": name, "category": name });
        [Self::start(1), Self(begun)]
    }

    pub fn stage_stop(name: &str, status: &str) -> [Self; 2] {
        let over =
            json!({ "event": "step_stop", "name": name, "category": name, "status": status });
        [Self(over), Self::stop(status)]
    }

    pub fn start(steps: usize) -> Self {
        Self(json!({ "event": "start", "steps": steps }))
    }

    pub fn step_start(step: &Step) -> Self {
        Self(json!({ "event": "step_start", "name": step.name, "category": step.category }))
    }

    pub fn step_stop(step: &Step, status: &str) -> Self {
        Self(json!({
            "event": "step_stop", "name": step.name, "category": step.category, "status": status,
        }))
    }

    pub fn step_skip(step: &Step, why: &str) -> Self {
        Self(json!({
            "event": "step_skip", "name": step.name, "category": step.category, "why": why,
        }))
    }

    pub fn print(text: &str) -> Self {
        Self(json!({ "event": "print", "level": "info", "message": text }))
    }

    pub fn warning(text: &str) -> Self {
        Self(json!({ "event": "print", "level": "warn", "message": text }))
    }

    pub fn error(text: &str) -> Self {
        let message = pieces(text).next().unwrap_or_default();
        Self(json!({ "event": "error", "message": message }))
    }

    pub fn stop(status: &str) -> Self {
        Self(json!({ "event": "stop", "status": status }))
    }

    /// What is going to be the next version, as far as it is short.
    pub fn preview<'v>(dataset: &Dataset<'v>, heap: Heap<'v>) -> Self {
        let rows = match wanted() {
            true => output::first_rows(dataset, PREVIEW_ROWS, PREVIEW_BYTES_MAX, heap),
            false => Value::Null,
        };
        let meta = Value::from(dataset.meta_now());
        let meta = match meta.to_string().len() <= META_BYTES_MAX {
            true => meta,
            false => Value::Null,
        };
        Self(json!({ "event": "preview", "meta": meta, "rows": rows }))
    }
}

/// Whether anybody asked for events.
fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("STRONGROOM_EVENTS").is_ok_and(|to| to == "stderr"))
}

/// What a script prints, to who reads it.
pub fn print(text: &str) -> io::Result<()> {
    if !wanted() {
        return writeln!(io::stdout(), "{text}");
    }
    pieces(text).for_each(|piece| emit(&Event::print(piece)));
    Ok(())
}

/// A warning of the interpreter's, to who reads it.
pub fn warn(text: &str) {
    match wanted() {
        true => emit(&Event::warning(text)),
        // A log line that cannot be written is no reason to fail.
        false => drop(writeln!(io::stderr(), "warning: {text}")),
    }
}

/// A text in pieces that each fit into an event; at least one.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        if text.len() <= TEXT_BYTES_MAX {
            return Some(text);
        }
        let (piece, left) = text.split_at(text.floor_char_boundary(TEXT_BYTES_MAX));
        rest = Some(left);
        Some(piece)
    })
}

/// Tells an event to who asked for it. An event that cannot be told is lost:
/// it is no part of the result.
pub fn emit(event: &Event) {
    if wanted() {
        // In one piece, so that nothing comes between.
        let _ = io::stderr().write_all(format!("{}\n", event.0).as_bytes());
    }
}
