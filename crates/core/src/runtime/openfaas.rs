//! A template of OpenFaaS as a runtime: `template.yml`, and the files beside it.
//!
//! The classic contract is taken: a process for each call, which reads the body
//! on stdin and writes its answer to stdout. It finds the template's files in
//! [`HOME`] and the function in the handler's folder there. It runs on what the
//! host has, or the image that a line `image: sha256:…` names: nothing is built. So a template whose Dockerfile
//! runs commands is refused with what could build it, and so is one whose
//! process speaks HTTP.

use super::{
    Definition, DefinitionError, FunctionFiles, Way,
    dockerfile::{Dockerfile, DockerfileError},
};
use crate::{
    digest::DigestError,
    runtime::Answer,
    text::shown,
    tree::{TreeError, TreePath},
};

/// The file that says what a template is.
pub const FILE_NAME: &str = "template.yml";
/// The longest one, in bytes.
pub const LEN_MAX: usize = 64 * 1024;
/// Where its files lie for the guest.
pub const HOME: &str = "/home/app";
/// The longest command, in words.
const WORDS_MAX: usize = 32;

/// Why a template is no runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("template.yml: line {line}: {why}")]
    Line { line: usize, why: &'static str },
    #[error("template.yml: handler_folder")]
    Folder(#[source] TreeError),
    #[error("template.yml: the handler's folder `{0}` does not lie at the top")]
    Deep(TreePath),
    #[error("template.yml: image")]
    Image(#[source] DigestError),
    #[error("neither template.yml nor the Dockerfile says which process to start (`fprocess`)")]
    NoProcess,
    #[error("the process `{}` is no plain command", shown(.0, 120))]
    Process(String),
    #[error("there is no file `handler` with a suffix in the folder `{0}`")]
    NoHandler(TreePath),
    #[error(
        "the mode `{}` speaks HTTP to its process; only the classic contract is here: the body \
        on stdin, the answer on stdout", shown(.0, 40)
    )]
    Http(String),
    #[error(
        "Dockerfile: line {line}: RUN makes an image, which docker, buildah or buildctl builds; \
        as a folder a template runs on what the host has"
    )]
    Run { line: usize },
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
}

/// Reads a template whose folder has files of these names.
///
/// # Errors
///
/// [`TemplateError`] says which file, and where it can, which line.
pub fn read<'a>(
    template: &str,
    dockerfile: Option<&str>,
    names: impl Iterator<Item = &'a TreePath>,
) -> Result<Definition, DefinitionError> {
    let said = Said::parse(template)?;
    let dockerfile = dockerfile.map(Dockerfile::parse).transpose();
    let dockerfile = dockerfile.map_err(TemplateError::from)?.unwrap_or_default();
    if let Some(line) = dockerfile.run_line {
        return Err(TemplateError::Run { line }.into());
    }
    if let Some(mode) = dockerfile.variable("mode").filter(|mode| *mode == "http") {
        return Err(TemplateError::Http(mode.to_owned()).into());
    }
    let process = said.process.as_deref().or(dockerfile.variable("fprocess"));
    let command = command(process.ok_or(TemplateError::NoProcess)?)?;
    let folder = said.handler_folder.as_deref().unwrap_or("function");
    let folder = folder.trim_start_matches("./").trim_end_matches('/');
    let folder: TreePath = folder.parse().map_err(TemplateError::Folder)?;
    if folder.as_str().contains('/') {
        return Err(TemplateError::Deep(folder).into());
    }
    let files = handler(names, &folder)?;
    let mut definition = Definition::own(Way::plain(command, files));
    definition.description = format!("OpenFaaS template {}", said.language.unwrap_or_default());
    definition.handler_folder = Some(folder);
    let image = said.image.map(|raw| raw.parse()).transpose();
    definition.image = image.map_err(TemplateError::Image)?;
    let variables = [
        ("Http_Method", "POST"),
        ("Http_Path", "/"),
        ("Http_Content_Type", "application/json"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    definition.environment.extend(variables);
    Ok(definition)
}

/// What a template says, as far as it matters.
#[derive(Default)]
struct Said {
    language: Option<String>,
    process: Option<String>,
    handler_folder: Option<String>,
    image: Option<String>,
}

impl Said {
    /// Reads the keys in the first column; what is set off belongs to others.
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut said = Self::default();
        if LEN_MAX < text.len() {
            let why = "the file is longer than 65536 bytes";
            return Err(TemplateError::Line { line: 1, why });
        }
        for (index, line) in text.lines().enumerate() {
            let is_key = !line.starts_with([' ', '\t', '#', '-']) && !line.trim().is_empty();
            if !is_key || line == "..." {
                continue;
            }
            let line_number = index + 1;
            let (key, value) = line.split_once(':').ok_or(TemplateError::Line {
                line: line_number,
                why: "it is no key with a value",
            })?;
            let value = plain(value).map_err(|why| TemplateError::Line {
                line: line_number,
                why,
            })?;
            let place = match key.trim_end() {
                "language" => &mut said.language,
                "fprocess" => &mut said.process,
                "handler_folder" => &mut said.handler_folder,
                "image" => &mut said.image,
                _ => continue,
            };
            if place.replace(value).is_some() {
                let why = "the key is there twice";
                return Err(TemplateError::Line {
                    line: line_number,
                    why,
                });
            }
        }
        Ok(said)
    }
}

/// A value on one line, without its quotes or the comment after it.
fn plain(raw: &str) -> Result<String, &'static str> {
    let raw = raw.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = raw.strip_prefix(quote) {
            let (value, _) = rest.split_once(quote).ok_or("the quote has no end")?;
            return Ok(value.to_owned());
        }
    }
    let value = raw.split(" #").next().unwrap_or_default();
    Ok(value.trim_end().to_owned())
}

