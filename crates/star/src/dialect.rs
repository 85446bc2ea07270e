//! The dialect: the Starlark specification, and what scripts in the wild use.

use starlark::{
    environment::{GlobalsBuilder, LibraryExtension},
    syntax::{Dialect, DialectTypes},
};

/// What the parser lets through.
pub fn dialect() -> Dialect {
    Dialect {
        enable_keyword_only_arguments: true,
        enable_positional_only_arguments: true,
        enable_types: DialectTypes::Disable,
        enable_top_level_stmt: true,
        enable_f_strings: true,
        ..Dialect::Standard
    }
}

/// The names that every script finds: the standard ones and `struct`, `set`,
/// `print`, `partial`.
pub fn globals() -> GlobalsBuilder {
    GlobalsBuilder::extended_by(&[
        LibraryExtension::StructType,
        LibraryExtension::SetType,
        LibraryExtension::Print,
        LibraryExtension::Partial,
    ])
}
