//! Users and their clients: who asks for which program, and judges how it ended.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::programs::{PROGRAMS, Program};
use crate::{
    http::Http,
    shell::{read, root},
    station::Station,
};

/// Two clients of each.
pub const USERS: [&str; 3] = ["ada", "bob", "cyd"];
pub const CLIENTS: usize = 6;
/// The bounds of a program from `hostile/`.
const HOSTILE_LIMITS: &str = r#"{"time": "15s", "memory": "64 MiB"}"#;
/// One in so many runs is cancelled, and one left by its client.
const CANCELLED_EVERY: usize = 41;
const LEFT_EVERY: usize = 37;
/// What a sandbox is refused for that was not built in time. It leaves nothing
/// behind either, and a soak may meet a machine that others are loading.
const BUSY: &str = "not ready within";

/// What all clients share.
pub struct Load {
    url: String,
    tokens: Vec<String>,
    programs: Vec<Named>,
    begun: AtomicUsize,
    most: usize,
    /// Runs by program and end.
    pub ends: Mutex<BTreeMap<(String, String), usize>>,
}

/// A program as the station knows it.
struct Named {
    name: String,
    on_table: bool,
    limits: Value,
    /// `None`: anything but the station's own fault.
    ends: Option<&'static [&'static str]>,
    weight: usize,
}

impl Load {
    /// Pushes every program and a table for every user.
    pub fn set_up(station: &Station) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let table = folder.path().join("table.csv");
        let rows: String = (0..200).map(|row| format!("{row},{}\n", row * 3)).collect();
        std::fs::write(&table, format!("id,mass\n{rows}"))?;
        let (mut programs, mut sources) = (Vec::new(), Vec::new());
        for program in PROGRAMS {
            programs.push(Named::of(program)?);
            sources.push((program.name.to_owned(), program.source.to_owned()));
        }
        for (name, source) in hostile()? {
            programs.push(Named::hostile(&name)?);
            sources.push((name, source));
        }
        let mut tokens = Vec::new();
        for user in USERS {
            let token = station.user(user)?;
            let pushed = format!("{user}/table");
            read(
                station
                    .client(&token)
                    .args(["dataset", "push", &pushed])
                    .arg(&table),
            )?;
            for (name, source) in &sources {
                let file = folder.path().join(format!("{name}.py"));
                std::fs::write(&file, source)?;
                let pushed = format!("{user}/{name}");
                read(
                    station
                        .client(&token)
                        .args(["function", "push", &pushed])
                        .arg(&file),
                )?;
            }
            tokens.push(token);
        }
        Ok(Self {
            url: station.url.clone(),
            tokens,
            programs,
            begun: AtomicUsize::new(0),
            most: 0,
            ends: Mutex::default(),
        })
    }

    /// Runs `count` more programs, by all clients at once.
    pub fn go(&mut self, count: usize, progress: &(dyn Fn(usize) + Sync)) -> anyhow::Result<()> {
        // Each client took one number too many to see that there are no more.
        self.begun = AtomicUsize::new(self.most);
        self.most += count;
        let load = &*self;
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| scope.spawn(move || load.client(number, progress)))
                .collect();
            for client in clients {
                client
                    .join()
                    .map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            Ok(())
        })
    }

    fn client(&self, number: usize, progress: &dyn Fn(usize)) -> anyhow::Result<()> {
        let user = number % USERS.len();
        let mut http = Http::new(&self.url, &self.tokens[user])?;
        loop {
            let run = self.begun.fetch_add(1, Ordering::Relaxed);
            if self.most <= run {
                return Ok(());
            }
            let program = self.pick(run);
            let end = self.one(&mut http, USERS[user], program, run);
            let end = end.with_context(|| format!("run {run} of {}", program.name))?;
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            *ends.entry((program.name.clone(), end)).or_default() += 1;
            drop(ends);
            progress(run + 1);
        }
    }

    /// Every program as often as it weighs, in an order that mixes them.
    fn pick(&self, run: usize) -> &Named {
        let whole: usize = self.programs.iter().map(|program| program.weight).sum();
        // A step that shares no divisor with the whole visits every place once.
        let step = (whole * 5 / 13..).find(|step| divisor(*step, whole) == 1);
        let mut place = run.wrapping_mul(step.unwrap_or(1)) % whole;
        let found = self.programs.iter().find(|program| {
            let here = place < program.weight;
            place = place.saturating_sub(program.weight);
            here
        });
        found.unwrap_or(&self.programs[0])
    }

    fn one(
        &self,
        http: &mut Http,
        user: &str,
        program: &Named,
        run: usize,
    ) -> anyhow::Result<String> {
        let mut asked = json!({
            "function": format!("{user}/{}", program.name),
            "limits": program.limits,
        });
        if program.on_table {
            asked["on"] = json!([format!("{user}/table")]);
        }
        if run % LEFT_EVERY == LEFT_EVERY - 1 {
            http.hang_up_on("/v1/runs?wait=60s", &asked)?;
            return Ok("left by its client".to_owned());
        }
        let ended = if run % CANCELLED_EVERY == CANCELLED_EVERY - 1 {
            let asked = http.post("/v1/runs", &asked)?.good()?.json();
            let id = asked["id"].as_str().context("no id")?.to_owned();
            http.post(&format!("/v1/runs/{id}/cancel"), &json!({}))?;
            wait_for(http, &id)?
        } else {
            let asked = http.post("/v1/runs?wait=60s", &asked)?.good()?.json();
            let id = asked["id"].as_str().context("no id")?.to_owned();
            if asked["state"] == "ended" {
                asked
            } else {
                wait_for(http, &id)?
            }
        };
        program.judge(&ended)
    }
}

