//! What a Dockerfile asks for, as far as it can be done without running
//! anything: a base, files on top of it, and what others start.
//!
//! Such a Dockerfile is built here, and reproducibly. One that runs programs,
//! fetches files or has several stages is for a builder; which line it is that
//! wants one is part of the answer.

use std::{collections::BTreeMap, path::Path};

use super::{Addition, ImageError, Packed, Start};

/// The longest Dockerfile, in bytes.
pub const RECIPE_LEN_MAX: usize = 256 * 1024;

/// A Dockerfile that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// It can be built here.
    Plain(Plain),
    /// It needs a program that can run what it says.
    ForBuilder { line: usize, what: String },
}

/// A base and what comes on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// What `FROM` names; nothing for `scratch`.
    pub base: Option<String>,
    copies: Vec<Copy>,
    start: Started,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Copy {
    from: Vec<String>,
    to: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Started {
    user: Option<String>,
    env: Vec<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    folder: Option<String>,
    labels: BTreeMap<String, String>,
}

/// What one line makes of the recipe.
enum Line {
    Taken,
    ForBuilder,
    Wrong(&'static str),
}

impl Recipe {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    ///
    /// [`ImageError::Recipe`] says in which line it makes no sense.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let wrong = |line, why| ImageError::Recipe { line, why };
        if RECIPE_LEN_MAX < text.len() {
            return Err(wrong(1, "the file is too long"));
        }
        let mut plain = Plain::default();
        let mut begun = false;
        for (number, line) in lines(text) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
            let (word, rest) = (word.to_ascii_uppercase(), rest.trim());
            if word == "ARG" && !begun {
                return Ok(Self::builder(number, &line));
            }
            if (word == "FROM") == begun {
                return match begun {
                    // A second stage.
                    true => Ok(Self::builder(number, &line)),
                    false => Err(wrong(number, "a Dockerfile begins with FROM")),
                };
            }
            begun = true;
            match plain.line(&word, rest) {
                Line::Taken => {}
                Line::ForBuilder => return Ok(Self::builder(number, &line)),
                Line::Wrong(why) => return Err(wrong(number, why)),
            }
        }
        match begun {
            true => Ok(Self::Plain(plain)),
            false => Err(wrong(1, "there is no FROM")),
        }
    }

    fn builder(line: usize, what: &str) -> Self {
        Self::ForBuilder {
            line,
            what: strongroom_core::text::shown(what, 80),
        }
    }
}

impl Plain {
    fn line(&mut self, word: &str, rest: &str) -> Line {
        if rest.is_empty() {
            return Line::Wrong("the instruction says nothing");
        }
        // What stands for something else is left to those who know all of it.
        let speaks = rest.contains('$') && !["CMD", "ENTRYPOINT"].contains(&word);
        if speaks {
            return Line::ForBuilder;
        }
        match word {
            "FROM" => self.from(rest),
            "COPY" => self.copy(rest),
            "ENV" => pairs(rest, |name, value| {
                self.start.env.push(format!("{name}={value}"))
            }),
            "LABEL" => pairs(rest, |name, value| {
                self.start.labels.insert(name, value);
            }),
            "WORKDIR" => {
                self.start.folder = Some(self.absolute(rest));
                Line::Taken
            }
            "USER" => {
                self.start.user = Some(rest.to_owned());
                Line::Taken
            }
            "CMD" => words(rest).map_or(Line::Wrong("the list is no list of texts"), |words| {
                self.start.cmd = Some(words);
                Line::Taken
            }),
            "ENTRYPOINT" => {
                words(rest).map_or(Line::Wrong("the list is no list of texts"), |words| {
                    self.start.entrypoint = Some(words);
                    Line::Taken
                })
            }
            "EXPOSE" | "STOPSIGNAL" | "MAINTAINER" | "VOLUME" => Line::Taken,
            "RUN" | "ADD" | "ARG" | "SHELL" | "ONBUILD" | "HEALTHCHECK" => Line::ForBuilder,
            _ => Line::Wrong("there is no such instruction"),
        }
    }

    fn from(&mut self, rest: &str) -> Line {
        let words: Vec<&str> = rest.split_whitespace().collect();
        match words.as_slice() {
            [flag, ..] if flag.starts_with("--") => return Line::ForBuilder,
            [base] => self.base = (*base != "scratch").then(|| (*base).to_owned()),
            [base, word, _] if word.eq_ignore_ascii_case("as") => {
                self.base = (*base != "scratch").then(|| (*base).to_owned());
            }
            _ => return Line::Wrong("FROM names one image"),
        }
        Line::Taken
    }

