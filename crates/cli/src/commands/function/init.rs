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
/// The test runs inside the sandbox as well, where the package `strongroom` is there without being
/// installed: `strongroom run ./NAME --entry test_main.py`.
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

/// The runtimes that there is a start for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Start {
    Python3,
}

impl Start {
    fn files(self) -> [(&'static str, &'static str); 3] {
        match self {
            Self::Python3 => [
                ("strongroom.toml", include_str!("start/python3.toml")),
                ("main.py", include_str!("start/main.py")),
                ("test_main.py", include_str!("start/test_main.py")),
            ],
        }
    }
}

pub fn run(ui: &mut Ui, args: &InitArgs) -> Result<Outcome, CliError> {
    let folder = args.within.join(args.name.as_str());
    lay_out(&folder, args.runtime).map_err(|error| {
        let message = format!("could not make {}: {error}", folder.display());
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                CliError::wrong_use_with_hint(message, "nothing that is there is overwritten")
            }
            _ => CliError::wrong_use(message),
        }
    })?;
    // A path that could be OWNER/NAME would be taken for a function of a station.
    let shown = match folder.is_absolute() || folder.starts_with(".") {
        true => folder.display().to_string(),
        false => Path::new(".").join(&folder).display().to_string(),
    };
    writeln!(ui.out, "{shown}")?;
    ui.say(format_args!(
        "try it:  strongroom run {shown} --on FILE.csv --arg by=COLUMN --watch\n\
         test it: strongroom run {shown} --entry test_main.py\n\
         push it: strongroom function push YOU/{} {shown}",
        args.name
    ))?;
    Ok(Outcome::Yes)
}

fn lay_out(folder: &Path, start: Start) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (name, text) in start.files() {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .open(folder.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}
