//! `strongroom runtime init`: a runtime of one's own, begun as a shipped one.
//!
//! What is written is the shipped runtime as a folder: added as it is, it runs
//! what the shipped one runs. Its Dockerfile makes an image of it that needs no
//! station, of what lies beside it.

use std::path::PathBuf;

use strongroom_core::runtime::RuntimeName;
use strongroom_server::trial::PACKAGE;

use crate::{
    commands::function::init::{Start, lay_out},
    error::{CliError, Outcome},
    ui::Ui,
};

/// Begin a runtime: the folder of a shipped one, to be changed and added
///
/// In it are `runtime.toml`, the main program, a Dockerfile, and a function to begin with.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The runtime's name, which is that of the folder
    name: RuntimeName,
    /// The runtime that it begins as
    #[arg(long, value_enum, default_value_t = Start::Python3)]
    from: Start,
    /// Below this folder
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    within: PathBuf,
}

macro_rules! own {
    ($runtime:literal: $($file:literal)*) => {
        &[$((
            $file,
            include_str!(concat!("../../../../run/runtimes/", $runtime, "/", $file)),
        )),*]
    };
}

/// What lies at the top of the folder, but for `runtime.toml`.
fn own_files(from: Start) -> &'static [(&'static str, &'static str)] {
    match from {
        Start::Python3 => own!("python3": "Dockerfile" "main_program.py" "run_through.py"),
        Start::Python3Data => {
            own!("python3-data": "Dockerfile" "requirements.txt" "strongroom.lock")
        }
        Start::Node => own!("node": "Dockerfile" "main_program.js"),
        Start::Sh => own!("sh": "Dockerfile"),
        Start::Starlark => own!("starlark": "Dockerfile"),
        Start::Binary => own!("binary": "Dockerfile"),
    }
}

/// What `runtime.toml` says.
fn definition(from: Start) -> String {
    let (base, more) = match from {
        Start::Python3 => ("python3", "main_program = \"main_program.py\"\n"),
        Start::Python3Data => (
            "python3",
            "requirements = \"requirements.txt\"\nlock = \"strongroom.lock\"\n",
        ),
        Start::Node => ("node", "main_program = \"main_program.js\"\n"),
        Start::Sh => ("sh", ""),
        Start::Starlark => ("starlark", ""),
        Start::Binary => ("binary", ""),
    };
    format!(
        "# docs/runtimes.md says what else can stand here.\n\
         base = \"{base}\"\n{more}\
         # An image that is here, in place of the host's /usr; `strongroom runtime images` lists them.\n\
         # image = \"sha256:...\"\n"
    )
}

pub fn run(ui: &mut Ui, args: &InitArgs) -> Result<Outcome, CliError> {
    let definition = definition(args.from);
    let function: Vec<_> = args
        .from
        .files()
        .iter()
        .map(|(name, text)| (format!("function/{name}"), of_own(text, args)))
        .collect();
    let package = PACKAGE.iter().filter(|_| args.from == Start::Python3);
    let package = package.filter_map(|(path, text)| Some((path.strip_prefix("/kit/")?, *text)));
    let files = [("runtime.toml", definition.as_str())]
        .into_iter()
        .chain(own_files(args.from).iter().copied())
        .chain(package)
        .chain(
            function
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        );
    let shown = lay_out(&args.within.join(args.name.as_str()), files)?;
    writeln!(ui.out, "{shown}")?;
    ui.say(format_args!(
        "try it:  strongroom run {shown}/function --runtime-folder {shown}\n\
         add it:  strongroom runtime add {shown}\n\
         build an image of it, as its Dockerfile says: strongroom runtime build {shown} --name {}",
        args.name
    ))?;
    Ok(Outcome::Yes)
}

/// The same file of a function that is for the new runtime.
fn of_own(text: &str, args: &InitArgs) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    match first.starts_with("runtime = ") {
        true => format!("runtime = \"{}\"\n{rest}", args.name),
        false => text.to_owned(),
    }
}
