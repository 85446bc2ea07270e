//! The standard modules, by their load paths.
//!
//! `load("encoding/base64.star", "base64")` finds its module here and nowhere
//! else: no path ever names a file. A module is built when it is first loaded,
//! since starting fast is a feature. To add one: a file below `modules/` with
//! a function that fills a builder, and a line in [`SHIPPED`].

mod assert;
mod base64;
pub(crate) mod bounds;
mod bsoup;
pub(crate) mod cbor;
mod csv;
pub(crate) mod dataframe;
mod dataset;
mod geo;
mod gzip;
mod hash;
mod html;
mod http;
pub(crate) mod json;
mod markup;
mod math;
mod qri;
mod quotes;
pub(crate) mod raw;
mod re;
mod refusal;
mod time;
mod tree;
pub(crate) mod xlsx;
mod yaml;
mod zipfile;

use starlark::environment::{FrozenModule, GlobalsBuilder};

/// A module: where it is loaded from, and what fills it.
struct Shipped {
    path: &'static str,
    exports: fn(&mut GlobalsBuilder),
}

const SHIPPED: &[Shipped] = &[
    Shipped {
        path: "assert.star",
        exports: assert::exports,
    },
    Shipped {
        path: "bsoup.star",
        exports: bsoup::exports,
    },
    Shipped {
        path: "compress/gzip.star",
        exports: gzip::exports,
    },
    Shipped {
        path: "dataframe.star",
        exports: dataframe::exports,
    },
    Shipped {
        path: "dataset.star",
        exports: dataset::exports,
    },
    Shipped {
        path: "encoding/base64.star",
        exports: base64::exports,
    },
    Shipped {
        path: "encoding/csv.star",
        exports: csv::exports,
    },
    Shipped {
        path: "encoding/json.star",
        exports: json::exports,
    },
    Shipped {
        path: "encoding/yaml.star",
        exports: yaml::exports,
    },
    Shipped {
        path: "geo.star",
        exports: geo::exports,
    },
    Shipped {
        path: "hash.star",
        exports: hash::exports,
    },
    Shipped {
        path: "html.star",
        exports: html::exports,
    },
    Shipped {
        path: "http.star",
        exports: http::exports,
    },
    Shipped {
        path: "math.star",
        exports: math::exports,
    },
    Shipped {
        path: "qri.star",
        exports: qri::exports,
    },
    Shipped {
        path: "re.star",
        exports: re::exports,
    },
    Shipped {
        path: "time.star",
        exports: time::exports,
    },
    Shipped {
        path: "xlsx.star",
        exports: xlsx::exports,
    },
    Shipped {
        path: "zipfile.star",
        exports: zipfile::exports,
    },
];

/// The paths of all modules.
pub fn paths() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|module| module.path)
}

/// The module of a load path, or `None` when there is no such module.
///
/// # Errors
///
/// When it cannot be frozen: a fault of the module itself.
pub fn find(path: &str) -> starlark::Result<Option<FrozenModule>> {
    let Some(module) = SHIPPED.iter().find(|module| module.path == path) else {
        return Ok(None);
    };
    let globals = GlobalsBuilder::new().with(module.exports).build();
    let frozen = FrozenModule::from_globals(&globals)
        .map_err(|error| starlark::Error::new_other(anyhow::Error::from(error)))?;
    Ok(Some(frozen))
}
