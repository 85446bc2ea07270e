//! A station for tests: a real store in a temporary folder, and the router.
#![allow(dead_code)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use serde_json::{Value, json};
use strongroom_core::{digest::Digest, id::TokenId, name::Name};
use strongroom_run::{Local, LocalConfig, Runtimes, Tier};
use strongroom_server::{
    Config, Worker,
    app::{
        App, Ground,
        access::{new_secret, secret_hash},
        clock::random,
    },
    dependencies::{BUILDS_MAX, Uv},
    gateway::Gateway,
    http,
};
use strongroom_store::{Database, NewToken, Store};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// The longest that anything here is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Station {
    pub app: App,
    pub router: Router,
    home: TempDir,
    secrets: BTreeMap<&'static str, String>,
    worker: Option<JoinHandle<()>>,
}

/// Nobody has no token.
pub const NOBODY: &str = "nobody";
/// Users who are there from the start; the first is the admin.
pub const USERS: [&str; 5] = ["admin", "lab", "zoo", "devs", "guest"];
/// A user whom nobody tells anything.
pub const STRANGER: &str = "stranger";

impl Station {
    /// A station whose worker is off.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = Config::new(home.path().to_owned());
        // No test asks an index that it does not bring.
        config.index.uv = Uv::Off;
        change(&mut config);
        let store = Store::open(home.path(), Database::Sqlite).await.unwrap();
        let gateway = Gateway::new(config.gateway.clone()).unwrap();
        let app = App::on(Ground {
            config,
            store,
            gateway,
            runtimes: Arc::new(Runtimes::default()),
            walls: Vec::new(),
            tier: "full".to_owned(),
        });
        let mut secrets = BTreeMap::new();
        for user in USERS.into_iter().chain([STRANGER]) {
            let name: Name = user.parse().unwrap();
            app.store
                .user_add(&name, &name, user == "admin", 1)
                .await
                .unwrap();
            secrets.insert(user, token(&app, &name).await);
        }
        let router = http::router(app.clone());
        Self {
            app,
            router,
            home,
            secrets,
            worker: None,
        }
    }

    /// A station that runs what is approved, in the real jail.
    pub async fn working() -> Self {
        Self::working_with(|_| {}).await
    }

    /// The same in the tier `reduced`, whose folders lie in the home.
    pub async fn reduced() -> Self {
        Self::working_with(|config| {
            config.tier = Tier::Reduced;
            // Away from the users of the other tier, all of whom it would kill.
            config.uid_base = 800_000_000 + std::process::id() % 100_000 * 64;
        })
        .await
    }

    /// The same as an ordinary user, who may write these control groups.
    pub async fn ordinary(cgroup_dirs: Vec<std::path::PathBuf>) -> Self {
        Self::working_with(|config| config.cgroup_dirs = cgroup_dirs).await
    }

    /// Waits until a run of guest's has said something; where that is read.
    pub async fn until_it_speaks(&self, run: &str) -> String {
        let mut ear = self.app.watch.listen(&run.parse().unwrap());
        let log = format!("/v1/runs/{run}/log");
        tokio::time::timeout(PATIENCE, async {
            while self.get("guest", &log).await.ok()["items"] == json!([]) {
                ear.news().await;
            }
        })
        .await
        .unwrap();
        log
    }

    async fn working_with(change: impl FnOnce(&mut LocalConfig)) -> Self {
        Self::new().await.at_work(change)
    }

    /// This station with a worker, in the real jail.
    pub fn at_work(mut self, change: impl FnOnce(&mut LocalConfig)) -> Self {
        let station = &mut self;
        let mut config = LocalConfig {
            program: jail_program(),
            // Two runs, and the builds beside them.
            slots_max: 2 + BUILDS_MAX,
            // Tests run beside each other; guests of two never share a user.
            uid_base: 1_200_000_000 + std::process::id() % 100_000 * 64,
            runtimes: Arc::clone(&station.app.runtimes),
            ..LocalConfig::default()
        };
        change(&mut config);
        let local = Local::start(config).unwrap();
        let worker = Worker::new(station.app.clone(), local, 2);
        let saving = strongroom_server::save(station.app.clone());
        station.worker = Some(tokio::spawn(async move {
            tokio::join!(worker.run(), saving);
        }));
        self
    }

    /// Stops the worker and waits until it has stopped.
    pub async fn stop(&mut self) {
        self.app.stop.cancel();
        if let Some(worker) = self.worker.take() {
            tokio::time::timeout(PATIENCE, worker)
                .await
                .unwrap()
                .unwrap();
        }
    }

    pub fn secret(&self, who: &str) -> Option<&str> {
        self.secrets.get(who).map(String::as_str)
    }

    /// Another token of the same user.
    pub async fn another_secret(&self, who: &str) -> String {
        token(&self.app, &who.parse().unwrap()).await
    }

    pub async fn send(&self, who: &str, method: &str, path: &str, body: impl Into<Sent>) -> Reply {
        self.send_with(who, method, path, &[], body).await
    }

    pub async fn send_with(
        &self,
        who: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Sent>,
    ) -> Reply {
        let secret = self.secret(who).map(str::to_owned);
        self.send_as(secret.as_deref(), method, path, headers, body)
            .await
    }

    pub async fn send_as(
        &self,
        secret: Option<&str>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Sent>,
    ) -> Reply {
        let Sent { kind, body } = body.into();
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(secret) = secret {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(body).unwrap());
        let response = tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap()
            .unwrap();
        let (parts, body) = response.into_parts();
        let read = axum::body::to_bytes(body, 64 << 20);
        let body = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn get(&self, who: &str, path: &str) -> Reply {
        self.send(who, "GET", path, Sent::nothing()).await
    }

    pub async fn post(&self, who: &str, path: &str, body: Value) -> Reply {
        self.send(who, "POST", path, body).await
    }

    /// Uploads files; what they are by path.
    pub async fn upload(&self, who: &str, files: &[(&str, &[u8])]) -> Value {
        let mut uploaded = json!({});
        for (path, bytes) in files {
            let digest = Digest::of(bytes);
            let at = format!("/v1/blobs/{digest}");
            let put = self.send(who, "PUT", &at, bytes.to_vec()).await;
            assert_eq!(put.status, StatusCode::NO_CONTENT, "{put:?}");
            uploaded[*path] = json!({ "digest": digest, "size_bytes": bytes.len() });
        }
        uploaded
    }

    /// Uploads a file and pushes it as the only one of a dataset.
    pub async fn push_dataset(&self, name: &str, file: &str, bytes: &[u8]) -> Value {
        let owner = name.split('/').next().unwrap();
        let files = self.upload(owner, &[(file, bytes)]).await;
        let body = json!({ "files": files, "message": "first" });
        self.post(owner, &format!("/v1/datasets/{name}/versions"), body)
            .await
            .ok()
    }

    /// Pushes a function of one Python file.
    pub async fn push_function(&self, name: &str, source: &str) -> Value {
        let owner = name.split('/').next().unwrap();
        let body = json!({ "files": { "main.py": source } });
        self.post(owner, &format!("/v1/functions/{name}/versions"), body)
            .await
            .ok()
    }

    pub async fn ask(&self, who: &str, function: &str, on: &[&str], args: Value) -> Value {
        let body = json!({ "function": function, "on": on, "args": args });
        self.post(who, "/v1/runs", body).await.ok()
    }
}

