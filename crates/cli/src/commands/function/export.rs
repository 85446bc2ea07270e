//! `strongroom function export`: a function as an image that others can run.
//!
//! The image is made on this machine, of the runtime's image and the function's
//! files. Whose function it is says who can: its developer alone sees the files.

use std::path::{Path, PathBuf};

use strongroom_core::{manifest::Files, name::Reference};
use strongroom_server::{
    Config,
    api::FunctionVersion,
    app::source::parse,
    image::{ExportAs, Images},
    trial::{self, Trial},
};

use crate::{
    client::Client,
    commands::runtime::images::write_archive,
    error::{CliError, Outcome},
    home::HomeArgs,
    login::LoginError,
    source,
    ui::Ui,
    versions::version_path,
};

/// Write a function as an image that docker or podman can run
///
/// It is the image of the function's runtime, what the runtime brings, the function's packages, and
/// its files.
/// The runtime has to name an image. The same version makes the same image.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A local file or folder, as `./f.py`, or a version of a station's function, as OWNER/NAME
    function: String,
    /// What kind of archive: oci-archive or docker-archive
    #[arg(long, value_name = "KIND", default_value = "oci-archive")]
    to: ExportAs,
    /// Where to write it; `-` for stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A folder that is the function's runtime: DIR or NAME=DIR
    #[arg(long, value_name = "DIR")]
    runtime_folder: Option<String>,
    #[command(flatten)]
    home: HomeArgs,
}

pub fn run(
    ui: &mut Ui,
    client: impl Fn() -> Result<Client, LoginError>,
    args: ExportArgs,
) -> Result<Outcome, CliError> {
    let home = args.home.path()?;
    let folder = Images::folder_of(&home);
    let images = Images::open(&folder)?;
    let (files, called) = match super::super::run::is_local(&args.function) {
        true => {
            let path = Path::new(&args.function);
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            (source::read(path)?, name.into_owned())
        }
        false => of_station(&client()?, &args.function)?,
    };
    let trial = Trial {
        function: PathBuf::from(&args.function),
        ..of_home(home, args.runtime_folder)?
    };
    let digest = trial::image(&trial, &files, &images, &[])?;
    write_archive(ui, &images, &digest, &called, args.to, &args.output)?;
    if args.output != Path::new("-") {
        writeln!(ui.out, "{digest}")?;
    }
    Ok(Outcome::Yes)
}

/// A trial on the runtimes, images and packages of a home.
pub fn of_home(home: PathBuf, runtime_folder: Option<String>) -> Result<Trial, CliError> {
    let (runtimes, images) = (home.join("runtimes"), Images::folder_of(&home));
    let config = Config::load(home, None)?;
    Ok(Trial {
        runtimes: Some(runtimes),
        images: Some(images),
        runtime_folder,
        gateway: config.gateway.clone(),
        engine: config.engine.clone(),
        jail: config.jail.clone(),
        packages: Some(config),
        ..Trial::default()
    })
}

/// The files of a version, and what to call its image.
fn of_station(client: &Client, raw: &str) -> Result<(Files, String), CliError> {
    let reference = raw.parse::<Reference>();
    let reference = reference
        .map_err(|error| CliError::wrong_use(format!("`{raw}` is no function: {error}")))?;
    let path = version_path("functions", &reference);
    let version: FunctionVersion = client.get(&path, &[])?;
    let files = version.files.ok_or_else(|| {
        let message = "the source of this function is shown to its developer alone";
        CliError::wrong_use(message)
    })?;
    let files = parse(files).map_err(|error| CliError::wrong_use(error.to_string()))?;
    Ok((files, version.function.to_string()))
}
