//! Promises about clients who do not read.
#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

const IDLE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_write_that_nobody_reads_fails_after_a_while() {
    let (ours, _theirs) = duplex(16);
    let written = Impatient::new(ours, IDLE).write_all(&[7; 64]).await;
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_slow_reader_who_goes_on_reading_gets_everything() {
    let (ours, mut theirs) = duplex(16);
    let mut ours = Impatient::new(ours, IDLE);
    let read = async {
        let mut tick = tokio::time::interval(IDLE / 5);
        let mut bytes = [0; 16];
        for _ in 0..20 {
            tick.tick().await;
            theirs.read_exact(&mut bytes).await.unwrap();
        }
    };
    let (written, ()) = tokio::join!(ours.write_all(&[7; 16 * 20]), read);
    written.unwrap();
}
