//! Connectors in TypeScript: compiled by TypeScript's own compiler, as strictly
//! as it can be asked to, and run by Node.js.
//!
//! The compiler is what `cargo xtask test` brings into `target/tools`; where it
//! is not, that is said and nothing of this is run.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::station::{Person, Place, Station, said};

/// All that the compiler can be strict about in a file that stands alone.
const STRICT: [&str; 13] = [
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noPropertyAccessFromIndexSignature",
    "--noUncheckedIndexedAccess",
    "--noImplicitReturns",
    "--noImplicitOverride",
    "--noFallthroughCasesInSwitch",
    "--noUnusedLocals",
    "--noUnusedParameters",
    "--isolatedModules",
    "--isolatedDeclarations",
    "--declaration",
    "--erasableSyntaxOnly",
];
const TO: [&str; 8] = [
    "--target",
    "es2022",
    "--module",
    "esnext",
    "--moduleResolution",
    "bundler",
    "--lib",
    "es2022,dom",
];

#[allow(clippy::print_stderr)]
fn compiler() -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let mut beside = own
        .ancestors()
        .map(|folder| folder.join("tools/typescript/lib/tsc.js"));
    let found = beside.find(|path| path.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must test the connectors in TypeScript"
        );
        eprintln!("NOT RUN: `cargo xtask test` brings the compiler that this takes");
    }
    found
}

/// Compiles files of the place into its folder `js`.
fn compiles(compiler: &Path, place: &Place, files: &[&str]) {
    let mut command = Command::new("/usr/bin/node");
    command
        .current_dir(place.path(""))
        .arg(compiler)
        .args(STRICT)
        .args(TO)
        .args(["--outDir", "js"])
        .args(files);
    let compiled = said(&mut command);
    assert_eq!(compiled.code, 0, "{compiled}");
    place.file("js/package.json", r#"{"type": "module"}"#);
}

/// Runs a program of Node.js beside what was compiled.
fn node(person: &Person<'_>, owner: &str, program: &str) -> String {
    let place = &person.station.place;
    let program = place.file("js/program.js", program);
    let mut command = Command::new("/usr/bin/node");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("STRONGROOM_URL", &person.station.url)
        .env("STRONGROOM_TOKEN", &person.token)
        .env("OWNER", owner)
        .env("STRONGROOM", env!("CARGO_BIN_EXE_strongroom"))
        .arg(program);
    let ran = said(&mut command);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(ran.err, "");
    ran.out
}

const CALLS: &str = r#"
import { execFileSync } from "node:child_process";
import { meanMass, PendingApproval, Problem } from "./mean_mass.js";
import { fails, Failed } from "./fails.js";
const approve = (run) => {
  const env = { ...process.env, STRONGROOM_TOKEN: process.env.OWNER };
  execFileSync(process.env.STRONGROOM, ["request", "approve", run.request, "--args-schema", "{}"], { env, stdio: "ignore" });
};
const means = await meanMass({ on: "lab/penguins", args: { by: "species" }, onPending: approve });
console.log(means.mean_mass_g.Gentoo);
try { await meanMass({ on: { penguins: "lab/penguins" }, args: { by: "year" }, timeoutMs: 1, onPending: () => {} }); }
catch (error) { console.log(error instanceof PendingApproval || error.message); }
try { await meanMass({ on: "lab/penguins", args: { by: "wing" } }); }
catch (error) { console.log(error instanceof Problem && error.code); }
try { await fails({ on: "lab/penguins", onPending: approve }); }
catch (error) { console.log(error instanceof Failed, error.remoteTraceback.split("\n").at(-1)); }
"#;

/// Stations that answer whatever they like; each has to be told apart and left.
const HOSTILE: &str = r#"
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";
import { meanMass } from "./mean_mass.js";
const run = { id: "run-1", request: "req-1", state: "ended", started_ms: 1, reason: { code: "failed" } };
const line = { seq: 1, stream: "stderr", text: "x" };
const says = (body) => (_, answer) => answer.end(typeof body === "string" ? body : JSON.stringify(body));
let elsewhere = 0;
const other = createServer((_, answer) => { elsewhere += 1; answer.end("{}"); }).listen(0, "127.0.0.1");
await new Promise((done) => other.once("listening", done));
const cases = {
  words: says("<html>"), nothing: says(""), list: says([]), none: says(null), empty: says({}),
  number: says({ ...run, id: 1 }), owners: says({ ...run, state: "waiting", waits_for: [1] }),
  deep: says("[".repeat(200000)),
  bomb: (_, answer) => { answer.setHeader("content-encoding", "gzip"); answer.end(gzipSync(Buffer.alloc(8 << 20, 32))); },
  redirect: (_, answer) => { answer.statusCode = 307; answer.setHeader("location", `http://127.0.0.1:${other.address().port}/`); answer.end(); },
  refusal: (_, answer) => { answer.statusCode = 500; answer.end("oops"); },
  log: (asked, answer) => says(asked.url.includes("/log") ? { items: [line], next: "0" } : run)(asked, answer),
  terminal: says({ ...run, id: "\u001b]0;x\u0007", started_ms: undefined, reason: { code: "\u001b[2J" } }),
};
for (const [name, handler] of Object.entries(cases)) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const station = { url: `http://127.0.0.1:${server.address().port}`, token: "srt_x" };
  try { await meanMass({ on: "lab/d", args: { by: "species" }, station, timeoutMs: 5000, onPending: () => {} }); console.log(name, "passed"); }
  catch (error) { console.log(name, error.constructor.name, /[\u0000-\u001f]/.test(error.message.replace(/\n/g, "")) ? "RAW" : ""); }
  server.closeAllConnections();
  server.close();
}
console.log("elsewhere", elsewhere);
other.close();
"#;

