//! The standard modules, as scripts use them.

use starlark::{environment::Module, eval::Evaluator, syntax::AstModule, values::Value};
use strongroom_star::{
    dialect,
    host::{Host, Stage},
    loader::StandardModules,
    network::Disabled,
};

/// What the last statement of a script evaluates to, as `repr` shows it.
fn evaluate(script: &str) -> Result<String, String> {
    let ast = AstModule::parse("script.star", script.to_owned(), &dialect::dialect())
        .map_err(|error| error.to_string())?;
    let globals = dialect::globals().build();
    let host = Host {
        stage: Stage::Transform,
        network: Box::new(Disabled),
    };
    Module::with_temp_heap(|module| {
        let mut eval = Evaluator::new(&module);
        eval.set_loader(&StandardModules);
        eval.extra = Some(&host);
        let value: Result<Value, _> = eval.eval_module(ast, &globals);
        value.map(Value::to_repr).map_err(|error| error.to_string())
    })
}

#[track_caller]
fn gives(script: &str, shown: &str) {
    assert_eq!(evaluate(script).as_deref(), Ok(shown), "{script}");
}

#[track_caller]
fn fails(script: &str, part: &str) {
    let error = evaluate(script).expect_err(script);
    assert!(error.contains(part), "{error}");
}

#[test]
fn base64_is_read_back_as_it_was_written() {
    let load = r#"load("encoding/base64.star", "base64")"#;
    gives(&format!("{load}\nbase64.encode('a?b>c')"), r#""YT9iPmM=""#);
    gives(
        &format!("{load}\nbase64.encode('a?b>', encoding = 'url_raw')"),
        r#""YT9iPg""#,
    );
    gives(&format!("{load}\nbase64.decode('YT9iPmM=')"), r#""a?b>c""#);
    fails(&format!("{load}\nbase64.decode('*')"), "not base64");
    fails(&format!("{load}\nbase64.decode('/w==')"), "not UTF-8");
    fails(
        &format!("{load}\nbase64.encode('a', 'rot13')"),
        "unknown encoding",
    );
}

#[test]
fn only_standard_modules_can_be_loaded() {
    for path in ["/etc/passwd", "../x.star", "./t.star", "", "//x:y.star"] {
        fails(&format!("load({path:?}, 'x')"), "there is no module");
    }
}
