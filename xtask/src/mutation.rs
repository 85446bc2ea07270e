//! Which program misses which wall: takes each away in turn, and looks.
//!
//! The work is done by a test binary of the jail, built with the feature
//! `mutation`; this prints its findings as a table and fails when a wall is
//! missed by nobody. Such a wall is unproven, or a program is missing.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    machine,
    needs::{self, COMPILER, LIBC, PYTHON},
    shell::{cargo, print, say},
};

/// Where the table goes with `--write`.
const PAGE: &str = "docs/mutation.md";
/// Walls that nobody can miss, and why not.
const UNSEEN: [(&str, &str); 2] = [
    (
        "NotDumpable",
        "the kernel hides the memory of a process that changed its user already; this wall only \
         counts where an operator has set `fs.suid_dumpable`",
    ),
    (
        "SpeculationOff",
        "seen from outside where the processor lets a process switch it; the one this ran on \
         does not",
    ),
];
/// The most programs that a row names.
const NAMED_MAX: usize = 4;

/// Which walls, and where the table goes.
#[derive(clap::Args)]
pub struct MutationArgs {
    /// Only these walls, by the names in the table
    walls: Vec<String>,
    /// Write the table into docs/mutation.md
    #[arg(long)]
    write: bool,
}

/// What a siege without one wall found.
struct Row {
    wall: String,
    without: Vec<String>,
    missed_by: Vec<String>,
    fault: Option<String>,
}

/// Takes away each wall.
pub fn run(args: &MutationArgs) -> anyhow::Result<()> {
    needs::install(&[COMPILER, LIBC, PYTHON])?;
    let mut rows = examined(&args.walls)?;
    rows.sort_by_key(|row| (group(&row.wall), row.wall.clone()));
    let page = table(&rows)?;
    print(&page);
    if args.write {
        std::fs::write(PAGE, &page).with_context(|| format!("cannot write {PAGE}"))?;
    }
    let faults: Vec<String> = rows.iter().filter_map(fault).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    Ok(())
}

/// Where in the table: whole walls, rules of the filter, then the same again of
/// guests that are copies, have a gateway, or are of the tier `reduced`; the
/// station's own checks last.
fn group(wall: &str) -> u8 {
    match wall {
        wall if wall.starts_with("Filter: ") => 1,
        wall if wall.starts_with("Copies: ") => 2,
        wall if wall.starts_with("Gateway: ") => 3,
        wall if wall.starts_with("Reduced: ") => 4,
        wall if wall.starts_with("Station: ") => 5,
        _ => 0,
    }
}

/// Whether nothing was left out; what comes before a wall says of which guests.
fn has_all_walls(row: &Row) -> bool {
    ["", "Copies: ", "Gateway: ", "Reduced: ", "Station: "].contains(&row.wall.as_str())
}

/// The sieges: a package, its tests, and what to tell them. Those of the
/// station are quick and have no names to choose by.
const SIEGES: [(&str, &str, &[&str]); 3] = [
    ("strongroom-jail", "mutants", &[]),
    ("strongroom-run", "local", &["mutants::", "--nocapture"]),
    ("strongroom-server", "http", &["mutants::", "--nocapture"]),
];

fn examined(walls: &[String]) -> anyhow::Result<Vec<Row>> {
    // The station's guests have every wall of the jail.
    let jail = cargo(&["build", "--quiet", "--package", "strongroom-jail"]).status()?;
    if !jail.success() {
        bail!("could not build the jail");
    }
    let mut rows = Vec::new();
    for siege in SIEGES.iter().rev() {
        let chosen: &[String] = if siege.2.is_empty() { walls } else { &[] };
        if walls.is_empty() || siege.2.is_empty() {
            rows.extend(besieged(*siege, chosen)?);
        }
    }
    Ok(rows)
}

fn besieged(
    (package, test, told): (&str, &str, &[&str]),
    walls: &[String],
) -> anyhow::Result<Vec<Row>> {
    let mut child = cargo(&["test", "--quiet", "--package", package])
        .args(["--features", "mutation", "--test", test, "--"])
        .args(told)
        .args(walls)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let out = child.stdout.take().context("cargo has no stdout")?;
    let mut rows = Vec::new();
    for line in BufReader::new(out).lines() {
        if let Ok(found) = serde_json::from_str::<Value>(&line?) {
            let row = row(&found);
            say(&format!("{}: missed by {}", row.wall, row.missed_by.len()));
            rows.push(row);
        }
    }
    if !child.wait()?.success() {
        bail!("the sieges did not end well");
    }
    Ok(rows)
}

fn row(found: &Value) -> Row {
    let texts = |key: &str| -> Vec<String> {
        let all = found[key].as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let broken = found["broken"].as_array().and_then(|all| all.first());
    Row {
        wall: found["wall"].as_str().unwrap_or_default().to_owned(),
        without: texts("without"),
        missed_by: texts("missed_by"),
        fault: found["refused"]
            .as_str()
            .map(str::to_owned)
            .or_else(|| broken.map(|one| format!("could not judge {one}"))),
    }
}

fn unseen(row: &Row) -> Option<&'static str> {
    let found = UNSEEN.iter().find(|(wall, _)| *wall == row.wall);
    found.map(|(_, why)| *why)
}

/// What is wrong with a row.
fn fault(row: &Row) -> Option<String> {
    if has_all_walls(row) {
        let out = !row.missed_by.is_empty();
        let broken = row
            .fault
            .as_ref()
            .map(|why| format!("with all walls: {why}"));
        return out
            .then(|| format!("with all walls these got out: {:?}", row.missed_by))
            .or(broken);
    }
    // What a missing wall breaks was missed.
    (row.missed_by.is_empty() && unseen(row).is_none()).then(|| match &row.fault {
        Some(why) => format!("{} could not be left out: {why}", row.wall),
        None => format!("nobody misses {}", row.wall),
    })
}

fn table(rows: &[Row]) -> anyhow::Result<String> {
    let mut page = format!(
        "# Walls, and who misses them\n\nMade by `cargo xtask mutation --write` on {}, on {}. A test \
         build of the jail leaves out one wall at a time; the programs of \
         [`hostile/`](../hostile) and checks from outside, on the living process, show who \
         notices. With every wall in place nobody gets out. Where a second wall hides the loss \
         of a first, the second is left out as well, and only what the first makes different is \
         listed. `Copies` are guests copied from a loaded interpreter, in a table of the walls \
         that they come to in another way; `Gateway` are guests of a stage that downloads; \
         `Reduced` are guests of the tier `reduced`, of whose programs those count that it \
         holds; `Station` are the station's own \
         checks on what guests ask for and leave. Without the wall against new privileges the kernel takes neither Landlock's \
         rules nor a filter, so these three fall together.\n\n| wall left out | with it | missed by |\n|---|---|---|\n",
        machine::today()?,
        machine::kind()
    );
    for row in rows.iter().filter(|row| !has_all_walls(row)) {
        let missed = match (row.missed_by.as_slice(), unseen(row)) {
            ([], Some(why)) => why.to_owned(),
            ([], None) => "**nobody**".to_owned(),
            (all, _) if all.len() <= NAMED_MAX => all.join("; "),
            (all, _) => format!(
                "{}; and {} more",
                all[..NAMED_MAX].join("; "),
                all.len() - NAMED_MAX
            ),
        };
        let without = row.without.join("; ");
        page += &format!("| {} | {without} | {missed} |\n", row.wall);
    }
    Ok(page)
}
