//! A registry of Debian's, and registries that lie.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use strongroom_core::digest::Digest;
use strongroom_run::image::{Addition, ExportAs, Images, Packed};

use super::*;

struct Home {
    folder: tempfile::TempDir,
    images: Images,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(&folder.path().join("images")).unwrap();
        Self { folder, images }
    }

    fn image(&self, marker: &str) -> Digest {
        let mut packed = Packed::default();
        packed.text("etc/marker", marker);
        packed.link("bin", "usr/bin");
        let layers = [Addition::whole(packed)];
        let built = self
            .images
            .build_and_admit(None, &layers, &["made".parse().unwrap()]);
        built.unwrap().digest
    }

    fn marker(&self, image: &Digest) -> String {
        let root = self.images.root(image).unwrap();
        std::fs::read_to_string(root.path().join("etc/marker")).unwrap()
    }
}

/// Debian's registry, on a free port.
struct Registry {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// A program that these tests speak with. Where continuous integration runs,
/// they must be installed; elsewhere what is missing is said.
fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is not installed; `cargo xtask test` installs it"
    );
    if !found {
        eprintln!("{program} is not installed, so this was not tried");
    }
    found
}

impl Registry {
    fn start() -> Option<Self> {
        if !installed("docker-registry") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = folder.path().join("config.yml");
        let root = folder.path().join("data");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\nhttp: {{ addr: '{address}' }}\n",
                root.display()
            ),
        )
        .unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            child,
            address,
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::yield_now();
        }
        Some(registry)
    }

    fn reference(&self, rest: &str) -> RegistryReference {
        format!("{}/{rest}", self.address).parse().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_pushed_is_pulled_as_the_same_and_read_by_other_tools() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let (here, there) = (Home::new(), Home::new());
    let image = here.image("pushed");
    let tag = registry.reference("lab/base:1");
    push(&here.images, &image, &tag).unwrap();
    // Again, when all of it is there.
    push(&here.images, &image, &tag).unwrap();
    let pulled = pull(&there.images, &tag, &["base".parse().unwrap()]).unwrap();
    assert_eq!(pulled, image);
    assert_eq!(there.marker(&pulled), "pushed");
    let by_digest = registry.reference(&format!("lab/base@{image}"));
    assert_eq!(pull(&Home::new().images, &by_digest, &[]).unwrap(), image);
    if installed("skopeo") {
        let said = read_by(
            "skopeo",
            &["inspect", "--tls-verify=false", &format!("docker://{tag}")],
        );
        assert!(said.contains(&image.to_string()), "{said}");
    }
    let absent = pull(&there.images, &registry.reference("lab/base:2"), &[]);
    assert!(
        matches!(absent, Err(RegistryError::NotThere { .. })),
        "{absent:?}"
    );
}

#[test]
fn what_is_exported_is_read_by_the_tools_that_people_have() {
    let home = Home::new();
    let image = home.image("exported");
    let archive = |kind, name: &str| {
        let path = home.folder.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        home.images
            .export(&image, "lab/base:1", kind, file)
            .unwrap();
        path.display().to_string()
    };
    let oci = archive(ExportAs::OciArchive, "oci.tar");
    let docker = archive(ExportAs::DockerArchive, "docker.tar");
    if installed("skopeo") {
        let said = read_by("skopeo", &["inspect", &format!("oci-archive:{oci}")]);
        assert!(said.contains(&image.to_string()), "{said}");
        read_by("skopeo", &["inspect", &format!("docker-archive:{docker}")]);
        // And what it makes of it comes back.
        let copy = home.folder.path().join("copy.tar").display().to_string();
        let (from, to) = (
            format!("oci-archive:{oci}"),
            format!("docker-archive:{copy}:x:1"),
        );
        read_by("skopeo", &["--insecure-policy", "copy", &from, &to]);
        let other = Home::new();
        let loaded = other.images.import(Path::new(&copy), &[]).unwrap();
        assert_eq!(other.marker(&loaded), "exported");
    }
    if installed("umoci") {
        let layout = home.folder.path().join("layout");
        std::fs::create_dir(&layout).unwrap();
        read_by("tar", &["-xf", &oci, "-C", &layout.display().to_string()]);
        let bundle = home.folder.path().join("bundle").display().to_string();
        let named = format!("{}:lab/base:1", layout.display());
        // umoci splits at the first colon, so it is given a plain tag.
        let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
        std::fs::write(
            layout.join("index.json"),
            index.replace("lab/base:1", "one"),
        )
        .unwrap();
        let named = named.replace("lab/base:1", "one");
        read_by(
            "umoci",
            &["unpack", "--rootless", "--image", &named, &bundle],
        );
        let marker = Path::new(&bundle).join("rootfs/etc/marker");
        assert_eq!(std::fs::read_to_string(marker).unwrap(), "exported");
    }
}

