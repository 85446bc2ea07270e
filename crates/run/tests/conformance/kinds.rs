//! Each shipped runtime under one contract: on the host's own files, on an
//! image, and each of both in a container.
//!
//! The same hello, the same question about data and the same handler, written
//! as each language is written: what comes out is the same everywhere, with the
//! files that a run leaves and what it says.

use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};
use strongroom_core::{digest::Digest, plan::Inputs, run::Reason};
use strongroom_run::{
    Dependencies, Runtimes,
    image::{Addition, Images},
};

use crate::{
    engine::Engine,
    house::{House, IMAGED, Outcome, Task},
    image::{compiled, program, python},
};

/// One program that is a hello, a data function or a handler by its name.
const IN_C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void hello(void) {
    char args[200] = {0};
    read(0, args, sizeof args - 1);
    puts("hello");
    dprintf(3, "{\"args\":%s}", args);
}
static void data(void) {
    FILE *birds = fopen("/data/birds.csv", "r");
    char line[200];
    int rows = -1;
    while (fgets(line, sizeof line, birds)) rows++;
    FILE *out = fopen("/out/rows.txt", "w");
    fprintf(out, "%d\n", rows);
    fclose(out);
    dprintf(3, "{\"rows\":%d}", rows);
}
int main(int count, char **words) {
    char *name = strrchr(words[0], '/') + 1;
    if (!strcmp(name, "handler")) {
        char body[200] = {0};
        read(0, body, sizeof body - 1);
        fputs("asked\n", stderr);
        printf("got %s", body);
    } else if (!strcmp(name, "data")) data();
    else hello();
    return 0;
}
"#;

/// The function of each runtime, as its file's name and its text.
const HELLO: [(&str, &str); 4] = [
    (
        "main.py",
        "print('hello')\ndef transform(data, ctx):\n    return {'args': ctx.args}\n",
    ),
    (
        "main.sh",
        "echo hello\nprintf '{\"args\":%s}' \"$(cat)\" >&3\n",
    ),
    (
        "main.mjs",
        "console.log('hello')\nexport function transform(data, ctx) { return { args: ctx.args } }\n",
    ),
    (
        "main.star",
        "def transform(ds, ctx):\n    print('hello')\n    return {'args': ctx.args}\n",
    ),
];
const DATA: [(&str, &str); 4] = [
    (
        "main.py",
        "def transform(data, ctx):\n    rows = len(list(data.rows()))\n    (ctx.out / 'rows.txt').write_text(f'{rows}\\n')\n    return {'rows': rows}\n",
    ),
    (
        "main.sh",
        "rows=$(($(wc -l < /data/birds.csv) - 1))\necho $rows > /out/rows.txt\nprintf '{\"rows\":%s}' $rows >&3\n",
    ),
    (
        "main.cjs",
        "exports.transform = async (data, ctx) => {\n  const rows = data.rows().length\n  ctx.write('rows.txt', `${rows}\\n`)\n  return { rows }\n}\n",
    ),
    (
        "main.star",
        "def transform(ds, ctx):\n    return {'rows': len(ds.get_body())}\n",
    ),
];
const HANDLER: [(&str, &str); 4] = [
    (
        "handler.py",
        "import sys\ndef handle(event, context):\n    print('asked', file=sys.stderr)\n    return {'body': 'got ' + event.body.decode()}\n",
    ),
    ("handler.sh", "echo asked >&2\nprintf 'got %s' \"$(cat)\"\n"),
    (
        "handler.js",
        "module.exports = async (event, context) => {\n  console.error('asked')\n  return context.succeed(`got ${event.bytes}`)\n}\n",
    ),
    (
        "handler.star",
        "def handle(event, context):\n    print('asked')\n    return {'body': 'got ' + event.body}\n",
    ),
];

/// What the programs of this suite call.
const TOOLS: [&str; 10] = [
    "cat", "chmod", "env", "grep", "head", "mkdir", "setsid", "sleep", "sort", "wc",
];

