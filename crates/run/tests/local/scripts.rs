//! What a guest sees: its code, its inputs, its arguments, its environment.

use serde_json::json;
use strongroom_core::{
    plan::{INPUTS_MAX, Inputs},
    run::Reason,
};

use crate::house::{House, Task, files, name};

const PENGUINS: &str = "species,mass\nadelie,3700\ngentoo,5000\n";

#[tokio::test]
async fn a_plain_script_runs_as_main_with_its_arguments_on_stdin() {
    let code = "import sys\n\
        print(__name__, __file__, sys.argv, sys.path[0])\n\
        print(sys.stdin.read())\n\
        if False: exit(0)";
    let outcome = House::new()
        .run(Task::python(code).args(json!({"by": "species"})))
        .await
        .succeeded();
    let expected =
        "__main__ /function/main.py ['/function/main.py'] /function\n{\"by\":\"species\"}";
    assert_eq!(outcome.stdout(), expected);
    assert_eq!(outcome.ended.value, None);
}

#[tokio::test]
async fn a_shell_script_runs_with_its_arguments_on_stdin() {
    let code = "echo \"$PWD $0\"; cat; echo; echo oops >&2; ls /data 2>/dev/null || echo no data";
    let outcome = House::new()
        .run(Task::sh(code).args(json!([1, 2])))
        .await
        .succeeded();
    assert_eq!(
        outcome.stdout(),
        "/function /function/main.sh\n[1,2]\nno data"
    );
    assert_eq!(outcome.stderr(), "oops");
}

#[tokio::test]
async fn a_transform_is_called_and_its_value_comes_back() {
    let code = "def transform(data, ctx):\n    \
        return {'args': ctx.args, 'stage': ctx.stage, 'run': ctx.run_id,\n            \
        'out': str(ctx.out), 'path': data.path, 'names': data.names()}";
    let value = House::new()
        .run(Task::python(code).args(json!({"n": 1.5})))
        .await
        .value();
    let run = crate::house::run_id().to_string();
    assert_eq!(
        value,
        json!({"args": {"n": 1.5}, "stage": "transform", "run": run, "out": "/out", "path": null, "names": []})
    );
}

#[tokio::test]
async fn a_transform_that_reads_stdin_itself_still_gets_its_arguments() {
    let code =
        "import sys\nraw = sys.stdin.read()\ndef transform(data, ctx): return [raw, ctx.args]";
    let value = House::new()
        .run(Task::python(code).args(json!({"a": 1})))
        .await
        .value();
    assert_eq!(value, json!(["{\"a\":1}", {"a": 1}]));
}

#[tokio::test]
async fn a_handler_is_asked_with_the_arguments_and_its_answer_comes_back_whole() {
    let code = "import json\n\
        def handle(event, context):\n    \
        asked = json.loads(event.body)\n    \
        return {'body': {'sum': sum(asked['of']), 'how': event.method + event.path, 'at': context.hostname},\n            \
        'headers': [('X-A', 1)]}";
    let value = House::new()
        .run(Task::python(code).args(json!({"of": [1, 2]})))
        .await
        .value();
    let body = json!({"sum": 3, "how": "POST/", "at": "strongroom"});
    assert_eq!(
        value,
        json!({"statusCode": 200, "body": body, "headers": {"X-A": "1"}})
    );
}

#[tokio::test]
async fn a_handler_may_answer_with_nothing_and_an_error_status_is_a_failure() {
    let house = House::new();
    let value = house
        .run(Task::python("def handle(event, context): pass"))
        .await
        .value();
    assert_eq!(value, json!({"statusCode": 200, "body": "", "headers": {}}));
    let outcome = house
        .run(Task::python("def handle(e, c): return {'statusCode': 400}"))
        .await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: Some(1),
            signal: None
        }
    );
    assert_eq!(outcome.ended.value.unwrap()["statusCode"], 400);
}

#[tokio::test]
async fn the_code_can_be_many_files_and_is_read_only() {
    let code = "from inner.deep import answer\n\
        try:\n    open('/function/x', 'w')\n\
        except OSError as error: print(type(error).__name__, error.errno)\n\
        print(answer)";
    let task = Task::python(code).and_file("inner/deep.py", "answer = 42");
    let outcome = House::new().run(task).await.succeeded();
    assert_eq!(outcome.stdout(), "OSError 30\n42");
}