/// The words of a process, the first of them an absolute path.
fn command(process: &str) -> Result<Vec<String>, TemplateError> {
    let refused = || TemplateError::Process(process.to_owned());
    let mut words: Vec<String> = process.split_whitespace().map(str::to_owned).collect();
    let is_plain = !process.contains(['"', '\'', '\\', '$', '`', '|', '&', ';', '<', '>', '\0']);
    let program = words.first_mut().ok_or(TemplateError::NoProcess)?;
    if !program.contains('/') {
        *program = format!("/usr/bin/{program}");
    }
    match program.starts_with('/') && is_plain && words.len() <= WORDS_MAX {
        true => Ok(words),
        false => Err(refused()),
    }
}

/// The files that the template's own handler says functions to be.
fn handler<'a>(
    mut names: impl Iterator<Item = &'a TreePath>,
    folder: &TreePath,
) -> Result<FunctionFiles, TemplateError> {
    let within = format!("{folder}/handler.");
    let found = names.find_map(|name| name.as_str().strip_prefix(&within));
    let suffix = found.filter(|suffix| suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let suffix = suffix.ok_or_else(|| TemplateError::NoHandler(folder.clone()))?;
    let main: TreePath = format!("handler.{suffix}")
        .parse()
        .map_err(TemplateError::Folder)?;
    let mut files = FunctionFiles::new(&format!(".{suffix}"), main.clone());
    files.handler = Some(main);
    files.handler_answers = Answer::Stdout;
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runtime::Start;

    fn tried(
        template: &str,
        dockerfile: Option<&str>,
        names: &[&str],
    ) -> Result<Definition, String> {
        let names: Vec<TreePath> = names.iter().map(|name| name.parse().unwrap()).collect();
        read(template, dockerfile, names.iter()).map_err(|error| error.to_string())
    }

    const TEMPLATE: &str = "---\nlanguage: python3 # three\nfprocess: \"python3 index.py\"\n\
        build_options:\n  - name: dev\n    packages:\n      - make\nwelcome_message: |\n  hello: you\n";
    const NAMES: [&str; 3] = [
        "index.py",
        "function/handler.py",
        "function/requirements.txt",
    ];

    #[test]
    fn a_template_says_what_is_started_and_what_its_functions_are() {
        let found = tried(TEMPLATE, Some("FROM python:3\nCOPY . /home/app\n"), &NAMES).unwrap();
        let Start::Own(way) = &found.start else {
            panic!("it has a base");
        };
        let entry = "handler.py".parse().unwrap();
        assert_eq!(
            way.command(way.program(), "", &entry),
            ["/usr/bin/python3", "index.py"]
        );
        assert_eq!(way.files.answer_of(&entry), Answer::Stdout);
        assert_eq!(found.handler_folder.unwrap().as_str(), "function");
        let other = "handler_folder: ./src/\n";
        let dockerfile = "FROM a\nENV fprocess=\"/bin/cat\"\n";
        let found = tried(other, Some(dockerfile), &["src/handler.sh"]).unwrap();
        assert_eq!(found.handler_folder.unwrap().as_str(), "src");
    }

    #[test]
    fn what_could_not_run_here_says_why() {
        for (template, dockerfile, names, why) in [
            (
                TEMPLATE,
                Some("FROM a\nRUN pip install x\n"),
                &NAMES[..],
                "line 2: RUN makes an image, which docker, buildah or buildctl builds",
            ),
            (
                TEMPLATE,
                Some("FROM a\nRUNN\n"),
                &NAMES,
                "line 2: there is no instruction `RUNN`",
            ),
            (
                TEMPLATE,
                Some("FROM a\nENV mode=\"http\"\n"),
                &NAMES,
                "speaks HTTP",
            ),
            (
                TEMPLATE,
                None,
                &["index.py"],
                "no file `handler` with a suffix in the folder `function`",
            ),
            ("language: x\n", None, &NAMES, "which process to start"),
            (
                "fprocess: sh -c \"a\"\n",
                None,
                &NAMES,
                "is no plain command",
            ),
            ("fprocess: ./run\n", None, &NAMES, "is no plain command"),
            (
                "handler_folder: ../x\nfprocess: a\n",
                None,
                &NAMES,
                "handler_folder",
            ),
            (
                "handler_folder: a/b\nfprocess: a\n",
                None,
                &["a/b/handler.py"],
                "does not lie at the top",
            ),
            ("nonsense\n", None, &NAMES, "line 1: it is no key"),
            (
                "fprocess: \"a\n",
                None,
                &NAMES,
                "line 1: the quote has no end",
            ),
            (
                "fprocess: a\nfprocess: b\n",
                None,
                &NAMES,
                "line 2: the key is there twice",
            ),
        ] {
            let error = tried(template, dockerfile, names).unwrap_err();
            assert!(error.contains(why), "{template:?}: {error}");
        }
    }
}
