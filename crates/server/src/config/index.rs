//! The table `[index]`: where the packages of functions come from.

use std::path::PathBuf;

use serde::Deserialize;
use strongroom_core::{
    limits::{Amount, LimitsError},
    network::HostPattern,
};

use super::size_bytes;
use crate::dependencies::{IndexConfig, Uv};

/// Where the packages of functions come from.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenIndex {
    #[serde(default, deserialize_with = "index")]
    python: Option<String>,
    #[serde(default, deserialize_with = "index")]
    node: Option<String>,
    hosts: Option<Vec<HostPattern>>,
    keep: Option<Amount>,
    /// A path, or `false` to install nothing.
    uv: Option<WrittenUv>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenUv {
    Wanted(bool),
    At(PathBuf),
}

impl WrittenIndex {
    pub(super) fn over(self, index: IndexConfig) -> Result<IndexConfig, LimitsError> {
        let keep = self.keep.as_ref().map(size_bytes).transpose()?;
        Ok(IndexConfig {
            keep_bytes_max: keep.unwrap_or(index.keep_bytes_max),
            python: self.python.unwrap_or(index.python),
            node: self.node.unwrap_or(index.node),
            hosts: self.hosts.unwrap_or(index.hosts),
            uv: match self.uv {
                None => index.uv,
                Some(WrittenUv::Wanted(true)) => Uv::LookedUp,
                Some(WrittenUv::Wanted(false)) => Uv::Off,
                Some(WrittenUv::At(path)) => Uv::At(path),
            },
        })
    }
}

fn index<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let raw = Option::<String>::deserialize(from)?;
    match &raw {
        Some(address) if crate::dependencies::host(address).is_none() => {
            let what = "an index is an address without a password, as `https://pypi.org/simple`";
            Err(serde::de::Error::custom(what))
        }
        _ => Ok(raw),
    }
}