async fn token(app: &App, user: &Name) -> String {
    let secret = new_secret();
    let new = NewToken {
        id: TokenId::new(app.now_ms(), random()),
        user: user.clone(),
        label: String::new(),
        secret_hash: secret_hash(&secret),
        until_ms: None,
    };
    app.store.token_add(user, new, app.now_ms()).await.unwrap();
    secret
}

/// The program that becomes the warden: it lies beside the tests' own folder.
pub fn jail_program() -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("strongroom-jail");
    assert!(
        program.exists(),
        "build {} first: cargo build -p strongroom-jail",
        program.display()
    );
    program
}

/// A body with its kind.
pub struct Sent {
    kind: Option<String>,
    body: Body,
}

impl Sent {
    pub fn nothing() -> Self {
        Self {
            kind: None,
            body: Body::empty(),
        }
    }

    pub fn of(kind: &str, body: impl Into<Body>) -> Self {
        Self {
            kind: Some(kind.to_owned()),
            body: body.into(),
        }
    }
}

impl From<Value> for Sent {
    fn from(value: Value) -> Self {
        Self::of("application/json", value.to_string())
    }
}

impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self::of("application/json", text.to_owned())
    }
}

impl From<Vec<u8>> for Sent {
    fn from(bytes: Vec<u8>) -> Self {
        Self::of("application/octet-stream", bytes)
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// The code of the problem document that this has to be.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let kind = self.headers.get(header::CONTENT_TYPE).unwrap();
        assert_eq!(kind, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// The text of a field.
#[track_caller]
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}
