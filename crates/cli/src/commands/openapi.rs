//! `strongroom openapi`: the description of every route, for generators.

use std::io;

use crate::{
    error::{CliError, Outcome},
    ui::Ui,
};

pub fn run(ui: &mut Ui) -> Result<Outcome, CliError> {
    let document = strongroom_server::openapi().to_pretty_json();
    writeln!(ui.out, "{}", document.map_err(io::Error::other)?)?;
    Ok(Outcome::Yes)
}
