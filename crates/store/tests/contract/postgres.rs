//! A private PostgreSQL for the tests, started by the first test that wants one.
//!
//! Tests may be one process or many at once, so the cluster is shared between
//! processes: each holds a shared lock on a file for as long as it lives, and
//! a watcher stops the cluster and removes it when nobody holds one any more.
//! That works also for a test that panics or is killed. The server refuses to
//! be root, so for root it runs as the user `postgres` or `nobody`.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Held until this process ends.
static LEASE: OnceLock<Option<(File, String)>> = OnceLock::new();

/// The URL of the server's folder of sockets, or `None` where PostgreSQL is
/// not installed and nobody insists.
pub fn server() -> Option<&'static str> {
    let held = LEASE.get_or_init(|| match binaries() {
        Some(binaries) => Some(start(&binaries).expect("start PostgreSQL for the tests")),
        None => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI has to try PostgreSQL: install the package postgresql"
            );
            eprintln!("PostgreSQL is not installed, so it was not tried");
            None
        }
    });
    held.as_ref().map(|(_, url)| url.as_str())
}

/// The newest server's folder of programs.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists() && bin.join("pg_ctl").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// Who the server runs as.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

fn user() -> User {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if !uid.is_root() {
        return User {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
        };
    }
    let users = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let named = |name: &str| {
        let mut lines = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        lines
            .find(|fields| fields.first() == Some(&name))
            .map(|fields| User {
                uid: fields[2].parse().unwrap(),
                gid: fields[3].parse().unwrap(),
            })
    };
    named("postgres")
        .or_else(|| named("nobody"))
        .expect("an ordinary user to run PostgreSQL as")
}

fn start(bin: &Path) -> io::Result<(File, String)> {
    let user = user();
    // Short, because a socket's path has at most 107 bytes.
    let folder = std::env::temp_dir().join(format!("strongroom-postgres-{}", user.uid));
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ if !fs::symlink_metadata(&folder)?.is_dir() => {
            return Err(io::Error::other(format!(
                "{} is no folder",
                folder.display()
            )));
        }
        _ => {
            chown(&folder, Some(user.uid), Some(user.gid))?;
            // Whoever reaches the socket is let in.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        }
    }
    let lease = open_lock(&folder.join("lease"), user)?;
    lease.lock_shared()?;
    let starting = open_lock(&folder.join("starting"), user)?;
    starting.lock()?;
    if !is_running(bin, &folder, user)? {
        make(bin, &folder, user)?;
        watch(bin, &folder, user)?;
    }
    starting.unlock()?;
    let url = format!(
        "postgres://strongroom@localhost/NAME?host={}",
        folder.display()
    );
    Ok((lease, url))
}

fn open_lock(path: &Path, user: User) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    chown(path, Some(user.uid), Some(user.gid))?;
    Ok(file)
}

fn command(program: &Path, folder: &Path, user: User) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn is_running(bin: &Path, folder: &Path, user: User) -> io::Result<bool> {
    let mut status = command(&bin.join("pg_ctl"), folder, user);
    Ok(status.args(["-D", "data", "status"]).status()?.success())
}

fn make(bin: &Path, folder: &Path, user: User) -> io::Result<()> {
    match fs::remove_dir_all(folder.join("data")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut init = command(&bin.join("initdb"), folder, user);
    init.args([
        "-D",
        "data",
        "-U",
        "strongroom",
        "--auth=trust",
        "--no-sync",
    ]);
    succeed(init.args(["--encoding=UTF8", "--locale=C.UTF-8"]))?;
    let options = format!(
        "-k {} -c listen_addresses= -c fsync=off -c max_connections=200",
        folder.display()
    );
    let mut start = command(&bin.join("pg_ctl"), folder, user);
    // A session of its own, so that whoever ends a test does not end it.
    start.process_group(0);
    succeed(start.args([
        "-D",
        "data",
        "-w",
        "-l",
        "server.log",
        "-o",
        &options,
        "start",
    ]))
}

fn succeed(command: &mut Command) -> io::Result<()> {
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("{command:?}: {status}"))),
    }
}

/// Starts what stops the server once the last lease is gone.
fn watch(bin: &Path, folder: &Path, user: User) -> io::Result<()> {
    let script = format!(
        "exec 9>>lease; while sleep 2; do if flock -n -x 9; then \
         {}/pg_ctl -D data -m immediate stop; rm -rf data server.log; exit; fi; done",
        bin.display()
    );
    let mut watcher = command(Path::new("/bin/sh"), folder, user);
    watcher
        .args(["-c", &script])
        .process_group(0)
        .spawn()
        .map(drop)
}
