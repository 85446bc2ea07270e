//! `strongroom runtime import` and its neighbours: the images of this machine's
//! station.
//!
//! They work on the station's folder and not over HTTP, so they are for who
//! operates it; the station may run meanwhile. What a runtime names is decided
//! elsewhere, by who adds it.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use strongroom_core::{
    digest::Digest,
    run::bytes_shown,
    runtime::{Definition, FILE_NAME, RuntimeName},
};
use strongroom_server::{
    image::{Cleared, ExportAs, Extent, ImageError, ImageName, Images},
    registry::{self, RegistryReference},
    trial,
};

use crate::{
    commands::function::export::of_home,
    error::{CliError, Outcome},
    home::HomeArgs,
    show,
    ui::Ui,
};

#[derive(Debug, clap::Subcommand)]
pub enum ImageCommand {
    Import(ImportArgs),
    /// List the images of this machine's station
    Images {
        #[command(flatten)]
        home: HomeArgs,
    },
    Build(BuildArgs),
    Export(ExportArgs),
    Pull(PullArgs),
    Push(PushArgs),
    Gc(GcArgs),
}

/// Make an image of a folder's Dockerfile, or of Debian packages
///
/// A Dockerfile that runs nothing (FROM, COPY, ENV, WORKDIR, USER, LABEL, CMD, ENTRYPOINT) is
/// built here, and the same files make the same image. One that says RUN is built by docker,
/// buildah or buildctl, whichever is installed. FROM names an image of this station.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The folder with the Dockerfile
    #[arg(required_unless_present = "debian")]
    folder: Option<PathBuf>,
    /// Make it of these packages of Debian's instead, with mmdebstrap
    #[arg(
        long,
        value_name = "PACKAGES",
        value_delimiter = ',',
        conflicts_with = "folder"
    )]
    debian: Vec<String>,
    /// The suite that the packages are of
    #[arg(
        long,
        value_name = "SUITE",
        default_value = "stable",
        requires = "debian"
    )]
    suite: String,
    /// Where the packages are fetched [default: what mmdebstrap knows]
    #[arg(long, value_name = "URL", requires = "debian")]
    mirror: Option<String>,
    /// What to call the image; may be given several times
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    home: HomeArgs,
}

/// Pull an image from a registry
///
/// Credentials are those of the usual files: `$REGISTRY_AUTH_FILE`, podman's `auth.json` and
/// docker's `config.json` with their helpers. A registry of this machine is asked without TLS.
#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// As HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST
    reference: String,
    /// What to call the image [default: as in the registry]
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    home: HomeArgs,
}

/// Push an image to a registry
#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The image: a name, a digest or the beginning of one, or a runtime that names one
    image: String,
    /// As HOST/REPOSITORY:TAG
    reference: String,
    #[command(flatten)]
    home: HomeArgs,
}

/// Take in an image from an archive, or make one of a folder
///
/// FILE is an oci-archive or a docker-archive, as `docker save`, `podman save` and `skopeo copy`
/// write them, packed with gzip or zstd or not; or a folder that is to be a root. The image is
/// unpacked and checked before it is there. A runtime names it by the digest that is printed.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The archive, or a folder
    file: PathBuf,
    /// What to call the image; may be given several times
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    home: HomeArgs,
}

/// Write an image as an archive, or a runtime as an image for developers
///
/// In an image for developers lies what the runtime is on a station, and `run-through`, which runs a
/// function with it: docker run -v ./data:/data -v .:/work IMAGE run-through ./function.py.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// An image: a name, a digest or the beginning of one; or a runtime
    image: String,
    /// Make the image of a shipped runtime for developers, on this image
    #[arg(long = "on", value_name = "IMAGE")]
    on: Option<String>,
    /// Make the image for developers of the runtime in this folder: DIR or NAME=DIR
    #[arg(long, value_name = "DIR", conflicts_with = "on")]
    runtime_folder: Option<String>,
    /// What kind of archive: oci-archive or docker-archive
    #[arg(long, value_name = "KIND", default_value = "oci-archive")]
    to: ExportAs,
    /// Where to write it; `-` for stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    home: HomeArgs,
}

