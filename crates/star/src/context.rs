//! `ctx`: what a function of the first generation knows of its run.
//!
//! `ctx.download` and `ctx.expose` are there only in the stage that is given
//! them; elsewhere they are absent, so that `hasattr` tells.

use std::{cell::RefCell, fmt};

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    collections::SmallMap,
    environment::{Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module,
    values::{
        Heap, NoSerialize, StarlarkValue, Trace, Value, ValueLike, dict::Dict, none::NoneType,
        starlark_value,
    },
};

use crate::{
    failure::Failure,
    guest::Guest,
    host::{Host, Stage},
    modules::json,
};

/// The context of one stage.
#[derive(Debug, Trace, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Context<'v> {
    args: Value<'v>,
    /// What an earlier stage returned, with its name.
    earlier: Option<(String, Value<'v>)>,
    run_id: String,
    stage: String,
    #[allocative(skip)]
    values: RefCell<SmallMap<String, Value<'v>>>,
}

starlark::methods_static!(CONTEXT_METHODS = methods);

impl<'v> Context<'v> {
    /// The context of the guest's stage.
    ///
    /// # Errors
    ///
    /// When what the station gave is no JSON.
    pub fn alloc(guest: &Guest, heap: Heap<'v>) -> Result<Value<'v>, Failure> {
        let read = |what: &str, raw: &[u8]| {
            json::parse(raw, heap)
                .map_err(|error| Failure::plain(format!("{what} are no JSON: {error}")))
        };
        let args = match guest.arguments.trim_ascii() {
            b"" | b"null" => heap.alloc(Dict::new(SmallMap::new())),
            raw => read("the arguments", raw)?,
        };
        let before = match guest.stage {
            Stage::Expose => None,
            Stage::Download => Some(Stage::Expose),
            Stage::Transform => Some(Stage::Download),
        };
        let mut earlier = None;
        if let Some(stage) = before
            && let Some(raw) = guest.value_of(stage)?
        {
            earlier = Some((
                stage.name().to_owned(),
                read("the values of a stage", &raw)?,
            ));
        }
        Ok(heap.alloc_complex_no_freeze(Self {
            args,
            earlier,
            run_id: guest.run_id.clone(),
            stage: guest.stage.name().to_owned(),
            values: RefCell::default(),
        }))
    }

    fn of(value: Value<'v>) -> anyhow::Result<&'v Self> {
        value
            .downcast_ref()
            .ok_or_else(|| anyhow::anyhow!("expected a context, not a {}", value.get_type()))
    }
}

impl fmt::Display for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<ctx>")
    }
}

#[starlark_value(type = "ctx")]
impl<'v> StarlarkValue<'v> for Context<'v> {
    fn get_methods() -> Option<&'static Methods> {
        Some(CONTEXT_METHODS.methods())
    }

    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        if let Some((stage, value)) = &self.earlier
            && stage == attribute
        {
            return Some(*value);
        }
        match attribute {
            "args" => Some(self.args),
            "run_id" => Some(heap.alloc(self.run_id.as_str())),
            "stage" => Some(heap.alloc(self.stage.as_str())),
            _ => None,
        }
    }

    fn dir_attr(&self) -> Vec<String> {
        let earlier = self.earlier.iter().map(|(stage, _)| stage.clone());
        let always = ["args", "run_id", "stage"].map(str::to_owned);
        always.into_iter().chain(earlier).collect()
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    /// Keeps a value for the rest of this stage.
    fn set<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] key: &str,
        #[starlark(require = pos)] value: Value<'v>,
    ) -> anyhow::Result<NoneType> {
        let mut values = Context::of(this)?.values.borrow_mut();
        values.insert(key.to_owned(), value);
        Ok(NoneType)
    }

    /// A value that was kept.
    fn get<'v>(this: Value<'v>, #[starlark(require = pos)] key: &str) -> anyhow::Result<Value<'v>> {
        let values = Context::of(this)?.values.borrow();
        let found = values.get(key).copied();
        found.ok_or_else(|| anyhow::anyhow!("value {key:?} not set in context"))
    }

    /// A setting, `None` when there is none of that name.
    fn get_config<'v>(
        #[allow(unused_variables)] this: Value<'v>,
        #[starlark(require = pos)] key: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let config = Host::of(eval)?.guest.config.as_ref();
        let config = config.ok_or_else(|| anyhow::anyhow!("no config provided"))?;
        Ok(found(config, key, eval.heap()).unwrap_or_else(Value::new_none))
    }

    /// A secret, `None` when there is none of that name.
    fn get_secret<'v>(
        #[allow(unused_variables)] this: Value<'v>,
        #[starlark(require = pos)] key: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        let secrets = Host::of(eval)?.guest.secrets.as_ref();
        let secrets = secrets.ok_or_else(|| anyhow::anyhow!("no secrets provided"))?;
        Ok(found(secrets, key, eval.heap()).unwrap_or_else(Value::new_none))
    }
}

/// One setting or secret.
pub(crate) fn found<'v>(
    all: &serde_json::Map<String, serde_json::Value>,
    key: &str,
    heap: Heap<'v>,
) -> Option<Value<'v>> {
    all.get(key).map(|value| heap.alloc(value))
}
