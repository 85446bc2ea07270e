//! Runtimes that were added: by name, replaced and removed on purpose only.

use strongroom_core::{manifest::Manifest, runtime::RuntimeName};
use strongroom_store::{InUse, Present, StoreError};

use crate::fixture::{
    World, each_store, is_conflict, is_not_found, manifest, name, now, object, tree,
};

fn data() -> RuntimeName {
    "python3-data".parse().unwrap()
}

/// Pushes a function that runs on a runtime.
async fn push(world: &World, full: &str, runtime: RuntimeName, description: &str) {
    let manifest = Manifest {
        runtime,
        description: description.to_owned(),
        ..manifest("print()")
    };
    let tree = tree(world, None, &[("main.py", "print()")]).await;
    let function = object(full);
    let store = &world.store;
    let pushed = store.function_push(&function.owner, &function, &tree, &manifest, "", now());
    pushed.await.unwrap();
}

#[tokio::test]
async fn a_runtime_is_what_was_added_last_and_says_so_in_the_record() {
    each_store(async |world| {
        let (lab, store) = (name("lab"), &world.store);
        let one = tree(world, Some("lab"), &[("runtime.toml", "1")]).await;
        let two = tree(world, Some("lab"), &[("runtime.toml", "2"), ("p/x.py", "")]).await;
        let add = |files, present| {
            let store = store.clone();
            let lab = lab.clone();
            async move {
                store
                    .runtime_add(&lab, &data(), files, present, now())
                    .await
            }
        };
        assert!(!add(&one, Present::Stays).await.unwrap().unchanged);
        assert!(add(&one, Present::Stays).await.unwrap().unchanged);
        is_conflict(add(&two, Present::Stays).await, "another runtime");
        let (row, files) = store.runtime_find(&data()).await.unwrap().unwrap();
        assert_eq!((row.tree, files), (one.digest(), one.clone()));
        assert!(!add(&two, Present::Replaced).await.unwrap().unchanged);
        let (row, files) = store.runtime_find(&data()).await.unwrap().unwrap();
        assert_eq!((&row.author, files), (&lab, two));
        assert_eq!(store.runtime_list().await.unwrap(), [row]);
        store
            .runtime_remove(&lab, &data(), InUse::Stays, now())
            .await
            .unwrap();
        assert_eq!(store.runtime_find(&data()).await.unwrap(), None);
        is_not_found(
            store
                .runtime_remove(&lab, &data(), InUse::Stays, now())
                .await,
        );
        let events = store.audit_page(None, 0, 200).await.unwrap();
        let actions = events.iter().map(|row| row.event.action.as_str());
        let actions: Vec<_> = actions
            .filter(|action| action.starts_with("runtime."))
            .collect();
        assert_eq!(actions, ["runtime.add", "runtime.add", "runtime.remove"]);
    })
    .await;
}

#[tokio::test]
async fn a_runtime_is_made_of_files_that_its_author_brought() {
    each_store(async |world| {
        let foreign = tree(world, Some("zoo"), &[("runtime.toml", "1")]).await;
        let store = &world.store;
        let refused = store
            .runtime_add(&name("lab"), &data(), &foreign, Present::Stays, now())
            .await;
        assert!(matches!(refused, Err(StoreError::BlobMissing { .. })));
        assert_eq!(store.runtime_list().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_runtime_that_functions_use_goes_only_when_it_is_forced_to() {
    each_store(async |world| {
        let (lab, store) = (name("lab"), &world.store);
        let files = tree(world, Some("lab"), &[("runtime.toml", "1")]).await;
        store
            .runtime_add(&lab, &data(), &files, Present::Stays, now())
            .await
            .unwrap();
        let remove = async |in_use| store.runtime_remove(&lab, &data(), in_use, now()).await;
        let lie = "\"runtime\":\"python3-data\"";
        push(world, "zoo/talks-of-it", RuntimeName::python3(), lie).await;
        push(world, "zoo/longer", "python3-data-2".parse().unwrap(), "").await;
        push(world, "devs/user", data(), "").await;
        // What once ran on it counts, whatever the newest version runs on.
        push(world, "devs/user", RuntimeName::python3(), "").await;
        let refused = remove(InUse::Stays).await;
        let text = format!("{refused:?}");
        assert!(!text.contains("zoo"), "{text}");
        is_conflict(refused, "is used by devs/user");
        remove(InUse::Removed).await.unwrap();
        assert_eq!(store.runtime_list().await.unwrap(), []);
    })
    .await;
}
