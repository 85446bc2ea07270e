//! What a guest executes: a program by its absolute path, and what it is told.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SealError, is_normal};

/// What is executed, by absolute guest path, and where. There are no
/// variables but these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    pub env: Vec<(String, String)>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            argv: Vec::new(),
            cwd: PathBuf::from("/"),
            env: Vec::new(),
        }
    }
}

impl Program {
    /// Checks what the kernel would misunderstand.
    pub(crate) fn check(&self) -> Result<(), SealError> {
        if !is_normal(&self.cwd) {
            return Err(SealError::Path {
                path: self.cwd.clone(),
            });
        }
        let program = self.argv.first().ok_or(SealError::Command)?;
        if !is_normal(Path::new(program)) || self.argv.iter().any(|one| one.contains('\0')) {
            return Err(SealError::Command);
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(SealError::Environment { name: name.clone() });
            }
        }
        Ok(())
    }
}
