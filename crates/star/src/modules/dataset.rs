//! `dataset.star`: datasets that a script begins by itself.

use std::sync::Arc;

use starlark::{
    environment::GlobalsBuilder,
    starlark_module,
    values::{Heap, Value},
};

use crate::{
    dataset::{Access, Dataset},
    input::Input,
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("dataset", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// A dataset with nothing in it.
    fn new<'v>(heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
        let empty = Arc::new(Input::default());
        Ok(Dataset::alloc(empty, Access::Writable, heap))
    }
}
