//! Whether this host can keep every promise: each wall, tried and not guessed.

use strongroom_core::manifest::Runtime;
use strongroom_run::Local;

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
    rows.extend(Runtime::ALL.map(|runtime| runtime_row(&local, runtime)));
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

fn runtime_row(local: &Local, runtime: Runtime) -> Wall {
    let name = format!("runtime {}", runtime.as_str());
    match local.pin(runtime) {
        Ok(pin) => Wall {
            name,
            enforced: true,
            required: false,
            found: pin.digest.short(),
            fix: None,
        },
        Err(error) => {
            let fix = format!("apt install {}", package(runtime));
            Wall {
                name,
                enforced: false,
                required: false,
                found: chain(&error),
                fix: Some(fix),
            }
        }
    }
}

fn package(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Python3 => "python3",
        Runtime::Sh => "dash",
    }
}
