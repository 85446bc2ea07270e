//! `encoding/base64.star`: text to base64 and back.

use base64::{
    Engine as _,
    engine::general_purpose::{
        GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
    },
};
use starlark::{environment::GlobalsBuilder, starlark_module};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("base64", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Encodes text.
    fn encode(
        src: &str,
        #[starlark(default = "standard")] encoding: &str,
    ) -> anyhow::Result<String> {
        Ok(engine(encoding)?.encode(src))
    }

    /// Decodes to text, which has to be UTF-8.
    fn decode(
        src: &str,
        #[starlark(default = "standard")] encoding: &str,
    ) -> anyhow::Result<String> {
        let raw = engine(encoding)?
            .decode(src)
            .map_err(|error| anyhow::anyhow!("not base64: {error}"))?;
        String::from_utf8(raw).map_err(|_| anyhow::anyhow!("what was encoded is not UTF-8 text"))
    }
}

fn engine(name: &str) -> anyhow::Result<&'static GeneralPurpose> {
    match name {
        "standard" => Ok(&STANDARD),
        "standard_raw" => Ok(&STANDARD_NO_PAD),
        "url" => Ok(&URL_SAFE),
        "url_raw" => Ok(&URL_SAFE_NO_PAD),
        _ => anyhow::bail!(
            "unknown encoding {name:?}; there are standard, standard_raw, url, url_raw"
        ),
    }
}
