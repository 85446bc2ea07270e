//! As much of a Dockerfile as tells whether a folder can be used without it.
//!
//! Instructions are split into lines and words, and known by name; nothing is
//! run, expanded or fetched. What it says of a program's start is read from
//! `ENV`. A text that is no Dockerfile is an error with its line.

use crate::text::shown;

/// What the file is called.
pub const FILE_NAME: &str = "Dockerfile";
/// The longest one, in bytes.
pub const LEN_MAX: usize = 64 * 1024;

const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Why a text is no Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    #[error("Dockerfile: it is longer than {LEN_MAX} bytes")]
    TooLong,
    #[error("Dockerfile: line {line}: there is no instruction `{}`", shown(.word, 40))]
    Instruction { line: usize, word: String },
    #[error("Dockerfile: line {line}: {word} says nothing")]
    Nothing { line: usize, word: &'static str },
    #[error("Dockerfile: line {line}: {word} comes before the first FROM")]
    BeforeFrom { line: usize, word: &'static str },
    #[error("Dockerfile: it never says FROM")]
    NoFrom,
    #[error("Dockerfile: line {line}: the text up to `{}` has no end", shown(.end, 40))]
    Open { line: usize, end: String },
}

/// What is known of a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The line of its first `RUN`.
    pub run_line: Option<usize>,
    /// Its variables, in order, each with the line that sets it.
    pub env: Vec<(String, String)>,
}

impl Dockerfile {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`DockerfileError`] with the line; the writer is at fault.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        if LEN_MAX < text.len() {
            return Err(DockerfileError::TooLong);
        }
        let mut found = Self::default();
        let mut has_from = false;
        let mut lines = text.lines().enumerate();
        while let Some((line, whole)) = next(&mut lines) {
            let (word, rest) = whole.split_once([' ', '\t']).unwrap_or((&whole, ""));
            let known = INSTRUCTIONS
                .iter()
                .find(|one| one.eq_ignore_ascii_case(word));
            let word = *known.ok_or_else(|| DockerfileError::Instruction {
                line,
                word: word.to_owned(),
            })?;
            let rest = rest.trim();
            if rest.is_empty() {
                return Err(DockerfileError::Nothing { line, word });
            }
            has_from |= word == "FROM";
            if !has_from && word != "ARG" {
                return Err(DockerfileError::BeforeFrom { line, word });
            }
            match word {
                "RUN" => found.run_line = found.run_line.or(Some(line)),
                "ENV" => found.env.extend(variables(rest)),
                _ => {}
            }
            if ["RUN", "COPY", "ADD"].contains(&word) {
                skip_texts(rest, line, &mut lines)?;
            }
        }
        match has_from {
            true => Ok(found),
            false => Err(DockerfileError::NoFrom),
        }
    }

    /// What a variable is in the end.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut set = self.env.iter().rev();
        let (_, value) = set.find(|(set, _)| set == name)?;
        Some(value)
    }
}

/// The next instruction with its lines joined, and the number of its first.
fn next<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Option<(usize, String)> {
    let mut first = None;
    let mut whole = String::new();
    for (index, line) in lines {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let first = *first.get_or_insert(index + 1);
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
            }
            None => {
                whole.push_str(line);
                return Some((first, whole));
            }
        }
    }
    first.map(|first| (first, whole.trim().to_owned()))
}

/// Passes over the texts that an instruction announces with `<<NAME`.
fn skip_texts<'a>(
    rest: &str,
    line: usize,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<(), DockerfileError> {
    let ends = rest.split_whitespace().filter_map(|word| {
        let name = word.strip_prefix("<<")?.trim_start_matches('-');
        let name = name.trim_matches(['"', '\'']);
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        starts.then(|| name.to_owned())
    });
    for end in ends {
        if !lines.any(|(_, text)| text.trim() == end) {
            return Err(DockerfileError::Open { line, end });
        }
    }
    Ok(())
}

/// `NAME VALUE`, or `NAME=VALUE` each.
fn variables(rest: &str) -> Vec<(String, String)> {
    let (name, value) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    if !name.contains('=') {
        return vec![(name.to_owned(), value.trim().to_owned())];
    }
    let mut found = Vec::new();
    let mut rest = rest;
    while let Some((name, value)) = rest.split_once('=') {
        let quote = value
            .chars()
            .next()
            .filter(|first| ['"', '\''].contains(first));
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => value.split_once([' ', '\t']).unwrap_or((value, "")),
        };
        found.push((name.trim().to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn instructions_and_variables_are_found_whatever_their_spelling() {
        let text = "# syntax=docker/dockerfile:1\nARG V=1\nfrom python:${V} AS base\n\
            ENV fprocess=\"python3 index.py\" mode='x y'\nenv a b c\n\
            COPY . \\\n  # a comment\n  /home/app\nCOPY <<EOF /x\nRUN none\nEOF\nENV a=d\n";
        let found = Dockerfile::parse(text).unwrap();
        assert_eq!(found.run_line, None);
        assert_eq!(found.variable("fprocess"), Some("python3 index.py"));
        assert_eq!(
            (found.variable("mode"), found.variable("a")),
            (Some("x y"), Some("d"))
        );
        let runs = Dockerfile::parse("FROM a\n\nRUN x \\\n y\nRUN z").unwrap();
        assert_eq!(runs.run_line, Some(3));
    }

    #[test]
    fn what_is_no_dockerfile_is_told_with_its_line() {
        for (text, why) in [
            ("FROM a\nRUNN x", "line 2: there is no instruction `RUNN`"),
            ("FROM a\nCOPY", "line 2: COPY says nothing"),
            ("RUN x", "line 1: RUN comes before the first FROM"),
            ("ARG a\n", "it never says FROM"),
            ("", "it never says FROM"),
            (
                "FROM a\nRUN <<E\nx\n",
                "line 2: the text up to `E` has no end",
            ),
            ("FROM \\\n", "line 1: FROM says nothing"),
            ("{\"a\": 1}", "no instruction"),
        ] {
            let error = Dockerfile::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let long = format!("FROM a\n#{}", "x".repeat(LEN_MAX));
        assert_eq!(Dockerfile::parse(&long), Err(DockerfileError::TooLong));
    }
}