#[tokio::test]
async fn a_lone_input_lies_in_data() {
    let code = "def transform(data, ctx):\n    \
        assert str(data.path) == '/data'\n    \
        return [list(data.rows()), data.text('penguins.csv'), data.names(), data.open('penguins.csv').readline()]";
    let inputs = Inputs::Only(files(&[("penguins.csv", PENGUINS)]));
    let value = House::new()
        .run(Task::python(code).on(inputs))
        .await
        .value();
    let rows =
        json!([{"species": "adelie", "mass": "3700"}, {"species": "gentoo", "mass": "5000"}]);
    assert_eq!(
        value,
        json!([rows, PENGUINS, ["penguins.csv"], "species,mass\n"])
    );
}

#[tokio::test]
async fn named_inputs_lie_in_folders_of_data() {
    let code = "def transform(data, ctx):\n    \
        return [data.names(), data['birds'].text(), data['places'].names(), str(data['birds'].path)]";
    let inputs = Inputs::Named(
        [
            (name("birds"), files(&[("a.csv", "x\n")])),
            (
                name("places"),
                files(&[("deep/b.csv", "y\n"), ("c.csv", "z\n")]),
            ),
        ]
        .into(),
    );
    let value = House::new()
        .run(Task::python(code).on(inputs))
        .await
        .value();
    let names = ["birds/a.csv", "places/c.csv", "places/deep/b.csv"];
    assert_eq!(
        value,
        json!([names, "x\n", ["c.csv", "deep/b.csv"], "/data/birds"])
    );
}

#[tokio::test]
async fn a_guest_can_have_as_many_inputs_as_a_plan() {
    let inputs = (0..INPUTS_MAX).map(|n| (name(&format!("input-{n}")), files(&[("x", "x")])));
    let task = Task::sh("ls /data/*/x | wc -l").on(Inputs::Named(inputs.collect()));
    let outcome = House::new().run(task).await.succeeded();
    assert_eq!(outcome.stdout(), INPUTS_MAX.to_string());
}

#[tokio::test]
async fn the_environment_is_exactly_what_the_station_says() {
    let outcome = House::new()
        .run(Task::python(
            "import os\nfor row in sorted(os.environ.items()): print(*row)",
        ))
        .await;
    let outcome = outcome.succeeded();
    let run = crate::house::run_id();
    let expected = format!(
        "HOME /tmp\nLANG C.UTF-8\nPATH /usr/bin:/bin\nSTRONGROOM_EVENTS stderr\nSTRONGROOM_MEMORY_BYTES 268435456\nSTRONGROOM_RUN_ID {run}\nSTRONGROOM_STAGE transform\nTZ UTC"
    );
    assert_eq!(outcome.stdout(), expected);
}

#[tokio::test]
async fn a_traceback_shows_the_functions_own_lines_and_nothing_of_the_station() {
    let code = "def inner(): raise ValueError('no')\ndef transform(data, ctx): inner()";
    let stderr = House::new()
        .run(Task::python("def transform(data, ctx): data.text('x')"))
        .await
        .stderr();
    assert!(
        stderr.contains("FileNotFoundError") && !stderr.contains("<string>"),
        "{stderr}"
    );
    let outcome = House::new().run(Task::python(code)).await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: Some(1),
            signal: None
        }
    );
    let stderr = outcome.stderr();
    assert!(
        stderr.starts_with(
            "Traceback (most recent call last):\n  File \"/function/main.py\", line 2, in transform"
        ),
        "{stderr}"
    );
    assert!(
        stderr.ends_with("ValueError: no") && !stderr.contains("<string>"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_file_with_two_entries_is_told_so() {
    let house = House::new();
    let code = "def transform(data, ctx): pass\ndef handle(a, b): pass";
    let outcome = house.run(Task::python(code)).await;
    assert_eq!(
        *outcome.reason(),
        Reason::Failed {
            exit_code: Some(1),
            signal: None
        }
    );
    let said = outcome.stderr();
    assert!(said.contains("both transform and handle"), "{said}");
}
