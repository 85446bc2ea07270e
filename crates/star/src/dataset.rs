//! A dataset as a script holds it: the version before, and the one to be.
//!
//! What was set is read back; what was not set is the version before. A
//! read-only dataset refuses every `set_…` by name. Nothing is written here:
//! [`crate::output`] does that when the stage has ended well.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::Arc,
};

use allocative::Allocative;
use serde_json::Map;
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module,
    values::{
        Heap, NoSerialize, StarlarkValue, Trace, Value, ValueLike, none::NoneType, starlark_value,
    },
};

use crate::{
    host::Host,
    input::{self, Format, Input},
    modules::dataframe::DataFrame,
    modules::{cbor, json, raw, xlsx},
    rows::{Reading, Rows},
    value,
};

/// Whether a script may set anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    Writable,
}

/// A text that a script gave as the body.
#[derive(Clone, Debug)]
pub struct Text {
    pub format: Format,
    pub raw: Arc<[u8]>,
}

/// A dataset in a script.
#[derive(Debug, Trace, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Dataset<'v> {
    #[trace(unsafe_ignore)]
    #[allocative(skip)]
    pub(crate) before: Arc<Input>,
    #[trace(unsafe_ignore)]
    #[allocative(skip)]
    access: Access,
    /// The body before, once it was read.
    #[allocative(skip)]
    read: Cell<Option<Value<'v>>>,
    /// The body that was set.
    #[allocative(skip)]
    set: Cell<Option<Value<'v>>>,
    #[trace(unsafe_ignore)]
    #[allocative(skip)]
    pub(crate) text: RefCell<Option<Text>>,
    #[trace(unsafe_ignore)]
    #[allocative(skip)]
    pub(crate) meta: RefCell<Option<Map<String, serde_json::Value>>>,
    #[trace(unsafe_ignore)]
    #[allocative(skip)]
    pub(crate) structure: RefCell<Option<Map<String, serde_json::Value>>>,
    #[trace(unsafe_ignore)]
    #[allocative(skip)]
    pub(crate) readme: RefCell<Option<String>>,
}

starlark::methods_static!(DATASET_METHODS = methods);

impl<'v> Dataset<'v> {
    pub fn alloc(before: Arc<Input>, access: Access, heap: Heap<'v>) -> Value<'v> {
        heap.alloc_complex_no_freeze(Self {
            before,
            access,
            read: Cell::new(None),
            set: Cell::new(None),
            text: RefCell::default(),
            meta: RefCell::default(),
            structure: RefCell::default(),
            readme: RefCell::default(),
        })
    }

    /// # Errors
    ///
    /// When the value is something else.
    pub fn of(value: Value<'v>) -> anyhow::Result<&'v Self> {
        value
            .downcast_ref()
            .ok_or_else(|| anyhow::anyhow!("expected a dataset, not a {}", value.get_type()))
    }

    /// The body that was set, if one was.
    pub fn set_body(&self) -> Option<Value<'v>> {
        self.set.get()
    }

    /// Whether anything was set.
    pub fn is_changed(&self) -> bool {
        self.set.get().is_some()
            || self.meta.borrow().is_some()
            || self.structure.borrow().is_some()
            || self.readme.borrow().is_some()
    }

    pub(crate) fn meta_now(&self) -> Map<String, serde_json::Value> {
        let set = self.meta.borrow();
        set.as_ref().unwrap_or(&self.before.meta).clone()
    }

    pub(crate) fn structure_now(&self) -> Map<String, serde_json::Value> {
        let set = self.structure.borrow();
        set.as_ref().unwrap_or(&self.before.structure).clone()
    }

    /// The columns of the body before, if it was read and has any.
    pub(crate) fn names_before(&self) -> Vec<String> {
        let read = self.read.get();
        let rows = read.and_then(|read| read.downcast_ref::<Rows>());
        rows.map(|rows| rows.table().names().map(str::to_owned).collect())
            .unwrap_or_default()
    }

    fn writable(&self, what: &str) -> anyhow::Result<()> {
        match self.access {
            Access::Writable => Ok(()),
            Access::ReadOnly => anyhow::bail!("cannot call {what} on read-only dataset"),
        }
    }

    fn body(&self, heap: Heap<'v>) -> anyhow::Result<Option<Value<'v>>> {
        if let Some(body) = self.set.get().or(self.read.get()) {
            return Ok(Some(body));
        }
        let body = self.before.body(heap)?;
        self.read.set(body);
        Ok(body)
    }

    fn put_body(&self, what: &str, body: Value<'v>) -> anyhow::Result<()> {
        self.writable(what)?;
        *self.text.borrow_mut() = None;
        self.set.set(Some(body));
        Ok(())
    }
}

impl fmt::Display for Dataset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<dataset>")
    }
}

