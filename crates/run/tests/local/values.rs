//! What comes back through descriptor 3, honest or not.

use serde_json::json;
use strongroom_core::run::Reason;

use crate::house::{House, Task};

/// A guest that writes these bytes, given as Python, to descriptor 3.
async fn forged(python: &str) -> crate::house::Outcome {
    let code = format!("import os\nraw = {python}\nwhile raw: raw = raw[os.write(3, raw):]");
    House::new().run(Task::python(&code)).await
}

async fn is_refused(python: &str, said: &str) {
    let outcome = forged(python).await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: None,
            signal: None
        },
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr()
            .starts_with("strongroom: the returned value is not a JSON document"),
        "{}",
        outcome.stderr()
    );
    assert!(outcome.stderr().contains(said), "{}", outcome.stderr());
    assert_eq!(outcome.ended.value, None);
}

#[tokio::test]
async fn bytes_that_are_no_json_fail_the_run_and_the_log_says_why() {
    is_refused("b'{'", "EOF").await;
    is_refused("b'1 2'", "trailing").await;
    is_refused(r"b'\xff'", "expected value").await;
}

#[tokio::test]
async fn a_value_that_two_parsers_could_read_differently_is_refused() {
    is_refused(r#"b'{"a":1,"a":2}'"#, "there twice").await;
    is_refused("b'NaN'", "expected value").await;
    is_refused("b'1' * 5000", "out of range").await;
}

#[tokio::test]
async fn a_value_of_the_deepest_nesting_is_taken_and_one_deeper_is_not() {
    forged("b'[' * 120 + b']' * 120").await.value();
    is_refused("b'[' * 121 + b']' * 121", "nests deeper").await;
    is_refused("b'[' * 100000", "nests deeper").await;
}

#[tokio::test]
async fn a_transform_cannot_return_what_json_cannot_carry() {
    let house = House::new();
    let deep = "(lambda v: [v := [v] for _ in range(100000)][-1])([])";
    for value in ["float('nan')", "{1, 2}", "'\\ud800'", "10 ** 5000", deep] {
        let outcome = house
            .run(Task::python(&format!(
                "def transform(data, ctx):\n    return {value}"
            )))
            .await;
        assert_eq!(
            *outcome.reason(),
            Reason::Failed {
                exit_code: Some(1),
                signal: None
            },
            "{value}: {outcome:?}"
        );
        assert!(
            outcome
                .stderr()
                .contains("transform returned what JSON cannot carry"),
            "{}",
            outcome.stderr()
        );
    }
}

#[tokio::test]
async fn a_value_up_to_the_bound_is_taken_and_a_longer_one_ends_the_run() {
    let house = House::new();
    let sized = |len: usize| {
        Task::python(&format!("def transform(data, ctx): return 'x' * {len}"))
            .limits(|limits| limits.out_bytes = 1 << 20)
    };
    let outcome = house.run(sized((1 << 20) - 2)).await;
    assert_eq!(outcome.ended.usage.out_bytes, 1 << 20);
    assert_eq!(outcome.value().as_str().unwrap().len(), (1 << 20) - 2);
    let outcome = house.run(sized((1 << 20) - 1)).await;
    assert_eq!(
        *outcome.reason(),
        Reason::OutputTooLarge {
            limit_bytes: 1 << 20
        }
    );
}

#[tokio::test]
async fn a_value_without_end_ends_the_run() {
    let code = "import os\nwhile True: os.write(3, b' ' * 65536)";
    let task = Task::python(code).limits(|limits| limits.out_bytes = 1 << 20);
    let outcome = House::new().run(task).await;
    assert_eq!(
        *outcome.reason(),
        Reason::OutputTooLarge {
            limit_bytes: 1 << 20
        }
    );
}

#[tokio::test]
async fn a_value_comes_back_from_a_shell_script_too() {
    let value = House::new()
        .run(Task::sh("echo '{\"a\": [1, null]}' >&3"))
        .await
        .value();
    assert_eq!(value, json!({"a": [1, null]}));
}
