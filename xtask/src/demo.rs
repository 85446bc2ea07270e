//! The main job, played: three users, one dataset, and what was blocked.

mod transforms;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    needs::{self, COMPILER, CURL, LIBC, PYTHON},
    shell::{print, read, say},
    station::{Station, program},
};

/// How to end.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// Which play
    #[arg(value_enum, default_value_t = Play::Walk)]
    play: Play,
    /// Leave the station running at the end, and say how to reach it
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Play {
    /// The main job, from a push to the audit record
    Walk,
    /// A function in stages: what it exposes, who lets it, the version that one makes
    Transforms,
}

/// The players, by their tokens.
struct Stage {
    station: Station,
    lab: String,
    devs: String,
    guest: String,
    folder: tempfile::TempDir,
}

/// What the play expects of a command.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Works,
    IsRefused,
}
use Expect::{IsRefused, Works};
use transforms::World;

/// Plays the walk.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    needs::install(&[COMPILER, LIBC, PYTHON, CURL])?;
    let program = program(false)?;
    let started = std::time::Instant::now();
    let world = match args.play {
        Play::Walk => None,
        Play::Transforms => Some(World::start()?),
    };
    let config = world.as_ref().map(World::config).unwrap_or_default();
    let stage = set_up(&program, &config)?;
    match &world {
        None => stage.play()?,
        Some(world) => stage.play_transforms(world)?,
    }
    say(&format!(
        "the whole walk took {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    if args.keep {
        stage.leave_running();
    }
    Ok(())
}

fn set_up(program: &Path, config: &str) -> anyhow::Result<Stage> {
    chapter("A station on a fresh directory, and three users");
    let station = Station::start_with(program, config)?;
    print(&format!("the station listens on {}", station.url));
    let (lab, devs, guest) = (
        station.user("lab")?,
        station.user("devs")?,
        station.user("guest")?,
    );
    print("lab owns data, devs write functions, guest wants results");
    Ok(Stage {
        station,
        lab,
        devs,
        guest,
        folder: tempfile::tempdir()?,
    })
}

impl Stage {
    fn play(&self) -> anyhow::Result<()> {
        self.push_and_try()?;
        let first = self.ask_and_approve()?;
        self.again_and_changed()?;
        self.nosy_guest()?;
        self.standing_rules()?;
        self.revoke(&first)?;
        self.script_api()?;
        self.audit()
    }

    fn push_and_try(&self) -> anyhow::Result<()> {
        chapter(
            "lab pushes real data; devs try their function on a copy of their own, then push it",
        );
        self.lab(&[
            "dataset",
            "push",
            "lab/penguins",
            "examples/penguins.csv",
            "-m",
            "344 penguins",
        ])?;
        let trial = [
            "run",
            "./examples/mean_mass.py",
            "--on",
            "./examples/penguins.csv",
            "--arg",
            "by=species",
        ];
        self.devs(&trial)?;
        self.devs(&[
            "function",
            "push",
            "devs/mean-mass",
            "./examples/mean_mass.py",
        ])?;
        chapter("guest cannot read the data, and does not even learn whether it is there");
        self.act(
            "guest",
            &self.guest,
            &["dataset", "get", "lab/penguins"],
            IsRefused,
        )
        .map(drop)
    }

    fn ask_and_approve(&self) -> anyhow::Result<String> {
        chapter("guest asks; nothing runs until lab has seen the code and said yes");
        let run = self.ask("devs/mean-mass", "by=species")?;
        let request = text(&run, "request")?;
        self.lab(&["request", "list"])?;
        self.lab(&["request", "show", &request])?;
        self.lab(&["request", "approve", &request, "--uses", "5"])?;
        self.guest(&["status", &text(&run, "id")?, "--wait", "30s"])?;
        self.guest(&["output", &text(&run, "id")?])?;
        Ok(request)
    }

    fn again_and_changed(&self) -> anyhow::Result<()> {
        chapter("the same plan runs again without asking");
        self.guest(&[
            "run",
            "devs/mean-mass",
            "--on",
            "lab/penguins",
            "--arg",
            "by=species",
        ])?;
        chapter(
            "one byte of the function changed: it has to be asked again, and lab sees the difference",
        );
        let edited = self.edited_function()?;
        self.devs(&["function", "push", "devs/mean-mass", &edited])?;
        let run = self.ask("devs/mean-mass", "by=species")?;
        let request = text(&run, "request")?;
        self.lab(&["request", "show", &request])?;
        self.lab(&[
            "request",
            "reject",
            &request,
            "--reason",
            "why this change?",
        ])?;
        self.act("guest", &self.guest, &["status", &text(&run, "id")?], Works)
            .map(drop)
    }

    fn nosy_guest(&self) -> anyhow::Result<()> {
        chapter(
            "approval is not isolation: a function that tries to get out, approved, and what it met",
        );
        self.devs(&["function", "push", "devs/nosy", "./examples/nosy.py"])?;
        let run = self.ask("devs/nosy", "of=lab")?;
        self.lab(&["request", "approve", &text(&run, "request")?, "--uses", "1"])?;
        self.guest(&["logs", &text(&run, "id")?, "--follow"])?;
        self.guest(&["status", &text(&run, "id")?, "--wait", "30s"])
            .map(drop)
    }

