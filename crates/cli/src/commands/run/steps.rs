//! What a guest tells of its steps, in lines for people.
//!
//! Every text in it is the guest's, so none reaches a terminal as it is.

use strongroom_core::{
    step::{Status, StepEvent},
    text::line_shown,
};

/// The longest preview that is shown, in characters.
const PREVIEW_CHARS_MAX: usize = 400;

/// The line of an event; what it prints is behind a bar, like any line.
pub fn shown(event: &StepEvent) -> String {
    let named = |name: &str, category: &str| match category {
        "" => line_shown(name),
        category => format!("{} ({})", line_shown(name), line_shown(category)),
    };
    match event {
        StepEvent::Start { steps } => format!("* start, {steps} steps"),
        StepEvent::StepStart { name, category } => format!("> {}", named(name, category)),
        StepEvent::Print { message, .. } => format!("| {}", line_shown(message)),
        StepEvent::Error { message } => format!("! {}", line_shown(message)),
        StepEvent::Preview { rows, .. } => {
            let rows = strongroom_core::text::shown(&rows.to_string(), PREVIEW_CHARS_MAX);
            format!("= {}", line_shown(&rows))
        }
        StepEvent::StepStop {
            name,
            category,
            status,
        } => format!("< {}: {}", named(name, category), word(*status)),
        StepEvent::StepSkip {
            name,
            category,
            why,
        } => format!("- {}: skipped, {}", named(name, category), line_shown(why)),
        StepEvent::Stop { status } => format!("* {}", word(*status)),
        StepEvent::Cancelled { by } => format!("* cancelled by {by}"),
    }
}

/// The same beside the lines of a log, in which what was printed is already.
pub fn beside_lines(event: &StepEvent) -> Option<String> {
    match event {
        StepEvent::Print { .. } => None,
        event => Some(shown(event)),
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
    }
}
