//! A station from its first start to its stop, as the command line starts it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

use crate::support::jail_program;
use strongroom_server::{Config, ConfigError, Ready, ServeError, serve};

const PATIENCE: Duration = Duration::from_secs(30);

fn config(home: &Path) -> Config {
    let mut config = Config::new(home.to_owned());
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.jail.program = Some(jail_program());
    // Tests run beside each other; guests of two never share a user.
    config.jail.uid_base = Some(1_400_000_000 + std::process::id() % 100_000 * 64);
    config
}

type Ended = Result<(), ServeError>;

fn start(home: &Path) -> (Ready, JoinHandle<Ended>) {
    let (said, ready) = mpsc::channel();
    let config = config(home);
    let serving = std::thread::spawn(move || serve(config, |ready| said.send(ready).unwrap()));
    (ready.recv_timeout(PATIENCE).unwrap(), serving)
}

/// Tells this very process to end; only the station listens to it.
fn stop(serving: JoinHandle<Ended>) {
    let pid = std::process::id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    serving.join().unwrap().unwrap();
}

fn get(address: SocketAddr, path: &str, secret: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {secret}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_first_start_makes_an_admin_whose_secret_only_the_station_s_user_can_read() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().join("station");
    let (ready, serving) = start(&home);
    assert!(ready.first_start);
    let meta = std::fs::metadata(&ready.token_path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(
        std::fs::metadata(&home).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let secret = std::fs::read_to_string(&ready.token_path).unwrap();
    let me = get(ready.address, "/v1/me", secret.trim());
    assert!(
        me.starts_with("HTTP/1.1 200") && me.contains("\"admin\":true"),
        "{me}"
    );
    let health = get(ready.address, "/healthz", "");
    assert!(
        health.contains("\"status\":\"ok\"") && health.contains("\"tier\":\"full\""),
        "{health}"
    );
    let second = serve(config(&home), |_| panic!("two stations share a home")).unwrap_err();
    assert!(matches!(second, ServeError::Store { .. }), "{second}");
    stop(serving);
    let (again, serving) = start(&home);
    assert!(!again.first_start);
    assert_eq!(std::fs::read_to_string(&again.token_path).unwrap(), secret);
    assert!(get(again.address, "/v1/me", secret.trim()).starts_with("HTTP/1.1 200"));
    stop(serving);
}

#[test]
fn a_configuration_with_an_unknown_key_or_a_bad_bound_is_refused_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Config::load(home.path().to_owned(), None)
    };
    let good = load(
        "listen = \"0.0.0.0:80\"\n[limits_max]\nmemory = \"1 GiB\"\n[script]\nlimits.time = \"5s\"\n",
    );
    let good = good.unwrap();
    assert_eq!(
        (good.limits_max.memory_bytes, good.script.limits.time_ms),
        (1 << 30, 5000)
    );
    assert_eq!(
        good.script.limits.memory_bytes,
        60 << 20,
        "what is not said stays"
    );
    for (text, what) in [
        ("listn = 1", "listn"),
        ("listen = \"nowhere\"", "line 1"),
        ("[limits_max]\nmemry = 1", "memry"),
        ("[jail]\nwat = 1", "wat"),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(matches!(
        load("[limits_max]\nmemory = \"1 TiB\""),
        Err(ConfigError::Limits { .. })
    ));
    assert!(matches!(
        load("[script.limits]\nmemory = \"x\""),
        Err(ConfigError::Limits { .. })
    ));
    let none = Config::load(home.path().to_owned(), Some(home.path().join("none.toml")));
    assert!(matches!(none, Err(ConfigError::Read { .. })));
}
