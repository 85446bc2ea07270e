//! `zipfile.star`: the members of a zip archive.
//!
//! What a member says about its size is not believed: it is unpacked up to the
//! bound, and all members of one archive together up to another.

use std::{
    fmt,
    io::Cursor,
    sync::{Mutex, PoisonError},
};

use allocative::Allocative;
use starlark::{
    any::ProvidesStaticType,
    environment::{GlobalsBuilder, Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module, starlark_simple_value,
    values::{NoSerialize, StarlarkValue, Value, starlark_value},
};
use zip::{ZipArchive, result::ZipError};

use super::{
    bounds::{ARCHIVE_BYTES_MAX, ARCHIVE_MEMBERS_MAX},
    raw::{bytes_of, text_or_bytes, unpack},
    refusal::{Refusal, argument, malformed},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    functions(builder);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Opens an archive that was read as a string or as bytes.
    #[allow(non_snake_case)]
    fn ZipFile<'v>(data: Value<'v>) -> starlark::Result<Archive> {
        Archive::open(bytes_of("data", data)?.to_vec())
    }
}

type Opened = ZipArchive<Cursor<Vec<u8>>>;

/// An archive, and how much of it was unpacked so far.
#[derive(ProvidesStaticType, NoSerialize, Allocative)]
pub struct Archive {
    #[allocative(skip)]
    opened: Mutex<(Opened, u64)>,
    names: Vec<String>,
}

starlark_simple_value!(Archive);

impl fmt::Debug for Archive {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

impl fmt::Display for Archive {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "<ZipFile of {} members>", self.names.len())
    }
}

impl Archive {
    /// Reads the list of members.
    ///
    /// # Errors
    ///
    /// When it is no archive, or has too many members.
    pub fn open(raw: Vec<u8>) -> starlark::Result<Self> {
        let archive =
            ZipArchive::new(Cursor::new(raw)).map_err(|error| malformed("zip archive", error))?;
        if ARCHIVE_MEMBERS_MAX < archive.len() {
            return Err(Refusal::TooLarge {
                what: "the zip archive",
                size_max: ARCHIVE_MEMBERS_MAX as u64,
                unit: "members",
            }
            .into());
        }
        let names = (0..archive.len())
            .filter_map(|index| archive.name_for_index(index)?.ok())
            .map(|name| name.into_owned())
            .collect();
        let opened = Mutex::new((archive, 0));
        Ok(Self { opened, names })
    }

    fn unpack(&self, name: &str) -> starlark::Result<Vec<u8>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let (archive, unpacked_bytes) = &mut *opened;
        let member = archive.by_name(name).map_err(|error| match error {
            ZipError::FileNotFound => argument(format!("the archive has no member {name:?}")),
            other => malformed("zip archive", other),
        })?;
        let content = unpack("a member of the zip archive", member)?;
        *unpacked_bytes += content.len() as u64;
        if ARCHIVE_BYTES_MAX < *unpacked_bytes {
            return Err(Refusal::TooLarge {
                what: "what was unpacked from the zip archive",
                size_max: ARCHIVE_BYTES_MAX,
                unit: "bytes",
            }
            .into());
        }
        Ok(content)
    }
}

starlark::methods_static!(ARCHIVE_METHODS = archive_methods);

#[starlark_value(type = "ZipFile")]
impl<'v> StarlarkValue<'v> for Archive {
    fn get_methods() -> Option<&'static Methods> {
        Some(ARCHIVE_METHODS.methods())
    }
}

#[starlark_module]
fn archive_methods(builder: &mut MethodsBuilder) {
    /// The names of all members, folders among them.
    fn namelist(this: &Archive) -> starlark::Result<Vec<String>> {
        Ok(this.names.clone())
    }

    /// One member, unpacked.
    fn open(this: &Archive, #[starlark(require = pos)] filename: &str) -> starlark::Result<Member> {
        let content = this.unpack(filename)?;
        let name = filename.to_owned();
        Ok(Member { name, content })
    }
}

/// A member of an archive, unpacked.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Member {
    name: String,
    content: Vec<u8>,
}

starlark_simple_value!(Member);

impl fmt::Display for Member {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "<member {:?} of {} bytes>",
            self.name,
            self.content.len()
        )
    }
}

starlark::methods_static!(MEMBER_METHODS = member_methods);

#[starlark_value(type = "ZipInfo")]
impl<'v> StarlarkValue<'v> for Member {
    fn get_methods() -> Option<&'static Methods> {
        Some(MEMBER_METHODS.methods())
    }
}

#[starlark_module]
fn member_methods(builder: &mut MethodsBuilder) {
    /// The whole content: a string, or bytes when it is not UTF-8.
    fn read<'v>(this: &Member, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        Ok(text_or_bytes(this.content.clone(), eval.heap()))
    }
}