/// Clear away images that have no name, and what only they needed
///
/// The image of each runtime stays, and every root that the running station has shown.
#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// Also images whose names are no runtime's
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    home: HomeArgs,
}

pub fn run(ui: &mut Ui, command: ImageCommand) -> Result<Outcome, CliError> {
    match command {
        ImageCommand::Import(args) => import(ui, &args)?,
        ImageCommand::Images { home } => list(ui, &home)?,
        ImageCommand::Build(args) => build(ui, &args)?,
        ImageCommand::Export(args) => export(ui, &args)?,
        ImageCommand::Pull(args) => pull(ui, &args)?,
        ImageCommand::Push(args) => push(ui, &args)?,
        ImageCommand::Gc(args) => clear(ui, &args)?,
    }
    Ok(Outcome::Yes)
}

pub(super) fn images(home: &HomeArgs) -> Result<Images, CliError> {
    Ok(Images::open(&Images::folder_of(&home.path()?))?)
}

pub(super) fn names(raw: &[String]) -> Result<Vec<ImageName>, CliError> {
    let names = raw.iter().map(|name| name.parse());
    Ok(names.collect::<Result<_, ImageError>>()?)
}

/// The image of this name or digest, or the one that a runtime names.
pub(super) fn find(images: &Images, raw: &str) -> Result<Digest, CliError> {
    let found = images.find(raw);
    if let (Err(ImageError::Unknown(_)), Ok(runtime)) = (&found, raw.parse()) {
        let of_runtime = images.find(ImageName::of_runtime(&runtime).as_str());
        return Ok(of_runtime.or(found)?);
    }
    Ok(found?)
}

/// Prints the digest of an image that is there now.
pub(super) fn told(ui: &mut Ui, digest: &Digest, names: &[ImageName]) -> Result<(), CliError> {
    if ui.json {
        let names: Vec<&str> = names.iter().map(ImageName::as_str).collect();
        return ui.print_json(&serde_json::json!({ "digest": digest, "names": names }));
    }
    writeln!(ui.out, "{digest}")?;
    ui.say(format_args!(
        "A runtime runs on it that says in its {FILE_NAME}: image = \"{digest}\""
    ))
}

fn import(ui: &mut Ui, args: &ImportArgs) -> Result<(), CliError> {
    let names = names(&args.names)?;
    let digest = images(&args.home)?.import(&args.file, &names)?;
    told(ui, &digest, &names)
}

fn build(ui: &mut Ui, args: &BuildArgs) -> Result<(), CliError> {
    let names = names(&args.names)?;
    let images = images(&args.home)?;
    let digest = match &args.folder {
        Some(folder) => images.build_folder(folder, &names)?,
        None => {
            let mirror = args.mirror.as_deref();
            images.build_debian(&args.suite, &args.debian, mirror, &names)?
        }
    };
    told(ui, &digest, &names)
}

fn pull(ui: &mut Ui, args: &PullArgs) -> Result<(), CliError> {
    let from: RegistryReference = args.reference.parse()?;
    let mut names = names(&args.names)?;
    if names.is_empty() {
        // A digest needs no name, and is none.
        names.extend(args.reference.parse().ok());
    }
    let digest = registry::pull(&images(&args.home)?, &from, &names)?;
    told(ui, &digest, &names)
}

fn push(ui: &mut Ui, args: &PushArgs) -> Result<(), CliError> {
    let to: RegistryReference = args.reference.parse()?;
    let images = images(&args.home)?;
    let digest = find(&images, &args.image)?;
    registry::push(&images, &digest, &to)?;
    ui.say(format_args!("Pushed {digest} to {to}."))
}

