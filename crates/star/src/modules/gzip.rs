//! `compress/gzip.star`: what gzip packed, unpacked.

use flate2::read::MultiGzDecoder;
use starlark::{environment::GlobalsBuilder, eval::Evaluator, starlark_module, values::Value};

use super::raw::{bytes_of, text_or_bytes, unpack};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("gzip", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Unpacks a gzip file, all its members.
    fn decompress<'v>(
        data: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let packed = bytes_of("data", data)?;
        let unpacked = unpack("gzip data", MultiGzDecoder::new(packed))?;
        Ok(text_or_bytes(unpacked, eval.heap()))
    }
}
