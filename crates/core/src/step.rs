//! What happens in a guest, step by step, as it tells it itself.
//!
//! An event is a line of the guest's log that is one of these documents, to
//! the letter: any other line stays a line. A guest can write whatever it
//! likes, so events are shown and never believed, and who may not read the log
//! may not see them. Two things are never a guest's: that the run was
//! cancelled, and the end of what it could not end itself. Deliberately
//! absent: anything that the station decides by.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{json, name::Name};

/// The longest name, category or explanation of a step, in characters.
pub const WORD_CHARS_MAX: usize = 1000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum StepEvent {
    /// A stage begins, of this many steps.
    Start {
        steps: u32,
    },
    StepStart {
        name: String,
        category: String,
    },
    Print {
        level: Level,
        message: String,
    },
    Error {
        message: String,
    },
    /// What is going to be the next version of the dataset, as far as it is short.
    Preview {
        meta: Value,
        rows: Value,
    },
    StepStop {
        name: String,
        category: String,
        status: Status,
    },
    StepSkip {
        name: String,
        category: String,
        why: String,
    },
    /// A stage is over.
    Stop {
        status: Status,
    },
    /// The run was cancelled; the station says so and no guest.
    Cancelled {
        by: Name,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StepLevel))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Info,
    Warn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StepStatus))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Succeeded,
    Failed,
}

impl StepEvent {
    /// The event that a line of a guest's is; `None` for any other line.
    pub fn of_line(line: &str) -> Option<Self> {
        // Nearly every line is none, and is told by its first letters.
        if !line.starts_with("{\"") {
            return None;
        }
        Self::of_value(json::parse(line.as_bytes()).ok()?)
    }

    fn of_value(value: Value) -> Option<Self> {
        let event: Self = serde_json::from_value(value).ok()?;
        let words: &[&String] = match &event {
            Self::Cancelled { .. } => return None,
            Self::StepStart { name, category } | Self::StepStop { name, category, .. } => {
                &[name, category]
            }
            Self::StepSkip {
                name,
                category,
                why,
            } => &[name, category, why],
            _ => &[],
        };
        let long = |word: &&String| WORD_CHARS_MAX < word.chars().count();
        (!words.iter().any(long)).then_some(event)
    }

    /// The event as it is kept.
    pub fn text(&self) -> String {
        json::canonical_of(self)
    }

    /// The event that was kept as this text, whoever told it.
    pub fn of_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The same event with `hide` done to every text in it; `None` when what
    /// is left is no event.
    pub fn hidden(&self, hide: &dyn Fn(String) -> String) -> Option<Self> {
        let mut value = serde_json::to_value(self).ok()?;
        let Value::Object(fields) = &mut value else {
            return None;
        };
        for (name, field) in fields.iter_mut() {
            if name != "event" {
                hide_in(field, hide);
            }
        }
        Self::of_value(value)
    }
}

