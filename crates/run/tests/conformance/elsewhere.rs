//! What only an engine elsewhere can get wrong: what it is sent, what it keeps,
//! and what it is refused.

use std::time::{Duration, Instant};

use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListImagesOptions, ListVolumesOptions,
};
use serde_json::json;
use strongroom_core::{plan::Inputs, run::Reason};
use strongroom_run::{Backend, Docker, DockerConfig, EngineError, PrepareError, Reach};

use crate::{
    engine::Engine,
    house::{House, Task, docker_config},
    kinds::runtimes,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// How many containers and volumes an engine has.
async fn held(engine: &Engine) -> (usize, usize) {
    let all = ListContainersOptionsBuilder::new().all(true).build();
    let containers = engine.api().list_containers(Some(all)).await.unwrap();
    let volumes = engine.api().list_volumes(None::<ListVolumesOptions>).await;
    let volumes = volumes.unwrap().volumes.unwrap_or_default();
    (containers.len(), volumes.len())
}

async fn until_nothing_is_held(engine: &Engine) {
    let latest = Instant::now() + PATIENCE;
    while held(engine).await != (0, 0) {
        assert!(Instant::now() < latest, "{:?} are left", held(engine).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn on_birds(task: Task) -> Task {
    task.on(Inputs::Only(vec![(
        "birds",
        "a-word-of-the-data".to_owned(),
    )]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_elsewhere_is_sent_what_a_run_is_shown_and_keeps_none_of_it() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let house = House::elsewhere(&engine, runtimes(folder.path())).await;
    let missing = house.backend.walls().iter().find(|wall| !wall.enforced);
    assert!(missing.is_none(), "{missing:?}");
    let write = "cat /data/birds; for at in /data/birds /data/x /function/x /function/main.sh /usr/x; do \
        (echo x >> $at) 2> /dev/null && echo written $at; done; cat >&2";
    let task = on_birds(Task::sh(write)).args(json!("a-word-of-the-arguments"));
    let prepared = house.prepare(&task).await.unwrap();
    let all = ListContainersOptionsBuilder::new().all(true).build();
    let listed = engine.api().list_containers(Some(all)).await.unwrap();
    assert_eq!(listed.len(), 2, "the run's and what it is shown");
    let api = engine.api();
    for container in listed {
        let id = container.id.unwrap();
        let found = api.inspect_container(&id, None::<InspectContainerOptions>);
        let found = found.await.unwrap();
        let text = serde_json::to_string(&found).unwrap();
        for word in ["a-word-of-the-data", "a-word-of-the-arguments", "written"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        assert!(
            !text.contains(folder.path().to_str().unwrap()),
            "a path of this host"
        );
        let is_running = found.state.unwrap().running.unwrap();
        let mounts = found.mounts.unwrap();
        assert_eq!(mounts.len(), 2, "{mounts:?}");
        if is_running {
            assert!(
                mounts.iter().all(|mount| mount.rw == Some(false)),
                "{mounts:?}"
            );
        }
    }
    assert_eq!(held(&engine).await, (2, 2));
    drop(prepared);
    until_nothing_is_held(&engine).await;
    let outcome = house.run(&task).await;
    assert_eq!(outcome.reason, Reason::Succeeded, "{outcome:?}");
    assert_eq!(outcome.stdout, "a-word-of-the-data");
    assert_eq!(outcome.stderr, "\"a-word-of-the-arguments\"");
    until_nothing_is_held(&engine).await;

    // Its runtime was sent once, and is there at the next start.
    let images = async || {
        let listed = engine.api().list_images(None::<ListImagesOptions>).await;
        let mut ids: Vec<_> = listed.unwrap().into_iter().map(|image| image.id).collect();
        ids.sort();
        ids
    };
    let sent = images().await;
    house.run(&on_birds(Task::sh("cat /data/birds"))).await;
    house.backend.close().await;
    assert_eq!(images().await, sent);
    let again = House::elsewhere(&engine, runtimes(tempfile::tempdir().unwrap().path())).await;
    again.backend.close().await;
    assert_eq!(images().await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_elsewhere_cannot_have_is_refused_by_name() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut house = House::elsewhere(&engine, runtimes(folder.path())).await;
    let refused = async |house: &House, task: &Task| match house.prepare(task).await {
        Err(PrepareError::Refused { wall, detail }) => (wall, detail),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was prepared"),
    };
    assert!(!house.backend.has_gateways());
    let mut fetches = Task::python("def download(ctx): return 1");
    fetches.reach = Reach::Gateway;
    assert_eq!(refused(&house, &fetches).await.0, "network");
    house.on_images = false;
    let (wall, detail) = refused(&house, &Task::sh("echo never")).await;
    assert_eq!(wall, "runtime");
    assert!(detail.contains("image"), "{detail}");
    until_nothing_is_held(&engine).await;
    house.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_is_reached_with_its_certificates_and_not_without() {
    let Some(engine) = Engine::start_behind_tls().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = |certificates: Option<&std::path::Path>| DockerConfig {
        host: engine.port(),
        certificates: certificates.map(std::path::Path::to_owned),
        runtimes: runtimes(
            tempfile::tempdir_in(folder.path())
                .unwrap()
                .keep()
                .as_path(),
        ),
        ..docker_config(&engine, folder.path())
    };
    let plain = Docker::start(config(None)).await.err();
    assert!(
        matches!(plain, Some(EngineError::Reach { .. })),
        "{plain:?}"
    );
    let strangers = Engine::strange_certificates();
    let strange = Docker::start(config(Some(strangers.path()))).await.err();
    assert!(
        matches!(strange, Some(EngineError::Reach { .. })),
        "{strange:?}"
    );
    let docker = Docker::start(config(Some(engine.certificates())))
        .await
        .unwrap();
    let house = House {
        backend: Backend::Docker(docker),
        folder: tempfile::tempdir().unwrap(),
        on_images: true,
    };
    let outcome = house
        .run(&Task::python("def transform(data, ctx): return 1"))
        .await;
    assert_eq!(outcome.value, Some(json!(1)), "{outcome:?}");
    house.backend.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_elsewhere_is_removed_at_the_next_start_with_its_volumes() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let house = House::elsewhere(&engine, runtimes(folder.path())).await;
    let task = on_birds(Task::sh("sleep 1000"));
    let prepared = house.prepare(&task).await.unwrap();
    assert_eq!(held(&engine).await, (2, 2));
    // The first start still holds both, as far as it knows.
    let again = tempfile::tempdir().unwrap();
    let next = House::elsewhere(&engine, runtimes(again.path())).await;
    next.backend.close().await;
    until_nothing_is_held(&engine).await;
    drop(prepared);
    house.backend.close().await;
}
