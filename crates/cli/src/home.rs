//! Where a station lives, and where a client keeps what it must remember.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use crate::login::LoginError;

/// The folder of a station on this machine.
#[derive(Debug, Default, clap::Args)]
pub struct HomeArgs {
    /// The station's folder [env: STRONGROOM_HOME] [default: `strongroom` in the XDG data directory]
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

impl HomeArgs {
    /// The folder, which need not exist.
    pub fn path(&self) -> Result<PathBuf, LoginError> {
        let named = self.home.clone().or_else(home_of_environment);
        named.map_or_else(default_home, Ok)
    }

    /// Whether it was written on the command line, which is a deliberate act.
    pub fn is_written(&self) -> bool {
        self.home.is_some()
    }

    /// Whether this is the folder that is taken when nobody says another.
    pub fn is_default(&self) -> bool {
        matches!((self.path(), default_home()), (Ok(home), Ok(default)) if home == default)
    }
}

fn home_of_environment() -> Option<PathBuf> {
    let home = std::env::var_os("STRONGROOM_HOME").filter(|raw| !raw.is_empty());
    home.map(PathBuf::from)
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
