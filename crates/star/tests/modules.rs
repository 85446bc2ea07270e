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
    let host = Host::new(Stage::Transform, Box::new(Disabled));
    Module::with_temp_heap(|module| {
        let mut eval = Evaluator::new(&module);
        eval.set_loader(&StandardModules);
        eval.extra = Some(&host);
        let value: Result<Value, _> = eval.eval_module(ast, &globals);
        value.map(Value::to_repr).map_err(|error| error.to_string())
    })
}

#[track_caller]
fn fails(script: &str, part: &str) {
    let error = evaluate(script).expect_err(script);
    assert!(error.contains(part), "{error}");
}

/// Runs `tests/modules/NAME.star`, whose claims are all that it promises.
#[track_caller]
fn holds(name: &str) {
    let path = format!("{}/tests/modules/{name}.star", env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(&path).expect("the script is there");
    if let Err(error) = evaluate(&script) {
        panic!("{name}.star: {error}");
    }
}

#[test]
fn assertions_hold_or_end_the_script() {
    holds("assert");
}

#[test]
fn json_is_read_and_written_and_bad_json_is_named() {
    holds("json");
}

#[test]
fn yaml_is_read_and_written_and_its_bombs_are_refused() {
    holds("yaml");
}

#[test]
fn csv_is_read_and_written_and_bad_csv_is_named_with_its_line() {
    holds("csv");
}

#[test]
fn base64_gzip_and_hashes_take_text_and_bytes() {
    holds("encodings");
}

#[test]
fn patterns_find_split_and_replace_in_linear_time() {
    holds("re");
}

#[test]
fn functions_of_numbers_answer_as_the_reference_says() {
    holds("math");
}

#[test]
fn only_standard_modules_can_be_loaded() {
    for path in ["/etc/passwd", "../x.star", "./t.star", "", "//x:y.star"] {
        fails(&format!("load({path:?}, 'x')"), "there is no module");
    }
}
