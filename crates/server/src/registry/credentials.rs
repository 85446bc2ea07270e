//! Credentials from the files that other tools for images use.
//!
//! `$REGISTRY_AUTH_FILE`, then those of podman and skopeo, then docker's; the
//! first that knows the registry counts. A file may name a program that keeps
//! them. They are never written, logged or shown.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::RegistryError;

/// The longest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
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
    let failed = |why: String| RegistryError::Helper {
        program: program.clone(),
        why,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !helper.bytes().all(plain) {
        return Err(failed("its name is not one of a program".to_owned()));
    }
    let host = if host == DOCKER.0 { DOCKER.1 } else { host };
    let asked = || -> io::Result<std::process::Output> {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut to) = child.stdin.take() {
            writeln!(to, "{host}")?;
        }
        child.wait_with_output()
    };
    let output = asked().map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("credentials not found") {
        return Ok(None);
    }
    if !output.status.success() {
        return Err(failed(format!("it ended with {}", output.status)));
    }
    let told: Told = serde_json::from_str(&said)
        .map_err(|_| failed("what it says is not the JSON that it should be".to_owned()))?;
    Ok(Some(Login {
        user: told.username,
        password: told.secret,
    }))
}
