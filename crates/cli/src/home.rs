//! Where a station lives, and where a client keeps what it must remember.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use crate::login::LoginError;

/// The folder of a station on this machine.
#[derive(Debug, Default, clap::Args)]
pub struct HomeArgs {
    /// The station's folder; by default `strongroom` in the XDG data directory
    #[arg(long, env = "STRONGROOM_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
}

impl HomeArgs {
    /// What the environment says, for commands without `--home`.
    pub fn of_environment() -> Self {
        let home = std::env::var_os("STRONGROOM_HOME").filter(|raw| !raw.is_empty());
        Self {
            home: home.map(PathBuf::from),
        }
    }

    /// The folder, which need not exist.
    pub fn path(&self) -> Result<PathBuf, LoginError> {
        match &self.home {
            Some(home) => Ok(home.clone()),
            None => default_home(),
        }
    }

    /// Whether this is the folder that is taken when nobody says another.
    pub fn is_default(&self) -> bool {
        match (&self.home, default_home()) {
            (None, _) => true,
            (Some(home), Ok(default)) => *home == default,
            (Some(_), Err(_)) => false,
        }
    }
}

fn default_home() -> Result<PathBuf, LoginError> {
    let base = etcetera::choose_base_strategy().map_err(|_| LoginError::NoHome)?;
    Ok(base.data_dir().join("strongroom"))
}

/// The folder with what the client remembers.
pub fn config_folder() -> Result<PathBuf, LoginError> {
    let base = etcetera::choose_base_strategy().map_err(|_| LoginError::NoHome)?;
    Ok(base.config_dir().join("strongroom"))
}
