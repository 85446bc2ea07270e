//! What happens in a script, as JSON lines on stderr.
//!
//! Only for who asks, by `STRONGROOM_EVENTS=stderr`; the log of other runs
//! holds nothing but what the script prints. A guest can write such lines
//! itself, so they are shown and never believed.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use serde_json::{Value, json};
use starlark::values::Heap;

use crate::{dataset::Dataset, output, script::Step};

/// The most rows of a preview, and the most bytes.
const PREVIEW_ROWS: usize = 10;
const PREVIEW_BYTES_MAX: usize = 64 << 10;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Value);

impl Event {
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
        Self(json!({ "event": "error", "message": text }))
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
        Self(json!({ "event": "preview", "meta": dataset.meta_now(), "rows": rows }))
    }
}

/// Whether anybody asked for events.
fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var("STRONGROOM_EVENTS").is_ok_and(|to| to == "stderr"))
}

/// Tells an event to who asked for it. An event that cannot be told is lost:
/// it is no part of the result.
pub fn emit(event: &Event) {
    if wanted() {
        let _ = writeln!(io::stderr(), "{}", event.0);
    }
}
