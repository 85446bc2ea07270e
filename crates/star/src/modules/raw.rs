//! Bytes as scripts pass and get them.
//!
//! Scripts were written for strings that hold any bytes. Strings are UTF-8
//! here, so what is not UTF-8 is handed out as `bytes`, and every function
//! that takes raw data takes both.

use std::io::Read;

use starlark::values::{Heap, Value, ValueLike, bytes::StarlarkBytes};

use super::{
    bounds::UNPACKED_BYTES_MAX,
    refusal::{argument, malformed, too_many_bytes},
};

/// The bytes of a string or of `bytes`.
pub fn bytes_of<'v>(name: &str, value: Value<'v>) -> starlark::Result<&'v [u8]> {
    if let Some(text) = value.unpack_str() {
        return Ok(text.as_bytes());
    }
    if let Some(raw) = value.downcast_ref::<StarlarkBytes>() {
        return Ok(raw.as_bytes());
    }
    Err(argument(format!(
        "{name} has to be a string or bytes, not {}",
        value.get_type()
    )))
}

/// A string where the bytes are UTF-8, `bytes` where they are not.
pub fn text_or_bytes<'v>(raw: Vec<u8>, heap: Heap<'v>) -> Value<'v> {
    match String::from_utf8(raw) {
        Ok(text) => heap.alloc(text),
        Err(error) => heap.alloc(error.into_bytes()),
    }
}

/// Reads what unfolds, and stops at the bound: a small archive cannot unfold
/// into a large one.
pub fn unpack(what: &'static str, from: impl Read) -> starlark::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut bounded = from.take(UNPACKED_BYTES_MAX as u64 + 1);
    bounded
        .read_to_end(&mut unpacked)
        .map_err(|error| malformed(what, error))?;
    if UNPACKED_BYTES_MAX < unpacked.len() {
        return Err(too_many_bytes(what, UNPACKED_BYTES_MAX));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unfolds_without_end_is_refused_at_the_bound() {
        let error = unpack("gzip data", std::io::repeat(0)).expect_err("it has no end");
        assert!(
            error
                .to_string()
                .contains("gzip data is larger than 268435456 bytes")
        );
    }
}
