//! The program that is the first process of containers, and what it loads.
//!
//! It is the station's own, with the loader and the libraries of this host, so
//! that it runs in any image whatever that has in their place.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use strongroom_jail::inside;

use super::EngineError;

/// Where they lie in a container.
pub(super) const FOLDER: &str = "/.strongroom";

#[derive(Debug)]
pub(super) struct Tools {
    program: PathBuf,
    /// None for a program that loads nothing.
    loader: Option<PathBuf>,
    libraries: BTreeSet<PathBuf>,
}

impl Tools {
    /// The program, with the libraries that this very process has loaded: it is
    /// the same program, or one that loads less.
    pub(super) fn of(program: &Path) -> Result<Self, EngineError> {
        let program = program.canonicalize().map_err(EngineError::Tools)?;
        let maps = fs::read_to_string("/proc/self/maps").map_err(EngineError::Tools)?;
        let mut libraries = libraries(&maps);
        let loader = libraries.iter().find(|path| is_loader(path)).cloned();
        if let Some(loader) = &loader {
            libraries.remove(loader);
        }
        if libraries.iter().chain(&loader).any(|path| !path.is_file()) {
            let replaced = io::Error::other("a library was replaced since this process started");
            return Err(EngineError::Tools(replaced));
        }
        Ok(Self {
            program,
            loader,
            libraries,
        })
    }

    /// Files of this host by their path in a container.
    pub(super) fn files(&self) -> Vec<(PathBuf, String)> {
        let mut files = vec![(self.program.clone(), inside_path("program"))];
        for path in self.libraries.iter().chain(&self.loader) {
            files.push((path.clone(), inside_path(&name(path))));
        }
        files
    }

    /// What a container executes.
    pub(super) fn command(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(loader) = &self.loader {
            words.extend([
                inside_path(&name(loader)),
                "--library-path".to_owned(),
                FOLDER.to_owned(),
            ]);
        }
        words.extend([inside_path("program"), inside::ARGUMENT.to_owned()]);
        words
    }
}

fn inside_path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The loader and the libraries in a list of mapped files.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    let paths = maps.lines().filter_map(|line| {
        let path = line.split_ascii_whitespace().nth(5)?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths.filter(|path| name(path).contains(".so")).collect()
}

fn is_loader(path: &Path) -> bool {
    let name = name(path);
    name.starts_with("ld-") || name.starts_with("ld.so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_told_from_the_libraries_and_from_other_files() {
        let maps = "\
7f00-7f01 r--p 0 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6
7f01-7f02 r-xp 0 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6
7f03-7f04 r--p 0 fe:00 2 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
7f05-7f06 r--p 0 fe:00 3 /usr/bin/strongroom
7f07-7f08 rw-p 0 00:00 0
7f09-7f0a rw-p 0 00:00 0 [heap]
";
        let found = libraries(maps);
        let names: Vec<_> = found.iter().map(|path| name(path)).collect();
        assert_eq!(names, ["ld-linux-x86-64.so.2", "libc.so.6"]);
        assert_eq!(found.iter().filter(|path| is_loader(path)).count(), 1);
    }
}
