//! The standard modules, as scripts use them.

use std::cell::RefCell;

use starlark::{
    PrintHandler, environment::Module, eval::Evaluator, syntax::AstModule, values::Value,
};
use strongroom_star::{
    dialect,
    host::{Host, Stage},
    loader::StandardModules,
    network::{Answer, Disabled, Network, NetworkError, Request},
    source::Source,
};

/// What the last statement of a script evaluates to, as `repr` shows it.
fn evaluate(script: &str) -> Result<String, String> {
    let host = Host::new(Stage::Transform, Box::new(Disabled));
    evaluate_in(&host, script)
}

fn evaluate_in(host: &Host, script: &str) -> Result<String, String> {
    let ast = AstModule::parse("script.star", script.to_owned(), &dialect::dialect())
        .map_err(|error| error.to_string())?;
    let globals = dialect::globals().build();
    Module::with_temp_heap(|module| {
        let mut eval = Evaluator::new(&module);
        eval.set_loader(&StandardModules);
        eval.extra = Some(host);
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

/// Answers every request with the request itself, as JSON.
struct Echo;

impl Network for Echo {
    fn fetch(&self, request: &Request) -> Result<Answer, NetworkError> {
        let headers: serde_json::Map<String, serde_json::Value> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let shown = serde_json::json!({
            "method": request.method,
            "url": request.url,
            "headers": headers,
            "body": String::from_utf8_lossy(&request.body),
        });
        let pairs = [
            ("content-type", "application/json"),
            ("x-two", "1"),
            ("X-Two", "2"),
        ];
        Ok(Answer {
            url: request.url.clone(),
            status: 200,
            headers: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            body: shown.to_string().into_bytes(),
        })
    }
}

#[test]
fn requests_are_built_as_asked_and_bad_ones_are_never_sent() {
    let path = format!("{}/tests/modules/http.star", env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(&path).expect("the script is there");
    let host = Host::new(Stage::Download, Box::new(Echo));
    if let Err(error) = evaluate_in(&host, &script) {
        panic!("http.star: {error}");
    }
}

#[test]
fn there_is_no_http_outside_of_download() {
    for call in ["get('http://h/')", "post('http://h/', body = 'x')"] {
        fails(
            &format!("load('http.star', 'http')\nhttp.{call}"),
            "network use is disabled. http can only be used during download step",
        );
    }
}

#[test]
fn html_is_selected_and_walked() {
    holds("html");
    holds("bsoup");
}

#[test]
fn archives_and_workbooks_are_read_and_their_bombs_are_refused() {
    holds("archives");
}

#[test]
fn geometries_are_measured_and_compared() {
    holds("geo");
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
fn moments_and_durations_are_read_shown_and_reckoned_with() {
    holds("time");
}

/// Keeps what a script prints.
#[derive(Default)]
struct Printed(RefCell<String>);

impl PrintHandler for Printed {
    fn println(&self, text: &str) -> starlark::Result<()> {
        let mut printed = self.0.borrow_mut();
        printed.push_str(text);
        printed.push('\n');
        Ok(())
    }
}

/// What a script prints, and the error that ends it.
fn printed(name: &str) -> (String, Option<String>) {
    let path = format!("{}/tests/modules/{name}.star", env!("CARGO_MANIFEST_DIR"));
    let script = std::fs::read_to_string(&path).expect("the script is there");
    let source = Source::new("script.star", &script).expect("it is taken");
    let ast = source.parse().expect("it parses");
    let globals = dialect::globals().build();
    let host = Host::new(Stage::Transform, Box::new(Disabled));
    let printed = Printed::default();
    let error = Module::with_temp_heap(|module| {
        let mut eval = Evaluator::new(&module);
        eval.set_loader(&StandardModules);
        eval.set_print_handler(&printed);
        eval.extra = Some(&host);
        let ended = eval.eval_module(ast, &globals);
        ended.err().map(|error| error.to_string())
    });
    (printed.0.into_inner(), error)
}

#[test]
fn tables_are_made_asked_changed_and_refused_by_name() {
    let (printed, error) = printed("dataframe");
    assert_eq!((printed.as_str(), error), ("", None));
}

/// `pandas.txt` was printed by pandas itself for the same script.
#[test]
fn tables_are_printed_as_pandas_prints_them() {
    let (printed, error) = printed("pandas");
    let path = format!("{}/tests/modules/pandas.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(&path).expect("the text is there");
    let cases = |text: &str| -> Vec<String> { text.split("== ").map(str::to_owned).collect() };
    let (ours, theirs) = (cases(&printed), cases(&expected));
    let differing = ours
        .iter()
        .zip(&theirs)
        .filter(|(ours, theirs)| ours != theirs);
    let shown: String = differing
        .map(|(ours, theirs)| format!("ours: {ours}pandas: {theirs}\n"))
        .collect();
    assert!(shown.is_empty(), "{shown}");
    assert_eq!(error, None);
    assert_eq!(printed, expected);
}

#[test]
fn only_standard_modules_can_be_loaded() {
    for path in ["/etc/passwd", "../x.star", "./t.star", "", "//x:y.star"] {
        fails(&format!("load({path:?}, 'x')"), "there is no module");
    }
}