fn read_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A registry that answers each request as it was told, by what it begins with.
struct Liar {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answers = Vec<(String, Vec<u8>)>;

impl Liar {
    fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(count) if 0 < count => request.extend(&piece[..count]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let answer = answers
                    .iter()
                    .find(|(begins, _)| request.starts_with(begins));
                let answer = answer.map(|(_, answer)| answer.clone());
                heard.lock().unwrap().push(request);
                let absent =
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(&answer.unwrap_or_else(|| absent.to_vec()));
            }
        });
        Self { address, asked }
    }

    fn pull(&self, home: &Home) -> Result<Digest, RegistryError> {
        let from = format!("{}/lab/base:1", self.address).parse().unwrap();
        pull(&home.images, &from, &["made".parse().unwrap()])
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The answers of an honest registry that has one image.
fn honest() -> (Answers, Vec<Digest>) {
    let home = Home::new();
    let image = home.image("another");
    let (manifest, _) = home.images.image(&image).unwrap();
    let bytes = home.images.manifest_bytes(&image).unwrap();
    let media = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
    let mut answers = vec![(
        "GET /v2/lab/base/manifests/1 ".to_owned(),
        answer("200 OK", media, &bytes),
    )];
    let mut digests = Vec::new();
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let bytes = std::fs::read(home.images.blob_path(&blob.digest)).unwrap();
        let asked = format!("GET /v2/lab/base/blobs/{} ", blob.digest);
        answers.push((asked, answer("200 OK", "", &bytes)));
        digests.push(blob.digest);
    }
    (answers, digests)
}

/// An honest registry but for this; the image that was there before stays.
#[track_caller]
fn refuses(spoil: impl FnOnce(&mut Answers), why: &str) {
    let (mut answers, _) = honest();
    spoil(&mut answers);
    let liar = Liar::start(answers);
    let home = Home::new();
    let old = home.image("old");
    let error = liar.pull(&home).unwrap_err();
    let told = crate::app::error::chain(&error);
    assert!(told.contains(why), "{told}");
    assert!(told.len() < 500 && !told.contains('\n'), "{told}");
    assert_eq!(home.images.find("made").unwrap(), old);
    assert_eq!(home.marker(&old), "old");
    assert_eq!(home.images.list().unwrap().len(), 1);
    let staging = home.folder.path().join("images/staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
}

#[test]
fn an_honest_registry_is_believed() {
    let liar = Liar::start(honest().0);
    let home = Home::new();
    let image = liar.pull(&home).unwrap();
    assert_eq!(home.marker(&image), "another");
}

#[test]
fn a_registry_that_says_no_is_quoted_in_one_sentence() {
    refuses(|answers| answers.clear(), "has no the manifest 127.0.0.1");
    let said = |status: &'static str| {
        move |answers: &mut Answers| answers[0].1 = answer(status, "", b"{\"errors\":[]}")
    };
    refuses(
        said("401 Unauthorized"),
        "wants to know who asks for the manifest",
    );
    refuses(said("403 Forbidden"), "does not let you have the manifest");
    refuses(
        said("429 Too Many Requests"),
        "is asked too often; try again later",
    );
    refuses(
        said("500 Internal Server Error"),
        "answers 500 when asked for the manifest",
    );
    let busy = answer("429 Too Many Requests", "Retry-After: 7\r\n", b"");
    refuses(|answers| answers[2].1 = busy, "it says to try again in 7 s");
}

#[test]
fn a_blob_that_is_short_long_or_another_is_refused() {
    refuses(
        |answers| {
            let whole = answers[1].1.len();
            answers[1].1.truncate(whole - 700);
        },
        "",
    );
    refuses(
        |answers| answers[1].1 = answer("200 OK", "", &[0; 512]),
        "has 512 bytes, and the image says",
    );
    refuses(
        |answers| answers[1].1 = answer("200 OK", "", &[0; 1 << 20]),
        "bytes, and the image says",
    );
    refuses(
        |answers| {
            let last = answers[1].1.len() - 1;
            answers[1].1[last] ^= 1;
        },
        "changed or broken on the way",
    );
    refuses(|answers| drop(answers.remove(1)), "has no the blob");
    refuses(
        |answers| {
            let digest = format!("Docker-Content-Digest: {}\r\n", Digest::of(b"another"));
            answers[0].1 = answer("200 OK", &digest, b"{}");
        },
        "changed or broken on the way",
    );
    refuses(
        |answers| answers[0].1 = answer("200 OK", "", b"<html>"),
        "the manifest of the image cannot be read",
    );
}

