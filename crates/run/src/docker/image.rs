//! The image that a container's root is made of: links, small files, nothing else.
//!
//! What a runtime shows of this host is mounted over it, so an image costs a few
//! kilobytes, and there is one for each set of links and files. It is named by
//! the digest of what is in it, and imported when the engine has none of that name.

use std::{
    io,
    path::{Path, PathBuf},
};

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;
use strongroom_core::digest::Digest;
use tar::{Builder, EntryType, Header};

use super::engine::{Engine, EngineError, is_missing};

pub(super) const NAME: &str = "strongroom-root";

/// The name of an image with these links and files, which is made if need be.
pub(super) async fn root(
    engine: &Engine,
    links: &[(PathBuf, PathBuf)],
    files: &[(PathBuf, Vec<u8>)],
) -> Result<String, EngineError> {
    let archive = archive(links, files).map_err(EngineError::Image)?;
    let tag = Digest::of(&archive).to_string().replace(':', "-");
    let name = format!("{NAME}:{tag}");
    if is_there(engine, &name).await? {
        return Ok(name);
    }
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(NAME)
        .tag(&tag)
        .build();
    let body = bollard::body_full(archive.into());
    let mut imported = engine.api.create_image(Some(options), Some(body), None);
    let told = async {
        while let Some(said) = imported.next().await {
            said?;
        }
        Ok(())
    };
    engine.answer("import an image", told).await?;
    Ok(name)
}

/// Whether the engine has an image of this name.
pub(super) async fn is_there(engine: &Engine, name: &str) -> Result<bool, EngineError> {
    let found = engine.api.inspect_image(name);
    match engine.answer("look for an image", found).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A tar of the root, the same for the same content.
fn archive(links: &[(PathBuf, PathBuf)], files: &[(PathBuf, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let mut links: Vec<_> = links.iter().collect();
    links.sort();
    for (path, target) in links {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, below(path), target)?;
    }
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    for (path, content) in files {
        let mut header = header(EntryType::Regular, 0o444, content.len() as u64);
        archive.append_data(&mut header, below(path), content.as_slice())?;
    }
    archive.into_inner()
}

fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::archive;

    #[test]
    fn the_same_root_is_the_same_archive_in_whatever_order_it_is_said() {
        let one = ("/bin".into(), "usr/bin".into());
        let other = ("/lib".into(), "usr/lib".into());
        let file = [("/etc/passwd".into(), b"guest".to_vec())];
        let first = archive(&[one.clone(), other.clone()], &file).unwrap();
        let second = archive(&[other, one], &file).unwrap();
        assert_eq!(first, second);
        assert_ne!(first, archive(&[], &file).unwrap());
    }
}
