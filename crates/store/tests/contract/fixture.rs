//! What every test begins with: a store, three users, a dataset, a function.

use std::{
    future::Future,
    sync::atomic::{AtomicI64, AtomicU32, Ordering},
};

use serde_json::{Value, json};
use sqlx::Connection as _;
use strongroom_core::{
    approval::Scope,
    digest::Digest,
    id::{ApprovalId, RequestId, RunId, TokenId},
    limits::Limits,
    manifest::{Files, Manifest},
    name::{Name, ObjectName},
    plan::{self, InputVersion, Inputs, RuntimePin},
    run::{Enforced, State},
    runtime::{self, FunctionFiles, Kinds, RuntimeName},
    stage::Expose,
    tree::{Tree, TreeFile},
};
use strongroom_store::{
    ClaimedRun, Database, FunctionVersionRow, Kind, NewApproval, NewRun, RunRow, Store, StoreError,
    Submitted,
};
use tempfile::TempDir;

use crate::postgres;

/// A fresh store with the users `lab`, `zoo`, `devs`, `guest` and `eve`.
pub struct World {
    pub store: Store,
    pub home: TempDir,
    pub database: Database,
    /// Where [`sql`] finds the same database behind the store's back.
    pub url: String,
}

/// Runs one test on every database.
pub async fn each_store(check: impl AsyncFn(&World)) {
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", home.path().join("strongroom.db").display());
    check(&world(home, Database::Sqlite, url).await).await;
    let Some(server) = postgres::server() else {
        return;
    };
    let name = format!("t_{}_{}", std::process::id(), next());
    let admin = server.replace("NAME", "postgres");
    sql(&admin, &format!("CREATE DATABASE {name}")).await;
    let url = server.replace("NAME", &name);
    let database = Database::Postgres(url.clone());
    let made = world(tempfile::tempdir().unwrap(), database, url).await;
    check(&made).await;
    made.store.close().await;
    sql(&admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// One test on SQLite alone, for what has nothing to do with the database.
pub async fn one_store<F: Future<Output = ()>>(check: impl FnOnce(World) -> F) {
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", home.path().join("strongroom.db").display());
    check(world(home, Database::Sqlite, url).await).await;
}

async fn world(home: TempDir, database: Database, url: String) -> World {
    let store = Store::open(home.path(), database.clone()).await.unwrap();
    for user in ["lab", "zoo", "devs", "guest", "eve"] {
        store
            .user_add(&name("admin"), &name(user), false, now())
            .await
            .unwrap();
    }
    World {
        store,
        home,
        database,
        url,
    }
}

/// Runs a statement behind the store's back.
pub async fn sql(url: &str, text: &str) -> u64 {
    if let Some(file) = url.strip_prefix("sqlite://") {
        let connection = rusqlite::Connection::open(file).unwrap();
        return connection.execute(text, ()).unwrap() as u64;
    }
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let question = sqlx::query(sqlx::AssertSqlSafe(text.to_owned()));
    let done = question.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    done.rows_affected()
}

static NEXT: AtomicU32 = AtomicU32::new(1);
static NOW: AtomicI64 = AtomicI64::new(1_700_000_000_000);

fn next() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A clock that never stands still.
pub fn now() -> i64 {
    NOW.fetch_add(1, Ordering::Relaxed)
}

/// Bytes that are random enough for ids.
fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[6..].copy_from_slice(&next().to_be_bytes());
    bytes
}

pub fn name(raw: &str) -> Name {
    raw.parse().unwrap()
}

pub fn object(raw: &str) -> ObjectName {
    raw.parse().unwrap()
}

pub fn token_id() -> TokenId {
    TokenId::new(now(), random())
}

pub fn enforced() -> Enforced {
    Enforced {
        tier: "full".to_owned(),
        walls: vec!["seccomp".to_owned()],
    }
}

/// A tree of these files, which are put and, if somebody is named, are his.
pub async fn tree(world: &World, whose: Option<&str>, files: &[(&str, &str)]) -> Tree {
    let mut entries = Vec::new();
    for (path, content) in files {
        let put = world
            .store
            .blobs()
            .put_bytes(content.as_bytes())
            .await
            .unwrap();
        if let Some(user) = whose {
            let user = name(user);
            world
                .store
                .blob_claim(&user, &put.digest, put.size_bytes)
                .await
                .unwrap();
        }
        let file = TreeFile {
            digest: put.digest,
            size_bytes: put.size_bytes,
        };
        entries.push((path.parse().unwrap(), file));
    }
    Tree::new(entries).unwrap()
}

/// Pushes a dataset of one file.
pub async fn dataset(world: &World, full: &str, content: &str) -> InputVersion {
    let dataset = object(full);
    let tree = tree(
        world,
        Some(dataset.owner.as_str()),
        &[("data.csv", content)],
    )
    .await;
    let pushed = world
        .store
        .dataset_push(&dataset.owner, &dataset, &tree, "", now())
        .await;
    InputVersion {
        version: pushed.unwrap().version,
        dataset,
    }
}

pub fn manifest(content: &str) -> Manifest {
    let files = Files::from([("main.py".parse().unwrap(), content.as_bytes().to_vec())]);
    let kinds = Kinds::new([runtime::Kind {
        runtime: RuntimeName::python3(),
        files: FunctionFiles::new(".py", "main.py".parse().unwrap()),
        implied: true,
    }]);
    Manifest::of_files(&files, &kinds).unwrap()
}

/// Pushes a function of one file.
pub async fn function(world: &World, full: &str, content: &str) -> FunctionVersionRow {
    let function = object(full);
    let tree = tree(world, None, &[("main.py", content)]).await;
    let manifest = manifest(content);
    let owner = function.owner.clone();
    world
        .store
        .function_push(&owner, &function, &tree, &manifest, "", now())
        .await
        .unwrap()
}

/// A run to be asked for: this function on these datasets.
pub fn new_run(
    caller: &str,
    function: &FunctionVersionRow,
    on: &[&InputVersion],
    args: Value,
) -> NewRun {
    let inputs = match on {
        [] => Inputs::None,
        [only] => Inputs::Only((*only).clone()),
        several => Inputs::Named(
            several
                .iter()
                .map(|input| (input.dataset.name.clone(), (*input).clone()))
                .collect(),
        ),
    };
    let versions = inputs
        .clone()
        .try_map(|input| Ok::<_, ()>(input.version))
        .unwrap();
    let runtime = RuntimePin {
        name: RuntimeName::python3(),
        digest: Digest::of(b"python3"),
    };
    let plan = plan::pin(
        &function.manifest,
        function.version,
        runtime,
        versions,
        args,
        Limits::DEFAULT,
        Limits::MAX,
    );
    let at_ms = now();
    NewRun {
        run: RunId::new(at_ms, random()),
        request: RequestId::new(at_ms, random()),
        caller: name(caller),
        kind: Kind::Function {
            name: function.function.clone(),
        },
        plan: plan.unwrap(),
        inputs,
        purpose: "teaching".to_owned(),
        expose: Expose::Off,
        script: None,
        transform: None,
        idempotency: None,
    }
}

impl World {
    pub async fn submit(&self, new: NewRun) -> RunRow {
        self.try_submit(new).await.unwrap().run
    }

    pub async fn try_submit(&self, new: NewRun) -> Result<Submitted, StoreError> {
        self.store.run_submit(new, now()).await
    }

    /// `guest` runs a function with arguments `{"n": n}`.
    pub async fn ask(&self, function: &FunctionVersionRow, on: &[&InputVersion], n: u32) -> RunRow {
        self.submit(new_run("guest", function, on, json!({ "n": n })))
            .await
    }

    /// Approves exactly the plan that was asked for.
    pub async fn approve(&self, owner: &str, run: &RunRow) -> Result<(), StoreError> {
        let new = approval(Scope::Plan { plan: run.plan }, None);
        self.approve_with(owner, run, new).await
    }

    pub async fn approve_with(
        &self,
        owner: &str,
        run: &RunRow,
        new: NewApproval,
    ) -> Result<(), StoreError> {
        let done = self
            .store
            .request_approve(&name(owner), &run.request, new, now())
            .await;
        done.map(drop)
    }

    pub async fn state(&self, run: &RunRow) -> State {
        self.run(run).await.state
    }

    /// A run as its caller sees it now.
    pub async fn run(&self, run: &RunRow) -> RunRow {
        self.store
            .run_find(&run.caller, &run.id)
            .await
            .unwrap()
            .unwrap()
    }

    pub async fn claim(&self) -> Option<ClaimedRun> {
        self.store.run_claim("boot", now()).await.unwrap()
    }

    pub async fn start(&self, id: &RunId) -> bool {
        self.store.run_start(id, &enforced(), now()).await.unwrap()
    }

    /// Claims and starts the next run.
    pub async fn start_next(&self) -> ClaimedRun {
        let claimed = self.claim().await.unwrap();
        assert!(self.start(&claimed.run).await);
        claimed
    }

    /// The uses that are left of an owner's newest approval.
    pub async fn uses_left(&self, owner: &str) -> Option<u32> {
        let page = strongroom_store::Page::first();
        let approvals = self.store.approval_list(&name(owner), page).await.unwrap();
        approvals.items[0].uses_left
    }
}

pub fn approval(scope: Scope, uses: Option<u32>) -> NewApproval {
    NewApproval {
        id: ApprovalId::new(now(), random()),
        scope,
        expose: false,
        limits_max: Limits::MAX,
        uses,
        until_ms: None,
    }
}

/// An approval for any arguments whose `n` is at most `most`.
pub fn domain(new: &NewRun, most: u32, uses: Option<u32>) -> NewApproval {
    let schema = json!({ "properties": { "n": { "maximum": most } } });
    approval(Scope::domain(&new.plan, schema), uses)
}

/// A mistake of the asker's, and nothing of the store's.
#[track_caller]
pub fn is_conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>, says: &str) {
    match outcome {
        Err(StoreError::Conflict { what }) if what.contains(says) => {}
        other => panic!("not a conflict about `{says}`: {other:?}"),
    }
}

#[track_caller]
pub fn is_not_found<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
}
