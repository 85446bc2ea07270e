//! `assert.star`: claims that end a script when they do not hold.
//!
//! The first claim that fails ends the script with an error that names both
//! sides; nothing after it runs.

use starlark::{
    environment::GlobalsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Value, none::NoneType},
};

use super::{re::Pattern, refusal::argument};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("assert", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    fn eq<'v>(x: Value<'v>, y: Value<'v>) -> starlark::Result<NoneType> {
        claim(x.equals(y)?, || {
            format!("{} != {}", x.to_repr(), y.to_repr())
        })
    }

    fn ne<'v>(x: Value<'v>, y: Value<'v>) -> starlark::Result<NoneType> {
        claim(!x.equals(y)?, || {
            format!("{} == {}", x.to_repr(), y.to_repr())
        })
    }

    fn r#true<'v>(
        cond: Value<'v>,
        #[starlark(default = "assertion failed")] msg: &str,
    ) -> starlark::Result<NoneType> {
        claim(cond.to_bool(), || msg.to_owned())
    }

    fn lt<'v>(x: Value<'v>, y: Value<'v>) -> starlark::Result<NoneType> {
        let less = x.compare(y)?.is_lt();
        claim(less, || {
            format!("{} is not less than {}", x.to_repr(), y.to_repr())
        })
    }

    fn contains<'v>(x: Value<'v>, y: Value<'v>) -> starlark::Result<NoneType> {
        let held = x.is_in(y)?;
        claim(held, || {
            format!("{} does not contain {}", x.to_repr(), y.to_repr())
        })
    }

    fn fail(#[starlark(default = "failed")] msg: &str) -> starlark::Result<NoneType> {
        claim(false, || msg.to_owned())
    }

    /// Calls a function that has to fail with an error that fits a pattern.
    fn fails<'v>(
        f: Value<'v>,
        #[starlark(default = "")] pattern: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let pattern = Pattern::new(pattern, 0)?;
        match eval.eval_function(f, &[], &[]) {
            Ok(value) => Err(argument(format!(
                "evaluation succeeded unexpectedly and gave {}",
                value.to_repr()
            ))),
            Err(error) => {
                let text = error.without_diagnostic().to_string();
                claim(pattern.finds(&text), || {
                    format!("the error does not fit {pattern}: {text}")
                })
            }
        }
    }
}

fn claim(holds: bool, otherwise: impl FnOnce() -> String) -> starlark::Result<NoneType> {
    match holds {
        true => Ok(NoneType),
        false => Err(argument(otherwise())),
    }
}
