//! `re.star`: regular expressions in the syntax of RE2.
//!
//! Time is linear in the text, so no pattern can hang a run. `match` finds all
//! matches anywhere in the text, as it always did here, and not only at its
//! start as in Python. There is no look-around and there are no
//! back-references inside a pattern: neither can be searched in linear time.

mod pattern;
mod replacement;

use starlark::{environment::GlobalsBuilder, eval::Evaluator, starlark_module, values::Value};

pub use pattern::Pattern;

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("re", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// A pattern, ready to be used often.
    fn compile(
        #[starlark(require = pos)] pattern: &str,
        #[starlark(default = 0)] flags: i32,
    ) -> starlark::Result<Pattern> {
        Pattern::new(pattern, flags)
    }

    /// Where the first match starts and ends, in characters.
    fn search<'v>(
        pattern: &str,
        string: &str,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(Pattern::new(pattern, flags)?.find(string, eval.heap()))
    }

    /// All matches, each as a tuple of the whole and its groups.
    fn r#match<'v>(
        pattern: &str,
        string: &str,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(Pattern::new(pattern, flags)?.captures(string, eval.heap()))
    }

    /// The whole text and its groups, if all of it matches.
    fn fullmatch<'v>(
        pattern: &str,
        string: &str,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Pattern::new(pattern, flags)?.full(string, eval.heap())
    }

    /// The text between matches.
    fn split<'v>(
        pattern: &str,
        string: &str,
        #[starlark(default = 0)] maxsplit: i32,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(Pattern::new(pattern, flags)?.pieces(string, maxsplit, eval.heap()))
    }

    /// All matches: the whole, or the groups when there are any.
    fn findall<'v>(
        pattern: &str,
        string: &str,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        Ok(Pattern::new(pattern, flags)?.all(string, eval.heap()))
    }

    /// The text with matches replaced.
    fn sub<'v>(
        pattern: &str,
        repl: Value<'v>,
        string: &str,
        #[starlark(default = 0)] count: i32,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<String> {
        let pattern = Pattern::new(pattern, flags)?;
        Ok(pattern.replace(repl, string, count, eval)?.0)
    }

    /// The text with matches replaced, and how many there were.
    fn subn<'v>(
        pattern: &str,
        repl: Value<'v>,
        string: &str,
        #[starlark(default = 0)] count: i32,
        #[starlark(default = 0)] flags: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<(String, i32)> {
        let pattern = Pattern::new(pattern, flags)?;
        pattern.replace(repl, string, count, eval)
    }

    /// A pattern that matches exactly this text.
    fn escape(#[starlark(require = pos)] text: &str) -> starlark::Result<String> {
        Ok(regex::escape(text))
    }
}
