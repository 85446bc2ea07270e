//! The runtimes that are shipped: the folders in `crates/run/runtimes`.

use std::sync::Arc;

use strongroom_core::runtime::Definition;

use super::Furniture;

const PYTHON_MAIN_PROGRAM: &str = include_str!("../../runtimes/python3/main_program.py");

/// Each with its name, its `runtime.toml` and its main program.
const ALL: [(&str, &str, Option<&str>); 2] = [
    (
        "python3",
        include_str!("../../runtimes/python3/runtime.toml"),
        Some(PYTHON_MAIN_PROGRAM),
    ),
    ("sh", include_str!("../../runtimes/sh/runtime.toml"), None),
];

/// Whether a main program knows how to wait for its work. The one of
/// `python3` does; of another nothing is known.
pub(super) fn can_wait(main_program: &str) -> bool {
    main_program == PYTHON_MAIN_PROGRAM
}

/// The runtimes that are there wherever Strongroom is.
pub(super) fn all() -> Vec<Arc<Furniture>> {
    ALL.iter()
        .map(|(name, text, main_program)| {
            let name = name.parse().expect("the name of a shipped runtime");
            let definition = Definition::parse(text).expect("the file of a shipped runtime");
            Arc::new(Furniture::shipped(name, text, definition, *main_program))
        })
        .collect()
}
