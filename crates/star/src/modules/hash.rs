//! `hash.star`: digests as hexadecimal text.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use starlark::{environment::GlobalsBuilder, starlark_module, values::Value};

use super::raw::bytes_of;

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("hash", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    fn md5(text: Value) -> starlark::Result<String> {
        Ok(hex::encode(Md5::digest(bytes_of("text", text)?)))
    }

    fn sha1(text: Value) -> starlark::Result<String> {
        Ok(hex::encode(Sha1::digest(bytes_of("text", text)?)))
    }

    fn sha256(text: Value) -> starlark::Result<String> {
        Ok(hex::encode(Sha256::digest(bytes_of("text", text)?)))
    }
}