#[test]
fn a_connector_in_typescript_compiles_strictly_and_calls_a_station() {
    let Some(compiler) = compiler() else { return };
    let station = Station::start();
    let [lab, devs, guest] = station.people();
    let place = &station.place;
    let source = "def transform(data, ctx):\n    raise KeyError('wing')\n";
    devs.does(&[
        "function",
        "push",
        "devs/fails",
        &place.file("fails.py", source),
    ]);
    for (name, file) in [("mean-mass", "mean_mass.ts"), ("fails", "fails.ts")] {
        let name = format!("devs/{name}");
        let file = place.path(file).display().to_string();
        guest.does(&[
            "connector",
            &name,
            "--language",
            "typescript",
            "--out",
            &file,
        ]);
    }
    compiles(&compiler, place, &["mean_mass.ts", "fails.ts"]);
    let out = node(&guest, &lab.token, CALLS);
    assert_eq!(out, "5076\ntrue\nbad_args\ntrue KeyError: 'wing'\n");
    // The same code with a bound that a test can go over.
    let compiled = std::fs::read_to_string(place.path("js/mean_mass.js")).unwrap();
    let bounded = compiled.replace("256 * 1024 * 1024", "1024 * 1024");
    assert_ne!(bounded, compiled);
    place.file("js/mean_mass.js", bounded);
    let out = node(&guest, "", HOSTILE);
    let told: Vec<(&str, &str)> = out
        .lines()
        .map(|line| line.trim().split_once(' ').unwrap())
        .collect();
    for (name, error) in &told {
        let wanted = match *name {
            "redirect" => "Unreachable",
            "log" => "Failed",
            "terminal" => "RunError",
            "elsewhere" => "0",
            _ => "BadAnswer",
        };
        assert_eq!(*error, wanted, "{name}: {out}");
    }
    assert_eq!(told.len(), 14, "{out}");
}

#[test]
fn a_connector_of_a_hostile_schema_compiles_strictly() {
    let Some(compiler) = compiler() else { return };
    let station = Station::start();
    let [_, devs, guest] = station.people();
    let place = &station.place;
    // A manifest as strangers write it: keys, texts and kinds of every sort.
    let source = r##"# /// script
# [tool.strongroom]
# description = "*/ process.exit(9); /* ` ${process.exit(9)} \\u002a/ // @ts-nocheck"
# [tool.strongroom.args]
# type = "object"
# required = ["__proto__", "a b", "*/", ""]
# [tool.strongroom.args.properties]
# "__proto__" = { type = "string", description = "*/ }; process.exit(9); //" }
# "constructor" = { type = ["integer", "null"] }
# "a b" = { enum = ["\"", "\\", "\n", "*/", 9007199254740993, -1, true] }
# "*/" = { type = "array", items = { anyOf = [{ type = "string" }, { type = "array", items = { type = "number" } }] } }
# "" = { type = "object", additionalProperties = { type = "boolean" } }
# "\u2028" = { const = "\u2029" }
# "名" = { type = "array", items = { enum = ["x", "y"] } }
# "class" = { "$ref" = "#/$defs/self" }
# [tool.strongroom.args."$defs"]
# self = { type = "array", items = { type = "string" } }
# ///
def transform(data, ctx):
    return 1
"##;
    devs.does(&[
        "function",
        "push",
        "devs/global-this",
        &place.file("hostile.py", source),
    ]);
    let file = place.path("hostile.ts").display().to_string();
    guest.does(&[
        "connector",
        "devs/global-this",
        "--language",
        "typescript",
        "--out",
        &file,
    ]);
    place.file(
        "use.ts",
        "import { globalThis_ } from \"./hostile.js\";\n\
         export const asked: () => Promise<unknown> = () =>\n  \
         globalThis_({ on: \"a/b\", args: { [\"__proto__\"]: \"x\", \"a b\": \"\\\\\", \"*/\": [\"x\", [1]], \"\": { y: true }, more: 1 } });\n\
         // @ts-expect-error what is none of the values\n\
         export const wrong: () => Promise<unknown> = () => globalThis_({ args: { \"a b\": \"z\" } });\n",
    );
    compiles(&compiler, place, &["hostile.ts", "use.ts"]);
}
