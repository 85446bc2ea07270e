//! One station from its start to its stop.
//!
//! The warden is started first, while this process has one thread. A station
//! that cannot open its store, start its warden or listen does not start at
//! all. On the first signal to end, running guests are killed and their runs
//! say so; what is queued stays queued for the next start.

use std::{
    fs::File,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use strongroom_core::{id::TokenId, name::Name, rule::RuleSet};
use strongroom_run::{Backend, LocalConfig, Runtimes, image::Images};
use strongroom_store::{NewToken, Page, Store, StoreError};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        App, Ground,
        access::{new_secret, secret_hash},
        clock::random,
    },
    backend::{BackendError, Started, local_config},
    config::Config,
    dependencies::BUILDS_MAX,
    doctor::{stand, walls_of},
    gateway::{Gateway, GatewayError},
    http,
    worker::{self, Worker},
};

/// The file in a station's home that holds the first admin's secret.
pub const TOKEN_FILE_NAME: &str = "admin.token";
/// The user who is there from the start.
const ADMIN: &str = "admin";
/// How long ending runs may take once the station stops.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What a started station says.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// What stands around guests: `full`, `reduced`, or `none` when runs are refused.
    pub tier: String,
    /// The file with the first admin's secret.
    pub token_path: PathBuf,
    /// This home had no station before.
    pub first_start: bool,
}

/// Why a station did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("could not open the store in {}", .home.display())]
    Store { home: PathBuf, source: StoreError },
    #[error("could not make the first admin")]
    Admin(#[source] StoreError),
    #[error("could not write {}", .path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error("could not listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("could not set up the gateway")]
    Gateway(#[source] GatewayError),
    #[error("could not start the async runtime")]
    Runtime(#[source] io::Error),
}

/// Runs a station until it is told to end. Call it from the main thread.
///
/// # Errors
///
/// [`ServeError`] when it cannot start.
pub fn serve(config: Config, on_ready: impl FnOnce(Ready)) -> Result<(), ServeError> {
    let slots = config.workers.max(1).saturating_add(BUILDS_MAX);
    let images = Images::folder_of(&config.home);
    let local = LocalConfig {
        disk: config.home.clone(),
        runtimes: Arc::new(Runtimes::default().with_images(images)),
        ..local_config(&config.jail, slots)
    };
    let started = Started::of(config.backend, local, &config.engine, Some(&config.home))?;
    let runtimes = started.runtimes();
    std::thread::spawn(move || get_to_know(&runtimes));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    runtime.block_on(station(config, started, on_ready))
}

async fn station(
    config: Config,
    started: Started,
    on_ready: impl FnOnce(Ready),
) -> Result<(), ServeError> {
    let home = config.home.clone();
    let store = Store::open(&home, config.database.clone())
        .await
        .map_err(|source| ServeError::Store {
            home: home.clone(),
            source,
        })?;
    let backend = started.reached().await?;
    let gateway = Gateway::new(config.gateway.clone()).map_err(ServeError::Gateway)?;
    let app = app(config, store, &backend, gateway);
    app.runtimes_load()
        .await
        .map_err(|source| ServeError::Store {
            home: home.clone(),
            source,
        })?;
    let first_start = first_admin(&app).await?;
    Worker::recover(&app)
        .await
        .map_err(|source| ServeError::Store {
            home: home.clone(),
            source,
        })?;
    let address = app.config.listen;
    let listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    app.gateway.keep_from(address.port());
    let stopping = tokio::spawn(until_signal(app.stop.clone()));
    let expiring = tokio::spawn(worker::expire(app.clone()));
    let saving = tokio::spawn(worker::save(app.clone()));
    let workers = app.config.workers;
    let working = match workers {
        0 => None,
        slots => Some(tokio::spawn(Worker::new(app.clone(), backend, slots).run())),
    };
    match app.tier.as_str() {
        "full" => {}
        tier => tracing::warn!(tier, "guests are not held by the full tier"),
    }
    on_ready(Ready {
        address,
        tier: app.tier.clone(),
        token_path: home.join(TOKEN_FILE_NAME),
        first_start,
    });
    http::connection::serve(
        listener,
        http::router(app.clone()),
        &app.config.body,
        app.stop.clone(),
    )
    .await;
    if let Some(working) = working
        && tokio::time::timeout(STOP_MAX, working).await.is_err()
    {
        tracing::error!("some runs did not end in time; the next start ends them");
    }
    let _ = expiring.await;
    let _ = saving.await;
    stopping.abort();
    app.store.close().await;
    Ok(())
}

/// Reads ahead what the first runs would have to wait for, beside the opening
/// of the store: each runtime's program, and what owners' rules are made of.
fn get_to_know(runtimes: &Runtimes) {
    for runtime in runtimes.all() {
        // Whoever asks for one that is missing is told so.
        let _ = runtimes.pin(runtime.name());
    }
    RuleSet::get_ready();
}

/// The app of a station whose runs happen in `backend`.
pub(crate) fn app(config: Config, store: Store, backend: &Backend, gateway: Gateway) -> App {
    let walls = walls_of(backend.walls());
    let tier = match stand(&walls) {
        true => backend.tier(),
        false => "none",
    };
    App::on(Ground {
        config,
        store,
        gateway,
        runtimes: Arc::clone(backend.runtimes()),
        walls,
        tier: tier.to_owned(),
    })
}

async fn until_signal(stop: CancellationToken) {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("could not listen for signals; the station ends only when it is killed");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

/// Makes the first admin, whose secret is in a file that only this user reads.
///
/// The file is written before the token counts, so that a start that is cut
/// short leaves no token that nobody has; the next start makes another.
async fn first_admin(app: &App) -> Result<bool, ServeError> {
    let admin: Name = ADMIN.parse().expect("a constant, plain name");
    let now_ms = app.now_ms();
    let store = &app.store;
    let users = store
        .user_list(Page {
            after: None,
            limit: 1,
        })
        .await
        .map_err(ServeError::Admin)?;
    if users.items.is_empty() {
        store
            .user_add(&admin, &admin, true, now_ms)
            .await
            .map_err(ServeError::Admin)?;
    } else if !store.user_exists(&admin).await.map_err(ServeError::Admin)? {
        return Ok(false);
    }
    if !store
        .token_list(&admin)
        .await
        .map_err(ServeError::Admin)?
        .is_empty()
    {
        return Ok(false);
    }
    let path = app.config.home.join(TOKEN_FILE_NAME);
    let secret = new_secret();
    write_secret(&path, &secret).map_err(|source| ServeError::TokenFile {
        path: path.clone(),
        source,
    })?;
    let token = NewToken {
        id: TokenId::new(now_ms, random()),
        user: admin.clone(),
        label: "made at the first start".to_owned(),
        secret_hash: secret_hash(&secret),
        until_ms: None,
    };
    store
        .token_add(&admin, token, now_ms)
        .await
        .map_err(ServeError::Admin)?;
    Ok(true)
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".token-")
        .tempfile_in(folder)?;
    writeln!(file, "{secret}")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name is durable once its folder is.
    File::open(folder)?.sync_all()
}
