//! A script's text, as it was written and as the parser takes it.
//!
//! The parser of the crate is stricter than scripts in the wild: it knows no
//! tabs, no name `assert`, and no pair as an index that is assigned to. Such
//! text is rewritten token by token, never inside a string or a comment, and
//! every place that is told to people is one of the text as it was written.
//! What could exhaust the parser's stack is refused before it gets there.

mod bounds;
mod rewrite;
mod scan;

pub use bounds::SOURCE_BYTES_MAX;
use starlark::syntax::AstModule;

use crate::{dialect::dialect, failure::Failure};

/// The name that stands for `assert`, which the parser keeps for itself.
pub const ASSERT: &str = "Assert";

/// A place in a script, both counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A script, or one step of it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file as people know it.
    pub name: String,
    /// As it was written. Before a later step stand empty lines, one for each
    /// line that the file has before it, so that lines are those of the file.
    pub text: String,
    /// For the parser.
    rewritten: String,
    /// Where a character was put in, in the rewritten text.
    inserted: Vec<Place>,
}

impl Source {
    /// Makes a text ready for the parser.
    ///
    /// # Errors
    ///
    /// The place and what cannot be run there.
    pub fn new(name: &str, text: &str) -> Result<Self, Failure> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut source = Self {
            name: name.to_owned(),
            text: text.to_owned(),
            rewritten: String::new(),
            inserted: Vec::new(),
        };
        let done = bounds::checked(text).and_then(|()| {
            let tokens = scan::tokens(text);
            bounds::within(text, &tokens)?;
            rewrite::rewrite(text, &tokens)
        });
        let (rewritten, inserted) = done.map_err(|refused| {
            let place = source.place_of_byte(refused.at);
            Failure::at(&source, Some(place), refused.why)
        })?;
        source.rewritten = rewritten;
        source.inserted = inserted;
        Ok(source)
    }

    /// Where the lines `---` begin that split a file into steps.
    pub fn separators(text: &str) -> Vec<usize> {
        match text.contains("---") {
            true => scan::separators(text),
            false => Vec::new(),
        }
    }

    /// Parses it.
    ///
    /// # Errors
    ///
    /// The parser's message with the place in the text as it was written.
    pub fn parse(&self) -> Result<AstModule, Failure> {
        AstModule::parse(&self.name, self.rewritten.clone(), &dialect())
            .map_err(|error| Failure::of_starlark(&error, std::slice::from_ref(self)))
    }

    /// The place as it was written of one in the rewritten text, counted from 0.
    pub fn place(&self, line: usize, column: usize) -> Place {
        let (line, column) = (line + 1, column + 1);
        let before = |place: &&Place| place.line == line && place.column < column;
        let shift = self.inserted.iter().filter(before).count();
        let column = column - shift;
        Place { line, column }
    }

    /// One line as it was written, counted from 1.
    pub fn line(&self, line: usize) -> Option<&str> {
        self.text.lines().nth(line.checked_sub(1)?)
    }

    /// Whether the parser was given this text for `text`.
    pub(crate) fn is_of(&self, text: &str) -> bool {
        self.rewritten == text
    }

    fn place_of_byte(&self, at: usize) -> Place {
        let before = &self.text[..at.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Why a text is not handed to the parser, and the byte at which.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    at: usize,
    why: String,
}

impl Refused {
    fn new(at: usize, why: impl Into<String>) -> Self {
        Self {
            at,
            why: why.into(),
        }
    }
}

#[cfg(test)]
mod tests;