/// The run as it ended.
fn wait_for(http: &mut Http, id: &str) -> anyhow::Result<Value> {
    for _ in 0..10 {
        let run = http.get(&format!("/v1/runs/{id}?wait=60s"))?.good()?.json();
        if run["state"] == "ended" {
            return Ok(run);
        }
    }
    bail!("{id} did not end in ten minutes")
}

/// Waits until no run is open any more, those left by their clients included.
pub fn drained(station: &Station, load: &Load) -> anyhow::Result<()> {
    for token in &load.tokens {
        let mut http = Http::new(&station.url, token)?;
        for state in ["queued", "preparing", "running"] {
            loop {
                let page = http.get(&format!("/v1/runs?state={state}"))?;
                if page.status == 400 {
                    break;
                }
                let page = page.good()?.json();
                let Some(id) = page["items"][0]["id"].as_str() else {
                    break;
                };
                wait_for(&mut http, id)?;
            }
        }
    }
    Ok(())
}

impl Named {
    fn of(program: &Program) -> anyhow::Result<Self> {
        Ok(Self {
            name: program.name.to_owned(),
            on_table: program.on_table,
            limits: serde_json::from_str(program.limits)?,
            ends: Some(program.ends),
            weight: program.weight as usize,
        })
    }

    fn hostile(name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            on_table: false,
            limits: serde_json::from_str(HOSTILE_LIMITS)?,
            ends: None,
            weight: 1,
        })
    }

    /// The code of the end, where it is one that this program may come to.
    fn judge(&self, run: &Value) -> anyhow::Result<String> {
        let code = run["reason"]["code"].as_str().context("no reason")?;
        let why = run["reason"]["why"].as_str().unwrap_or_default();
        if code == "refused" && why.contains(BUSY) {
            return Ok("refused, the machine being too busy".to_owned());
        }
        let fine = match self.ends {
            Some(ends) => code == "cancelled" || ends.contains(&code),
            None => code != "host_error" && code != "refused",
        };
        if !fine {
            bail!("it ended as {}", run["reason"]);
        }
        Ok(code.to_owned())
    }
}

/// The families of `hostile/`, each with what they share put before it.
fn hostile() -> anyhow::Result<Vec<(String, String)>> {
    let folder = root().join("hostile");
    let Ok(shared) = std::fs::read_to_string(folder.join("attempt.py")) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.extension().is_some_and(|end| end == "py") && name != "attempt" {
            let own = std::fs::read_to_string(&path)?;
            found.push((
                format!("hostile-{name}"),
                format!("ARGUMENTS = {{}}\n{shared}\n{own}"),
            ));
        }
    }
    found.sort();
    Ok(found)
}

fn divisor(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        divisor(other, one % other)
    }
}
