//! `strongroom run ./f --watch`: a trial run after each save.
//!
//! Being told of a change is only a hint, since editors and the trial itself
//! touch files without changing them. What counts is whether a name, a size or
//! a time of the code or of the data is another than before the last run.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use notify::{RecursiveMode, Watcher as _};
use strongroom_core::tree::{DEPTH_MAX, FILES_MAX};
use strongroom_server::trial::Trial;

use super::trial::once;
use crate::{
    error::{CliError, Outcome},
    interrupt::on_interrupt,
    ui::Ui,
};

/// A save is over when nothing has changed for so long.
const SETTLED: Duration = Duration::from_millis(60);
/// The most changes that are waited for to settle.
const CHANGES_MAX: usize = 100;

/// Runs `trial` now and after each change, until Ctrl-C.
pub fn run(ui: &mut Ui, trial: &Trial) -> Result<Outcome, CliError> {
    let (tell, changes) = mpsc::sync_channel(1);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, tell_stop) = (Arc::clone(&stop), tell.clone());
    on_interrupt(move || {
        stopping.store(true, Ordering::Release);
        // Full is as good: somebody will look.
        let _ = tell_stop.try_send(());
    });
    let paths = paths(trial);
    let _watcher = watcher(&paths, move || {
        let _ = tell.try_send(());
    })?;
    loop {
        let seen = Seen::of(&paths, trial.out.as_deref());
        let outcome = match once(ui, trial) {
            Ok(outcome) => outcome,
            Err(error @ CliError::Output(_)) => return Err(error),
            Err(error) => {
                error.tell(ui);
                Outcome::No
            }
        };
        ui.flush()?;
        if stop.load(Ordering::Acquire) {
            return Ok(outcome);
        }
        ui.say("watching for changes; Ctrl-C ends it")?;
        while seen == Seen::of(&paths, trial.out.as_deref()) {
            settled(&changes);
            if stop.load(Ordering::Acquire) {
                return Ok(outcome);
            }
        }
    }
}

/// Waits for a change, and for the end of what came with it.
fn settled(changes: &Receiver<()>) {
    if changes.recv().is_ok() {
        let more = |_: &usize| changes.recv_timeout(SETTLED).is_ok();
        (0..CHANGES_MAX).take_while(more).for_each(drop);
    }
}

/// The local files that a trial is about.
fn paths(trial: &Trial) -> Vec<PathBuf> {
    let data = trial.on.iter().map(|text| match text.split_once('=') {
        Some((_, path)) if !Path::new(text).exists() => PathBuf::from(path),
        _ => PathBuf::from(text),
    });
    let runtime = trial.runtime_folder.iter().map(|text| {
        let named = text.split_once('=').filter(|_| !Path::new(text).exists());
        PathBuf::from(named.map_or(text.as_str(), |(_, path)| path))
    });
    std::iter::once(trial.function.clone())
        .chain(data)
        .chain(runtime)
        .collect()
}

fn watcher(
    paths: &[PathBuf],
    tell: impl Fn() + Send + 'static,
) -> Result<notify::RecommendedWatcher, CliError> {
    let watching = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::Watch { path, source }
    };
    let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
    let told = move |event: notify::Result<notify::Event>| {
        // Reading is no change, and a trial reads.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            tell();
        }
    };
    let mut watcher = notify::recommended_watcher(told).map_err(watching(first))?;
    for path in paths {
        // A file is watched by its folder, since editors put another in its place.
        let (place, mode) = match path.is_dir() {
            true => (path.as_path(), RecursiveMode::Recursive),
            false => (parent(path), RecursiveMode::NonRecursive),
        };
        watcher.watch(place, mode).map_err(watching(place))?;
    }
    Ok(watcher)
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(Path::new("."));
    match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    }
}

/// All files with what changes when one is written, up to the bounds of a tree.
#[derive(PartialEq, Eq)]
struct Seen(Vec<(PathBuf, u64, i64, i64, u64)>);

impl Seen {
    /// What lies at `paths`, but for the outputs.
    fn of(paths: &[PathBuf], out: Option<&Path>) -> Self {
        let out = out.and_then(|out| fs::canonicalize(out).ok());
        let mut seen = Self(Vec::new());
        for path in paths {
            seen.look(path, out.as_deref(), 0);
        }
        seen.0.sort();
        seen
    }

    fn look(&mut self, path: &Path, out: Option<&Path>, depth: usize) {
        // The path that was given may be a link; what lies below may not.
        let meta = match depth {
            0 => fs::metadata(path),
            _ => fs::symlink_metadata(path),
        };
        let Ok(meta) = meta else { return };
        if DEPTH_MAX < depth || FILES_MAX <= self.0.len() {
            return;
        }
        if !meta.is_dir() {
            let row = (
                path.to_owned(),
                meta.len(),
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ino(),
            );
            return self.0.push(row);
        }
        if out.is_some_and(|out| fs::canonicalize(path).is_ok_and(|real| real == out)) {
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            self.look(&entry.path(), out, depth + 1);
        }
    }
}