#[test]
fn a_token_is_asked_for_where_the_registry_says_and_nowhere_unsafe() {
    let challenge = |realm: &str| {
        let asked =
            format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\",scope=\"x\"\r\n");
        move |answers: &mut Answers| answers[0].1 = answer("401 Unauthorized", &asked, b"")
    };
    refuses(
        challenge("http://tokens.example.org/t"),
        "is not reached over TLS",
    );
    refuses(challenge("file:///etc/passwd"), "is not reached over TLS");
    for other in [
        "http://localhost:80@tokens.example.org/t",
        "http://[::1]@tokens.example.org/t",
        "https://localhost@tokens.example.org/t",
        "http://[::1]tokens.example.org/t",
    ] {
        refuses(challenge(other), "is not reached over TLS");
    }
    let tokens = Liar::start(vec![(
        "GET /t?".to_owned(),
        answer("200 OK", "", br#"{"token":"let-me-in"}"#),
    )]);
    let (mut answers, _) = honest();
    challenge(&format!("http://{}/t", tokens.address))(&mut answers);
    let liar = Liar::start(answers);
    let error = liar.pull(&Home::new()).unwrap_err();
    // The liar asks again whoever asks; the token was sent to it all the same.
    assert!(matches!(error, RegistryError::Unknown { .. }), "{error}");
    let asked = liar.asked.lock().unwrap();
    let second = asked[1].to_ascii_lowercase();
    assert!(
        second.contains("authorization: bearer let-me-in"),
        "{second}"
    );
    let scope = tokens.asked.lock().unwrap()[0].clone();
    assert!(
        scope.contains("scope=repository%3Alab%2Fbase%3Apull")
            || scope.contains("scope=repository:lab/base:pull"),
        "{scope}"
    );
}

#[test]
fn a_host_that_a_registry_leads_to_does_not_learn_who_asks() {
    let tokens = Liar::start(vec![(
        "GET /t?".to_owned(),
        answer("200 OK", "", br#"{"token":"let-me-in"}"#),
    )]);
    let realm = format!(
        "WWW-Authenticate: Bearer realm=\"http://{}/t\"\r\n",
        tokens.address
    );
    let store = Liar::start(vec![(
        "GET /blob ".to_owned(),
        answer("401 Unauthorized", &realm, b""),
    )]);
    let (mut answers, _) = honest();
    let there = format!("Location: http://{}/blob\r\n", store.address);
    answers[1].1 = answer("307 Temporary Redirect", &there, b"");
    let error = Liar::start(answers).pull(&Home::new()).unwrap_err();
    assert!(matches!(error, RegistryError::Unknown { .. }), "{error}");
    let asked = store.asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].to_ascii_lowercase().contains("authorization"));
    assert!(tokens.asked.lock().unwrap().is_empty());
}

#[test]
fn a_registry_that_never_comes_to_an_end_is_left() {
    let (mut answers, _) = honest();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("Location: http://{}/\r\n", held.local_addr().unwrap());
    // A byte, and then nothing for as long as anybody listens.
    let (over, until) = std::sync::mpsc::channel::<()>();
    let holding = std::thread::spawn(move || {
        let (mut stream, _) = held.accept().unwrap();
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
        stream.write_all(head).unwrap();
        let _ = until.recv();
    });
    answers[0].1 = answer("307 Temporary Redirect", &there, b"");
    let liar = Liar::start(answers);
    let from = format!("{}/lab/base:1", liar.address).parse().unwrap();
    let mut conversation = conversation::Conversation::new(&from, "pull").unwrap();
    conversation.document_max = Duration::from_millis(300);
    let begun = Instant::now();
    let error = pull::pull_by(&conversation, &Home::new().images, &[]).unwrap_err();
    let told = crate::app::error::chain(&error);
    assert!(told.contains("timeout"), "{told}");
    // Long before silence alone would be too long.
    assert!(begun.elapsed() < Duration::from_secs(30));
    drop(over);
    holding.join().unwrap();
}

#[test]
fn references_are_read_as_other_tools_read_them() {
    let read = |raw: &str| {
        let found: RegistryReference = raw.parse().unwrap();
        (found.base(), found.repository().to_owned(), found.wanted())
    };
    let is = |raw, base: &str, repository: &str, wanted: &str| {
        let expected = (base.to_owned(), repository.to_owned(), wanted.to_owned());
        assert_eq!(read(raw), expected);
    };
    let docker = "https://registry-1.docker.io";
    is("python", docker, "library/python", "latest");
    is("lab/base:1", docker, "lab/base", "1");
    is("localhost/a", "http://localhost", "a", "latest");
    is(
        "127.0.0.1:5000/lab/a:b",
        "http://127.0.0.1:5000",
        "lab/a",
        "b",
    );
    is("[::1]:5000/lab/a", "http://[::1]:5000", "lab/a", "latest");
    is("ghcr.io/lab/a:b", "https://ghcr.io", "lab/a", "b");
    for wrong in [
        "",
        "A/b",
        "a//b",
        "../a",
        "a b",
        "host.example/..",
        "a:b c",
        "a@sha256:1",
        "h.x@e/a",
    ] {
        assert!(wrong.parse::<RegistryReference>().is_err(), "{wrong}");
    }
}
