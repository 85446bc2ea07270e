//! The jail's tests in a virtual machine: Debian's kernel and control groups
//! of version 2 only, once as root and once as an ordinary user.
//!
//! What we promise for other people's machines is tried on one, whatever this
//! host is. Each test runs in its own process and in a control group handed to
//! it, as a service manager would. The kernel is unpacked, never installed,
//! and nothing here needs root or hardware support: an emulator is enough.

pub mod image;
mod kernel;
mod machine;
pub mod suites;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context, bail};

use crate::{
    machine as host,
    needs::{self, BUSYBOX, COMPILER, LIBC, MKE2FS, PYTHON, QEMU},
    shell::{built, print, say},
};
use machine::Machine;
use suites::Suites;

/// One test may take this long in emulation.
const TEST_SECONDS_MAX: u64 = 300;
const USERS: [&str; 2] = ["root", "user"];
/// Where the report goes with `--write`.
const PAGE: &str = "docs/vm.md";

/// Which tests, on which kernel, as whom.
#[derive(clap::Args)]
pub struct VmArgs {
    /// A part of `suite::test`; all without it
    #[arg(default_value = "")]
    filter: String,
    /// Only these suites, with commas between them
    #[arg(long, value_delimiter = ',')]
    suites: Vec<String>,
    /// Only as `root`, or only as the ordinary `user`
    #[arg(long = "as", value_parser = USERS)]
    user: Option<String>,
    /// Debian package of the kernel to boot
    #[arg(long, default_value = "linux-image-cloud-amd64")]
    kernel: String,
    /// QEMU's accelerator; `kvm` is faster where it works
    #[arg(long, default_value = "tcg,thread=multi")]
    accel: String,
    /// End the machine after this long
    #[arg(long, default_value_t = 30)]
    minutes_max: u64,
    /// Write the report into docs/vm.md
    #[arg(long, conflicts_with_all = ["filter", "user"])]
    write: bool,
}

/// What the machine reported so far.
#[derive(Default)]
struct Report {
    passed: [usize; 2],
    failed: Vec<String>,
    /// How many passed of each suite, as root and as an ordinary user.
    suites: BTreeMap<String, [usize; 2]>,
}

/// Runs the jail's tests in a machine, and fails unless all passed.
pub fn run(args: &VmArgs) -> anyhow::Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the machine is an x86_64 one, and this host's programs are not");
    }
    needs::install(&[COMPILER, LIBC, PYTHON, QEMU, BUSYBOX, MKE2FS])?;
    let folder = built("vm")?;
    fs::create_dir_all(&folder)?;
    let kernel = kernel::fetch(&folder, &args.kernel)?;
    let suites = suites::build()?;
    let disk = image::disk(&folder, &suites, |stage| settings(stage, &suites, args))?;
    let first = image::first(&folder, &kernel)?;
    let machine = Machine {
        accelerator: &args.accel,
        kernel: &kernel.image,
        first: &first,
        disk: &disk,
        console: &folder.join("console.log"),
    };
    let mut report = Report::default();
    say("booting the machine");
    let time_max = Duration::from_secs(60 * args.minutes_max);
    let heard = machine.boot(time_max, |line| report.take(line));
    if args.write {
        let page = report.page(&args.kernel, heard.is_ok())?;
        fs::write(PAGE, page).with_context(|| format!("cannot write {PAGE}"))?;
    }
    // A failed test tells more than how the machine ended.
    if report.failed.is_empty() {
        heard?;
    }
    report.verdict(args)
}

fn users(args: &VmArgs) -> Vec<&str> {
    let chosen = |user: &&str| args.user.as_deref().is_none_or(|only| only == *user);
    USERS.into_iter().filter(chosen).collect()
}

/// Tells the machine what to run; each file is one line.
fn settings(stage: &Path, suites: &Suites, args: &VmArgs) -> anyhow::Result<()> {
    let users = users(args);
    for user in USERS {
        let names = if users.contains(&user) {
            chosen(suites.names(user), &args.suites).join(" ")
        } else {
            String::new()
        };
        fs::write(stage.join(format!("vm/suites_{user}")), names + "\n")?;
    }
    fs::write(stage.join("vm/filter"), format!("{}\n", args.filter))?;
    Ok(fs::write(
        stage.join("vm/seconds_max"),
        format!("{TEST_SECONDS_MAX}\n"),
    )?)
}

fn chosen<'a>(names: Vec<&'a str>, only: &[String]) -> Vec<&'a str> {
    let is_chosen = |name: &&str| only.is_empty() || only.iter().any(|one| one == name);
    names.into_iter().filter(is_chosen).collect()
}

impl Report {
    /// Takes one line in and shows it; true for the last one.
    fn take(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["test", user, suite, name, ending, seconds] = words.as_slice() {
            let row = format!("{user} {suite}::{name}");
            match (*ending, USERS.iter().position(|one| one == user)) {
                ("PASS", Some(index)) => {
                    self.passed[index] += 1;
                    self.suites.entry((*suite).to_owned()).or_default()[index] += 1;
                }
                _ => self.failed.push(row.clone()),
            }
            print(&format!("{ending} {seconds:>4} s  {row}"));
        } else {
            print(line);
        }
        line == "end"
    }

    fn page(&self, kernel: &str, came_to_an_end: bool) -> anyhow::Result<String> {
        let mut page = format!(
            "# The jail on another machine\n\nMade by `cargo xtask vm --write` on {}, in an emulator \
             on {}: Debian's kernel of the package `{kernel}`, control groups of version 2 only, \
             once as root and once as an ordinary user. Each test had a process of its own, in a \
             control group handed to it as a service manager would. What is not listed was not \
             asked. Suites that prepare a stage as \
             root are not asked of the ordinary user.\n\n| suite | passed as root | passed as an \
             ordinary user |\n|---|---|---|\n",
            host::today()?,
            host::kind(),
        );
        for (suite, [root, user]) in &self.suites {
            writeln!(page, "| {suite} | {root} | {user} |")?;
        }
        let [root, user] = self.passed;
        writeln!(page, "| all | {root} | {user} |")?;
        if !came_to_an_end {
            writeln!(page, "\n**Its time was over before all had been tried.**")?;
        }
        for failed in &self.failed {
            writeln!(page, "\n**Failed:** {failed}")?;
        }
        Ok(page)
    }

    /// Fails if any test did, or if a user was given none that passed. With a
    /// filter one passed test of either user is enough.
    fn verdict(&self, args: &VmArgs) -> anyhow::Result<()> {
        if !self.failed.is_empty() {
            bail!("failed in the machine:\n  {}", self.failed.join("\n  "));
        }
        let users = users(args);
        for (user, passed) in USERS.iter().zip(self.passed) {
            if users.contains(user) {
                say(&format!("as {user}: {passed} passed"));
            }
            if users.contains(user) && passed == 0 && args.filter.is_empty() {
                bail!("no test passed as {user}");
            }
        }
        if self.passed == [0, 0] {
            bail!("no test has {} in its name", args.filter);
        }
        Ok(())
    }
}
