//! Every bound that the modules set to what a script hands them.
//!
//! The jail bounds memory and time of the whole guest; these bounds are
//! tighter and speak earlier, so that bad input gives a reason and not a kill.

const MIB: usize = 1024 * 1024;

/// What one call may unpack: from gzip, from a member of a zip, from a workbook.
pub const UNPACKED_BYTES_MAX: usize = 256 * MIB;

/// All that one archive may unpack over its life.
pub const ARCHIVE_BYTES_MAX: u64 = 1024 * MIB as u64;

/// Members of one archive.
pub const ARCHIVE_MEMBERS_MAX: usize = 65_536;

/// Cells of one sheet, the empty ones between the first and the last included.
pub const SHEET_CELLS_MAX: u64 = 4_000_000;

/// Nesting of JSON, YAML and of what is turned into either.
pub const DEPTH_MAX: usize = 120;

/// Digits of one integer: reading them takes time in their square.
pub const INTEGER_DIGITS_MAX: usize = 4300;

/// Values in one YAML document after its aliases are unfolded.
pub const YAML_NODES_MAX: usize = 2_000_000;

/// Text of one YAML document after its aliases are unfolded.
pub const YAML_TEXT_BYTES_MAX: usize = 64 * MIB;

/// A pattern as text, before it is compiled.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// A pattern after it is compiled, and its cache while it searches.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 10 * MIB;

/// Text that one function may build: by repetition, replacement or encoding.
pub const TEXT_BYTES_MAX: usize = 256 * MIB;

/// HTML that is parsed at once.
pub const HTML_BYTES_MAX: usize = 32 * MIB;

/// A selector for HTML; its nesting is followed by recursion.
pub const SELECTOR_BYTES_MAX: usize = 1024;

/// Points of one geometry.
pub const POINTS_MAX: usize = 1_000_000;

/// Cells of one table.
pub const TABLE_CELLS_MAX: usize = 50_000_000;
