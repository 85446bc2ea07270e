//! What only one of the shipped runtimes has. What all of them have in common
//! is in the suite `conformance`.

use serde_json::{Value, json};
use strongroom_core::run::Reason;

use crate::{
    house::{House, Task},
    image::compiled,
};

fn runtime(file: &str) -> &str {
    match file.rsplit('.').next() {
        Some("py") => "python3",
        Some("sh") => "sh",
        Some("js" | "mjs" | "cjs") => "node",
        _ => "binary",
    }
}

fn task(file: &str, code: &str) -> Task {
    Task::file(file, code).runs_on(runtime(file))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_its_function_says_so() {
    let house = House::new();
    for (file, code, why) in [
        (
            "handler.py",
            "x = 1\n",
            "handler.py defines no function handle",
        ),
        (
            "handler.js",
            "exports.x = 1\n",
            "handler.js exports no function handle",
        ),
        (
            "handler.mjs",
            "export const handle = 1\n",
            "handler.mjs exports no function handle",
        ),
    ] {
        let outcome = house.run(task(file, code)).await;
        assert!(outcome.stderr().contains(why), "{outcome:?}");
        assert_eq!(outcome.reason().code(), "failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_said_before_it_failed_is_no_answer() {
    let house = House::new();
    let failed = house.run(task("handler.sh", "echo half; exit 3")).await;
    assert!(
        matches!(
            failed.reason(),
            Reason::Failed {
                exit_code: Some(3),
                ..
            }
        ),
        "{failed:?}"
    );
    assert_eq!(failed.ended.value, None);
    let bytes = house.run(task("handler.sh", "printf 'a\\377'")).await;
    assert_eq!(bytes.reason().code(), "failed");
    assert!(
        bytes.stdout().contains("not a text in UTF-8")
            || bytes.stderr().contains("not a text in UTF-8"),
        "{bytes:?}"
    );
    let endless = task("handler.sh", "yes").limits(|limits| limits.out_bytes = 1 << 20);
    let endless = house.run(endless).await;
    assert_eq!(endless.reason().code(), "output_too_large", "{endless:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_waited_for_its_handler_answers_too() {
    let house = House::with_pool(1, 2);
    let asked = task("handler.sh", "cat").args(json!([1]));
    house.run(asked.clone()).await;
    house.until_waiting(&asked).await;
    let answer = house.run(asked).await.value();
    assert_eq!(answer["body"], "[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_in_javascript_ends_and_fails_as_node_does() {
    let house = House::new();
    for (code, expected, said) in [
        (
            "setTimeout(() => console.log('later'), 5)",
            Some(0),
            "later",
        ),
        ("process.exitCode = 4", Some(4), ""),
        (
            "throw new Error('mine')",
            Some(1),
            "Error: mine\n    at file:///function/main.mjs:1:7",
        ),
        ("Promise.reject(new Error('late'))", Some(1), "late"),
        (
            "console.log(await 7, process.argv.length, import.meta.url)",
            Some(0),
            "7 2 file:///function/main.mjs",
        ),
        (
            "import { readFileSync } from 'node:fs'\nconsole.log(String(readFileSync(0)))",
            Some(0),
            "{}",
        ),
        ("export const transform = () => 1n", Some(1), "a bigint"),
        (
            "export const transform = () => ({ a: NaN })",
            Some(1),
            "NaN",
        ),
        (
            "export const transform = () => 1, handle = () => 2",
            Some(1),
            "keep one of them",
        ),
    ] {
        let outcome = house.run(task("main.mjs", code)).await;
        let exit = match outcome.reason() {
            Reason::Succeeded => Some(0),
            Reason::Failed { exit_code, .. } => *exit_code,
            other => panic!("{code}: {other:?}"),
        };
        let all = format!("{}\n{}", outcome.stdout(), outcome.stderr());
        assert_eq!(exit, expected, "{code}: {all}");
        assert!(all.contains(said), "{code}: {all}");
        assert!(!all.contains("[eval]"), "{code}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_has_its_threads_its_compilers_and_no_way_out() {
    let house = House::new();
    let code = r#"
import { Worker } from 'node:worker_threads'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import net from 'node:net'
import dgram from 'node:dgram'
import { spawnSync } from 'node:child_process'
const tried = async (what) => { try { return await what() } catch (error) { return error.code ?? error.name } }
const connect = (to) => new Promise((done) => {
  const socket = net.connect(to, () => done('connected'))
  socket.on('error', (error) => done(error.code))
})
export async function transform(data, ctx) {
  const worker = await new Promise((done) => new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true }).on('message', done))
  let sum = 0
  for (let n = 0; n < 3e6; n++) sum = (sum + n * n) % 1000003
  const wasm = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11])))
  return {
    worker, sum, wasm: wasm.exports.f(), hash: createHash('sha256').update('a').digest('hex').slice(0, 8),
    write: await tried(() => fs.writeFile('/function/x', '')),
    run: await tried(async () => { await fs.writeFile('/tmp/x.sh', '#!/bin/sh\n', { mode: 0o755 }); return spawnSync('/tmp/x.sh').error?.code }),
    function: await tried(() => spawnSync('/function/tool').error?.code),
    tcp: await connect({ host: '127.0.0.1', port: 3128 }),
    unix: await connect({ path: '/tmp/s' }),
    fetch: await tried(() => fetch('http://127.0.0.1:3128/')).then((one) => typeof one === 'string' ? 'no' : 'yes'),
    proxy: await tried(() => ctx.fetch('http://a.example/')),
    files: data.path,
  }
}
"#;
    let task = task("main.mjs", code).and_file("tool", "#!/bin/sh\necho no\n");
    let outcome = house.run(task).await;
    let peak = outcome.ended.usage.memory_peak_bytes;
    let value = outcome.value();
    assert_eq!(value["worker"], 42);
    assert_eq!(
        (&value["wasm"], &value["hash"]),
        (&json!(42), &json!("ca978112"))
    );
    for (what, codes) in [
        ("write", &["EROFS", "EACCES"][..]),
        ("run", &["EACCES"]),
        ("function", &["EACCES"]),
        ("tcp", &["EAFNOSUPPORT"]),
        ("unix", &["EAFNOSUPPORT"]),
        ("fetch", &["no"]),
        ("proxy", &["Error"]),
    ] {
        let found = value[what].as_str().unwrap_or_default();
        assert!(codes.contains(&found), "{what}: {value}");
    }
    assert_eq!(value["files"], Value::Null);
    assert!(peak < 200 << 20, "{peak}");
}

/// Rubbish is collected before the limit is reached, and what is kept is not.
#[tokio::test(flavor = "multi_thread")]
async fn node_keeps_within_its_memory_or_ends_by_that_name() {
    let house = House::new();
    let rubbish = "let n = 0\nfor (let i = 0; i < 400; i++) n += Array.from({ length: 20000 }, (_, k) => ({ k })).length\nexport const transform = () => n\n";
    assert_eq!(
        house.run(task("main.mjs", rubbish)).await.value(),
        8_000_000
    );
    let kept =
        "const all = []\nfor (;;) all.push(Array.from({ length: 1000 }, (_, k) => ({ k })))\n";
    let outcome = house.run(task("main.mjs", kept)).await;
    assert_eq!(outcome.reason().code(), "out_of_memory", "{outcome:?}");
}

const HOSTILE_IN_C: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int run(char *path) {
    char *words[] = {path, "child", 0};
    if (vfork() == 0) { execv(path, words); _exit(errno); }
    int status;
    wait(&status);
    return status >> 8;
}
static int made(char *path, char *from) {
    char buffer[1 << 16];
    int in = open(from, O_RDONLY), out = open(path, O_WRONLY | O_CREAT, 0755), n;
    if (in < 0 || out < 0) return errno;
    while ((n = read(in, buffer, sizeof buffer)) > 0) write(out, buffer, n);
    close(out);
    chmod(path, 0755);
    return run(path);
}
int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "child")) return 99;
    dprintf(3, "{\"again\":%d,", run(words[0]));
    dprintf(3, "\"copy\":%d,", run("/function/main"));
    dprintf(3, "\"script\":%d,", run("/function/tool.sh"));
    dprintf(3, "\"tmp\":%d,", made("/tmp/x", words[0]));
    dprintf(3, "\"out\":%d,", made("/out/x", words[0]));
    dprintf(3, "\"link\":%d,", symlink(words[0], "/tmp/l") ? errno : run("/tmp/l"));
    int fd = open(words[0], O_WRONLY);
    dprintf(3, "\"write\":%d,", fd < 0 ? errno : 0);
    dprintf(3, "\"chmod\":%d,", chmod(words[0], 0777) ? errno : 0);
    dprintf(3, "\"unlink\":%d,", unlink(words[0]) ? errno : 0);
    dprintf(3, "\"beside\":%d,", open("/program/x", O_WRONLY | O_CREAT, 0755) < 0 ? errno : 0);
    dprintf(3, "\"socket\":%d,", socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0);
    dprintf(3, "\"usr\":%d,", access("/usr", F_OK) ? errno : 0);
    dprintf(3, "\"sh\":%d}", run("/bin/sh"));
    unlink("/out/x");
    return 0;
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_itself_and_nothing_else() {
    let house = House::new();
    let (_kept, program) = compiled(HOSTILE_IN_C);
    let task = Task::program("main", &program).and_file("tool.sh", "#!/program/main\n");
    let value = house.run(task).await.value();
    let (ok, none, denied, read_only) = (99, 2, 13, 30);
    for (what, codes) in [
        ("again", &[ok][..]),
        ("copy", &[denied]),
        ("script", &[denied]),
        ("tmp", &[denied]),
        ("out", &[denied]),
        ("link", &[denied, 1]),
        ("write", &[denied, read_only, 26]),
        ("chmod", &[1, read_only]),
        ("unlink", &[1, denied, read_only]),
        ("beside", &[denied, read_only]),
        ("socket", &[97]),
        ("usr", &[none]),
        ("sh", &[none]),
    ] {
        let found = value[what].as_i64().unwrap_or(-1);
        assert!(codes.contains(&found), "{what} is {found}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_lays_out_a_program_just_where_its_runtime_runs_one() {
    let house = House::new();
    let (_kept, program) = compiled("int main() { return 0; }");
    let mut without = house.job(&Task::program("main", &program));
    let folder = without.program_dir.take();
    let mut with = house.job(&Task::sh("true"));
    with.program_dir = folder;
    for job in [without, with] {
        let permit = strongroom_core::permit::Permit::trial(crate::house::run_id(), &job.plan);
        let refused = house.local.prepare(permit, job).await;
        assert!(matches!(
            refused.err(),
            Some(strongroom_run::PrepareError::Program)
        ));
    }
}
