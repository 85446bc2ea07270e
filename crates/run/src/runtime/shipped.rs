//! The runtimes that are shipped: the folders in `crates/run/runtimes`.
//!
//! `python3` brings the package `strongroom` of `sdk/python` along, as far as
//! it is for functions. It is shown as files, because what is in a command is
//! paid for by every run, and this only by those who import it.

use std::{path::Path, sync::Arc};

use strongroom_core::{digest::Digest, runtime::Definition};

use super::{Brought, Furniture};

const PYTHON_MAIN_PROGRAM: &str = include_str!("../../runtimes/python3/main_program.py");
const NODE_MAIN_PROGRAM: &str = include_str!("../../runtimes/node/main_program.js");

/// Runs a function through where there is no station.
pub(super) const RUN_THROUGH: &str = include_str!("../../runtimes/python3/run_through.py");

/// The program of the runtime `starlark`, which is shipped beside our own.
pub(super) const STAR: &str = "strongroom-star";

/// Files that a runtime shows, by guest path.
pub type Kit = &'static [(&'static str, &'static str)];

macro_rules! module {
    ($file:literal) => {
        (
            concat!("/kit/strongroom/", $file),
            include_str!(concat!("../../../../sdk/python/src/strongroom/", $file)),
        )
    };
}
/// The package `strongroom`, by guest path.
pub const PYTHON_KIT: Kit = &[
    module!("__init__.py"),
    module!("_frames.py"),
    module!("_guest.py"),
    module!("_inputs.py"),
    module!("_names.py"),
    module!("_outputs.py"),
    module!("_through.py"),
    module!("http.py"),
];

/// Whether a main program knows how to wait for its work. The one of
/// `python3` does; of another nothing is known.
pub(super) fn can_wait(main_program: &str) -> bool {
    main_program == PYTHON_MAIN_PROGRAM
}

/// The runtimes that are there wherever Strongroom is.
pub(super) fn all() -> Vec<Arc<Furniture>> {
    let python3 = include_str!("../../runtimes/python3/runtime.toml");
    let sh = include_str!("../../runtimes/sh/runtime.toml");
    let starlark = include_str!("../../runtimes/starlark/runtime.toml");
    let starlark = shipped("starlark", starlark, None, &[]);
    let python3 = shipped("python3", python3, Some(PYTHON_MAIN_PROGRAM), PYTHON_KIT);
    let data = data(&python3);
    let node = include_str!("../../runtimes/node/runtime.toml");
    let binary = include_str!("../../runtimes/binary/runtime.toml");
    [
        python3,
        shipped("sh", sh, None, &[]),
        starlark.with_program_beside_ours(STAR),
        data,
        shipped("node", node, Some(NODE_MAIN_PROGRAM), &[]),
        shipped("binary", binary, None, &[]),
    ]
    .map(Arc::new)
    .to_vec()
}

/// `python3` with packages that are installed where they are needed first.
fn data(python3: &Furniture) -> Furniture {
    let text = include_str!("../../runtimes/python3-data/runtime.toml");
    let brought = Brought {
        requirements: include_str!("../../runtimes/python3-data/requirements.txt").to_owned(),
        lock: include_str!("../../runtimes/python3-data/strongroom.lock").to_owned(),
    };
    let all = [text, &brought.requirements, &brought.lock].concat();
    let furniture = Furniture::of_folder(
        "python3-data".parse().expect("a constant, plain name"),
        Definition::parse(text).expect("the file of a shipped runtime"),
        (None, Some(brought)),
        Some(python3),
        Path::new("/"),
        Digest::of(all.as_bytes()),
    );
    furniture.expect("only a template's home is read from a folder")
}

fn shipped(name: &str, text: &str, main_program: Option<&str>, kit: Kit) -> Furniture {
    let name = name.parse().expect("the name of a shipped runtime");
    let definition = Definition::parse(text).expect("the file of a shipped runtime");
    Furniture::shipped(name, text, definition, main_program, kit)
}
