//! Whether this host can keep every promise: each wall, tried and not guessed.
//!
//! What stands is found by building it. What kind of host this is decides only
//! how the mending of what does not stand is worded. Advice is what no wall
//! depends on and an operator should know; it never refuses a run.

mod advice;
mod fix;
mod host;
mod users;

use std::path::{Path, PathBuf};

use strongroom_run::{Furniture, Local, LocalConfig, Runtimes, Tier};

use crate::{
    api::Wall,
    app::error::chain,
    backend::{Started, local_config},
    config::{BackendKind, Config, JailConfig},
    dependencies::Uv,
};
use host::Host;

/// Tries every wall of the jail and every runtime, here and now, and looks at
/// what an operator should know.
pub fn doctor(config: &Config) -> Vec<Wall> {
    let host = Host::here();
    let local = LocalConfig {
        disk: disk(&config.home),
        ..local_config(&config.jail, 1)
    };
    let mut rows = match config.backend {
        BackendKind::Local => match Local::start(local) {
            Ok(local) => jail_rows(config, &local, &host),
            Err(error) => vec![row("warden", false, true, chain(&error), None)],
        },
        BackendKind::Docker => engine_rows(config),
    };
    rows.push(packages_row(config));
    rows.extend(advice::rows(config));
    rows
}

/// What an engine builds, found by having it build one container.
fn engine_rows(config: &Config) -> Vec<Wall> {
    let local = local_config(&config.jail, 1);
    let runtimes = std::sync::Arc::clone(&local.runtimes);
    let mended = "start a Docker Engine, or name its socket as `host` in [docker]";
    let missing = |found: String| vec![row("engine", false, true, found, Some(mended))];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return missing(chain(&error)),
    };
    let reached = runtime.block_on(async {
        let backend = Started::of(config.backend, local, &config.engine, None)?;
        let backend = backend.reached().await?;
        backend.close().await;
        Ok::<_, crate::BackendError>(backend)
    });
    let backend = match reached {
        Ok(backend) => backend,
        Err(error) => return missing(chain(&error)),
    };
    let mut rows = walls_of(backend.walls());
    let all_stand = stand(&rows);
    let found = match all_stand {
        true => backend.tier().to_owned(),
        false => "none: docker was asked for".to_owned(),
    };
    rows.push(row(
        "tier",
        all_stand,
        true,
        found,
        Some("mend the rows above"),
    ));
    rows.extend(runtime_rows(&runtimes));
    rows
}

fn runtime_rows(runtimes: &Runtimes) -> Vec<Wall> {
    let all = runtimes.all();
    all.iter()
        .map(|runtime| runtime_row(runtimes, runtime))
        .collect()
}

/// Whether packages of functions can be resolved.
fn packages_row(config: &Config) -> Wall {
    let (good, found) = match (&config.index.uv, config.index.uv.find()) {
        (Uv::Off, _) => (true, "functions bring none here".to_owned()),
        (_, Some(uv)) => (true, format!("resolved by {}", uv.display())),
        (_, None) => (false, "there is no program uv".to_owned()),
    };
    let fix = "pip install uv, or pipx install uv, or `uv = \"PATH\"` in [index]";
    row("packages", good, false, found, Some(fix))
}

fn jail_rows(config: &Config, local: &Local, host: &Host) -> Vec<Wall> {
    let mut rows = walls_of(local.walls());
    for row in rows.iter_mut().filter(|row| !row.enforced) {
        if let Some(better) = fix::of(&row.name, host) {
            row.fix = Some(better);
        }
    }
    rows.push(tier_row(&config.jail, local, &rows));
    rows.extend(users::row_of(config, host));
    rows.push(large_outputs(local));
    rows.extend(runtime_rows(local.runtimes()));
    rows
}

/// The tier that is reached here; where it is none, whether a weaker one would be.
fn tier_row(jail: &JailConfig, local: &Local, walls: &[Wall]) -> Wall {
    let tier = local.kernel().tier;
    if stand(walls) {
        return row("tier", true, true, tier.as_str().to_owned(), None);
    }
    let found = format!("none: {} was asked for", tier.as_str());
    let fix = match tier {
        Tier::Full if reduced_stands(jail) => {
            "mend the rows above; or, if what THREATS.md says of it is enough, set \
             `tier = \"reduced\"` in [jail], which stands here"
        }
        _ => "mend the rows above",
    };
    row("tier", false, true, found, Some(fix))
}

fn reduced_stands(jail: &JailConfig) -> bool {
    let reduced = JailConfig {
        tier: Tier::Reduced,
        ..jail.clone()
    };
    let local = Local::start(local_config(&reduced, 1));
    local.is_ok_and(|local| stand(&walls_of(local.walls())))
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

/// Whether runs can write more than their memory holds.
fn large_outputs(local: &Local) -> Wall {
    let name = "large outputs";
    match local.why_out_in_memory() {
        None => row(name, true, false, "on a disk of their own".to_owned(), None),
        Some(why) => {
            let found = format!("only as large as a run's memory: {why}");
            let fix =
                "as root: install e2fsprogs, `modprobe loop ext4`, and keep the home on a disk";
            row(name, false, false, found, Some(fix))
        }
    }
}

/// Where the home is or will be.
fn disk(home: &Path) -> PathBuf {
    let there = home.ancestors().find(|path| path.is_dir());
    there.unwrap_or(Path::new("/var/tmp")).to_owned()
}

fn runtime_row(runtimes: &Runtimes, runtime: &Furniture) -> Wall {
    let name = format!("runtime {}", runtime.name());
    match runtimes.pin(runtime.name()) {
        Ok(pin) => row(&name, true, false, pin.digest.short(), None),
        Err(error) => {
            let package = runtime.debian_package();
            let fix = package.map(|package| format!("apt install {package}"));
            row(&name, false, false, chain(&error), fix.as_deref())
        }
    }
}

fn row(name: &str, enforced: bool, required: bool, found: String, fix: Option<&str>) -> Wall {
    Wall {
        name: name.to_owned(),
        enforced,
        required,
        found,
        fix: fix.filter(|_| !enforced).map(str::to_owned),
    }
}