fn hide_in(value: &mut Value, hide: &dyn Fn(String) -> String) {
    match value {
        Value::String(text) => *text = hide(std::mem::take(text)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_in(item, hide)),
        Value::Object(map) => {
            let old = std::mem::take(map);
            for (name, mut item) in old {
                hide_in(&mut item, hide);
                map.insert(hide(name), item);
            }
        }
        Value::Number(number) => {
            let text = number.to_string();
            let hidden = hide(text.clone());
            if hidden != text {
                *value = Value::String(hidden);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// What a guest has begun and not ended, as its events tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Open {
    started: bool,
    step: Option<(String, String)>,
}

impl Open {
    pub fn hear(&mut self, event: &StepEvent) {
        match event {
            StepEvent::Start { .. } => self.started = true,
            StepEvent::StepStart { name, category } => {
                self.step = Some((name.clone(), category.clone()));
            }
            StepEvent::StepStop { .. } => self.step = None,
            StepEvent::Stop { .. } => *self = Self::default(),
            _ => {}
        }
    }

    /// The events that end what a guest left open, when it came to no end of
    /// its own. `why` is the station's word for what ended it.
    pub fn ends(self, why: &str, cancelled_by: Option<&Name>) -> Vec<StepEvent> {
        if !self.started && self.step.is_none() {
            return Vec::new();
        }
        let mut events = vec![StepEvent::Error {
            message: why.to_owned(),
        }];
        if let Some((name, category)) = self.step {
            events.push(StepEvent::StepStop {
                name,
                category,
                status: Status::Failed,
            });
        }
        events.push(StepEvent::Stop {
            status: Status::Failed,
        });
        events.extend(cancelled_by.map(|by| StepEvent::Cancelled { by: by.clone() }));
        events
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_an_event_to_the_letter_or_stays_a_line() {
        for line in [
            r#"{"event":"start","steps":2}"#,
            r#"{"event":"step_start","name":"a","category":"download"}"#,
            r#"{"category":"x","event":"step_stop","name":"a","status":"failed"}"#,
            r#"{"event":"step_skip","name":"a","category":"","why":"b"}"#,
            r#"{"event":"print","level":"warn","message":"a\nb"}"#,
            r#"{"event":"preview","meta":{"a":1},"rows":null}"#,
            r#"{"event":"stop","status":"succeeded"}"#,
        ] {
            let event = StepEvent::of_line(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(StepEvent::of_text(&event.text()), Some(event), "{line}");
        }
        let long = format!(
            r#"{{"event":"step_start","name":"{}","category":""}}"#,
            "x".repeat(WORD_CHARS_MAX + 1)
        );
        let deep = format!(
            r#"{{"event":"preview","meta":{}{},"rows":1}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        for line in [
            "",
            "start",
            "{}",
            r#" {"event":"start","steps":2}"#,
            r#"{"event":"start","steps":2}{}"#,
            r#"{"event":"start","steps":-2}"#,
            r#"{"event":"start"}"#,
            r#"{"event":"start","steps":2,"more":1}"#,
            r#"{"event":"start","steps":2,"steps":3}"#,
            r#"{"event":"start","event":"stop","steps":2}"#,
            r#"{"event":"stop","status":"unchanged"}"#,
            r#"{"event":"state","state":"ended"}"#,
            r#"{"event":"end"}"#,
            // This is the station's to say.
            r#"{"event":"cancelled","by":"lab"}"#,
            &long,
            &deep,
        ] {
            assert_eq!(StepEvent::of_line(line), None, "{line}");
        }
    }

    #[test]
    fn secrets_are_hidden_in_every_text_of_an_event_and_it_stays_one() {
        let event = StepEvent::Preview {
            meta: json!({ "s3cret": ["a s3cret b", 10424711] }),
            rows: json!([[4711, true, null]]),
        };
        let hide = |text: String| text.replace("s3cret", "[x]").replace("4711", "[x]");
        let hidden = event.hidden(&hide).unwrap();
        assert_eq!(
            hidden,
            StepEvent::Preview {
                meta: json!({ "[x]": ["a [x] b", "1042[x]"] }),
                rows: json!([["[x]", true, null]]),
            }
        );
        // A number that has to be one cannot be hidden: no event is left.
        let start = StepEvent::Start { steps: 4711 };
        assert_eq!(start.hidden(&hide), None);
        // The word that says what it is, is no text of the guest's.
        let all = |_: String| "x".to_owned();
        let error = StepEvent::Error {
            message: "y".to_owned(),
        };
        let hidden = StepEvent::Error {
            message: "x".to_owned(),
        };
        assert_eq!(error.hidden(&all), Some(hidden));
    }

    #[test]
    fn what_a_guest_left_open_is_ended_in_order_and_nothing_else_is() {
        let mut open = Open::default();
        assert_eq!(open.clone().ends("killed", None), []);
        let hear = |open: &mut Open, line: &str| open.hear(&StepEvent::of_line(line).unwrap());
        hear(&mut open, r#"{"event":"start","steps":2}"#);
        hear(
            &mut open,
            r#"{"event":"step_start","name":"a","category":"b"}"#,
        );
        let by: Name = "lab".parse().unwrap();
        let kinds = |events: Vec<StepEvent>| {
            let text = |event: &StepEvent| serde_json::to_value(event).unwrap()["event"].clone();
            events.iter().map(text).collect::<Vec<_>>()
        };
        let ends = open.clone().ends("cancelled", Some(&by));
        assert_eq!(kinds(ends), ["error", "step_stop", "stop", "cancelled"]);
        hear(
            &mut open,
            r#"{"event":"step_stop","name":"a","category":"b","status":"failed"}"#,
        );
        assert_eq!(kinds(open.clone().ends("x", None)), ["error", "stop"]);
        hear(&mut open, r#"{"event":"stop","status":"failed"}"#);
        assert_eq!(open.ends("x", Some(&by)), []);
    }
}
