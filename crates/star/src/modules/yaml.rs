//! `encoding/yaml.star`: YAML to values and back.
//!
//! Aliases are unfolded, and what they unfold to is counted, so a small text
//! cannot become a large value.

use serde::de::DeserializeSeed;
use serde_saphyr::{budget::Budget, options};
use starlark::{environment::GlobalsBuilder, eval::Evaluator, starlark_module, values::Value};

use super::{
    bounds::{DEPTH_MAX, YAML_NODES_MAX, YAML_TEXT_BYTES_MAX},
    raw::bytes_of,
    refusal::{argument, malformed},
    tree::{Growing, Written},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("yaml", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Reads one document.
    fn loads<'v>(
        source: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let raw = bytes_of("source", source)?;
        let heap = eval.heap();
        let options = options! { budget: Some(budget()), with_snippet: false };
        serde_saphyr::with_deserializer_from_slice_with_options(raw, options, |reader| {
            Growing::on(heap).deserialize(reader)
        })
        .map_err(|error| malformed("YAML", error))
    }

    /// Writes a value; keys are sorted.
    fn dumps<'v>(obj: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<String> {
        serde_saphyr::to_string(&Written::new(obj, eval.heap()))
            .map_err(|error| argument(format!("cannot encode as YAML: {error}")))
    }
}

fn budget() -> Budget {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH_MAX;
    budget.max_nodes = YAML_NODES_MAX;
    budget.max_events = 2 * YAML_NODES_MAX;
    budget.max_total_scalar_bytes = YAML_TEXT_BYTES_MAX;
    budget
}
