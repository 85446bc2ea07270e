//! One boot of the machine, and what its serial line says.
//!
//! The machine has no network and its disk forgets. It is ended when its time
//! is over, and whatever it then has not said is a failure.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// What a machine is made of.
pub struct Machine<'a> {
    pub accelerator: &'a str,
    pub kernel: &'a Path,
    pub first: &'a Path,
    pub disk: &'a Path,
    /// Where the kernel's own messages go.
    pub console: &'a Path,
}

impl Machine<'_> {
    /// Boots, hands every line to `told` until it answers that this was the
    /// last one, and ends the machine.
    pub fn boot(&self, time_max: Duration, told: impl FnMut(&str) -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + time_max;
        let mut child = self.command().spawn().context("cannot start QEMU")?;
        let lines = lines_of(&mut child)?;
        let heard = listen(&lines, until, told);
        // It may have powered off by itself.
        let _ = child.kill();
        child.wait()?;
        heard.with_context(|| format!("the machine's last words:\n{}", tail(self.console)))
    }

    fn command(&self) -> Command {
        let disk = format!(
            "file={},format=raw,if=virtio,snapshot=on",
            self.disk.display()
        );
        let console = format!("file:{}", self.console.display());
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args([
                "-accel",
                self.accelerator,
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                "3G",
            ])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
                "-display",
                "none",
            ])
            .args(["-monitor", "none", "-serial", &console, "-serial", "stdio"])
            .args(["-drive", &disk, "-append"])
            .arg("console=ttyS0 loglevel=4 panic=-1")
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.first)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }
}

fn lines_of(child: &mut Child) -> anyhow::Result<Receiver<String>> {
    let out = child.stdout.take().context("QEMU has an output")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(out);
        let mut bytes = Vec::new();
        // A guest may print anything, also what is not text.
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|length| 0 < length)
        {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    Ok(lines)
}

fn listen(
    lines: &Receiver<String>,
    until: Instant,
    mut told: impl FnMut(&str) -> bool,
) -> anyhow::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) if told(&line) => return Ok(()),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => bail!("the machine's time is over"),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the machine stopped before its last test")
            }
        }
    }
}

fn tail(console: &Path) -> String {
    const LINES_MAX: usize = 30;
    let text = String::from_utf8_lossy(&fs::read(console).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}
