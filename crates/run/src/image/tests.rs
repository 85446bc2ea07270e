//! Archives that are images, and archives that would like to be.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::{media::LAYER, *};

/// A layer's archive, entry by entry.
struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Writes a name as it is, which the crate's own ways would refuse.
    fn entry(mut self, kind: EntryType, name: &str, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4777);
        header.set_mtime(7);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name, "", content.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    fn hard(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// What an archive of an image is made of, before it is spoiled.
struct Draft {
    blobs: Vec<(String, Vec<u8>)>,
    config: Value,
    layers: Vec<Value>,
}

impl Draft {
    fn of(layers: &[Vec<u8>]) -> Self {
        let packed: Vec<_> = layers.iter().map(|layer| (LAYER, layer.clone())).collect();
        Self::packed(&packed, layers)
    }

    /// Stored layers, and what they are unpacked.
    fn packed(stored: &[(&str, Vec<u8>)], layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({
            "architecture": media::host().architecture, "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        Self {
            blobs: stored
                .iter()
                .map(|(_, bytes)| (Digest::of(bytes).hex(), bytes.clone()))
                .collect(),
            config,
            layers: stored
                .iter()
                .map(|(media, bytes)| described(media, bytes))
                .collect(),
        }
    }

    fn archive(mut self) -> Vec<u8> {
        let config = self.config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::MANIFEST,
            "config": described(media::CONFIG, &config), "layers": self.layers,
        });
        let manifest = manifest.to_string().into_bytes();
        let index =
            json!({ "schemaVersion": 2, "manifests": [described(media::MANIFEST, &manifest)] });
        self.blobs.push((Digest::of(&config).hex(), config));
        self.blobs.push((Digest::of(&manifest).hex(), manifest));
        let mut members = vec![
            (
                "oci-layout".to_owned(),
                index::LAYOUT_TEXT.as_bytes().to_vec(),
            ),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        let blobs = self.blobs.into_iter();
        members.extend(blobs.map(|(name, bytes)| (format!("blobs/sha256/{name}"), bytes)));
        tarred(members)
    }
}

fn tarred(members: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

fn described(media: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media, "digest": Digest::of(bytes), "size": bytes.len() })
}

struct House {
    folder: tempfile::TempDir,
    images: Images,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(&folder.path().join("images")).unwrap();
        Self { folder, images }
    }

    fn import(&self, archive: &[u8], names: &[&str]) -> Result<Digest, ImageError> {
        let path = self.folder.path().join("archive");
        fs::write(&path, archive).unwrap();
        let names: Vec<ImageName> = names.iter().map(|name| name.parse().unwrap()).collect();
        self.images.import(&path, &names)
    }

    fn root(&self, layers: &[Vec<u8>]) -> HeldRoot {
        let image = self.import(&Draft::of(layers).archive(), &[]).unwrap();
        self.images.root(&image).unwrap()
    }

    /// Blobs and layers that lie there.
    fn kept(&self) -> [usize; 2] {
        ["blobs/sha256", "layers"].map(|below| {
            let folder = self.images.folder.join(below);
            fs::read_dir(folder).unwrap().count()
        })
    }

    /// What is in the folder of images that an image could have brought.
    fn installed(&self) -> (usize, usize) {
        let count = |below: &str| {
            let folder = self.images.folder.join(below);
            fs::read_dir(folder).unwrap().count()
        };
        assert_eq!(count("staging"), 0, "something was left half done");
        (self.images.list().unwrap().len(), count("roots"))
    }
}

/// The whole story of an error, as people are told it.
fn told(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out = format!("{out}: {cause}");
        source = cause.source();
    }
    out
}

/// A draft that is refused, with `why`; and an image that was there before
/// is still there, whole.
#[track_caller]
fn refuses(draft: Draft, why: &str) {
    refuses_archive(&draft.archive(), why);
}

#[track_caller]
fn refuses_archive(archive: &[u8], why: &str) {
    let house = House::new();
    let good = Draft::of(&[Layer::new().file("usr/old", "old").bytes()]).archive();
    let old = house.import(&good, &["old"]).unwrap();
    let kept = house.kept();
    let error = told(&house.import(archive, &["old"]).unwrap_err());
    assert!(error.contains(why), "{error}");
    assert!(error.len() < 600 && !error.contains('\n'), "{error}");
    assert_eq!(house.kept(), kept, "what is no image was kept");
    assert_eq!(house.installed(), (1, 1));
    assert_eq!(house.images.find("old").unwrap(), old);
    let root = house.images.root(&old).unwrap();
    assert_eq!(fs::read(root.path().join("usr/old")).unwrap(), b"old");
}

