//! Datasets and functions: chains of versions.

use strongroom_core::name::{ObjectName, Reference};
use strongroom_store::{FunctionContent, Page, StoreError};

use crate::fixture::{
    World, dataset, each_store, function, is_not_found, manifest, name, now, object, tree,
};

fn reference(raw: &str) -> Reference {
    raw.parse().unwrap()
}

#[tokio::test]
async fn a_dataset_is_a_chain_of_versions_and_the_same_content_adds_none() {
    each_store(async |world| {
        let (store, lab, penguins) = (&world.store, name("lab"), object("lab/penguins"));
        assert!(store.dataset_find(&penguins).await.unwrap().is_none());
        let one = tree(world, Some("lab"), &[("a.csv", "1"), ("b/c.csv", "22")]).await;
        let two = tree(world, Some("lab"), &[("a.csv", "3")]).await;
        let first = store
            .dataset_push(&lab, &penguins, &one, "one\0", now())
            .await
            .unwrap();
        let again = store
            .dataset_push(&lab, &penguins, &one, "again", now())
            .await
            .unwrap();
        let second = store
            .dataset_push(&lab, &penguins, &two, "two", now())
            .await
            .unwrap();
        let third = store
            .dataset_push(&lab, &penguins, &one, "one", now())
            .await
            .unwrap();
        assert_eq!((again.version, again.unchanged), (first.version, true));
        assert_eq!(
            (first.file_count, first.size_bytes, first.unchanged),
            (2, 3, false)
        );
        assert_eq!(second.parent, Some(first.version));
        assert_ne!(third.version, first.version);
        let found = store.dataset_find(&penguins).await.unwrap().unwrap();
        assert_eq!((found.version_count, &found.newest), (3, &third));
        let log = store.dataset_log(&penguins, Page::first()).await.unwrap();
        assert_eq!(log.items, [third.clone(), second.clone(), first.clone()]);
        assert_eq!(store.dataset_tree(&first.version).await.unwrap(), one);
        assert_eq!(store.dataset_tree(&second.version).await.unwrap(), two);
        assert_eq!(first.message, "one\u{fffd}");
        let exactly = format!("lab/penguins@{}", second.version);
        for (raw, wanted) in [
            ("lab/penguins", Some(&third)),
            ("lab/penguins~1", Some(&second)),
            (&exactly, Some(&second)),
            ("lab/penguins~3", None),
            ("lab/others", None),
            (&format!("lab/penguins@{}", one.digest()), None),
        ] {
            let found = store.dataset_version(&reference(raw)).await.unwrap();
            assert_eq!(found.as_ref(), wanted, "{raw}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_is_read_in_pages_from_its_newest_end() {
    each_store(async |world| {
        for n in 0..5 {
            dataset(world, "lab/penguins", &format!("{n}")).await;
        }
        let mut page = Page {
            after: None,
            limit: 2,
        };
        let mut numbers = Vec::new();
        loop {
            let found = world
                .store
                .dataset_log(&object("lab/penguins"), page.clone())
                .await
                .unwrap();
            numbers.extend(found.items.iter().map(|version| version.number));
            match found.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(numbers, [5, 4, 3, 2, 1]);
        page.after = Some("no cursor".to_owned());
        let bad = world.store.dataset_log(&object("lab/penguins"), page).await;
        assert!(matches!(bad, Err(StoreError::Cursor)), "{bad:?}");
    })
    .await;
}

#[tokio::test]
async fn a_list_of_datasets_has_an_owners_own_each_with_its_newest_version() {
    each_store(async |world| {
        for full in ["lab/a", "lab/b", "lab/c", "zoo/d"] {
            dataset(world, full, "1").await;
            dataset(world, full, "2").await;
        }
        let page = Page {
            after: None,
            limit: 2,
        };
        let first = world.store.dataset_list(&name("lab"), page).await.unwrap();
        let page = Page {
            after: first.next.clone(),
            limit: 2,
        };
        let last = world.store.dataset_list(&name("lab"), page).await.unwrap();
        let names: Vec<String> = first
            .items
            .iter()
            .chain(&last.items)
            .map(|row| format!("{} {}", row.name, row.newest.number))
            .collect();
        assert_eq!(names, ["lab/a 2", "lab/b 2", "lab/c 2"]);
        assert_eq!(last.next, None);
    })
    .await;
}

async fn blob_is_missing(
    world: &World,
    owner: &str,
    full: &str,
    files: &strongroom_core::tree::Tree,
) {
    let pushed = world
        .store
        .dataset_push(&name(owner), &object(full), files, "", now())
        .await;
    assert!(
        matches!(pushed, Err(StoreError::BlobMissing { .. })),
        "{pushed:?}"
    );
    assert!(
        world
            .store
            .dataset_find(&object(full))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_dataset_has_only_files_that_its_owner_uploaded_in_the_size_he_says() {
    each_store(async |world| {
        let of_lab = tree(world, Some("lab"), &[("a.csv", "secret")]).await;
        blob_is_missing(world, "eve", "eve/theft", &of_lab).await;
        let (path, file) = of_lab.files().next().unwrap();
        let mut longer = *file;
        longer.size_bytes += 1;
        let lies = strongroom_core::tree::Tree::new([(path.clone(), longer)]).unwrap();
        blob_is_missing(world, "lab", "lab/lies", &lies).await;
        let (eve, theirs) = (name("eve"), object("lab/x"));
        let pushed = world.store.dataset_push(&eve, &theirs, &of_lab, "", now());
        is_not_found(pushed.await);
        is_not_found(world.store.dataset_tree(&of_lab.digest()).await);
    })
    .await;
}

#[tokio::test]
async fn two_pushes_at_once_make_two_versions_one_after_the_other() {
    each_store(async |world| {
        let trees = [
            tree(world, Some("lab"), &[("a", "1")]).await,
            tree(world, Some("lab"), &[("a", "2")]).await,
        ];
        let (lab, full) = (name("lab"), object("lab/a"));
        let push = |tree| world.store.dataset_push(&lab, &full, tree, "", 5);
        let (one, two) = futures::join!(push(&trees[0]), push(&trees[1]));
        let mut numbers = [one.unwrap().number, two.unwrap().number];
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn the_same_function_content_is_the_same_version_whenever_it_is_pushed() {
    each_store(async |world| {
        let (store, full): (_, ObjectName) = (&world.store, object("devs/mean"));
        let one = function(world, "devs/mean", "print(1)").await;
        let same = function(world, "devs/mean", "print(1)").await;
        let two = function(world, "devs/mean", "print(2)").await;
        let back = function(world, "devs/mean", "print(1)").await;
        let elsewhere = function(world, "guest/mine", "print(1)").await;
        assert_eq!((same.number, same.unchanged), (1, true));
        assert_eq!((back.number, back.unchanged), (3, false));
        assert_eq!(
            (back.version, elsewhere.version),
            (one.version, one.version)
        );
        assert_ne!(one.version, two.version);
        let log = store.function_log(&full, Page::first()).await.unwrap();
        assert_eq!(log.items, [back.clone(), two.clone(), one.clone()]);
        let found = store.function_find(&full).await.unwrap().unwrap();
        assert_eq!((found.version_count, &found.newest), (3, &back));
        let by_digest = store
            .function_version_by_digest(&one.version)
            .await
            .unwrap();
        assert_eq!(by_digest, Some(one.clone()));
        let exactly = reference(&format!("devs/mean@{}", one.version));
        assert_eq!(store.function_version(&exactly).await.unwrap(), Some(back));
        let before = store
            .function_version(&reference("devs/mean~1"))
            .await
            .unwrap();
        assert_eq!(before, Some(two));
        assert_eq!(
            store
                .function_version(&reference("devs/mean~3"))
                .await
                .unwrap(),
            None
        );
    })
    .await;
}

#[tokio::test]
async fn everybody_sees_the_names_of_all_functions() {
    each_store(async |world| {
        for full in ["zoo/a", "devs/b", "devs/a", "lab/c"] {
            function(world, full, "print()").await;
        }
        let mut page = Page {
            after: None,
            limit: 1,
        };
        let mut names = Vec::new();
        loop {
            let found = world.store.function_list(page.clone()).await.unwrap();
            names.extend(found.items.iter().map(|row| row.name.to_string()));
            match found.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(names, ["devs/a", "devs/b", "lab/c", "zoo/a"]);
    })
    .await;
}

#[tokio::test]
async fn content_is_kept_without_a_name_and_read_back_whole() {
    each_store(async |world| {
        let files = tree(world, None, &[("main.py", "print(7)")]).await;
        let manifest = manifest("print(7)");
        let version = world.store.function_keep(&files, &manifest).await.unwrap();
        assert_eq!(version, FunctionContent::version_of(&files, &manifest));
        let content = world
            .store
            .function_content(&version)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (content.tree.clone(), content.manifest.clone()),
            (files.clone(), manifest.clone())
        );
        assert_eq!(
            world
                .store
                .function_version_by_digest(&version)
                .await
                .unwrap(),
            None
        );
        assert!(
            world
                .store
                .function_content(&files.digest())
                .await
                .unwrap()
                .is_none()
        );
        let (path, file) = files.files().next().unwrap();
        let mut absent = *file;
        absent.digest = strongroom_core::digest::Digest::of(b"never put");
        let absent = strongroom_core::tree::Tree::new([(path.clone(), absent)]).unwrap();
        let kept = world.store.function_keep(&absent, &manifest).await;
        assert!(
            matches!(kept, Err(StoreError::BlobMissing { .. })),
            "{kept:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn nobody_pushes_a_function_of_somebody_else() {
    each_store(async |world| {
        let files = tree(world, None, &[("main.py", "print(7)")]).await;
        let (eve, full) = (name("eve"), object("devs/mean"));
        let manifest = manifest("print(7)");
        is_not_found(
            world
                .store
                .function_push(&eve, &full, &files, &manifest, "", now())
                .await,
        );
    })
    .await;
}
