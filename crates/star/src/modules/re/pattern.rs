//! A compiled regular expression, and what can be asked of it.

use std::{cell::RefCell, collections::HashMap, fmt};

use allocative::Allocative;
use regex::{Captures, Regex, RegexBuilder};
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module, starlark_simple_value,
    values::{
        Heap, NoSerialize, StarlarkValue, Value, list::AllocList, starlark_value, tuple::AllocTuple,
    },
};

use super::replacement::Replacement;
use crate::modules::{
    bounds::{PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX},
    refusal::{argument, malformed, too_many_bytes},
};

/// Compiled patterns that are kept, since scripts name one in every row.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

/// A compiled pattern.
#[derive(Debug, ProvidesStaticType, NoSerialize, Allocative)]
pub struct Pattern {
    #[allocative(skip)]
    regex: Regex,
}

starlark_simple_value!(Pattern);

impl fmt::Display for Pattern {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "re.compile({:?})", self.regex.as_str())
    }
}

impl Pattern {
    /// Compiles, or takes what was compiled before.
    ///
    /// # Errors
    ///
    /// When it is no pattern, is too large, or flags are asked for.
    pub fn new(pattern: &str, flags: i32) -> starlark::Result<Self> {
        if flags != 0 {
            return Err(argument(
                "flags are not supported; put them into the pattern, as in (?i)",
            ));
        }
        if let Some(regex) = KEPT.with_borrow(|kept| kept.get(pattern).cloned()) {
            return Ok(Self { regex });
        }
        let regex = compile(pattern)?;
        KEPT.with_borrow_mut(|kept| {
            if KEPT_MAX <= kept.len() {
                kept.clear();
            }
            kept.insert(pattern.to_owned(), regex.clone());
        });
        Ok(Self { regex })
    }

    /// Whether there is a match anywhere.
    pub fn finds(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub fn find<'v>(&self, text: &str, heap: Heap<'v>) -> Value<'v> {
        let Some(found) = self.regex.find(text) else {
            return Value::new_none();
        };
        let start = text[..found.start()].chars().count();
        let end = start + found.as_str().chars().count();
        heap.alloc(AllocList([start, end]))
    }

    pub fn captures<'v>(&self, text: &str, heap: Heap<'v>) -> Value<'v> {
        let matches = self.regex.captures_iter(text);
        heap.alloc(AllocList(matches.map(|found| groups(&found, 0, heap))))
    }

    pub fn full<'v>(&self, text: &str, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let anchored = Self::new(&format!(r"\A(?:{})\z", self.regex.as_str()), 0)?;
        Ok(match anchored.regex.captures(text) {
            Some(found) => groups(&found, 0, heap),
            None => Value::new_none(),
        })
    }

    pub fn pieces<'v>(&self, text: &str, maxsplit: i32, heap: Heap<'v>) -> Value<'v> {
        let splits_max = usize::try_from(maxsplit).ok().filter(|max| *max != 0);
        let mut pieces = Vec::new();
        let mut from = 0;
        let matches = self.regex.captures_iter(text);
        for found in matches.take(splits_max.unwrap_or(usize::MAX)) {
            let Some(whole) = found.get(0) else { continue };
            pieces.push(heap.alloc(&text[from..whole.start()]));
            pieces.extend((1..found.len()).map(|group| group_text(&found, group, heap)));
            from = whole.end();
        }
        pieces.push(heap.alloc(&text[from..]));
        heap.alloc(AllocTuple(pieces))
    }

    pub fn all<'v>(&self, text: &str, heap: Heap<'v>) -> Value<'v> {
        let matches = self.regex.captures_iter(text);
        heap.alloc(AllocTuple(matches.map(|found| match found.len() {
            1 => group_text(&found, 0, heap),
            2 => group_text(&found, 1, heap),
            _ => groups(&found, 1, heap),
        })))
    }

    pub fn replace<'v>(
        &self,
        with: Value<'v>,
        text: &str,
        count: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<(String, i32)> {
        let replacement = Replacement::parse(with)?;
        let count_max = usize::try_from(count).ok().filter(|max| *max != 0);
        let mut replaced = String::with_capacity(text.len());
        let (mut from, mut times) = (0, 0);
        let matches = self.regex.captures_iter(text);
        for found in matches.take(count_max.unwrap_or(usize::MAX)) {
            let Some(whole) = found.get(0) else { continue };
            replaced.push_str(&text[from..whole.start()]);
            let whole_and_groups = groups(&found, 0, eval.heap());
            replacement.write(&found, whole_and_groups, eval, &mut replaced)?;
            from = whole.end();
            times += 1;
        }
        replaced.push_str(&text[from..]);
        Ok((replaced, times))
    }
}

fn compile(pattern: &str) -> starlark::Result<Regex> {
    if PATTERN_BYTES_MAX < pattern.len() {
        return Err(too_many_bytes("the pattern", PATTERN_BYTES_MAX));
    }
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| malformed("pattern", error))
}

/// The groups from `first` on; one that took no part is empty.
fn groups<'v>(found: &Captures<'_>, first: usize, heap: Heap<'v>) -> Value<'v> {
    heap.alloc(AllocTuple(
        (first..found.len()).map(|group| group_text(found, group, heap)),
    ))
}

fn group_text<'v>(found: &Captures<'_>, group: usize, heap: Heap<'v>) -> Value<'v> {
    heap.alloc(found.get(group).map_or("", |text| text.as_str()))
}

starlark::methods_static!(PATTERN_METHODS = methods);

#[starlark_value(type = "Pattern")]
impl<'v> StarlarkValue<'v> for Pattern {
    fn get_methods() -> Option<&'static Methods> {
        Some(PATTERN_METHODS.methods())
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    fn search<'v>(
        this: &Pattern,
        string: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.find(string, eval.heap()))
    }

    fn r#match<'v>(
        this: &Pattern,
        string: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.captures(string, eval.heap()))
    }

    fn fullmatch<'v>(
        this: &Pattern,
        string: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        this.full(string, eval.heap())
    }

    fn split<'v>(
        this: &Pattern,
        string: &str,
        #[starlark(default = 0)] maxsplit: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.pieces(string, maxsplit, eval.heap()))
    }

    fn findall<'v>(
        this: &Pattern,
        string: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(this.all(string, eval.heap()))
    }

    fn sub<'v>(
        this: &Pattern,
        repl: Value<'v>,
        string: &str,
        #[starlark(default = 0)] count: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        Ok(this.replace(repl, string, count, eval)?.0)
    }

    fn subn<'v>(
        this: &Pattern,
        repl: Value<'v>,
        string: &str,
        #[starlark(default = 0)] count: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<(String, i32)> {
        this.replace(repl, string, count, eval)
    }
}
