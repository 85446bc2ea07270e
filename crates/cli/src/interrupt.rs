//! Ctrl-C, for a command that follows something, and the signals that end one.

use std::{thread, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

/// How long what goes on may take to end by itself after such a signal.
const END_MAX: Duration = Duration::from_secs(10);
/// The exit code of a program that SIGTERM ended.
const TERMINATED: i32 = 128 + 15;

/// Calls `first` on the first Ctrl-C; the second ends the program.
///
/// The thread that listens lives as long as the program.
pub fn on_interrupt(first: impl FnOnce() + Send + 'static) {
    let listen = async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        // The second is listened for while the first is dealt with.
        let dealing = tokio::task::spawn_blocking(first);
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
        let _ = dealing.await;
    };
    in_a_thread(listen);
}

/// Calls `first` when somebody ends this program, or its terminal goes away.
/// What goes on may then end by itself for a while; after that the program does.
pub fn on_end(first: impl FnOnce() + Send + 'static) {
    let listen = async move {
        let kinds = (SignalKind::terminate(), SignalKind::hangup());
        let (Ok(mut ended), Ok(mut hung_up)) = (signal(kinds.0), signal(kinds.1)) else {
            return;
        };
        tokio::select! {
            _ = ended.recv() => {}
            _ = hung_up.recv() => {}
        }
        first();
        tokio::time::sleep(END_MAX).await;
        std::process::exit(TERMINATED);
    };
    in_a_thread(listen);
}

fn in_a_thread(listen: impl Future<Output = ()> + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            runtime.block_on(listen);
        }
    });
}
