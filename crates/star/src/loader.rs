//! What `load` finds: the standard modules and nothing else.
//!
//! No load path ever names a file, so there is nothing to climb out of.

use starlark::{
    environment::{FrozenModule, Module},
    eval::FileLoader,
};

use crate::{modules, source::ASSERT};

/// Finds the standard modules.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardModules;

impl FileLoader for StandardModules {
    fn load(&self, path: &str) -> starlark::Result<FrozenModule> {
        let found = match modules::find(path)? {
            Some(module) if path == "assert.star" => Some(with_alias(&module)?),
            found => found,
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = modules::paths().collect();
            starlark::Error::new_other(anyhow::anyhow!(
                "there is no module {path:?}; files cannot be loaded, and the modules are {}",
                known.join(", ")
            ))
        })
    }
}

/// The module `assert` with a second name, since no script that is parsed can
/// say the first.
fn with_alias(module: &FrozenModule) -> starlark::Result<FrozenModule> {
    let told = |error: anyhow::Error| starlark::Error::new_other(error);
    let value = module.get("assert").map_err(told)?;
    Module::with_temp_heap(|both| {
        let value = both.heap().access_owned_frozen_value(&value);
        both.set("assert", value);
        both.set(ASSERT, value);
        both.freeze()
            .map_err(|error| starlark::Error::new_other(anyhow::Error::from(error)))
    })
}