#[track_caller]
fn refuses_layer(layer: Layer, why: &str) {
    refuses(Draft::of(&[layer.bytes()]), why);
}

fn read(root: &HeldRoot, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap()
}

#[test]
fn layers_become_one_root_and_the_upper_one_counts() {
    let house = House::new();
    let lower = Layer::new()
        .folder("usr")
        .file("usr/a", "lower")
        .file("usr/b", "lower")
        .file("gone/x", "x")
        .file("opaque/x", "x")
        .link("lib", "usr/lib");
    let upper = Layer::new()
        .file("./usr/a", "upper")
        .hard("usr/c", "usr/a")
        .file(".wh.gone", "")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/y", "y")
        .file("opaque/.wh..wh.plnk", "");
    let root = house.root(&[lower.bytes(), upper.bytes()]);
    assert_eq!(read(&root, "usr/a"), "upper");
    assert_eq!(read(&root, "usr/b"), "lower");
    assert_eq!(read(&root, "usr/c"), "upper");
    assert_eq!(read(&root, "opaque/y"), "y");
    assert!(!root.path().join("opaque/x").exists());
    assert!(!root.path().join("gone").exists());
    assert_eq!(
        fs::read_link(root.path().join("lib")).unwrap(),
        Path::new("usr/lib")
    );
    let guest = read(&root, "etc/passwd");
    assert!(guest.starts_with("guest:x:1000:"));
}

#[test]
fn what_a_layer_removes_and_has_itself_stays() {
    let house = House::new();
    let lower = Layer::new()
        .file("a/x", "lower")
        .file("b", "lower")
        .file("c/x", "lower");
    let upper = Layer::new()
        .file("a/x", "upper")
        .file(".wh.a", "")
        .file(".wh.b", "")
        .folder("b")
        .file("c", "now a file");
    let root = house.root(&[lower.bytes(), upper.bytes()]);
    assert_eq!(read(&root, "a/x"), "upper");
    assert!(root.path().join("b").is_dir());
    assert_eq!(read(&root, "c"), "now a file");
}

#[test]
fn nothing_is_removed_through_a_link() {
    let house = House::new();
    let outside = house.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    let lower = Layer::new().link("a", outside.to_str().unwrap());
    let upper = Layer::new()
        .file("a/.wh.kept", "")
        .file("a/.wh..wh..opq", "");
    house.root(&[lower.bytes(), upper.bytes()]);
    assert!(outside.join("kept").exists());
}

#[test]
fn privileges_devices_and_times_are_dropped_or_kept_as_the_page_says() {
    let house = House::new();
    let layer = Layer::new()
        .file("usr/su", "x")
        .entry(EntryType::Char, "dev/sda", "", b"")
        .entry(EntryType::Block, "usr/block", "", b"")
        .entry(EntryType::Fifo, "usr/fifo", "", b"");
    let root = house.root(&[layer.bytes()]);
    let meta = root.path().join("usr/su").metadata().unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755);
    assert_eq!(meta.mtime(), 7);
    let names = fs::read_dir(root.path().join("usr")).unwrap().count();
    assert_eq!(names, 1);
}

#[test]
fn a_layer_is_unpacked_once_and_shared() {
    let house = House::new();
    let shared = Layer::new().file("usr/shared", "shared").bytes();
    let image = |own: &str| {
        let own = Layer::new().file("usr/own", own).bytes();
        house.root(&[shared.clone(), own])
    };
    let (one, two) = (image("one"), image("two"));
    let inode = |root: &HeldRoot, path: &str| root.path().join(path).metadata().unwrap().ino();
    assert_eq!(inode(&one, "usr/shared"), inode(&two, "usr/shared"));
    assert_ne!(inode(&one, "usr/own"), inode(&two, "usr/own"));
    let layers = fs::read_dir(house.images.folder.join("layers")).unwrap();
    assert_eq!(layers.count(), 3);
}

