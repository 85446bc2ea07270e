//! Credentials from the files that other tools for images use.
//!
//! `$REGISTRY_AUTH_FILE`, then those of podman and skopeo, then docker's; the
//! first that knows the registry counts. A file may name a program that keeps
//! them. They are never written, logged or shown.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::RegistryError;

/// The longest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How long a program may take that keeps credentials: it may ask a person.
const HELPER_MAX: Duration = Duration::from_secs(120);
/// How often it is looked whether one has ended that says no more.
const HELPER_LOOK: Duration = Duration::from_millis(10);
/// The most that it may say, in bytes.
const HELPER_BYTES_MAX: u64 = 64 * 1024;
const TOO_LONG: &str = "it took too long";
/// What docker calls the registry that has no name in its images' names.
const DOCKER: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// Who asks.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    username: String,
    secret: String,
}

/// What the files have for `host`, or for a part of it that `repository` is in.
pub(super) fn find(host: &str, repository: &str) -> Result<Option<Login>, RegistryError> {
    for path in files() {
        let written = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                let path = path.display().to_string();
                return Err(RegistryError::Credentials { path, source });
            }
            Ok(written) => written,
        };
        if let Some(login) = of(&written, host, repository, &path)? {
            return Ok(Some(login));
        }
    }
    Ok(None)
}

fn files() -> Vec<PathBuf> {
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|set| !set.is_empty())
            .map(PathBuf::from)
    };
    let home = folder("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let config = folder("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
    let docker = folder("DOCKER_CONFIG").or_else(|| below_home(".docker"));
    let all = [
        folder("REGISTRY_AUTH_FILE"),
        folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        config.map(|folder| folder.join("containers/auth.json")),
        docker.map(|folder| folder.join("config.json")),
    ];
    all.into_iter().flatten().collect()
}

fn read(path: &Path) -> io::Result<Written> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX), &mut bytes)?;
    serde_json::from_slice(&bytes)
        .map_err(|_| io::Error::other("it is not the JSON that it should be"))
}

fn of(
    written: &Written,
    host: &str,
    repository: &str,
    path: &Path,
) -> Result<Option<Login>, RegistryError> {
    if let Some(helper) = written.helpers.get(host) {
        return ask(helper, host);
    }
    let keys = keys(host, repository);
    let known = keys.iter().find_map(|key| written.auths.get(key));
    if let Some(auth) = known
        .and_then(|auth| auth.auth.as_deref())
        .filter(|auth| !auth.is_empty())
    {
        let login = decoded(auth).ok_or_else(|| RegistryError::Credentials {
            path: path.display().to_string(),
            source: io::Error::other("an `auth` is not `user:password` in base64"),
        });
        return login.map(Some);
    }
    match &written.store {
        Some(store) => ask(store, host),
        None => Ok(None),
    }
}

/// From the repository up to the host, as podman looks them up, and as docker
/// writes them.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let whole = format!("{host}/{repository}");
    let ends = whole.match_indices('/').map(|(at, _)| at);
    let mut keys: Vec<String> = std::iter::once(whole.len())
        .chain(ends.collect::<Vec<_>>().into_iter().rev())
        .map(|end| whole[..end].to_owned())
        .collect();
    keys.extend([
        format!("https://{host}"),
        format!("https://{host}/v1/"),
        format!("https://{host}/v2/"),
    ]);
    if host == DOCKER.0 {
        keys.push(DOCKER.1.to_owned());
    }
    keys
}

fn decoded(auth: &str) -> Option<Login> {
    let bytes = STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Login {
        user: user.to_owned(),
        password: password.trim_end_matches('\0').to_owned(),
    })
}

/// Asks a program that keeps credentials.
fn ask(helper: &str, host: &str) -> Result<Option<Login>, RegistryError> {
    let program = format!("docker-credential-{helper}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !helper.bytes().all(plain) {
        let why = "its name is not one of a program".to_owned();
        return Err(RegistryError::Helper { program, why });
    }
    let host = if host == DOCKER.0 { DOCKER.1 } else { host };
    ask_within(HELPER_MAX, &program, host).map_err(|why| RegistryError::Helper { program, why })
}