/// Runtimes that have files of their own; an image takes their place.
const RUNTIMES: [&str; 5] = ["python3", "sh", "node", "starlark", "binary"];

fn runtime(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("py") => "python3",
        Some("sh") => "sh",
        Some("js" | "mjs" | "cjs") => "node",
        Some("star") => "starlark",
        _ => "binary",
    }
}

/// The runtimes of this host, and each again as `imaged-NAME` on one image.
pub fn runtimes(folder: &Path) -> Arc<Runtimes> {
    let place = folder.join("images");
    let images = Images::open(&place).unwrap();
    let mut packed = python();
    program(&mut packed, "usr/bin/sh", "/bin/sh");
    for name in TOOLS {
        program(
            &mut packed,
            &format!("usr/bin/{name}"),
            &format!("/usr/bin/{name}"),
        );
    }
    program(&mut packed, "usr/local/bin/node", "/usr/bin/node");
    packed.link("bin", "usr/bin");
    packed.text("etc/marker", "of the image");
    let built = images.build_and_admit(None, &[Addition::whole(packed)], &[]);
    let image = built.unwrap().digest;
    let runtimes = Runtimes::default().with_images(place);
    for base in RUNTIMES {
        let below = folder.join(base);
        fs::create_dir(&below).unwrap();
        let toml = format!("base = \"{base}\"\nimage = \"{image}\"\n");
        fs::write(below.join("runtime.toml"), &toml).unwrap();
        let name = format!("imaged-{base}").parse().unwrap();
        let digest = Digest::of(toml.as_bytes());
        runtimes.add(name, &below, digest).unwrap();
    }
    Arc::new(runtimes)
}

/// The jail of this host, and containers where there is an engine.
struct Places {
    houses: Vec<(&'static str, House)>,
    engine: Option<Engine>,
    _folder: tempfile::TempDir,
}

impl Places {
    async fn all() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtimes = runtimes(folder.path());
        let mut houses = vec![("the jail", House::local_with(Arc::clone(&runtimes)))];
        let engine = Engine::start().await;
        if let Some(engine) = &engine {
            houses.push((
                "a container",
                House::docker_with(engine, Arc::clone(&runtimes)).await,
            ));
            houses.push((
                "an engine elsewhere",
                House::elsewhere(engine, runtimes).await,
            ));
        }
        Self {
            houses,
            engine,
            _folder: folder,
        }
    }

    /// What a task comes to, which is the same on the host's files and on an
    /// image, and the same in every place.
    async fn run(&self, name: &str, task: &Task, runtime: &str) -> Outcome {
        let mut first: Option<Outcome> = None;
        for (place, house) in &self.houses {
            let on_image = format!("{IMAGED}{runtime}");
            let on_host = (!house.on_images).then(|| runtime.to_owned());
            for runtime in on_host.into_iter().chain([on_image]) {
                let outcome = house.run(&task.clone().runs_on(&runtime)).await;
                let what = format!("{name} on {runtime} in {place}");
                assert_eq!(outcome.reason, Reason::Succeeded, "{what}: {outcome:?}");
                match &first {
                    Some(first) => assert_eq!(outcome, *first, "{what}"),
                    None => first = Some(outcome),
                }
            }
        }
        first.unwrap()
    }

    async fn close(self) {
        for (_, house) in &self.houses {
            house.backend.close().await;
        }
        drop(self.engine);
    }
}

