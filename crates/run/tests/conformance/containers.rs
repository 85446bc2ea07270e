//! What only containers can get wrong: the engine, its records, and what is left.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bollard::{
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, KillContainerOptions,
        ListContainersOptionsBuilder,
    },
};
use serde_json::json;
use strongroom_core::run::Reason;
use strongroom_run::{Backend, Docker, DockerConfig, EngineError, PrepareError};
use tokio::sync::{mpsc, oneshot};

use crate::{
    engine::Engine,
    house::{House, STATION, Task, docker_config, ended},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The containers of a station, running or not.
pub async fn containers(engine: &Engine, station: &str) -> Vec<String> {
    let label = vec![format!("strongroom.station={station}")];
    let filters = HashMap::from([("label".to_owned(), label)]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters);
    let found = engine.api().list_containers(Some(options.build())).await;
    found
        .unwrap()
        .into_iter()
        .filter_map(|one| one.id)
        .collect()
}

async fn until_none(engine: &Engine) {
    until_none_of(engine, STATION).await;
}

pub async fn until_none_of(engine: &Engine, station: &str) {
    let latest = Instant::now() + PATIENCE;
    while !containers(engine, station).await.is_empty() {
        assert!(Instant::now() < latest, "a container is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wall_of_a_container_stands_and_the_engine_is_told_nothing_of_a_run() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let house = House::docker(&engine).await;
    let missing: Vec<_> = house
        .backend
        .walls()
        .iter()
        .filter(|wall| !wall.enforced)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(house.backend.tier(), "docker");
    let task =
        Task::sh("echo a-word-of-the-code").args(json!({ "word": "a-word-of-the-arguments" }));
    let prepared = house.prepare(&task).await.unwrap();
    assert_eq!(prepared.enforced().tier, "docker");
    assert!(10 < prepared.enforced().walls.len());
    let ids = containers(&engine, STATION).await;
    assert_eq!(ids.len(), 1);
    let found = engine
        .api()
        .inspect_container(&ids[0], None::<InspectContainerOptions>)
        .await
        .unwrap();
    let text = serde_json::to_string(&found).unwrap();
    for word in [
        "a-word-of-the-code",
        "a-word-of-the-arguments",
        "STRONGROOM_RUN_ID",
    ] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let host = found.host_config.unwrap();
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.privileged, Some(false));
    assert!(
        host.mounts
            .unwrap()
            .iter()
            .all(|mount| mount.read_only == Some(true))
    );
    let options = host.security_opt.unwrap();
    assert!(options.iter().any(|option| option == "no-new-privileges"));
    assert!(options.iter().any(|option| option.starts_with("seccomp=")));
    drop(prepared);
    until_none(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_removed_whatever_happens_to_its_run() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let house = House::docker(&engine).await;
    let long = Task::sh("echo began; sleep 1000");
    // It never begins.
    drop(house.prepare(&long).await.unwrap());
    until_none(&engine).await;
    // Nobody waits for its end.
    let prepared = house.prepare(&long).await.unwrap();
    let (sender, mut lines) = mpsc::channel(10);
    let (_keep, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    assert_eq!(lines.recv().await.unwrap().text, "began");
    run.abort();
    until_none(&engine).await;
    // Somebody cancels it, before its start and after.
    for wait_for_it in [false, true] {
        let prepared = house.prepare(&long).await.unwrap();
        let (sender, mut lines) = mpsc::channel(10);
        let (cancel, cancelled) = oneshot::channel();
        let run = tokio::spawn(prepared.run(sender, cancelled));
        if wait_for_it {
            assert_eq!(lines.recv().await.unwrap().text, "began");
        }
        let ada: strongroom_core::name::Name = "ada".parse().unwrap();
        cancel.send(ada.clone()).unwrap();
        assert_eq!(run.await.unwrap().reason, Reason::Cancelled { by: ada });
        until_none(&engine).await;
    }
    // The engine ends it.
    let prepared = house.prepare(&long).await.unwrap();
    let ids = containers(&engine, STATION).await;
    let (_keep, cancelled) = oneshot::channel();
    let run = tokio::spawn(async move { ended(prepared, cancelled, &long).await });
    let api = engine.api();
    let killed = api.kill_container(&ids[0], None::<KillContainerOptions>);
    killed.await.unwrap();
    let outcome = run.await.unwrap();
    assert!(
        matches!(outcome.reason, Reason::HostError { .. }),
        "{outcome:?}"
    );
    until_none(&engine).await;
    house.backend.close().await;
    assert_eq!(house.backend.slots_free(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_is_removed_at_the_next_start_and_what_is_others_is_not() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let house = House::docker(&engine).await;
    let task = Task::sh("echo hello");
    house.run(&task).await;
    house.backend.close().await;
    let api = engine.api();
    let images = api.list_images(None::<bollard::query_parameters::ListImagesOptions>);
    let image = images.await.unwrap()[0].id.clone();
    for station in [STATION, "another"] {
        let labels = HashMap::from([("strongroom.station".to_owned(), station.to_owned())]);
        let body = ContainerCreateBody {
            image: Some(image.clone()),
            labels: Some(labels),
            cmd: Some(vec!["/nothing".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let made = api.create_container(None::<CreateContainerOptions>, body);
        made.await.unwrap();
    }
    drop(house);
    let config = docker_config(&engine, std::path::Path::new("/tmp"));
    let docker = Docker::start(config).await.unwrap();
    docker.close().await;
    assert_eq!(containers(&engine, STATION).await.len(), 0);
    assert_eq!(containers(&engine, "another").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_and_not_there_refuses_every_run_by_its_name() {
    let Some(engine) = Engine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = DockerConfig {
        // A program that is no first process of anything.
        program: "/bin/true".into(),
        ..docker_config(&engine, folder.path())
    };
    let docker = Docker::start(config).await.unwrap();
    let missing = docker.walls().iter().find(|wall| !wall.enforced).unwrap();
    assert_eq!(missing.name, "container");
    assert!(missing.required);
    let house = House {
        backend: Backend::Docker(docker),
        folder,
        on_images: false,
    };
    match house.prepare(&Task::sh("echo never")).await {
        Err(PrepareError::Refused { wall, .. }) => assert_eq!(wall, "container"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was prepared"),
    }
    house.backend.close().await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = |host: &str| DockerConfig {
        host: host.to_owned(),
        station: None,
        folder: folder.path().to_owned(),
        program: "/bin/true".into(),
        slots_max: 1,
        uid_base: 1_500_000_000,
        runtimes: std::sync::Arc::default(),
        certificates: None,
        is_elsewhere: false,
        patience: None,
    };
    let nowhere = format!("unix://{}/nothing", folder.path().display());
    match Docker::start(config(&nowhere)).await.err() {
        Some(error @ EngineError::Reach { .. }) => assert!(error.to_string().contains(&nowhere)),
        other => panic!("{other:?}"),
    }
    let plain = Docker::start(config("tcp://10.0.0.1:2375")).await.err();
    assert!(matches!(plain, Some(EngineError::Plain(_))), "{plain:?}");
    for host in ["tcp://10.0.0.1", "", "unix://relative", "ssh://host"] {
        let error = Docker::start(config(host)).await.err();
        assert!(
            matches!(error, Some(EngineError::Host(_))),
            "{host}: {error:?}"
        );
    }
}
