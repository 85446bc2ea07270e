//! `math.star`: functions of numbers.
//!
//! Every function takes integers and floats. What has no value for an argument
//! answers NaN, as the hardware does; rounding to an integer refuses it.

use num_bigint::BigInt;
use starlark::{
    environment::GlobalsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{
        Value, ValueLike,
        float::{StarlarkFloat, UnpackFloat},
    },
};

use super::refusal::argument;

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("math", |builder| {
        constants(builder);
        functions(builder);
        trigonometry(builder);
    });
}

fn constants(builder: &mut GlobalsBuilder) {
    builder.set("e", std::f64::consts::E);
    builder.set("pi", std::f64::consts::PI);
    builder.set("tau", std::f64::consts::TAU);
    builder.set("phi", 1.618_033_988_749_895_f64);
    builder.set("inf", f64::INFINITY);
    builder.set("nan", f64::NAN);
}

/// An integral float as an integer of Starlark.
fn integer<'v>(
    name: &str,
    float: f64,
    eval: &Evaluator<'v, '_, '_>,
) -> starlark::Result<Value<'v>> {
    if !float.is_finite() {
        return Err(argument(format!("{name}: {float} is not a finite number")));
    }
    if float.abs() < 9.0e18 {
        return Ok(eval.heap().alloc(float as i64));
    }
    let digits: BigInt = format!("{float:.0}")
        .parse()
        .expect("a finite float without a fraction is written as digits");
    Ok(eval.heap().alloc(digits))
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    fn ceil<'v>(x: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        match whole(x) {
            Some(whole) => Ok(whole),
            None => integer("ceil", float(x)?.ceil(), eval),
        }
    }
    fn floor<'v>(x: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        match whole(x) {
            Some(whole) => Ok(whole),
            None => integer("floor", float(x)?.floor(), eval),
        }
    }
    /// Half away from zero, as a float.
    fn round(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.round())
    }
    fn copysign(x: UnpackFloat, y: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.copysign(y.0))
    }
    fn fabs(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.abs())
    }
    /// The rest of a division, with the sign of `x`.
    fn r#mod(x: UnpackFloat, y: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0 % y.0)
    }
    fn pow(x: UnpackFloat, y: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.powf(y.0))
    }
    /// The rest of a division whose quotient is rounded to the nearest even.
    fn remainder(x: UnpackFloat, y: UnpackFloat) -> starlark::Result<f64> {
        let (x, y) = (x.0, y.0);
        if y.is_infinite() && x.is_finite() {
            return Ok(x);
        }
        let rest = x % y;
        let over = (rest.abs() * 2.0).total_cmp(&y.abs());
        let odd = ((x - rest) / y) % 2.0 != 0.0;
        let steps = over.is_gt() || over.is_eq() && odd;
        Ok(if steps { rest - y.copysign(rest) } else { rest })
    }
    fn exp(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.exp())
    }
    fn sqrt(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.sqrt())
    }
    /// The logarithm, natural unless there is a base.
    fn log(x: UnpackFloat, base: Option<UnpackFloat>) -> starlark::Result<f64> {
        match base {
            None => Ok(x.0.ln()),
            Some(base) if base.0 == 1.0 => Err(argument("log: division by zero: base is 1")),
            Some(base) if base.0 == 2.0 => Ok(x.0.log2()),
            Some(base) if base.0 == 10.0 => Ok(x.0.log10()),
            Some(base) => Ok(x.0.ln() / base.0.ln()),
        }
    }
    fn gamma(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(libm::tgamma(x.0))
    }
    fn hypot(x: UnpackFloat, y: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.hypot(y.0))
    }
}

#[starlark_module]
fn trigonometry(builder: &mut GlobalsBuilder) {
    fn acos(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.acos())
    }
    fn asin(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.asin())
    }
    fn atan(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.atan())
    }
    fn atan2(y: UnpackFloat, x: UnpackFloat) -> starlark::Result<f64> {
        Ok(y.0.atan2(x.0))
    }
    fn cos(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.cos())
    }
    fn sin(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.sin())
    }
    fn tan(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.tan())
    }
    fn degrees(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.to_degrees())
    }
    fn radians(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.to_radians())
    }
    fn acosh(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.acosh())
    }
    fn asinh(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.asinh())
    }
    fn atanh(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.atanh())
    }
    fn cosh(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.cosh())
    }
    fn sinh(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.sinh())
    }
    fn tanh(x: UnpackFloat) -> starlark::Result<f64> {
        Ok(x.0.tanh())
    }
}

fn whole(x: Value) -> Option<Value> {
    (x.get_type() == "int").then_some(x)
}

fn float(x: Value) -> starlark::Result<f64> {
    match x.downcast_ref::<StarlarkFloat>() {
        Some(float) => Ok(float.0),
        None => Err(argument(format!("expected a number, got {}", x.get_type()))),
    }
}
