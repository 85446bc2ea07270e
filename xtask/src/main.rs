//! The chores of this repository: `cargo xtask <chore>`.
//!
//! Each chore installs what it needs and says so, so that a fresh machine
//! with cargo and Debian's or Ubuntu's packages needs nothing else by hand.

mod bench;
mod container;
mod demo;
mod fuzz;
mod hostile;
mod http;
mod machine;
mod mutation;
mod needs;
mod openapi;
mod peers;
mod shell;
mod soak;
mod station;
mod test;
mod tidy;
mod tools;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// The chores of the Strongroom repository
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Play the main job with three users against a throw-away station
    Demo(demo::DemoArgs),
    /// Run every test, on SQLite and PostgreSQL, with real sandboxes
    Test(test::TestArgs),
    /// Do all that continuous integration does
    Ci,
    /// Try the tiers inside real containers, with an engine of its own
    Container,
    /// Check the house rules
    Tidy,
    /// Write openapi.json, or check that it is fresh
    Openapi(openapi::OpenapiArgs),
    /// Measure, beside the peers that are installed
    Bench(bench::BenchArgs),
    /// Try everything that reads what strangers write on odd bytes, for longer than the tests do
    Fuzz(fuzz::FuzzArgs),
    /// Run thousands of programs, good and hostile, and see that nothing is left of them
    Soak(soak::SoakArgs),
    /// Run the hostile programs against a station, through its public API
    Hostile(hostile::HostileArgs),
    /// Leave out one wall of the jail at a time, and show which programs miss it
    Mutation(mutation::MutationArgs),
    /// Run the jail's tests in a virtual machine with control groups of version 2
    Vm(vm::VmArgs),
}

fn main() -> ExitCode {
    match chore(&Chore::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn chore(chore: &Chore) -> anyhow::Result<()> {
    std::env::set_current_dir(shell::root())?;
    match chore {
        Chore::Demo(args) => demo::run(args),
        Chore::Test(args) => test::run(args),
        Chore::Ci => test::ci(),
        Chore::Container => container::run_here(),
        Chore::Tidy => tidy::run(),
        Chore::Openapi(args) => openapi::run(args),
        Chore::Bench(args) => bench::run(args),
        Chore::Fuzz(args) => fuzz::run_targets(args),
        Chore::Soak(args) => soak::run(args),
        Chore::Hostile(args) => hostile::run(args),
        Chore::Mutation(args) => mutation::run(args),
        Chore::Vm(args) => vm::run(args),
    }
}
