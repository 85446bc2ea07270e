//! Work of the station's own: the same in the jail and in containers.

use serde_json::json;
use strongroom_core::{digest::Digest, limits::Limits, run::Reason, runtime::RuntimeName};
use strongroom_run::{Build, Reach};
use tokio::sync::{mpsc, oneshot};

use crate::{engine::Engine, house::House};

const PROGRAM: &str = "
import json, os, subprocess, sys
asked = json.load(sys.stdin)
ran = subprocess.run(['/tools/tool'], capture_output=True, text=True).stdout
open('/out/made.txt', 'w').write(asked['word'])
value = [ran, open('/shown/word').read(), os.environ['OWN'], os.path.exists('/data')]
open(3, 'w').write(json.dumps(value))
";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_station_builds_is_built_in_a_container_as_in_the_jail() {
    let engine = Engine::start().await;
    let mut houses = vec![House::local()];
    if let Some(engine) = &engine {
        houses.push(House::docker(engine).await);
    }
    let (tools, shown) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tool = tools.path().join("tool");
    std::fs::write(&tool, "#!/bin/sh\necho tool\n").unwrap();
    std::fs::write(shown.path().join("word"), "shown").unwrap();
    for path in [tools.path(), shown.path(), &tool] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for house in &houses {
        let build = Build {
            runtime: RuntimeName::python3(),
            words: ["-I", "-S", "-c", PROGRAM].map(str::to_owned).to_vec(),
            tools: vec![(tools.path().to_owned(), "/tools".into())],
            folders: vec![(shown.path().to_owned(), "/shown".into())],
            files: Vec::new(),
            environment: vec![("OWN".to_owned(), "own".to_owned())],
            input: json!({ "word": "made" }).to_string().into_bytes(),
            limits: Limits::DEFAULT,
            reach: Reach::Nothing,
        };
        let prepared = house.backend.prepare_build(build).await.unwrap();
        let (sender, _lines) = mpsc::channel(100);
        let (_keep, cancel) = oneshot::channel();
        let ended = prepared.run(sender, cancel).await;
        assert_eq!(ended.reason, Reason::Succeeded, "{:?}", ended.value);
        assert_eq!(ended.value, Some(json!(["tool\n", "shown", "own", false])));
        let mut made = Vec::new();
        let out = ended.out.unwrap();
        out.collect(&Limits::DEFAULT, |path, _, reader| {
            let mut text = String::new();
            reader.read_to_string(&mut text)?;
            made.push((path.to_string(), text.clone()));
            Ok(Digest::of(text.as_bytes()))
        })
        .unwrap();
        assert_eq!(made, [("made.txt".to_owned(), "made".to_owned())]);
        house.backend.close().await;
    }
    drop(houses);
}
