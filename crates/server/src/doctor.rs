//! Whether this host can keep every promise: each wall, tried and not guessed.

use strongroom_run::{Furniture, Local};

use crate::{api::Wall, app::error::chain, config::JailConfig, serve::local_config};

/// Tries every wall of the jail and every runtime, here and now.
pub fn doctor(jail: &JailConfig) -> Vec<Wall> {
    let local = match Local::start(local_config(jail, 1)) {
        Ok(local) => local,
        Err(error) => {
            return vec![Wall {
                name: "warden".to_owned(),
                enforced: false,
                required: true,
                found: chain(&error),
                fix: None,
            }];
        }
    };
    let mut rows = walls_of(local.walls());
    let runtimes = local.runtimes().all();
    rows.extend(runtimes.iter().map(|runtime| runtime_row(&local, runtime)));
    rows
}

/// Whether everything stands that runs need.
pub(crate) fn stand(walls: &[Wall]) -> bool {
    walls.iter().all(|wall| wall.enforced || !wall.required)
}

/// The jail's walls, as they are shown.
pub(crate) fn walls_of(walls: &[strongroom_run::Wall]) -> Vec<Wall> {
    walls
        .iter()
        .map(|wall| Wall {
            name: wall.name.to_string(),
            enforced: wall.enforced,
            required: wall.required,
            found: wall.found.clone(),
            fix: wall.fix.clone(),
        })
        .collect()
}

fn runtime_row(local: &Local, runtime: &Furniture) -> Wall {
    let name = format!("runtime {}", runtime.name());
    match local.pin(runtime.name()) {
        Ok(pin) => Wall {
            name,
            enforced: true,
            required: false,
            found: pin.digest.short(),
            fix: None,
        },
        Err(error) => Wall {
            name,
            enforced: false,
            required: false,
            found: chain(&error),
            fix: runtime
                .debian_package()
                .map(|package| format!("apt install {package}")),
        },
    }
}