#[test]
fn a_layer_is_compared_with_its_digest_also_where_that_is_unpacked_already() {
    let known = Layer::new().file("usr/known", "known").bytes();
    let other = Layer::new().file("usr/other", "other").bytes();
    let house = House::new();
    house
        .import(
            &Draft::of(std::slice::from_ref(&known)).archive(),
            &["known"],
        )
        .unwrap();
    let gzip = format!("{LAYER}+gzip");
    for stored in [(LAYER, other.clone()), (gzip.as_str(), gzipped(&other))] {
        // Another layer under the name of one that is here.
        let draft = Draft::packed(&[stored], std::slice::from_ref(&known));
        let error = told(&house.import(&draft.archive(), &["other"]).unwrap_err());
        assert!(error.contains("and the image says"), "{error}");
        assert_eq!(house.installed(), (1, 1));
    }
    let packed = Draft::packed(&[(&gzip, gzipped(&known))], &[known]);
    house.import(&packed.archive(), &["packed"]).unwrap();
    assert_eq!(house.installed(), (2, 1));
}

#[test]
fn packed_layers_and_packed_archives_are_read() {
    let layer = Layer::new().file("usr/a", "a").bytes();
    let gzip = gzipped(&layer);
    let zstd = zstd::encode_all(layer.as_slice(), 0).unwrap();
    for (media, bytes) in [
        ("application/vnd.oci.image.layer.v1.tar+gzip", gzip.clone()),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip),
        ("application/vnd.oci.image.layer.v1.tar+zstd", zstd),
    ] {
        let house = House::new();
        let archive = Draft::packed(&[(media, bytes)], std::slice::from_ref(&layer)).archive();
        let image = house.import(&archive, &[]).unwrap();
        assert_eq!(house.import(&gzipped(&archive), &[]).unwrap(), image);
        assert_eq!(read(&house.images.root(&image).unwrap(), "usr/a"), "a");
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn what_docker_saves_is_read() {
    let house = House::new();
    let layer = Layer::new().file("usr/a", "a").bytes();
    let config = Draft::of(std::slice::from_ref(&layer)).config.to_string();
    let saved = json!([{ "Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l/layer.tar"] }]);
    let members = vec![
        ("c.json".to_owned(), config.into_bytes()),
        ("l/layer.tar".to_owned(), layer),
        ("manifest.json".to_owned(), saved.to_string().into_bytes()),
    ];
    let image = house.import(&tarred(members), &["x:1"]).unwrap();
    assert_eq!(read(&house.images.root(&image).unwrap(), "usr/a"), "a");
}

#[test]
fn an_exported_image_comes_back_as_the_same() {
    let house = House::new();
    let layer = Layer::new().file("usr/a", "a").bytes();
    let image = house
        .import(&Draft::of(&[layer]).archive(), &["lab/a:1"])
        .unwrap();
    let export = |kind| {
        let mut archive = Vec::new();
        house
            .images
            .export(&image, "lab/a:1", kind, &mut archive)
            .unwrap();
        archive
    };
    let oci = export(ExportAs::OciArchive);
    assert_eq!(oci, export(ExportAs::OciArchive));
    assert_eq!(House::new().import(&oci, &[]).unwrap(), image);
    let other = House::new();
    let loaded = other.import(&export(ExportAs::DockerArchive), &[]).unwrap();
    assert_eq!(read(&other.images.root(&loaded).unwrap(), "usr/a"), "a");
}

