//! `qri.star`: which datasets there are.
//!
//! A run sees its inputs and no other dataset, so these are all.

use starlark::{environment::GlobalsBuilder, eval::Evaluator, starlark_module};

use crate::{host::Host, input};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("qri", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// The names of the run's inputs.
    fn list_datasets(eval: &mut Evaluator<'_, '_, '_>) -> anyhow::Result<Vec<String>> {
        let host = Host::of(eval)?;
        host.needs_data("qri.list_datasets")?;
        Ok(input::names(&host.guest))
    }
}
