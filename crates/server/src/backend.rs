//! The backend of a station, a trial or a look at this host, as configured.
//!
//! The jail's warden is started while the process has one thread; an engine is
//! reached once there is an async runtime. Who needs either goes through here.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use strongroom_core::digest::Digest;
use strongroom_run::{
    Backend, Docker, DockerConfig, EngineError, Local, LocalConfig, Runtimes, StartError,
};

use crate::config::{BackendKind, EngineConfig, JailConfig};

/// The file in a station's home by which its containers are known.
const STATION_FILE: &str = "docker.id";
/// The folder in a station's home for what guests in containers leave.
const FOLDER: &str = "docker";

/// Why there is no backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("could not start the jail; `strongroom doctor` says what is missing")]
    Jail(#[from] StartError),
    #[error("could not start the backend docker")]
    Engine(#[from] EngineError),
    #[error("could not prepare {}", .path.display())]
    Home { path: PathBuf, source: io::Error },
}

/// A backend that may still have to be reached.
pub(crate) enum Started {
    Local(Local),
    Engine(DockerConfig),
}

impl Started {
    /// Starts what has to be started while there is one thread. A station's
    /// containers are known by its `home`; those of others end with their process.
    pub(crate) fn of(
        kind: BackendKind,
        local: LocalConfig,
        engine: &EngineConfig,
        home: Option<&Path>,
    ) -> Result<Self, BackendError> {
        match kind {
            BackendKind::Local => Ok(Self::Local(Local::start(local)?)),
            BackendKind::Docker => docker(local, engine, home).map(Self::Engine),
        }
    }

    /// The runtimes that guests will have.
    pub(crate) fn runtimes(&self) -> Arc<Runtimes> {
        match self {
            Self::Local(local) => Arc::clone(local.runtimes()),
            Self::Engine(config) => Arc::clone(&config.runtimes),
        }
    }

    pub(crate) async fn reached(self) -> Result<Backend, BackendError> {
        match self {
            Self::Local(local) => Ok(Backend::Local(local)),
            Self::Engine(config) => Ok(Backend::Docker(Docker::start(config).await?)),
        }
    }
}

fn docker(
    local: LocalConfig,
    engine: &EngineConfig,
    home: Option<&Path>,
) -> Result<DockerConfig, BackendError> {
    let (station, folder) = match home {
        None => (None, std::env::temp_dir()),
        Some(home) => {
            let path = home.join(FOLDER);
            let wrong = |source| BackendError::Home {
                path: path.clone(),
                source,
            };
            let station = station(home).and_then(|known| at(home, &known));
            let station = station.map_err(wrong)?;
            clear(&path).map_err(wrong)?;
            (Some(station), path)
        }
    };
    Ok(DockerConfig {
        host: engine.host(),
        certificates: engine.certificates(),
        is_elsewhere: engine.elsewhere,
        patience: None,
        station,
        folder,
        program: local.program,
        slots_max: local.slots_max,
        uid_base: local.uid_base,
        runtimes: local.runtimes,
    })
}

/// What this station's containers are known by, made at its first start.
fn station(home: &Path) -> io::Result<String> {
    let path = home.join(STATION_FILE);
    match std::fs::read_to_string(&path) {
        Ok(known) if !known.trim().is_empty() => return Ok(known.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    private_folder(home)?;
    let made = crate::app::access::new_secret();
    std::fs::write(&path, &made)?;
    Ok(made)
}

/// The same for this very home: a copy of it is another station, and must not
/// take the containers of the first for what an earlier start of its own left.
fn at(home: &Path, known: &str) -> io::Result<String> {
    let home = home.canonicalize()?;
    let place = format!("{} {}", home.metadata()?.ino(), home.display());
    let digest = Digest::of(place.as_bytes()).to_string();
    let short: String = digest.chars().skip("sha256:".len()).take(16).collect();
    Ok(format!("{known}.{short}"))
}

/// An empty folder; what an earlier start left in it is nobody's.
fn clear(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private_folder(path)
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How the jail is set up.
pub(crate) fn local_config(jail: &JailConfig, slots: u32) -> LocalConfig {
    let mut config = LocalConfig {
        slots_max: slots,
        ..LocalConfig::default()
    };
    if let Some(program) = &jail.program {
        config.program = program.clone();
    }
    if let Some(uid_base) = jail.uid_base {
        config.uid_base = uid_base;
    }
    if let Some(folder) = &jail.folder {
        config.folder.clone_from(folder);
    }
    config.tier = jail.tier;
    config.cgroup_dirs.clone_from(&jail.cgroup_dirs);
    config.pool_max = jail.pool;
    config.zygotes_max = jail.zygotes;
    config
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn containers_of(home: &Path) -> String {
        let config = docker(LocalConfig::default(), &EngineConfig::default(), Some(home));
        config.unwrap().station.unwrap()
    }

    #[test]
    fn a_copy_of_a_home_is_another_station_to_an_engine() {
        let folder = tempfile::tempdir().unwrap();
        let (home, copy) = (folder.path().join("home"), folder.path().join("copy"));
        let first = containers_of(&home);
        assert_eq!(containers_of(&home), first);
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(home.join(STATION_FILE), copy.join(STATION_FILE)).unwrap();
        assert_ne!(containers_of(&copy), first);
        // The same place with another folder in it, as of a volume put back.
        std::fs::rename(&home, folder.path().join("old")).unwrap();
        std::fs::rename(&copy, &home).unwrap();
        assert_ne!(containers_of(&home), first);
    }
}
