//! The runtimes that are shipped: the folders in `crates/run/runtimes`.

use std::sync::Arc;

use strongroom_core::runtime::Definition;

use super::Furniture;

/// Each with its name, its `runtime.toml` and its main program.
const ALL: [(&str, &str, Option<&str>); 2] = [
    (
        "python3",
        include_str!("../../runtimes/python3/runtime.toml"),
        Some(include_str!("../../runtimes/python3/main_program.py")),
    ),
    ("sh", include_str!("../../runtimes/sh/runtime.toml"), None),
];

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