    fn copy(&mut self, rest: &str) -> Line {
        let listed = match rest.starts_with('[') {
            true => serde_json::from_str(rest).ok(),
            false => Some(rest.split_whitespace().map(str::to_owned).collect()),
        };
        let Some(mut words): Option<Vec<String>> = listed else {
            return Line::Wrong("the list is no list of texts");
        };
        // Owners are dropped in any case.
        words.retain(|word| !word.starts_with("--chown="));
        if words
            .iter()
            .any(|word| word.starts_with("--") || word.contains(['*', '?', '[', '<']))
        {
            return Line::ForBuilder;
        }
        let Some(to) = words.pop().filter(|_| !words.is_empty()) else {
            return Line::Wrong("COPY names what it copies, and where to");
        };
        if words
            .iter()
            .any(|from| from.split('/').any(|part| part == ".."))
        {
            return Line::Wrong("COPY climbs out of its folder");
        }
        let many = 1 < words.len() && !to.ends_with('/');
        if many {
            return Line::Wrong("several files are copied to a folder, whose name ends with `/`");
        }
        let slash = if to.ends_with('/') { "/" } else { "" };
        let to = format!("{}{slash}", self.absolute(&to));
        self.copies.push(Copy { from: words, to });
        Line::Taken
    }

    /// A path seen from the working folder; it never climbs above the root.
    fn absolute(&self, path: &str) -> String {
        let start = match path.starts_with('/') {
            true => "",
            false => self.start.folder.as_deref().unwrap_or(""),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in start.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// The layer that it puts on top of its base, out of `folder`.
    pub fn layer(&self, folder: &Path) -> Result<Addition, ImageError> {
        let mut packed = Packed::default();
        for copy in &self.copies {
            for from in &copy.from {
                packed = packed.and(copied(folder, from, &copy.to)?);
            }
        }
        let start = self.start.clone();
        let start = Start {
            user: start.user,
            env: Some(start.env).filter(|env| !env.is_empty()),
            entrypoint: start.entrypoint,
            cmd: start.cmd,
            working_dir: start.folder,
            labels: Some(start.labels).filter(|labels| !labels.is_empty()),
        };
        let mut addition = Addition::whole(packed);
        addition.start = Some(start);
        Ok(addition)
    }
}

fn copied(folder: &Path, from: &str, to: &str) -> Result<Packed, ImageError> {
    let attempt = ImageError::host("read what COPY names");
    let source = folder.join(from.trim_start_matches('/'));
    // A link could lead out of the folder, so none is followed on the way.
    let real = source.canonicalize().map_err(&attempt)?;
    if !real.starts_with(folder.canonicalize().map_err(&attempt)?) {
        return Err(ImageError::Recipe {
            line: 0,
            why: "COPY names a link that leads out of the folder",
        });
    }
    if real.is_dir() {
        return Packed::folder(&real, to);
    }
    if !real.is_file() {
        return Err(ImageError::Recipe {
            line: 0,
            why: "COPY names what is neither a file nor a folder",
        });
    }
    let name = Path::new(from).file_name().unwrap_or_default();
    let place = match to.ends_with('/') {
        true => format!("{to}{}", name.to_string_lossy()),
        false => to.to_owned(),
    };
    let mut packed = Packed::default();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&real.metadata().map_err(&attempt)?.permissions());
    packed.file(&place, real, mode & 0o111 != 0);
    Ok(packed)
}

/// Lines with their numbers: comments gone, continued ones joined.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (piece, goes_on) = match line.strip_suffix('\\') {
            Some(piece) => (piece.trim_end(), true),
            None => (line, false),
        };
        match out.last_mut() {
            Some((_, begun)) if open => {
                begun.push(' ');
                begun.push_str(piece);
            }
            _ => out.push((index + 1, piece.to_owned())),
        }
        open = goes_on;
    }
    out
}

/// `a=b c="d e"`, or `a b` alone.
fn pairs(rest: &str, mut take: impl FnMut(String, String)) -> Line {
    let first = rest.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        return match rest.split_once(char::is_whitespace) {
            Some((name, value)) => {
                take(name.to_owned(), value.trim().to_owned());
                Line::Taken
            }
            None => Line::Wrong("a name stands without a value"),
        };
    }
    let mut rest = rest;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim().to_owned();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Line::Wrong("a value stands without a name");
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => match quoted.split_once('"') {
                Some(split) => split,
                None => return Line::Wrong("a quote is not closed"),
            },
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        take(name, value.to_owned());
        rest = after.trim_start();
    }
    match rest.is_empty() {
        true => Line::Taken,
        false => Line::Wrong("a name stands without a value"),
    }
}

/// A list in JSON, or a line for a shell.
fn words(rest: &str) -> Option<Vec<String>> {
    match rest.starts_with('[') {
        true => serde_json::from_str(rest).ok(),
        false => Some(["/bin/sh", "-c", rest].map(str::to_owned).to_vec()),
    }
}
