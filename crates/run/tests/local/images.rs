//! Runtimes whose root is an image and not the host.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;
use strongroom_core::digest::Digest;
use strongroom_run::{
    RuntimeError, Runtimes,
    image::{Addition, Images, Packed},
};

use crate::{
    house::{House, Task},
    image::{program, python},
};

/// An image with the host's shell and nothing else, but for `marker`.
fn shell(marker: &str) -> Packed {
    let mut packed = Packed::default();
    program(&mut packed, "usr/bin/sh", "/bin/sh");
    program(&mut packed, "usr/bin/ls", "/bin/ls");
    program(&mut packed, "usr/bin/cat", "/bin/cat");
    packed.link("bin", "usr/bin");
    packed.text("etc/marker", marker);
    packed.text("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    packed.text("opt/tool/readme", "in the image alone");
    packed.text("proc/version", "not the jail's");
    packed
}

struct Station {
    house: House,
    folder: tempfile::TempDir,
}

impl Station {
    fn new() -> Self {
        Self::with_zygotes(0, 0)
    }

    fn with_zygotes(pool_max: u32, zygotes_max: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtimes = Runtimes::default().with_images(folder.path().join("images"));
        let house = House::with_runtimes(runtimes, pool_max, zygotes_max);
        Self { house, folder }
    }

    fn images(&self) -> Images {
        Images::open(&self.folder.path().join("images")).unwrap()
    }

    fn image(&self, packed: Packed) -> Digest {
        let layers = [Addition::whole(packed)];
        let built = self.images().build_and_admit(None, &layers, &[]);
        built.unwrap().digest
    }

    fn add(&self, base: &str, image: &str) -> Result<(), RuntimeError> {
        let folder: PathBuf = self.folder.path().join("runtime");
        fs::create_dir_all(&folder).unwrap();
        let toml = format!("base = \"{base}\"\nimage = \"{image}\"\n");
        fs::write(folder.join("runtime.toml"), &toml).unwrap();
        let runtimes = self.house.local.runtimes();
        runtimes.add("own".parse().unwrap(), &folder, Digest::of(toml.as_bytes()))
    }
}

#[tokio::test]
async fn a_guest_sees_its_image_and_nothing_of_the_host() {
    let station = Station::new();
    let image = station.image(shell("one"));
    station.add("sh", &image.to_string()).unwrap();
    let code = "ls /; cat /etc/marker; ls /usr /opt/tool; cat /etc/passwd; \
        ls /usr/bin; echo x > /usr/x || echo kept";
    let outcome = station.house.run(Task::sh(code).runs_on("own")).await;
    let seen = outcome.succeeded().stdout();
    assert!(seen.contains("one"), "{seen}");
    assert!(seen.contains("readme") && seen.contains("kept"), "{seen}");
    assert!(
        seen.contains("guest:x:1000") && !seen.contains("root:x:0"),
        "{seen}"
    );
    assert!(
        !seen.contains("python") && !seen.contains("share"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_run_on_an_image_leaves_nothing_on_the_disk() {
    let station = Station::new();
    let image = station.image(shell("one"));
    station.add("sh", &image.to_string()).unwrap();
    let size = || {
        let mut du = Command::new("du");
        let said = du.arg("-s").arg(station.folder.path()).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let before = size();
    for _ in 0..3 {
        let task = Task::sh("echo out > /out/x").runs_on("own");
        station.house.run(task).await.succeeded();
    }
    assert_eq!(size(), before);
}

#[tokio::test]
async fn python_in_an_image_runs_as_on_the_host_plainly_waiting_and_copied() {
    for (pool_max, zygotes_max) in [(0, 0), (1, 0), (1, 1)] {
        let station = Station::with_zygotes(pool_max, zygotes_max);
        let image = station.image(python());
        station.add("python3", &image.to_string()).unwrap();
        let code = "import json, os, sys\n\
            def transform(data, ctx):\n\
            \x20   return [json.loads('1'), os.path.exists('/usr/bin/ls'), sys.executable]\n";
        for _ in 0..3 {
            let task = Task::python(code).runs_on("own");
            let value = station.house.run(task).await.value();
            assert_eq!(value, json!([1, false, "/usr/local/bin/python3"]));
        }
    }
}

#[tokio::test]
async fn another_image_is_another_runtime_to_those_who_approved() {
    let station = Station::new();
    let (one, two) = (station.image(shell("one")), station.image(shell("two")));
    let pin = |image: &Digest| {
        station.add("sh", &image.to_string()).unwrap();
        let runtimes = station.house.local.runtimes();
        runtimes.pin(&"own".parse().unwrap()).unwrap()
    };
    let (first, second) = (pin(&one), pin(&two));
    assert_ne!(first.digest, second.digest);
    assert_eq!(pin(&one), first);
}

#[tokio::test]
async fn an_image_that_is_not_there_or_lacks_the_program_is_refused() {
    let station = Station::new();
    let absent = Digest::of(b"absent");
    let error = station.add("sh", &absent.to_string()).unwrap_err();
    assert!(matches!(error, RuntimeError::Image { .. }), "{error:?}");
    let mut packed = Packed::default();
    packed.text("usr/share/readme", "no shell");
    packed.link("usr/bin/sh", "/etc/shadow");
    let image = station.image(packed);
    station.add("sh", &image.to_string()).unwrap();
    let pin = station.house.local.pin(&"own".parse().unwrap());
    assert!(matches!(pin, Err(RuntimeError::Missing { .. })), "{pin:?}");
}

#[tokio::test]
async fn a_root_that_a_station_shows_is_not_cleared_away() {
    let station = Station::new();
    let image = station.image(shell("one"));
    station.add("sh", &image.to_string()).unwrap();
    station
        .house
        .local
        .runtimes()
        .remove(&"own".parse().unwrap());
    let images = station.images();
    let cleared = images.clear(&[], strongroom_run::image::Extent::Unnamed);
    let cleared = cleared.unwrap();
    assert_eq!(
        (cleared.images, cleared.roots, cleared.roots_held),
        (1, 0, 1)
    );
    let held = station.images().root(&image);
    assert!(held.is_err(), "the image itself is gone");
}

#[tokio::test]
async fn a_link_in_an_image_leads_to_the_image() {
    let station = Station::new();
    let mut packed = shell("one");
    packed.link("opt/escape", "/etc/marker");
    packed.link("etc/hosts", "/opt/tool/readme");
    let image = station.image(packed);
    station.add("sh", &image.to_string()).unwrap();
    let code = "cat /opt/escape /etc/hosts";
    let outcome = station.house.run(Task::sh(code).runs_on("own")).await;
    assert_eq!(outcome.succeeded().stdout(), "onein the image alone");
}
