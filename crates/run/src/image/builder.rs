//! Images made by other programs of this machine: builders of Dockerfiles, and
//! mmdebstrap, which makes a root out of Debian's packages.
//!
//! What they make is taken in as any other archive is. They run as who asks,
//! outside of every sandbox, with his network: they are for what an operator
//! wrote himself.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use strongroom_core::{digest::Digest, text::shown};

use super::{
    Addition, Descriptor, ImageError, ImageName, Images, Manifest, Recipe, media,
    recipe::RECIPE_LEN_MAX,
};
use crate::beneath;

/// What may build a Dockerfile, in the order in which they are tried.
const BUILDERS: [&str; 3] = ["docker", "buildah", "buildctl"];
const DOCKERFILE: &str = "Dockerfile";
/// How much of a failure is shown, in bytes.
const SAID_LEN_MAX: usize = 300;

impl Images {
    /// Builds the Dockerfile of a folder: here where it runs nothing, else by a
    /// builder that is installed.
    ///
    /// # Errors
    ///
    /// [`ImageError::NoBuilder`] names the builders when there is none.
    pub fn build_folder(&self, folder: &Path, names: &[ImageName]) -> Result<Digest, ImageError> {
        let name = DOCKERFILE.parse().expect("a constant, plain name");
        let text = beneath::read(folder, &name, RECIPE_LEN_MAX as u64);
        let text = text.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
        let text = text.map_err(ImageError::host("read the Dockerfile"))?;
        match Recipe::parse(&text)? {
            Recipe::Plain(plain) => {
                let base = plain
                    .base
                    .as_deref()
                    .map(|base| self.find(base))
                    .transpose()?;
                let layer = plain.layer(folder)?;
                let built = self.build_and_admit(base.as_ref(), &[layer], names)?;
                Ok(built.digest)
            }
            Recipe::ForBuilder { line, what } => self.build_elsewhere(folder, line, &what, names),
        }
    }

    fn build_elsewhere(
        &self,
        folder: &Path,
        line: usize,
        what: &str,
        names: &[ImageName],
    ) -> Result<Digest, ImageError> {
        let staging = self.staging()?;
        let archive = staging.path().join("image.tar");
        let mut failed = Vec::new();
        for builder in BUILDERS.iter().filter(|builder| is_installed(builder)) {
            match build_by(builder, folder, &archive) {
                Ok(()) => return self.import(&archive, names),
                Err(why) => failed.push(format!("{builder}: {why}")),
            }
        }
        Err(match failed.is_empty() {
            true => ImageError::NoBuilder {
                line,
                what: what.to_owned(),
            },
            false => ImageError::Build(failed.join("; ")),
        })
    }

    /// Makes an image out of Debian's packages, by mmdebstrap.
    ///
    /// # Errors
    ///
    /// [`ImageError::Build`] with the last that mmdebstrap said.
    pub fn build_debian(
        &self,
        suite: &str,
        packages: &[String],
        mirror: Option<&str>,
        names: &[ImageName],
    ) -> Result<Digest, ImageError> {
        let plain = |word: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
            !word.is_empty() && word.bytes().all(known) && !word.starts_with(['-', '.'])
        };
        if let Some(wrong) = packages
            .iter()
            .map(String::as_str)
            .chain([suite])
            .find(|word| !plain(word))
        {
            let why = format!("`{}` is neither a package nor a suite", shown(wrong, 80));
            return Err(ImageError::Build(why));
        }
        if !is_installed("mmdebstrap") {
            let why = "mmdebstrap is not installed; `apt-get install mmdebstrap`";
            return Err(ImageError::Build(why.to_owned()));
        }
        let _incoming = self.incoming()?;
        let staging = self.staging()?;
        let archive = staging.path().join("root.tar");
        let mut command = Command::new("mmdebstrap");
        command
            .env("SOURCE_DATE_EPOCH", "1")
            .args(["--quiet", "--variant=essential", "--format=tar"])
            .arg(format!("--include={}", packages.join(",")))
            .args([
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/man/*",
            ])
            .arg(suite)
            .arg(&archive)
            .args(mirror);
        run(&mut command).map_err(|why| ImageError::Build(format!("mmdebstrap: {why}")))?;
        let file = std::fs::File::open(&archive);
        let (digest, size) = self.blob_take(file.map_err(ImageError::host("read the root"))?)?;
        let layer = Descriptor::new(media::LAYER, digest, size);
        let built = self.build_over(vec![layer])?;
        self.admit(&built, names)?;
        Ok(built)
    }

    /// An image of layers that are here already, none of them compressed.
    fn build_over(&self, layers: Vec<Descriptor>) -> Result<Digest, ImageError> {
        let empty = self.build(None, &[] as &[Addition])?;
        let (_, mut config) = self.image(&empty.digest)?;
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.digest).collect();
        let bytes = serde_json::to_vec(&config).expect("plain data");
        let own = Descriptor::new(
            media::CONFIG,
            self.document_put(&bytes)?,
            bytes.len() as u64,
        );
        let manifest = Manifest::new(own, layers);
        self.document_put(&serde_json::to_vec(&manifest).expect("plain data"))
    }
}

fn build_by(builder: &str, folder: &Path, archive: &Path) -> Result<(), String> {
    let (folder, archive) = (folder.display().to_string(), archive.display().to_string());
    let file = format!("{folder}/Dockerfile");
    let mut command = Command::new(builder);
    match builder {
        "docker" => {
            command.args(["build", "--quiet", "--file", &file, &folder]);
            let said = run(&mut command)?;
            let image = said.trim();
            let saved = run(Command::new(builder).args(["save", "--output", &archive, image]));
            // It was made for us alone.
            let _ = run(Command::new(builder).args(["rmi", image]));
            saved.map(drop)
        }
        "buildah" => {
            let to = format!("oci-archive:{archive}");
            command.args(["build", "--quiet", "--file", &file, "--tag", &to, &folder]);
            run(&mut command).map(drop)
        }
        _ => {
            let (context, dockerfile) =
                (format!("context={folder}"), format!("dockerfile={folder}"));
            let to = format!("type=oci,dest={archive}");
            command.args(["build", "--frontend", "dockerfile.v0", "--local", &context]);
            command.args(["--local", &dockerfile, "--output", &to]);
            run(&mut command).map(drop)
        }
    }
}

/// Runs a program to its end; what it said, or the last line of its trouble.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(shown(
        last.unwrap_or("it failed and said nothing"),
        SAID_LEN_MAX,
    ))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder: PathBuf| folder.join(program));
    places.any(|place| place.is_file())
}
