//! The hostile programs against a station, through its public API alone.
//!
//! Without an address a station of one's own is started, with small limits and
//! canaries on this host; any other station is only asked what it can be asked
//! from far. Prints a table and fails when anything got out.

use anyhow::{Context, bail};
use serde_json::json;

use crate::{
    machine,
    needs::{self, COMPILER, LIBC, PYTHON},
    shell::{print, say},
    station::{Station, program},
};
use canaries::Canaries;
use judge::{FAMILIES, Judged, Verdict, besiege};
use station_place::{Besieged, CONFIG};

#[path = "../../hostile/canaries.rs"]
mod canaries;
#[path = "../../hostile/judge.rs"]
mod judge;
#[path = "../../hostile/station.rs"]
mod station_place;

/// The tier of which less is promised.
const REDUCED: &str = "reduced";

/// Which station, and where the table goes.
#[derive(clap::Args)]
pub struct HostileArgs {
    /// The address of a station to besiege; without it, one is started
    #[arg(long, requires = "token")]
    url: Option<String>,
    /// A token for that station
    #[arg(long)]
    token: Option<String>,
    /// The tier of the station that is started
    #[arg(long, default_value = "full")]
    tier: String,
    /// Write the table into docs/hostile.md, or docs/hostile-reduced.md
    #[arg(long)]
    write: bool,
}

/// Besieges a station.
pub fn run(args: &HostileArgs) -> anyhow::Result<()> {
    needs::install(&[COMPILER, LIBC, PYTHON])?;
    let (judged, whose) = match (&args.url, &args.token) {
        (Some(url), Some(token)) => {
            let far = Besieged::at(url, token, json!({}));
            (siege(&far), format!("the station at {url}"))
        }
        _ => {
            let canaries = Canaries::plant().context("cannot plant canaries")?;
            let tier = match args.tier.as_str() {
                "full" => String::new(),
                tier => format!("\n[jail]\ntier = \"{tier}\"\n"),
            };
            let station = Station::start_with(&program(false)?, &format!("{CONFIG}{tier}"))?;
            let token = station.user("hostile")?;
            let own = Besieged::own(&station.url, &token, &canaries);
            (siege(&own), format!("a station of tier {}", args.tier))
        }
    };
    let is_reduced = args.tier == REDUCED;
    let is_known = |one: &Judged| is_reduced && one.is_open_in_reduced();
    let page = table(&judged, &whose, &is_known)?;
    print(&page);
    if args.write {
        let path = match is_reduced {
            true => "docs/hostile-reduced.md",
            false => "docs/hostile.md",
        };
        std::fs::write(path, &page).with_context(|| format!("cannot write {path}"))?;
    }
    let bad = judged
        .iter()
        .filter(|one| is_bad(one) && !is_known(one))
        .count();
    if 0 < bad {
        bail!("{bad} of {} attempts were not contained", judged.len());
    }
    Ok(())
}

fn siege(station: &Besieged) -> Vec<Judged> {
    let mut judged = Vec::new();
    for (family, _) in FAMILIES {
        say(&format!("the family {family}"));
        judged.extend(besiege(station, family));
    }
    say("the family output");
    judged.extend(station.outputs());
    judged
}

fn is_bad(one: &Judged) -> bool {
    matches!(one.verdict, Verdict::GotOut | Verdict::Broken)
}

fn table(
    judged: &[Judged],
    whose: &str,
    is_known: &dyn Fn(&Judged) -> bool,
) -> anyhow::Result<String> {
    let contained = judged
        .iter()
        .filter(|one| one.verdict == Verdict::Contained);
    let mut page = format!(
        "# Hostile programs against a station\n\nMade by `cargo xtask hostile --write` on {}, on {}, \
         against {whose}: {} of {} attempts were contained. What each family tries is in \
         [`hostile/`](../hostile); that each attempt gets out where nothing holds it is a test \
         of `crates/jail`.\n\n| family | attempt | verdict | what was seen |\n|---|---|---|---|\n",
        machine::today()?,
        machine::kind(),
        contained.count(),
        judged.len(),
    );
    for one in judged {
        let verdict = match one.verdict {
            Verdict::Contained => "contained",
            Verdict::GotOut if is_known(one) => "open in this tier",
            Verdict::GotOut => "**got out**",
            Verdict::Skipped => "skipped",
            Verdict::Broken => "**not judged**",
        };
        let detail: String = one.detail.chars().take(90).collect();
        let detail = detail.replace(['|', '\n'], " ");
        page += &format!(
            "| {} | {} | {verdict} | {detail} |\n",
            one.family, one.attempt
        );
    }
    Ok(page)
}