#[starlark_value(type = "dataset")]
impl<'v> StarlarkValue<'v> for Dataset<'v> {
    fn get_methods() -> Option<&'static Methods> {
        Some(DATASET_METHODS.methods())
    }

    fn set_attr(&self, attribute: &str, value: Value<'v>) -> starlark::Result<()> {
        if attribute != "body" {
            let why = anyhow::anyhow!("a dataset has no {attribute} to set; it has body");
            return Err(starlark::Error::new_value(why));
        }
        self.put_body("body", value)
            .map_err(starlark::Error::new_value)
    }
}

/// What a script gives for meta or structure, as an object.
fn object<'v>(
    what: &str,
    value: Value<'v>,
    heap: Heap<'v>,
) -> anyhow::Result<Map<String, serde_json::Value>> {
    match as_json(value, heap)? {
        serde_json::Value::Object(map) => Ok(map),
        _ => anyhow::bail!("{what} takes a dict, not a {}", value.get_type()),
    }
}

/// The values of a body in a format that is no text; `None` for those that are.
fn binary<'v>(
    data: Value<'v>,
    parse_as: &str,
    heap: Heap<'v>,
) -> anyhow::Result<Option<Value<'v>>> {
    let raw = || raw::bytes_of("data", data).map_err(starlark::Error::into_anyhow);
    let told = |error: anyhow::Error| anyhow::anyhow!("the body as {parse_as}: {error}");
    match parse_as {
        "cbor" => cbor::parse(raw()?, heap).map(Some).map_err(told),
        "xlsx" => {
            let rows = xlsx::first_sheet(raw()?).map_err(starlark::Error::into_anyhow);
            Ok(Some(heap.alloc(rows.map_err(told)?)))
        }
        _ => Ok(None),
    }
}

fn as_json<'v>(value: Value<'v>, heap: Heap<'v>) -> anyhow::Result<serde_json::Value> {
    let mut raw = Vec::new();
    value::to_json(value, heap, &mut raw)?;
    Ok(serde_json::from_slice(&raw)?)
}

