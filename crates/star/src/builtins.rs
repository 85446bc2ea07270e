//! The names that scripts find beside those of the language.
//!
//! Both generations have `load_dataset` and `error`; steps have `dataset`,
//! `config` and `secrets` besides.

use std::sync::Arc;

use starlark::{
    environment::{Globals, GlobalsBuilder},
    eval::Evaluator,
    starlark_module,
    values::{Value, none::NoneType},
};

use crate::{
    context::found,
    dataset::{Access, Dataset},
    dialect,
    events::{self, Event},
    host::Host,
    input::Input,
    output,
};

/// The names of a file with `download`, `expose` and `transform`.
pub fn of_functions() -> Globals {
    dialect::globals().with(both).build()
}

/// The names of a file of steps.
pub fn of_steps() -> Globals {
    let mut builder = dialect::globals().with(both);
    builder.namespace("dataset", dataset);
    builder.namespace("config", config);
    builder.namespace("secrets", secrets);
    builder.build()
}

#[starlark_module]
fn both(builder: &mut GlobalsBuilder) {
    /// An input of the run, read-only.
    fn load_dataset<'v>(
        #[starlark(require = pos)] reference: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let host = Host::of(eval)?;
        host.needs_data("load_dataset")?;
        let input = Input::named(&host.guest, reference)?;
        Ok(Dataset::alloc(
            Arc::new(input),
            Access::ReadOnly,
            eval.heap(),
        ))
    }

    /// Ends the script.
    fn error(#[starlark(require = pos)] message: &str) -> anyhow::Result<NoneType> {
        anyhow::bail!("transform error: {message}")
    }
}

#[starlark_module]
fn dataset(builder: &mut GlobalsBuilder) {
    /// The version before, to be changed and committed.
    fn latest<'v>(eval: &mut Evaluator<'v, '_, '_>) -> anyhow::Result<Value<'v>> {
        let host = Host::of(eval)?;
        host.needs_data("dataset.latest")?;
        let input = Input::only(&host.guest)?;
        Ok(Dataset::alloc(
            Arc::new(input),
            Access::Writable,
            eval.heap(),
        ))
    }

    /// Makes it the next version, if the script ends well.
    fn commit<'v>(
        #[starlark(require = pos)] ds: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let host = Host::of(eval)?;
        host.needs_data("dataset.commit")?;
        if host.committed.replace(true) {
            anyhow::bail!("commit can only be called once in a transform script");
        }
        let dataset = Dataset::of(ds)?;
        output::write(dataset, &host.guest.path("/out"), eval.heap())?;
        events::emit(&Event::preview(dataset, eval.heap()));
        Ok(NoneType)
    }
}

#[starlark_module]
fn config(builder: &mut GlobalsBuilder) {
    /// A setting, or `default`.
    fn get<'v>(
        #[starlark(require = pos)] key: &str,
        default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let config = Host::of(eval)?.guest.config.as_ref();
        let value = config.and_then(|config| found(config, key, eval.heap()));
        Ok(value.or(default).unwrap_or_else(Value::new_none))
    }
}

#[starlark_module]
fn secrets(builder: &mut GlobalsBuilder) {
    /// A secret, or `None`.
    fn get<'v>(
        #[starlark(require = pos)] key: &str,
        default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let secrets = Host::of(eval)?.guest.secrets.as_ref();
        let value = secrets.and_then(|secrets| found(secrets, key, eval.heap()));
        Ok(value.or(default).unwrap_or_else(Value::new_none))
    }
}