#[test]
fn the_same_files_make_the_same_image() {
    let build = |late: bool| {
        let house = House::new();
        let root = house.folder.path().join("root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        let names = if late { ["b", "a"] } else { ["a", "b"] };
        for name in names {
            fs::write(root.join("usr/bin").join(name), name).unwrap();
            let mode = fs::Permissions::from_mode(if late { 0o700 } else { 0o755 });
            fs::set_permissions(root.join("usr/bin").join(name), mode).unwrap();
        }
        symlink("usr/bin", root.join("bin")).unwrap();
        let base = house.images.import(&root, &[]).unwrap();
        let mut function = Packed::default();
        function.text("function/main.sh", "echo");
        let on_top = [Addition::whole(function)];
        let built = house.images.build_and_admit(Some(&base), &on_top, &[]);
        let built = built.unwrap().digest;
        assert_eq!(read(&house.images.root(&built).unwrap(), "bin/a"), "a");
        built
    };
    assert_eq!(build(false), build(true));
}

#[test]
fn a_blob_that_is_not_what_it_is_called_is_refused() {
    let layer = Layer::new().file("usr/a", "a").bytes();
    let draft = || Draft::of(std::slice::from_ref(&layer));
    let mut wrong = draft();
    wrong.blobs[0].1[700] ^= 1;
    refuses(wrong, "it was changed or broken on the way");
    let mut short = draft();
    short.blobs[0].1.truncate(1000);
    refuses(short, "has 1000 bytes, and the image says");
    let mut missing = draft();
    missing.blobs.clear();
    refuses(missing, "which is not there");
    let mut other = draft();
    other.config["rootfs"]["diff_ids"][0] = json!(Digest::of(b"another"));
    refuses(other, "unpacked it is sha256:");
    let mut count = draft();
    count.config["rootfs"]["diff_ids"] = json!([]);
    refuses(
        count,
        "the image says 0 times what its layers are, and has 1",
    );
}

#[test]
fn what_nobody_can_read_is_refused_by_its_name() {
    let layer = Layer::new().file("usr/a", "a").bytes();
    let mut unknown = Draft::of(std::slice::from_ref(&layer));
    unknown.layers[0]["mediaType"] = json!("application/x-\u{1b}[31mred");
    refuses(unknown, "which nobody here can read");
    let mut foreign = Draft::of(std::slice::from_ref(&layer));
    foreign.config["architecture"] = json!("s390x");
    refuses(
        foreign,
        "the image is for linux/s390x, and this host is linux/",
    );
    let mut many = Draft::of(std::slice::from_ref(&layer));
    many.layers = vec![many.layers[0].clone(); LAYERS_MAX + 1];
    refuses(many, "more than 128 layers");
    refuses_archive(
        b"not a tar archive, and long enough to be looked at",
        "cannot be read",
    );
    refuses_archive(
        &tarred(vec![("x".to_owned(), Vec::new())]),
        "neither an oci-archive",
    );
    let cut = Draft::of(&[layer]).archive();
    refuses_archive(&cut[..cut.len() / 2], "");
}

#[test]
fn what_is_an_image_and_a_list_of_images_at_once_is_neither() {
    let house = House::new();
    let image = house.import(&Draft::of(&[]).archive(), &[]).unwrap();
    let bytes = house.images.manifest_bytes(&image).unwrap();
    let mut both: Value = serde_json::from_slice(&bytes).unwrap();
    both["manifests"] = json!([described(media::MANIFEST, &bytes)]);
    let both = both.to_string();
    let why = "an image and a list of images at once";
    let manifest = Manifest::parse(both.as_bytes()).unwrap_err();
    let index = chosen(both.as_bytes()).unwrap_err();
    assert!(told(&manifest).contains(why) && told(&index).contains(why));
}

#[test]
fn an_image_is_not_cleared_away_while_it_is_given_a_name() {
    let house = House::new();
    let image = house.import(&Draft::of(&[]).archive(), &[]).unwrap();
    // As who clears away holds it.
    let clearing = house.images.lock_file().unwrap();
    clearing.lock().unwrap();
    let (images, (over, told)) = (house.images.clone(), std::sync::mpsc::channel());
    let naming = std::thread::spawn(move || {
        let named = images.call(&image, &"late".parse().unwrap());
        over.send(named.is_ok()).unwrap();
    });
    let waited = told.recv_timeout(std::time::Duration::from_millis(300));
    assert!(waited.is_err(), "it was named while it was cleared away");
    drop(clearing);
    assert!(told.recv().unwrap());
    naming.join().unwrap();
}

#[test]
fn layers_that_are_too_much_together_are_refused_before_one_of_them_comes() {
    let mut draft = Draft::of(&[Layer::new().bytes(), Layer::new().file("a", "").bytes()]);
    draft.blobs.clear();
    draft.layers[0]["size"] = json!(UNPACKED_BYTES_MAX / 2 + 1);
    draft.layers[1]["size"] = json!(UNPACKED_BYTES_MAX / 2);
    refuses(draft, "the layers are more than 8 GiB");
    let mut draft = Draft::of(&[Layer::new().bytes(), Layer::new().file("a", "").bytes()]);
    draft.layers[1]["size"] = json!(u64::MAX);
    refuses(draft, "the layers are more than 8 GiB");
}

#[test]
fn an_index_without_this_platform_names_those_it_has() {
    let index = json!({ "schemaVersion": 2, "manifests": [
        { "mediaType": media::MANIFEST, "digest": Digest::of(b""), "size": 0,
          "platform": { "architecture": "s390x", "os": "linux" } }] });
    let members = vec![("index.json".to_owned(), index.to_string().into_bytes())];
    refuses_archive(&tarred(members), "the image is for linux/s390x");
}

#[test]
fn no_entry_leaves_the_image() {
    refuses_layer(Layer::new().file("../a", ""), "climbs out of the image");
    refuses_layer(
        Layer::new().file("usr/../../a", ""),
        "climbs out of the image",
    );
    refuses_layer(Layer::new().file("/etc/passwd", ""), "has an absolute path");
    refuses_layer(
        Layer::new().link("usr/a", "../../etc"),
        "climbs out of the image",
    );
    refuses_layer(
        Layer::new().link("a", "/etc").file("a/b", ""),
        "lies below a link",
    );
    refuses_layer(
        Layer::new().file("a", "").file("a/b", ""),
        "lies below a link or a file",
    );
    refuses_layer(
        Layer::new().file("a/b", "").file("a", ""),
        "was a folder before",
    );
    refuses_layer(
        Layer::new().hard("a", "/etc/passwd"),
        "a hard link to an absolute path",
    );
    refuses_layer(
        Layer::new().hard("a", "../etc/passwd"),
        "or to one that climbs",
    );
    refuses_layer(
        Layer::new().hard("a", "etc/passwd"),
        "which is no file of this layer",
    );
    refuses_layer(
        Layer::new().link("l", "/etc").hard("a", "l/passwd"),
        "which is no file",
    );
    refuses_layer(Layer::new().folder("d").hard("a", "d"), "which is no file");
    refuses_layer(Layer::new().hard("a", "a"), "which is no file");
    refuses_layer(
        Layer::new().file("a/.wh...", ""),
        "removes nothing that has a name",
    );
    refuses_layer(
        Layer::new().file(".wh.", ""),
        "removes nothing that has a name",
    );
    let mut sparse = Header::new_gnu();
    sparse.set_path("a").unwrap();
    sparse.set_entry_type(EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.as_gnu_mut().unwrap().set_real_size(8 << 30);
    sparse.set_cksum();
    refuses(Draft::of(&[sparse.as_bytes().to_vec()]), "sparse");
    let odd = Layer::new().entry(EntryType::new(b'Z'), "a", "", b"");
    refuses_layer(odd, "no portable meaning");
}

#[test]
fn links_in_a_circle_are_refused() {
    let circle = Layer::new().link("usr/a", "b").link("usr/b", "/usr/a");
    refuses_layer(circle, "leads round in a circle");
    refuses_layer(
        Layer::new().link("a", "a"),
        "the link `a` leads round in a circle",
    );
    let lower = Layer::new().link("a", "b").bytes();
    let upper = Layer::new().link("b", "a").bytes();
    refuses(Draft::of(&[lower, upper]), "leads round in a circle");
}

#[test]
fn absolute_links_lead_to_the_image_and_not_to_the_host() {
    let house = House::new();
    let layer = Layer::new()
        .link("bin", "/usr/bin")
        .file("usr/bin/sh", "the image's");
    let root = house.root(&[layer.bytes()]);
    let handle = super::layer::folder(root.path()).unwrap();
    let found = merge::in_root(&handle, Path::new("/bin/sh")).unwrap();
    let size = rustix::fs::fstat(found).unwrap().st_size;
    assert_eq!(size, "the image's".len() as i64);
}

/// An archive of entries that are all the same, written as they are read.
struct Entries {
    left: u64,
    block: Vec<u8>,
    at: usize,
}

impl Entries {
    fn new(count: u64, block: Vec<u8>) -> Self {
        Self {
            left: count,
            at: block.len(),
            block,
        }
    }
}

impl std::io::Read for Entries {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            self.at = 0;
        }
        let count = into.len().min(self.block.len() - self.at);
        into[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn a_million_files_are_refused_where_the_bound_is() {
    let folder = tempfile::tempdir().unwrap();
    let unpacked = |count: u64, bound: u64| {
        let one = Layer::new().file("same", "").bytes();
        let entries = Entries::new(count, one[..512].to_vec());
        let mut tree = Tree::new(super::layer::folder(folder.path()).unwrap());
        let mut allowance = Allowance {
            entries: bound,
            ..Allowance::default()
        };
        tree.unpack(entries, || u64::MAX, &mut allowance)
    };
    unpacked(1000, 1000).unwrap();
    let error = unpacked(1_000_000, 1000).unwrap_err();
    assert!(matches!(error, LayerError::TooManyEntries), "{error}");
    const { assert!(ENTRIES_MAX < 1_000_000) };
}

#[test]
fn zeros_without_end_are_refused_long_before_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let ten_gigabytes = 10_000_000_000;
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(ten_gigabytes);
    header.set_cksum();
    let unpacked = |packed: u64, bytes: u64| {
        let zeros = std::io::Read::take(std::io::repeat(0), ten_gigabytes + 1024);
        let archive = std::io::Read::chain(&header.as_bytes()[..], zeros);
        let mut tree = Tree::new(super::layer::folder(folder.path()).unwrap());
        let mut allowance = Allowance {
            bytes,
            ..Allowance::default()
        };
        tree.unpack(archive, || packed, &mut allowance).unwrap_err()
    };
    // From a small archive, and from one that is as large as it says.
    let error = unpacked(10_000, UNPACKED_BYTES_MAX);
    assert!(matches!(error, LayerError::Bomb(_)), "{error}");
    let error = unpacked(u64::MAX, 1 << 20);
    assert!(matches!(error, LayerError::TooLarge), "{error}");
    assert!(UNPACKED_BYTES_MAX < ten_gigabytes);
}

#[test]
fn what_is_left_out_of_a_layer_counts_as_what_is_kept() {
    // Each by itself is short enough for what comes between two files.
    let content = vec![0; 1 << 19];
    for (kind, name) in [
        (EntryType::Char, "dev/null"),
        (EntryType::Fifo, "pipe"),
        (EntryType::XGlobalHeader, "pax"),
        (EntryType::Directory, "folder"),
        (EntryType::Regular, ".wh.gone"),
        (EntryType::Regular, ".wh..wh.plnk"),
    ] {
        let mut block = Layer::new().entry(kind, name, "", &content).bytes();
        block.truncate(512 + content.len());
        let unpacked = |packed: u64, bytes: u64| {
            let folder = tempfile::tempdir().unwrap();
            let mut tree = Tree::new(super::layer::folder(folder.path()).unwrap());
            let mut allowance = Allowance {
                bytes,
                ..Allowance::default()
            };
            let entries = Entries::new(1000, block.clone());
            tree.unpack(entries, || packed, &mut allowance).unwrap_err()
        };
        let error = unpacked(10_000, UNPACKED_BYTES_MAX);
        assert!(matches!(error, LayerError::Bomb(_)), "{name}: {error}");
        let error = unpacked(u64::MAX, 2 << 20);
        assert!(matches!(error, LayerError::TooLarge), "{name}: {error}");
    }
}

#[test]
fn folders_on_the_way_to_a_file_count_as_files_do() {
    let deep = |first: &str| format!("{first}{}/file", "/d".repeat(40));
    let layer = Layer::new().file(&deep("a"), "").file(&deep("b"), "");
    let bytes = layer.folder("c").folder("c/c").bytes();
    let unpacked = |entries: u64| {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(super::layer::folder(folder.path()).unwrap());
        let mut allowance = Allowance {
            entries,
            ..Allowance::default()
        };
        tree.unpack(bytes.as_slice(), || u64::MAX, &mut allowance)
    };
    let all = 2 * 42 + 2;
    unpacked(all).unwrap();
    let error = unpacked(all - 1).unwrap_err();
    assert!(matches!(error, LayerError::TooManyEntries), "{error}");
}

#[test]
fn a_layer_that_removes_without_end_is_refused() {
    let name = format!(".wh.{}", "n".repeat(95));
    let block = Layer::new().file(&name, "").bytes()[..512].to_vec();
    let removed = |count: u64| {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(super::layer::folder(folder.path()).unwrap());
        let mut allowance = Allowance::default();
        let entries = Entries::new(count, block.clone());
        tree.unpack(entries, || u64::MAX, &mut allowance)
    };
    let most = (16 << 20) / name.len() as u64;
    removed(most).unwrap();
    let error = removed(most + 1).unwrap_err().to_string();
    assert!(
        error.contains("is one more than a layer may remove"),
        "{error}"
    );
}

#[test]
fn a_name_as_long_as_memory_is_refused() {
    let mut header = Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(8 << 30);
    header.set_cksum();
    let mut layer = header.as_bytes().to_vec();
    layer.resize(4 << 20, b'a');
    refuses(Draft::of(&[layer]), "its headers are too long");
}

#[test]
fn names_are_names() {
    for wrong in [
        "",
        "-a",
        "a b",
        "sha256:abc",
        "runtime/python3",
        "a\u{1b}b",
        &"a".repeat(201),
    ] {
        assert!(wrong.parse::<ImageName>().is_err(), "{wrong}");
    }
    assert!("localhost:5000/lab/a:1".parse::<ImageName>().is_ok());
}

#[test]
fn clearing_keeps_what_has_a_name_and_what_somebody_holds() {
    let house = House::new();
    let image = |text: &str, names: &[&str]| {
        let layer = Layer::new().file("usr/a", text).bytes();
        house.import(&Draft::of(&[layer]).archive(), names).unwrap()
    };
    let (bare, named) = (image("bare", &[]), image("named", &["named"]));
    let runtimes = image("runtimes", &[]);
    let of_runtime = ImageName::of_runtime(&"data".parse().unwrap());
    house.images.call(&runtimes, &of_runtime).unwrap();
    let held = house.images.root(&bare).unwrap();
    let coming = house.images.incoming().unwrap();
    let busy = house.images.clear(&[], Extent::Unnamed).unwrap_err();
    assert!(matches!(busy, ImageError::Busy));
    drop(coming);
    let cleared = house.images.clear(&[], Extent::Unnamed).unwrap();
    assert_eq!(
        (cleared.images, cleared.roots, cleared.roots_held),
        (1, 0, 1)
    );
    assert_eq!((cleared.blobs, cleared.layers), (3, 1));
    assert_eq!(read(&held, "usr/a"), "bare");
    drop(held);
    let cleared = house.images.clear(&[], Extent::Unnamed).unwrap();
    assert_eq!((cleared.images, cleared.roots), (0, 1));
    assert_eq!(house.images.find("named").unwrap(), named);
    let cleared = house.images.clear(&[], Extent::Unused).unwrap();
    assert_eq!(cleared.images, 1);
    assert!(house.images.find("named").is_err());
    assert_eq!(
        read(&house.images.root(&runtimes).unwrap(), "usr/a"),
        "runtimes"
    );
}

#[test]
fn a_name_goes_to_another_image_and_the_old_one_stays_until_it_is_cleared() {
    let house = House::new();
    let image = |text: &str| {
        let layer = Layer::new().file("usr/a", text).bytes();
        house
            .import(&Draft::of(&[layer]).archive(), &["a"])
            .unwrap()
    };
    let (one, two) = (image("one"), image("two"));
    assert_eq!(house.images.find("a").unwrap(), two);
    assert_eq!(read(&house.images.root(&one).unwrap(), "usr/a"), "one");
    assert_eq!(house.images.find(&two.short()).unwrap(), two);
    assert_eq!(house.images.list().unwrap().len(), 1);
}

/// A folder with a Dockerfile and a file beside it.
fn dockerfile(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Dockerfile"), text).unwrap();
    fs::create_dir(folder.path().join("bin")).unwrap();
    fs::write(folder.path().join("bin/tool"), "tool").unwrap();
    folder
}

#[test]
fn a_dockerfile_that_runs_nothing_is_built_here_and_always_the_same() {
    let house = House::new();
    let layer = Layer::new().file("usr/a", "a").bytes();
    house
        .import(&Draft::of(&[layer]).archive(), &["base:1"])
        .unwrap();
    let text = "# a comment\nFROM base:1 AS only\nWORKDIR /opt\nCOPY bin/tool \\\n  tools/\n\
        COPY [\"bin\", \"/usr/bin\"]\nENV A=1 B=\"two words\"\nUSER 1000\nCMD [\"/usr/bin/tool\"]\n";
    let built = || {
        let folder = dockerfile(text);
        house.images.build_folder(folder.path(), &[]).unwrap()
    };
    let image = built();
    assert_eq!(built(), image);
    let root = house.images.root(&image).unwrap();
    assert_eq!(read(&root, "opt/tools/tool"), "tool");
    assert_eq!(read(&root, "usr/bin/tool"), "tool");
    assert_eq!(read(&root, "usr/a"), "a");
    let (_, config) = house.images.image(&image).unwrap();
    let env = ["A=1", "B=two words"].map(str::to_owned).to_vec();
    assert_eq!(config.config.env, Some(env));
    assert_eq!(config.config.working_dir.as_deref(), Some("/opt"));
}

#[test]
fn a_dockerfile_that_runs_something_names_the_line_and_who_could() {
    for (text, line) in [
        ("FROM base\nRUN apt-get update", 2),
        ("FROM base\n\n# x\nADD https://example.org /x", 4),
        ("ARG x\nFROM $x", 1),
        ("FROM a AS b\nCOPY x /x\nFROM c", 3),
        ("FROM a\nCOPY --from=b x /x", 2),
        ("FROM a\nCOPY *.py /x/", 2),
    ] {
        match Recipe::parse(text).unwrap() {
            Recipe::ForBuilder { line: found, .. } => assert_eq!(found, line, "{text}"),
            Recipe::Plain(plain) => panic!("{text}: {plain:?}"),
        }
    }
    let what = "RUN x".to_owned();
    let told = ImageError::NoBuilder { line: 2, what }.to_string();
    assert!(told.contains("docker") && told.contains("buildah") && told.contains("buildctl"));
}

#[test]
fn a_folder_to_build_leads_to_nothing_else_and_keeps_nobody_waiting() {
    let house = House::new();
    let refused = |folder: &Path| told(&house.images.build_folder(folder, &[]).unwrap_err());
    let fifo = |path: &Path| {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    for target in ["/dev/zero", "/etc/passwd", "bin/tool"] {
        let folder = dockerfile("");
        fs::remove_file(folder.path().join("Dockerfile")).unwrap();
        symlink(target, folder.path().join("Dockerfile")).unwrap();
        let error = refused(folder.path());
        assert!(error.contains("it is a link or a special file"), "{error}");
    }
    let folder = dockerfile("");
    fs::remove_file(folder.path().join("Dockerfile")).unwrap();
    fifo(&folder.path().join("Dockerfile"));
    let error = refused(folder.path());
    assert!(error.contains("it is no regular file"), "{error}");
    let folder = dockerfile("FROM scratch\nCOPY bin/pipe /x\n");
    fifo(&folder.path().join("bin/pipe"));
    let error = refused(folder.path());
    assert!(error.contains("neither a file nor a folder"), "{error}");
    let long = format!("FROM scratch\n#{}", "x".repeat(recipe::RECIPE_LEN_MAX));
    let error = refused(dockerfile(&long).path());
    assert!(error.contains("it is longer than"), "{error}");
    assert_eq!(house.installed(), (0, 0));
}

#[test]
fn a_dockerfile_that_makes_no_sense_is_refused_with_its_line() {
    for (text, why) in [
        ("", "line 1 of the Dockerfile: there is no FROM"),
        (
            "COPY a b",
            "line 1 of the Dockerfile: a Dockerfile begins with FROM",
        ),
        (
            "FROM a\nCOYP a b",
            "line 2 of the Dockerfile: there is no such instruction",
        ),
        (
            "FROM a\nCOPY a",
            "line 2 of the Dockerfile: COPY names what it copies",
        ),
        (
            "FROM a\nCOPY ../a /b",
            "line 2 of the Dockerfile: COPY climbs",
        ),
        (
            "FROM a\nCOPY a b c",
            "line 2 of the Dockerfile: several files",
        ),
        (
            "FROM a\nCMD [1]",
            "line 2 of the Dockerfile: the list is no list of texts",
        ),
        (
            "FROM a\nENV A=\"x",
            "line 2 of the Dockerfile: a quote is not closed",
        ),
    ] {
        let told = Recipe::parse(text).unwrap_err().to_string();
        assert!(told.starts_with(why), "{told}");
    }
    let house = House::new();
    let folder = dockerfile("FROM scratch\nCOPY bin/out /x\n");
    symlink("/etc/passwd", folder.path().join("bin/out")).unwrap();
    let error = house.images.build_folder(folder.path(), &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a link that leads out of the folder"),
        "{error}"
    );
    let folder = dockerfile("FROM absent\nCOPY bin /x\n");
    let error = house.images.build_folder(folder.path(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "there is no image `absent` here");
}
