//! CBOR, as a body that a script sets may be given: read whole, into values.
//!
//! Text keys only, as in JSON; tags are dropped, and what they mean is the
//! script's to know. There is no way to write it.

use ciborium::{Value as Cbor, de::Error};
use num_bigint::BigInt;
use starlark::values::{Heap, Value, dict::AllocDict};

use super::bounds::DEPTH_MAX;

/// Reads one CBOR item.
///
/// # Errors
///
/// When it is not one CBOR item, nests too deep, or has keys that are no text.
pub fn parse<'v>(raw: &[u8], heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
    let mut left = raw;
    let read = ciborium::de::from_reader_with_recursion_limit(&mut left, DEPTH_MAX);
    let item = read.map_err(|error: Error<_>| match error {
        Error::RecursionLimitExceeded => anyhow::anyhow!("it nests deeper than {DEPTH_MAX}"),
        Error::Syntax(at) => anyhow::anyhow!("it is no CBOR at byte {at}"),
        _ => anyhow::anyhow!("it is no whole CBOR item"),
    })?;
    anyhow::ensure!(left.is_empty(), "it goes on after its one item");
    grown(item, heap)
}

fn grown<'v>(item: Cbor, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
    Ok(match item {
        Cbor::Null => Value::new_none(),
        Cbor::Bool(truth) => Value::new_bool(truth),
        Cbor::Integer(whole) => heap.alloc(BigInt::from(i128::from(whole))),
        Cbor::Float(number) => heap.alloc(number),
        Cbor::Text(text) => heap.alloc(text),
        Cbor::Bytes(raw) => heap.alloc(raw),
        Cbor::Tag(_, inner) => grown(*inner, heap)?,
        Cbor::Array(items) => {
            let items = items.into_iter().map(|item| grown(item, heap));
            heap.alloc(items.collect::<anyhow::Result<Vec<_>>>()?)
        }
        Cbor::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| match key {
                Cbor::Text(key) => Ok((key, grown(value, heap)?)),
                _ => anyhow::bail!("a key of a map is no text"),
            });
            heap.alloc(AllocDict(pairs.collect::<anyhow::Result<Vec<_>>>()?))
        }
        _ => anyhow::bail!("there is a kind of value that is not known"),
    })
}