/// What `program` has for `host`, or why that is not known.
fn ask_within(patience: Duration, program: &str, host: &str) -> Result<Option<Login>, String> {
    let (status, said) = said(patience, program, host)?;
    let said = String::from_utf8_lossy(&said);
    if said.contains("credentials not found") {
        return Ok(None);
    }
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    // Nothing of what it says is shown: it may be a secret.
    let told: Told = serde_json::from_str(&said)
        .map_err(|_| "what it says is not the JSON that it should be".to_owned())?;
    Ok(Some(Login {
        user: told.username,
        password: told.secret,
    }))
}

/// How a program ended that was asked about a host, and what it said.
fn said(patience: Duration, program: &str, host: &str) -> Result<(ExitStatus, Vec<u8>), String> {
    let failed = |error: io::Error| error.to_string();
    let latest = Instant::now() + patience;
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut to) = child.stdin.take() {
        // One that ends before it reads says why by how it ends.
        let _ = writeln!(to, "{host}");
    }
    let (sender, receiver) = mpsc::channel();
    let out = child.stdout.take();
    // It ends with the program, or with whoever holds its stdout after it.
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = out.map(|out| out.take(HELPER_BYTES_MAX + 1).read_to_end(&mut said));
        let _ = sender.send(read.transpose().map(|_| said));
    });
    let ended = (|| {
        let said = receiver.recv_timeout(patience);
        let said = said.map_err(|_| TOO_LONG.to_owned())?.map_err(failed)?;
        if HELPER_BYTES_MAX < said.len() as u64 {
            return Err("it says too much".to_owned());
        }
        loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => return Ok((status, said)),
                None if latest <= Instant::now() => return Err(TOO_LONG.to_owned()),
                None => thread::sleep(HELPER_LOOK),
            }
        }
    })();
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// What a helper of this text in shell has, in the words of an error or a login.
    fn tells(patience: Duration, text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-fake");
        let program = program.to_str().unwrap();
        // Another process writes it, so that none of ours has it open when it starts.
        let made = Command::new("/bin/sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod +x \"$2\"",
            ])
            .args(["sh", text, program])
            .status();
        assert!(made.unwrap().success());
        match ask_within(patience, program, "registry.example") {
            Ok(Some(login)) => format!("{}:{}", login.user, login.password),
            Ok(None) => "nothing".to_owned(),
            Err(why) => why,
        }
    }

    #[test]
    fn a_program_that_keeps_credentials_is_asked_and_what_it_cannot_say_is_an_error() {
        let knows = r#"read host; [ "$1 $host" = "get registry.example" ] || exit 3
            echo '{"ServerURL":"x","Username":"ada","Secret":"p:w"}'"#;
        assert_eq!(tells(LONG, knows), "ada:p:w");
        // As docker's own programs say it.
        let unknown = "echo 'credentials not found in native keychain'; exit 1";
        assert_eq!(tells(LONG, unknown), "nothing");
        assert_eq!(tells(LONG, "exit 3"), "it ended with exit status: 3");
        for garbage in ["echo secret", "true", r#"echo '{"Secret":"secret"}'"#] {
            let why = "what it says is not the JSON that it should be";
            assert_eq!(tells(LONG, garbage), why, "{garbage}");
        }
        let endless = "while :; do echo secret secret secret; done";
        assert_eq!(tells(LONG, endless), "it says too much");
        assert!(ask_within(LONG, "/nowhere/docker-credential-fake", "h").is_err());
        assert!(ask("../fake", "h").is_err());
    }

    #[test]
    fn a_program_that_keeps_credentials_and_does_not_end_is_ended() {
        let short = Duration::from_millis(300);
        for hanging in [
            "exec sleep 600",
            // It says all that it should, and stays.
            r#"echo '{"Username":"ada","Secret":"p"}'; exec sleep 600"#,
            r#"echo '{"Username":"ada","Secret":"p"}'; exec sleep 600 >&-"#,
        ] {
            let begun = Instant::now();
            assert_eq!(tells(short, hanging), TOO_LONG, "{hanging}");
            assert!(begun.elapsed() < LONG, "{hanging}");
        }
    }
}
