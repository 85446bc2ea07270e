//! Where packages come from: an index for each language, named by the operator.
//!
//! A build reaches the hosts of its index and nothing else. Developers cannot
//! name another one: what they write is what they need, not where it is from.

use std::path::{Path, PathBuf};

use hyper::Uri;
use serde_json::json;
use strongroom_core::network::{HostPattern, Network};

/// What the operator says of packages.
#[derive(Clone, Debug)]
pub struct IndexConfig {
    /// The index for Python, as `https://pypi.org/simple`.
    pub python: String,
    /// The registry for Node.
    pub node: String,
    /// Other hosts that their files lie on.
    pub hosts: Vec<HostPattern>,
    pub uv: Uv,
    /// What everything that is installed may come to.
    pub keep_bytes_max: u64,
}

/// Where the program `uv` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uv {
    /// Looked for in the folders of `PATH`.
    LookedUp,
    At(PathBuf),
    /// Nothing is resolved here.
    Off,
}

impl Default for IndexConfig {
    fn default() -> Self {
        let files = "files.pythonhosted.org";
        Self {
            python: "https://pypi.org/simple".to_owned(),
            node: "https://registry.npmjs.org".to_owned(),
            hosts: vec![files.parse().expect("a constant, plain host")],
            uv: Uv::LookedUp,
            keep_bytes_max: 20 << 30,
        }
    }
}

impl IndexConfig {
    /// Requests that are seen whole, to read and to fetch.
    pub fn to_fetch(&self, index: &str) -> Option<Network> {
        self.network(index, false)
    }

    /// Whole connections to the same hosts, for programs that know no other way.
    pub fn to_resolve(&self, index: &str) -> Option<Network> {
        self.network(index, true)
    }

    fn network(&self, index: &str, tunnel: bool) -> Option<Network> {
        let hosts = self.hosts.iter().cloned().chain([host(index)?]);
        let hosts: Vec<HostPattern> = hosts.collect();
        serde_json::from_value(json!({ "hosts": hosts, "tunnel": tunnel })).ok()
    }
}

/// The host of an index, if its address is one. A password in it would be read
/// by every developer in what a build says.
pub fn host(index: &str) -> Option<HostPattern> {
    let uri: Uri = index.parse().ok()?;
    if uri.authority()?.as_str().contains('@') {
        return None;
    }
    let port = match (uri.port_u16(), uri.scheme_str()?) {
        (Some(port), "http" | "https") => port,
        (None, "http") => 80,
        (None, "https") => 443,
        _ => return None,
    };
    let name = uri.host()?.to_ascii_lowercase();
    format!("{name}:{port}").parse().ok()
}

impl Uv {
    /// The program, if it is there.
    pub fn find(&self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::At(path) => is_program(path).then(|| path.clone()),
            Self::LookedUp => {
                let folders = std::env::var_os("PATH")?;
                std::env::split_paths(&folders)
                    .map(|folder| folder.join("uv"))
                    .find(|path| is_program(path))
            }
        }
    }
}

/// Whether this is a program of its own: what stands for it, as a script does
/// that chooses among several, is of no use in a sandbox.
fn is_program(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn an_index_is_reached_at_the_host_and_port_of_its_address() {
        for (index, found) in [
            ("https://pypi.org/simple", Some("pypi.org")),
            ("http://10.0.0.7:8080/simple/", Some("10.0.0.7:8080")),
            ("http://Index.Example/", Some("index.example:80")),
            ("ftp://pypi.org/", None),
            ("pypi.org/simple", None),
            ("/simple", None),
            ("https://user:password@pypi.org/simple", None),
        ] {
            let shown = host(index).map(|host| host.to_string());
            assert_eq!(shown.as_deref(), found, "{index}");
        }
    }
}
