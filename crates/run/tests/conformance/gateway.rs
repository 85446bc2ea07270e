//! A stage that downloads: its gateway, and nothing else, in both places.

use std::io::{Read as _, Write as _};

use strongroom_core::run::Reason;
use strongroom_run::Reach;
use tokio::sync::oneshot;

use crate::{
    engine::Engine,
    house::{House, Outcome, Task, ended},
};

const CLIENT: &str = r"
import os, socket
print(os.environ['HTTPS_PROXY'])
guest = socket.create_connection(('127.0.0.1', 3128))
guest.sendall(b'hello')
guest.shutdown(socket.SHUT_WR)
print(guest.recv(100).decode())
def tried(name, call):
    try:
        call()
        print(name, 'DONE')
    except OSError:
        print(name, 'refused')
tried('another port', lambda: socket.create_connection(('127.0.0.1', 3129), timeout=5))
tried('another address', lambda: socket.create_connection(('10.0.0.1', 3128), timeout=5))
tried('listening', lambda: socket.socket().bind(('127.0.0.1', 4000)))
tried('datagrams', lambda: socket.socket(type=socket.SOCK_DGRAM))
tried('version 6', lambda: socket.socket(socket.AF_INET6))
tried('the station', lambda: socket.socket(socket.AF_UNIX).connect('/.strongroom/gateway/socket'))
tried('its folder', lambda: os.listdir('/.strongroom/gateway'))
def download(ctx):
    return None
";

async fn asked(house: &House) -> Outcome {
    let mut task = Task::python(CLIENT);
    task.reach = Reach::Gateway;
    let mut prepared = house.prepare(&task).await.unwrap();
    let listener = prepared.take_gateway().unwrap();
    listener.set_nonblocking(false).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut guest, _) = listener.accept().unwrap();
        let mut heard = String::new();
        guest.read_to_string(&mut heard).unwrap();
        guest
            .write_all(format!("heard {heard}").as_bytes())
            .unwrap();
    });
    let (_keep, cancel) = oneshot::channel();
    let outcome = ended(prepared, cancel, &task).await;
    assert_eq!(outcome.reason, Reason::Succeeded, "{outcome:?}");
    answering.join().unwrap();
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_downloads_reaches_its_gateway_and_nothing_else_in_a_container_too() {
    let in_jail = asked(&House::local()).await;
    assert!(in_jail.stdout.contains("heard hello"), "{in_jail:?}");
    assert!(!in_jail.stdout.contains("DONE"), "{in_jail:?}");
    let Some(engine) = Engine::start().await else {
        return;
    };
    let docker = House::docker(&engine).await;
    assert_eq!(asked(&docker).await, in_jail);
    docker.backend.close().await;
}