fn as_dict<'v>(map: Map<String, serde_json::Value>, heap: Heap<'v>) -> anyhow::Result<Value<'v>> {
    let raw = serde_json::to_vec(&map)?;
    Ok(json::parse(&raw, heap)?)
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    /// The body: a table of CSV, or the values of JSON.
    #[starlark(attribute)]
    fn body<'v>(this: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let body = Dataset::of(this)?
            .body(heap)?
            .unwrap_or_else(Value::new_none);
        match DataFrame::of_body(body)? {
            Some(table) => Ok(heap.alloc(table)),
            None => Ok(body),
        }
    }

    /// The body, or `default` when there is none.
    fn get_body<'v>(
        this: Value<'v>,
        default: Option<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        Host::of(eval)?.needs_data("get_body")?;
        let body = Dataset::of(this)?.body(eval.heap())?;
        Ok(body.or(default).unwrap_or_else(Value::new_none))
    }

    /// Sets the body: rows, or with `parse_as` a text or bytes of that format.
    fn set_body<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] data: Value<'v>,
        #[starlark(default = "")] parse_as: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<NoneType> {
        let dataset = Dataset::of(this)?;
        dataset.writable("set_body")?;
        if parse_as.is_empty() {
            if data.unpack_str().is_some() {
                anyhow::bail!("set_body takes rows; give a text with parse_as=\"csv\" or \"json\"");
            }
            return dataset.put_body("set_body", data).map(|()| NoneType);
        }
        if let Some(values) = binary(data, parse_as, eval.heap())? {
            return dataset.put_body("set_body", values).map(|()| NoneType);
        }
        let Some(format) = Format::parse(parse_as).filter(|format| *format != Format::Parquet)
        else {
            anyhow::bail!(
                "parse_as is \"csv\", \"json\", \"ndjson\", \"cbor\" or \"xlsx\", not {parse_as:?}"
            );
        };
        let Some(text) = data.unpack_str() else {
            anyhow::bail!("parse_as takes a text, not a {}", data.get_type());
        };
        let raw: Arc<[u8]> = Arc::from(text.as_bytes());
        let parsed = input::parse(&raw, format, &Reading::default(), eval.heap())?;
        dataset.put_body("set_body", parsed)?;
        *dataset.text.borrow_mut() = Some(Text { format, raw });
        Ok(NoneType)
    }

    /// What is told of the dataset: title, description and the like.
    fn get_meta<'v>(
        this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        Host::of(eval)?.needs_data("get_meta")?;
        as_dict(Dataset::of(this)?.meta_now(), eval.heap())
    }

    /// Sets one key of meta, or all of it by a dict.
    fn set_meta<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] key: Value<'v>,
        #[starlark(require = pos)] value: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> anyhow::Result<NoneType> {
        let dataset = Dataset::of(this)?;
        dataset.writable("set_meta")?;
        let mut meta = dataset.meta_now();
        match (key.unpack_str(), value) {
            (Some(key), Some(value)) => {
                meta.insert(key.to_owned(), as_json(value, heap)?);
            }
            (None, None) => meta = object("set_meta", key, heap)?,
            _ => anyhow::bail!("set_meta takes a key and a value, or one dict"),
        }
        *dataset.meta.borrow_mut() = Some(meta);
        Ok(NoneType)
    }

    /// How the body is written, and its columns.
    fn get_structure<'v>(
        this: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> anyhow::Result<Value<'v>> {
        Host::of(eval)?.needs_data("get_structure")?;
        let dataset = Dataset::of(this)?;
        let mut structure = dataset.structure_now();
        if let Some(format) = dataset.before.format() {
            structure
                .entry("format")
                .or_insert_with(|| format.name().into());
        }
        as_dict(structure, eval.heap())
    }

    /// Sets how the body is written, and its columns.
    fn set_structure<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] structure: Value<'v>,
        heap: Heap<'v>,
    ) -> anyhow::Result<NoneType> {
        let dataset = Dataset::of(this)?;
        dataset.writable("set_structure")?;
        let structure = object("set_structure", structure, heap)?;
        if let Some(format) = structure.get("format") {
            let known = format.as_str().and_then(Format::parse);
            if known.is_none_or(|format| format == Format::Parquet) {
                anyhow::bail!("structure.format is csv, json or ndjson, not {format}");
            }
        }
        *dataset.structure.borrow_mut() = Some(structure);
        Ok(NoneType)
    }

    /// Sets the readme, in Markdown.
    fn set_readme<'v>(
        this: Value<'v>,
        #[starlark(require = pos)] text: &str,
    ) -> anyhow::Result<NoneType> {
        let dataset = Dataset::of(this)?;
        dataset.writable("set_readme")?;
        *dataset.readme.borrow_mut() = Some(text.to_owned());
        Ok(NoneType)
    }
}