    fn standing_rules(&self) -> anyhow::Result<()> {
        chapter("lab answers future questions by a rule");
        let rules = self.folder.path().join("rules.cedar");
        std::fs::write(
            &rules,
            "@id(\"guest-by-island\")\npermit(principal == User::\"guest\", action == Action::\"run\", resource)\nwhen { context.args.hasTag(\"by\") && context.args.getTag(\"by\") == \"island\" };\n",
        )?;
        let path = rules.to_string_lossy().into_owned();
        self.lab(&["rule", "set", &path])?;
        self.guest(&[
            "run",
            "devs/mean-mass",
            "--on",
            "lab/penguins",
            "--arg",
            "by=island",
        ])
        .map(drop)
    }

    fn revoke(&self, request: &str) -> anyhow::Result<()> {
        chapter("lab takes the first yes back; what it covered asks again");
        self.lab(&["request", "revoke", request])?;
        self.lab(&["request", "approvals"]).map(drop)
    }

    fn script_api(&self) -> anyhow::Result<()> {
        chapter("the script API: code in, result out, nothing kept between calls");
        let body = r#"{"script_name":"main.py","client":"new-company","code":["import os","print('hello world')","print(sorted(os.listdir('/')))"]}"#;
        self.curl("/run-json", body)?;
        let endless = r#"{"client":"new-company","code":"while True: pass"}"#;
        self.curl(
            "/run-json",
            &endless.replace("while True: pass", "x = bytearray(10**9)"),
        )
    }

    fn audit(&self) -> anyhow::Result<()> {
        chapter("every change left its event in lab's audit record");
        self.lab(&["audit"]).map(drop)
    }

    fn curl(&self, path: &str, body: &str) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.station.url);
        print(&format!(
            "\nguest$ curl -H 'Authorization: Bearer …' --json '{body}' {path}"
        ));
        let header = format!("Authorization: Bearer {}", self.guest);
        let json = "Content-Type: application/json";
        let mut command = Command::new("curl");
        command.args(["-sS", "-H", &header, "-H", json, "-d", body, &url]);
        print(read(&mut command)?.trim_end());
        Ok(())
    }

    fn ask(&self, function: &str, arg: &str) -> anyhow::Result<Value> {
        let words = [
            "run",
            function,
            "--on",
            "lab/penguins",
            "--arg",
            arg,
            "--detach",
        ];
        self.guest(&words)?;
        self.newest_run()
    }

    fn newest_run(&self) -> anyhow::Result<Value> {
        let newest = read(self.station.client(&self.guest).args(["--json", "runs"]))?;
        let list: Value = serde_json::from_str(&newest)?;
        let items = list["items"].as_array().or_else(|| list.as_array());
        items
            .and_then(|items| items.first())
            .cloned()
            .context("guest has no run")
    }

    fn edited_function(&self) -> anyhow::Result<String> {
        let source = std::fs::read_to_string("examples/mean_mass.py")?;
        let path: PathBuf = self.folder.path().join("mean_mass.py");
        std::fs::write(&path, source + "\n")?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn lab(&self, words: &[&str]) -> anyhow::Result<()> {
        self.act("lab", &self.lab, words, Works)
    }

    fn devs(&self, words: &[&str]) -> anyhow::Result<()> {
        self.act("devs", &self.devs, words, Works)
    }

    fn guest(&self, words: &[&str]) -> anyhow::Result<()> {
        self.act("guest", &self.guest, words, Works)
    }

    /// Shows the command and what it printed.
    fn act(&self, who: &str, token: &str, words: &[&str], expect: Expect) -> anyhow::Result<()> {
        print(&format!("\n{who}$ strongroom {}", typed(words)));
        let out = self.station.client(token).args(words).output()?;
        for bytes in [&out.stderr, &out.stdout] {
            let text = String::from_utf8_lossy(bytes);
            if !text.trim().is_empty() {
                print(text.trim_end());
            }
        }
        let refused = out.status.code() == Some(2) || out.status.code().is_none();
        if refused != (expect == IsRefused) {
            bail!("`strongroom {}` ended with {}", words.join(" "), out.status);
        }
        Ok(())
    }

    fn leave_running(self) {
        let (url, home) = (self.station.url.clone(), self.station.home.clone());
        let (lab, devs, guest) = (self.lab.clone(), self.devs.clone(), self.guest.clone());
        let id = self.station.leave();
        print(&format!(
            "\nThe station goes on at {url} (process {id}, home {}).",
            home.display()
        ));
        for (who, token) in [("lab", lab), ("devs", devs), ("guest", guest)] {
            print(&format!(
                "{who:>6}: STRONGROOM_URL={url} STRONGROOM_TOKEN={token}"
            ));
        }
        print(&format!("End it with: kill {id}"));
    }
}

/// The words as one would type them.
fn typed(words: &[&str]) -> String {
    let quoted = |word: &&str| match word.contains([' ', '?']) {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn chapter(title: &str) {
    print(&format!("\n== {title}"));
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    Ok(value[key]
        .as_str()
        .with_context(|| format!("no {key} in the answer"))?
        .to_owned())
}
