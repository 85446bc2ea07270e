//! `encoding/base64.star`: text to base64 and back.

use base64::{
    Engine as _,
    engine::general_purpose::{
        GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
    },
};
use starlark::{environment::GlobalsBuilder, eval::Evaluator, starlark_module, values::Value};

use super::{
    raw::{bytes_of, text_or_bytes},
    refusal::{argument, malformed},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("base64", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Encodes text or bytes.
    fn encode(
        src: Value,
        #[starlark(default = "standard")] encoding: &str,
    ) -> starlark::Result<String> {
        Ok(engine(encoding)?.encode(bytes_of("src", src)?))
    }

    /// Decodes to text, or to bytes when what was encoded is not UTF-8.
    fn decode<'v>(
        src: Value<'v>,
        #[starlark(default = "standard")] encoding: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let raw = engine(encoding)?
            .decode(bytes_of("src", src)?)
            .map_err(|error| malformed("base64", error))?;
        Ok(text_or_bytes(raw, eval.heap()))
    }
}

fn engine(name: &str) -> starlark::Result<&'static GeneralPurpose> {
    match name {
        "standard" => Ok(&STANDARD),
        "standard_raw" => Ok(&STANDARD_NO_PAD),
        "url" => Ok(&URL_SAFE),
        "url_raw" => Ok(&URL_SAFE_NO_PAD),
        _ => Err(argument(format!(
            "unknown encoding {name:?}; there are standard, standard_raw, url, url_raw"
        ))),
    }
}
