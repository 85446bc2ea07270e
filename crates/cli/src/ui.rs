//! Where a command writes: data to `out`, talk to `err`.
//!
//! Nothing that a stranger wrote reaches a terminal as it is: text goes
//! through `show`, and JSON through [`json_shown`], which spells characters
//! that could deceive a reader as escapes, so that it stays the same JSON.

use std::{
    fmt::Write as _,
    io::{self, BufWriter, IsTerminal as _, Write},
};

use serde::Serialize;
use strongroom_core::text::turns_direction;

use crate::error::CliError;

/// Where a command writes, and how.
pub struct Ui {
    pub out: Box<dyn Write>,
    pub err: Box<dyn Write>,
    /// Answers are printed as JSON.
    pub json: bool,
    /// A person reads `err` as it comes.
    pub interactive: bool,
    /// How `out` is written.
    pub ink: Ink,
}

/// Whether what a person must not overlook is red.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Coloured,
}

impl Ink {
    /// Colours only for a terminal, and not for who does not want them: see
    /// <https://no-color.org>.
    fn of_terminal() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        match io::stdout().is_terminal() && !unwanted {
            true => Self::Coloured,
            false => Self::Plain,
        }
    }

    pub fn red(self, line: &str) -> String {
        match self {
            Self::Plain => line.to_owned(),
            Self::Coloured => format!("\u{1b}[1;31m{line}\u{1b}[0m"),
        }
    }
}

impl Ui {
    pub fn of_terminal(json: bool) -> Self {
        Self {
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            json,
            interactive: io::stderr().is_terminal(),
            ink: Ink::of_terminal(),
        }
    }

    /// Prints one JSON document.
    pub fn print_json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        Ok(writeln!(self.out, "{}", json_shown(&text))?)
    }

    /// Prints one JSON document on one line.
    pub fn print_json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(io::Error::other)?;
        Ok(writeln!(self.out, "{}", json_shown(&text))?)
    }

    /// Says one line to the person.
    pub fn say(&mut self, line: impl std::fmt::Display) -> Result<(), CliError> {
        Ok(writeln!(self.err, "{line}")?)
    }

    pub fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.flush()?)
    }
}

/// The same JSON, with control and direction characters as `\u` escapes.
///
/// Outside of strings JSON has none of them but line breaks, which stay.
pub fn json_shown(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c.is_control() || turns_direction(c)) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::json_shown;

    #[test]
    fn json_that_could_move_a_cursor_is_spelt_out_and_stays_the_same_json() {
        let value = serde_json::json!({ "a\u{9b}2J": ["\u{202e}gpj", "\u{1b}[31m", "é\n"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = json_shown(&text);
        assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{1b}']));
        assert!(shown.contains('é'));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
