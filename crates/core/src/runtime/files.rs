//! Which files are functions of a kind: `[function]` of a `runtime.toml`.
//!
//! A file is told by the end of its name, or, where the function is a program
//! itself, by how it begins. A handler is told by its whole name, because in a
//! language of plain scripts nothing else could tell it.

use serde::Deserialize;

use super::executable;
use crate::tree::TreePath;

/// The longest end of a name, in bytes without its dot.
const SUFFIX_LEN_MAX: usize = 16;
/// The most ends of names beside the first.
const ALSO_MAX: usize = 8;

/// Which files are functions of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionFiles {
    /// What the name of an entry ends with; nothing for programs, which are
    /// told by how they begin.
    #[serde(default)]
    pub suffix: String,
    /// What it may end with besides.
    #[serde(default)]
    pub also: Vec<String>,
    /// The entry of a folder that names none.
    pub main: TreePath,
    /// The entry of a folder without `main`, and what a handler is called.
    pub handler: Option<TreePath>,
    /// Where a handler of that name says its answer.
    #[serde(default)]
    pub handler_answers: Answer,
    /// Whether the entry is no text but a program, executed itself. The command
    /// says that.
    #[serde(skip)]
    pub is_program: bool,
}

/// Where a function says what it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One JSON document to descriptor 3.
    #[default]
    Value,
    /// The body of a handler's answer to stdout, which then is no log.
    Stdout,
}

impl FunctionFiles {
    /// Those whose names end with `suffix`, without handlers.
    pub fn new(suffix: &str, main: TreePath) -> Self {
        Self {
            suffix: suffix.to_owned(),
            also: Vec::new(),
            main,
            handler: None,
            handler_answers: Answer::Value,
            is_program: false,
        }
    }

    /// Whether a file is one of them.
    pub fn takes(&self, path: &TreePath, content: &[u8]) -> bool {
        let ends = |suffix: &String| !suffix.is_empty() && path.file_name().ends_with(suffix);
        match self.is_program {
            true => executable::begins_so(content),
            false => ends(&self.suffix) || self.also.iter().any(ends),
        }
    }

    /// Where a function with this entry says what it returns.
    pub fn answer_of(&self, entry: &TreePath) -> Answer {
        let handler = self.handler.as_ref();
        match handler.is_some_and(|handler| handler.file_name() == entry.file_name()) {
            true => self.handler_answers,
            false => Answer::Value,
        }
    }

    /// The ends of names, or what stands for them, as people read them.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        let first = match self.is_program {
            true => "a static executable",
            false => self.suffix.as_str(),
        };
        std::iter::once(first).chain(self.also.iter().map(String::as_str))
    }

    /// The end of a name that cannot be one.
    pub(super) fn fault(&self) -> Option<&str> {
        if self.is_program && self.suffix.is_empty() && self.also.is_empty() {
            return None;
        }
        let too_many = self.also.get(ALSO_MAX).map(String::as_str);
        let mut all = std::iter::once(&self.suffix).chain(&self.also);
        let wrong = all.find(|suffix| self.is_program || !is_suffix(suffix));
        too_many.or(wrong.map(String::as_str))
    }
}

fn is_suffix(raw: &str) -> bool {
    let name = raw.strip_prefix('.').unwrap_or_default();
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain && name.len() <= SUFFIX_LEN_MAX
}
