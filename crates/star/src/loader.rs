//! What `load` finds: the standard modules and nothing else.
//!
//! No load path ever names a file, so there is nothing to climb out of.

use starlark::{environment::FrozenModule, eval::FileLoader};

use crate::modules;

/// Finds the standard modules.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardModules;

impl FileLoader for StandardModules {
    fn load(&self, path: &str) -> starlark::Result<FrozenModule> {
        modules::find(path)?.ok_or_else(|| {
            let known: Vec<&str> = modules::paths().collect();
            starlark::Error::new_other(anyhow::anyhow!(
                "there is no module {path:?}; files cannot be loaded, and the modules are {}",
                known.join(", ")
            ))
        })
    }
}
