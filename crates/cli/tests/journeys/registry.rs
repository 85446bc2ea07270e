//! Pulling from a registry by command line: who asks it, and what is cleared
//! away meanwhile by another process.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Instant,
};

use crate::station::{PATIENCE, Place, Said, said};

/// A layout of images, served as a registry: the tag is the manifest's digest.
struct Registry {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    /// Where a blob is held that was asked for, until its sender is used or gone.
    held: mpsc::Receiver<mpsc::Sender<()>>,
}

/// What a registry does with those who ask.
#[derive(Clone, Copy)]
enum Manner {
    Serves,
    /// It sends half of each blob and waits for leave to send the rest.
    Holds,
    /// It wants to know who asks, and then has nothing.
    Asks,
}

impl Registry {
    fn start(layout: PathBuf, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let (holder, held) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (layout, heard) = (layout.clone(), Arc::clone(&heard));
                let holder = holder.clone();
                // Who is killed while he is answered is of no interest.
                std::thread::spawn(move || answer(stream, &layout, manner, &heard, &holder));
            }
        });
        Self {
            address,
            asked,
            held,
        }
    }

    fn reference(&self, digest: &str) -> String {
        let tag = digest.strip_prefix("sha256:").unwrap();
        format!("{}/lab/base:{tag}", self.address)
    }
}

fn answer(
    mut stream: TcpStream,
    layout: &Path,
    manner: Manner,
    heard: &Mutex<Vec<String>>,
    holder: &mpsc::Sender<mpsc::Sender<()>>,
) -> Option<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).ok()? {
            0 => return None,
            count => request.extend(&piece[..count]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1)?.to_owned();
    let authorized = request.to_ascii_lowercase().contains("authorization:");
    heard.lock().unwrap().push(request);
    let wanted = path.rsplit('/').next()?.trim_start_matches("sha256:");
    let bytes = fs::read(layout.join("blobs/sha256").join(wanted)).unwrap_or_default();
    let (status, headers) = match manner {
        Manner::Asks if !authorized => {
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"lab\"")
        }
        Manner::Asks => ("404 Not Found", "X-Lab: 1"),
        _ => (
            "200 OK",
            "Content-Type: application/vnd.oci.image.manifest.v1+json",
        ),
    };
    let length = bytes.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let (first, rest) = bytes.split_at(length / 2);
    stream.write_all(first).ok()?;
    if matches!(manner, Manner::Holds) && path.contains("/blobs/") {
        let (leave, given) = mpsc::channel();
        holder.send(leave).ok()?;
        let _ = given.recv_timeout(PATIENCE);
    }
    stream.write_all(rest).ok()
}

/// A home apart with an image in it, the layout of that home, and the image's digest.
fn made(place: &Place, name: &str) -> (PathBuf, String) {
    let home = place.path(&format!("{name}-home"));
    place.file(&format!("{name}/usr/marker"), name.repeat(1000));
    let root = place.path(name).display().to_string();
    let at = home.display().to_string();
    let imported = place.run(&["runtime", "import", &root, "--name", name, "--home", &at]);
    assert_eq!(imported.code, 0, "{imported}");
    (home.join("images"), imported.out.trim().to_owned())
}

/// Whether an image is whole, by all that it is made of.
fn is_whole(place: &Place, image: &str) -> Said {
    let home = place.home().display().to_string();
    let archive = place.path("whole.tar");
    let _ = fs::remove_file(&archive);
    let archive = archive.display().to_string();
    place.run(&["runtime", "export", image, "-o", &archive, "--home", &home])
}

