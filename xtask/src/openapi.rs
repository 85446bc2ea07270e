//! Keeps `openapi.json` what the server really speaks.

use anyhow::{Context, bail};

use crate::shell::{built, cargo, read, say};

/// Write or check.
#[derive(clap::Args)]
pub struct OpenapiArgs {
    /// Fail when the file is stale, and change nothing
    #[arg(long)]
    pub check: bool,
}

const FILE: &str = "openapi.json";

/// Asks the program for its document, and compares or writes it.
pub fn run(args: &OpenapiArgs) -> anyhow::Result<()> {
    crate::shell::run(&mut cargo(&["build", "--bin", "strongroom"]))?;
    let fresh =
        read(std::process::Command::new(built("debug")?.join("strongroom")).arg("openapi"))?;
    if !args.check {
        return std::fs::write(FILE, fresh).with_context(|| format!("cannot write {FILE}"));
    }
    let stored = std::fs::read_to_string(FILE).unwrap_or_default();
    if stored != fresh {
        bail!("{FILE} is stale; `cargo xtask openapi` writes it anew");
    }
    say(&format!("{FILE} is fresh"));
    Ok(())
}
