//! Why a runtime cannot be taken: which file, and where it can be told, which line.

use super::{FOLDERS, MAIN_PROGRAM_LEN_MAX};
use crate::{
    dependency::LockError,
    digest::DigestError,
    name::NameError,
    runtime::{dockerfile::DockerfileError, openfaas::TemplateError},
    text::shown,
    tree::{TreeError, TreePath},
};

/// Why a runtime cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("runtime.toml: {0}")]
    Toml(String),
    #[error("runtime.toml: {what} is longer than {max} bytes")]
    TooLong { what: String, max: usize },
    #[error("runtime.toml: there are more than {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error("runtime.toml: say either `base` or all of `command` and `[function]`")]
    Start,
    #[error("runtime.toml: base")]
    Base(#[source] NameError),
    #[error("runtime.toml: the command {0}")]
    Command(&'static str),
    #[error("runtime.toml: `{}` is no folder that a runtime may show; there are {}", shown(.0, 80), FOLDERS.join(", "))]
    Folder(String),
    #[error("runtime.toml: the suffix `{}` is not a dot and letters or digits", shown(.0, 40))]
    Suffix(String),
    #[error("runtime.toml: `{}` is not the name of a module", shown(.0, 80))]
    Module(String),
    #[error(
        "runtime.toml: `preload` and `packages` need a `base` or a `main_program` that knows of them"
    )]
    Nobody,
    #[error("runtime.toml: the variable `{}` {why}", shown(.name, 80))]
    Variable { name: String, why: &'static str },
    #[error("runtime.toml: {what}")]
    Path {
        what: &'static str,
        source: TreeError,
    },
    #[error("runtime.toml: `requirements` and `lock` go together")]
    Locked,
    #[error("the lock `{path}`")]
    Lock { path: TreePath, source: LockError },
    #[error("runtime.toml: image")]
    Image(#[source] DigestError),
    #[error("runtime.toml: `folders` are the host's; with an `image` there are none")]
    ImageAndFolders,
    #[error("there is no file `{0}` in the folder")]
    NoFile(TreePath),
    #[error("the main program `{path}` is longer than {MAIN_PROGRAM_LEN_MAX} bytes")]
    MainProgramTooLong { path: TreePath },
    #[error("the main program is not a text in UTF-8 without zero bytes")]
    MainProgramNoText,
    #[error("there is no file below `{0}` in the folder")]
    NoPackages(TreePath),
    #[error("there is no file `runtime.toml` in the folder, and no `template.yml`")]
    Nothing,
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}