#[test]
fn a_pull_and_the_clearing_away_of_another_process_leave_each_other_whole() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let (layout, digest) = made(&place, "base");
    let registry = Registry::start(layout, Manner::Holds);
    let from = registry.reference(&digest);
    let pull = || {
        let mut command = place.command();
        command.args(["runtime", "pull", &from, "--name", "base", "--home", &home]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let gc = || place.run(&["runtime", "gc", "--all", "--home", &home]);

    // One that is killed while it pulls leaves what the next clearing takes.
    let mut killed = pull().spawn().unwrap();
    let leave = registry.held.recv_timeout(PATIENCE).unwrap();
    let busy = gc();
    assert!(busy.code != 0 && busy.err.contains("brought in"), "{busy}");
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(leave);
    let cleared = gc();
    assert_eq!(cleared.code, 0, "{cleared}");
    let staging = fs::read_dir(place.home().join("images/staging")).unwrap();
    assert_eq!(staging.count(), 0);

    // One that goes on has its blobs, however often somebody would clear away.
    let pulling = pull().spawn().unwrap();
    for _ in 0..2 {
        let leave = registry.held.recv_timeout(PATIENCE).unwrap();
        let busy = gc();
        assert!(busy.code != 0 && busy.err.contains("brought in"), "{busy}");
        leave.send(()).unwrap();
    }
    let pulled = pulling.wait_with_output().unwrap();
    assert!(pulled.status.success(), "{pulled:?}");
    assert_eq!(is_whole(&place, "base").code, 0);
    let kept = place.run(&["runtime", "gc", "--home", &home]);
    assert_eq!(kept.code, 0, "{kept}");
    assert_eq!(is_whole(&place, "base").code, 0);
}

#[test]
fn images_that_are_pulled_while_others_clear_away_all_the_time_are_whole() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let names: Vec<String> = (0..6).map(|number| format!("base-{number}")).collect();
    let over = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let clearing = scope.spawn(|| {
            let latest = Instant::now() + PATIENCE;
            let mut cleared = 0;
            while !over.load(ordering) && Instant::now() < latest {
                let gc = place.run(&["runtime", "gc", "--home", &home]);
                match gc.code {
                    0 => cleared += 1,
                    _ => assert!(gc.err.contains("brought in"), "{gc}"),
                }
            }
            cleared
        });
        for name in &names {
            let (layout, digest) = made(&place, name);
            let registry = Registry::start(layout, Manner::Serves);
            let from = registry.reference(&digest);
            let pulled = place.run(&["runtime", "pull", &from, "--name", name, "--home", &home]);
            assert_eq!(pulled.code, 0, "{pulled}");
            let whole = is_whole(&place, name);
            assert_eq!(whole.code, 0, "{whole}");
        }
        over.store(true, ordering);
        assert!(0 < clearing.join().unwrap());
    });
    for name in &names {
        assert_eq!(is_whole(&place, name).code, 0, "{name}");
    }
}

/// A program that keeps credentials, which another process writes, so that none
/// of ours has it open when it starts.
fn keeper(place: &Place, text: &str) {
    fs::create_dir_all(place.path("keepers")).unwrap();
    let program = place.path("keepers/docker-credential-lab");
    let script = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod +x \"$2\"";
    let mut writer = Command::new("/bin/sh");
    writer.args(["-c", script, "sh", text]).arg(program);
    assert_eq!(said(&mut writer).code, 0);
}

#[test]
fn a_registry_learns_who_asks_from_the_program_that_the_configuration_names() {
    let place = Place::new();
    let home = place.home().display().to_string();
    let registry = Registry::start(place.path("nothing"), Manner::Asks);
    let from = registry.reference(&format!("sha256:{}", "a".repeat(64)));
    let config = format!("{{\"credHelpers\":{{\"{}\":\"lab\"}}}}", registry.address);
    place.file("docker/config.json", config);
    let pull = || {
        registry.asked.lock().unwrap().clear();
        let path = format!("{}:/usr/bin:/bin", place.path("keepers").display());
        let mut command = place.command();
        command.env("PATH", path);
        command.env("DOCKER_CONFIG", place.path("docker"));
        command.args(["runtime", "pull", &from, "--home", &home]);
        let told = said(&mut command);
        assert!(
            told.code != 0 && !told.err.contains("open-sesame"),
            "{told}"
        );
        let asked = registry.asked.lock().unwrap();
        let asked = asked.iter().map(|one| one.to_ascii_lowercase());
        let told_us = asked.filter(|one| one.contains("authorization:"));
        (told.err, told_us.collect::<Vec<_>>())
    };
    let missing = pull();
    assert!(missing.0.contains("docker-credential-lab"), "{missing:?}");
    let knows = format!(
        "read host; [ \"$1 $host\" = \"get {}\" ] || exit 3\n\
         echo '{{\"Username\":\"ada\",\"Secret\":\"open-sesame\"}}'",
        registry.address
    );
    keeper(&place, &knows);
    let (said, told) = pull();
    assert!(said.contains("has no the manifest"), "{said}");
    // `ada:open-sesame`
    let expected = "authorization: basic ywrhom9wzw4tc2vzyw1l";
    assert!(told.iter().any(|one| one.contains(expected)), "{told:?}");
    keeper(
        &place,
        "echo 'credentials not found in native keychain'; exit 1",
    );
    let (said, told) = pull();
    assert!(said.contains("wants to know who asks"), "{said}");
    assert!(told.is_empty(), "{told:?}");
    keeper(&place, "echo open-sesame");
    let (said, told) = pull();
    let why = "what it says is not the JSON that it should be";
    assert!(said.contains(why) && told.is_empty(), "{said} {told:?}");
}
