//! A way to a station that can be led elsewhere, or cut.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    thread,
};

/// Passes connections on to wherever the station is now.
pub struct Relay {
    pub url: String,
    to: Arc<Mutex<String>>,
}

impl Relay {
    pub fn start(url: &str) -> Self {
        Self::cut_after(url, i64::MAX)
    }

    /// One that passes so many bytes on to the station, and then breaks.
    pub fn cut_after(url: &str, bytes_max: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Arc::new(Mutex::new(address(url)));
        let relay = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            to: to.clone(),
        };
        let left = Arc::new(AtomicI64::new(bytes_max));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let to = to.lock().unwrap().clone();
                // A station that is down, or cut off, hangs up.
                if let (Ok(far), true) = (TcpStream::connect(to), 0 < left.load(Ordering::Relaxed))
                {
                    join(near, far, left.clone());
                }
            }
        });
        relay
    }

    pub fn point_to(&self, url: &str) {
        *self.to.lock().unwrap() = address(url);
    }
}

fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().to_owned()
}

fn join(near: TcpStream, far: TcpStream, left: Arc<AtomicI64>) {
    let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
    let endless = Arc::new(AtomicI64::new(i64::MAX));
    thread::spawn(move || pass(near, far, &left));
    thread::spawn(move || pass(back.0, back.1, &endless));
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicI64) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let rest = left.fetch_sub(count as i64, Ordering::Relaxed);
        if rest < count as i64 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