fn list(ui: &mut Ui, home: &HomeArgs) -> Result<(), CliError> {
    let listed = images(home)?.list()?;
    if ui.json {
        return ui.print_json(&listed);
    }
    let rows = listed.iter().map(|image| {
        vec![
            image.digest.short(),
            show::cell(&image.names.join(", ")),
            image.layers.to_string(),
            match &image.fault {
                Some(fault) => show::cell(fault),
                None => bytes_shown(image.size_bytes),
            },
        ]
    });
    let header = ["IMAGE", "NAMES", "LAYERS", "SIZE"];
    let rows: Vec<_> = rows.collect();
    Ok(write!(ui.out, "{}", show::table(&header, &rows))?)
}

fn export(ui: &mut Ui, args: &ExportArgs) -> Result<(), CliError> {
    let images = images(&args.home)?;
    let known = find(&images, &args.image);
    let digest = match (&known, args.image.parse::<RuntimeName>()) {
        (_, Ok(name)) if args.on.is_some() || args.runtime_folder.is_some() => {
            for_developers(&images, args, &name)?
        }
        (Err(_), Ok(name)) if is_tried(&args.home.path()?, &name) => {
            for_developers(&images, args, &name)?
        }
        _ => known?,
    };
    write_archive(ui, &images, &digest, &args.image, args.to, &args.output)
}

/// Whether a runtime is shipped, or a folder of this user's.
fn is_tried(home: &Path, name: &RuntimeName) -> bool {
    home.join("runtimes").join(name.as_str()).is_dir() || trial::is_shipped(name)
}

fn for_developers(
    images: &Images,
    args: &ExportArgs,
    name: &RuntimeName,
) -> Result<Digest, CliError> {
    let on = args
        .on
        .as_deref()
        .map(|raw| find(images, raw))
        .transpose()?;
    let trial = of_home(args.home.path()?, args.runtime_folder.clone())?;
    Ok(trial::image_for_developers(&trial, name, on, images, &[])?)
}

/// Writes an image as an archive, to stdout or to a file that is not there yet.
pub fn write_archive(
    ui: &mut Ui,
    images: &Images,
    digest: &Digest,
    name: &str,
    kind: ExportAs,
    output: &Path,
) -> Result<(), CliError> {
    if output == Path::new("-") {
        return Ok(images.export(digest, name, kind, &mut ui.out)?);
    }
    let to = BufWriter::new(File::create_new(output)?);
    if let Err(error) = images.export(digest, name, kind, to) {
        // Half an archive is worse than none.
        let _ = std::fs::remove_file(output);
        return Err(error.into());
    }
    ui.say(format_args!("Wrote {}.", output.display()))
}

fn clear(ui: &mut Ui, args: &GcArgs) -> Result<(), CliError> {
    let home = args.home.path()?;
    let keep = named_by_folders(&home.join("runtimes"));
    let extent = match args.all {
        true => Extent::Unused,
        false => Extent::Unnamed,
    };
    let cleared = images(&args.home)?.clear(&keep, extent)?;
    if ui.json {
        return ui.print_json(&cleared);
    }
    let Cleared {
        images,
        blob_bytes,
        roots_held,
        ..
    } = cleared;
    ui.say(format_args!(
        "Cleared away {}, {}.",
        show::count(images as u64, "image"),
        bytes_shown(blob_bytes)
    ))?;
    if 0 < roots_held {
        ui.say("A running station still shows what it did; that goes after it has ended.")?;
    }
    Ok(())
}

/// The images that runtimes for trial runs name.
fn named_by_folders(below: &Path) -> Vec<Digest> {
    let folders = std::fs::read_dir(below).into_iter().flatten().flatten();
    let texts =
        folders.filter_map(|folder| std::fs::read_to_string(folder.path().join(FILE_NAME)).ok());
    texts
        .filter_map(|text| Definition::parse(&text).ok()?.image)
        .collect()
}
