//! Ctrl-C, for a command that follows something.

use std::thread;

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
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            runtime.block_on(listen);
        }
    });
}