/// Runs each, and the program under that name; every value is the same.
async fn each(
    places: &Places,
    name: &'static str,
    all: &[(&'static str, &str)],
    ready: impl Fn(Task) -> Task,
) -> Vec<(&'static str, Outcome)> {
    let (_kept, program) = compiled(IN_C);
    let mut as_program = Task::file(name, "");
    as_program.program = Some(program);
    let programs = [("binary", as_program)];
    let written = all
        .iter()
        .map(|(file, code)| (runtime(file), Task::file(file, code)));
    let mut outcomes = Vec::new();
    for (runtime, task) in programs.into_iter().chain(written) {
        let outcome = places.run(name, &ready(task), runtime).await;
        outcomes.push((runtime, outcome));
    }
    outcomes
}

fn same_value(outcomes: &[(&str, Outcome)], value: &Value) {
    for (runtime, outcome) in outcomes {
        assert_eq!(
            outcome.value.as_ref(),
            Some(value),
            "{runtime}: {outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_runtime_keeps_one_contract_on_the_host_on_an_image_and_in_containers() {
    let places = Places::all().await;
    let args = json!({"by": "species", "n": 1});
    let outcomes = each(&places, "hello", &HELLO, |task| task.args(args.clone())).await;
    same_value(&outcomes, &json!({ "args": args }));
    for (runtime, outcome) in &outcomes {
        assert_eq!(outcome.stdout, "hello", "{runtime}: {outcome:?}");
        assert_eq!(outcome.files, Ok(Vec::new()), "{runtime}");
    }

    let birds = "species,mass\nAdelie,3700\nGentoo,5000\n".to_owned();
    let on = |task: Task| task.on(Inputs::Only(vec![("birds.csv", birds.clone())]));
    let outcomes = each(&places, "data", &DATA, on).await;
    same_value(&outcomes, &json!({"rows": 2}));
    let left = vec![("rows.txt".to_owned(), "2\n".to_owned())];
    for (runtime, outcome) in outcomes {
        // A script in Starlark writes versions and no files.
        if runtime != "starlark" {
            assert_eq!(outcome.files, Ok(left.clone()), "{runtime}");
        }
    }

    let ready = |task: Task| task.args(json!({"a": 1}));
    let outcomes = each(&places, "handler", &HANDLER, ready).await;
    let answer = json!({"statusCode": 200, "headers": {}, "body": "got {\"a\":1}"});
    same_value(&outcomes, &answer);
    for (runtime, outcome) in &outcomes {
        let said = match *runtime {
            // It has one way of saying anything.
            "starlark" => (&outcome.stdout, &outcome.stderr),
            _ => (&outcome.stderr, &outcome.stdout),
        };
        assert_eq!(
            (said.0.as_str(), said.1.as_str()),
            ("asked", ""),
            "{runtime}"
        );
    }
    places.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_a_function_brings_are_found_on_images_and_in_containers() {
    let places = Places::all().await;
    let folder = tempfile::tempdir().unwrap();
    let in_node = folder.path().join("node_modules/bird");
    fs::create_dir_all(&in_node).unwrap();
    fs::write(in_node.join("index.js"), "module.exports = 'Adelie'\n").unwrap();
    fs::write(folder.path().join("bird.py"), "NAME = 'Adelie'\n").unwrap();
    let dependencies = Dependencies {
        lock: Digest::of(b"a lock"),
        folder: folder.path().to_owned(),
        preload: Vec::new(),
    };
    for (file, code) in [
        (
            "main.py",
            "import bird\ndef transform(data, ctx):\n    return [bird.NAME, bird.__file__]\n",
        ),
        (
            "main.cjs",
            "exports.transform = () => [require('bird'), '/deps/bird.py']\n",
        ),
    ] {
        let mut task = Task::file(file, code);
        task.dependencies = Some(dependencies.clone());
        let outcome = places.run("packages", &task, runtime(file)).await;
        assert_eq!(outcome.value, Some(json!(["Adelie", "/deps/bird.py"])));
    }
    places.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_on_an_image_sees_the_image_and_nothing_of_the_host() {
    let places = Places::all().await;
    let code = "cat /etc/marker; echo; wc -c < /etc/marker; [ -e /usr/share ] || echo none; \
        [ -e /usr/bin/perl ] || echo nor; (echo x > /usr/x) 2> /dev/null || echo kept";
    let task = Task::sh(code).runs_on("imaged-sh");
    for (place, house) in &places.houses {
        let outcome = house.run(&task).await;
        assert_eq!(outcome.reason, Reason::Succeeded, "{place}: {outcome:?}");
        assert_eq!(
            outcome.stdout, "of the image\n12\nnone\nnor\nkept",
            "{place}"
        );
    }
    places.close().await;
}
