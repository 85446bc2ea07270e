//! `strongroom function init`: a function to begin with, and a test of it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use strongroom_core::name::Name;

use crate::{
    error::{CliError, Outcome},
    ui::Ui,
};

/// Begin a function: a folder with code that works, and a test of it
///
/// The test runs inside the sandbox where the language lets it, as in Python, where the package
/// `strongroom` is there without being installed: `strongroom run ./NAME --entry test_main.py`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The function's name, which is that of the folder
    name: Name,
    /// What runs it
    #[arg(long, value_enum, default_value_t = Start::Python3)]
    runtime: Start,
    /// Below this folder
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    within: PathBuf,
}

/// The runtimes that are shipped, each with the start in its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Start {
    Python3,
    Python3Data,
    Node,
    Sh,
    Starlark,
    Binary,
}

macro_rules! start {
    ($runtime:literal: $($file:literal)*) => {
        &[$((
            $file,
            include_str!(concat!("../../../../run/runtimes/", $runtime, "/function/", $file)),
        )),*]
    };
}

impl Start {
    /// The function to begin with.
    pub fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Python3 => start!("python3": "strongroom.toml" "main.py" "test_main.py"),
            Self::Python3Data => {
                start!("python3-data": "strongroom.toml" "main.py" "test_main.py")
            }
            Self::Node => start!("node": "strongroom.toml" "package.json" "main.js" "test_main.js"),
            Self::Sh => start!("sh": "strongroom.toml" "main.sh" "test_main.sh"),
            Self::Starlark => start!("starlark": "strongroom.toml" "main.star" "test.sh"),
            Self::Binary => start!("binary": "strongroom.toml" "main.c" "build.sh" "test.sh"),
        }
    }

    /// What has to be done before it can be tried.
    fn first(self, folder: &str) -> String {
        match self {
            Self::Binary => format!("build it: sh {folder}/build.sh\n"),
            _ => String::new(),
        }
    }

    /// How it is tested.
    fn test(self, folder: &str) -> String {
        let inside = |file| format!("strongroom run {folder} --entry {file}");
        match self {
            Self::Python3 | Self::Python3Data => inside("test_main.py"),
            Self::Node => inside("test_main.js"),
            Self::Sh => inside("test_main.sh"),
            Self::Starlark | Self::Binary => format!("sh {folder}/test.sh"),
        }
    }
}

pub fn run(ui: &mut Ui, args: &InitArgs) -> Result<Outcome, CliError> {
    let files = args.runtime.files().iter().copied();
    let shown = lay_out(&args.within.join(args.name.as_str()), files)?;
    writeln!(ui.out, "{shown}")?;
    ui.say(format_args!(
        "{}try it:  strongroom run {shown} --on FILE.csv --arg by=COLUMN --watch\n\
         test it: {}\n\
         push it: strongroom function push YOU/{} {shown}",
        args.runtime.first(&shown),
        args.runtime.test(&shown),
        args.name
    ))?;
    Ok(Outcome::Yes)
}

/// Makes a folder with these files, and says what to call it.
pub fn lay_out<'a>(
    folder: &Path,
    files: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<String, CliError> {
    written(folder, files).map_err(|error| {
        let message = format!("could not make {}: {error}", folder.display());
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                CliError::wrong_use_with_hint(message, "nothing that is there is overwritten")
            }
            _ => CliError::wrong_use(message),
        }
    })?;
    // A path that could be OWNER/NAME would be taken for something of a station.
    Ok(match folder.is_absolute() || folder.starts_with(".") {
        true => folder.display().to_string(),
        false => Path::new(".").join(folder).display().to_string(),
    })
}

fn written<'a>(folder: &Path, files: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (name, text) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}
