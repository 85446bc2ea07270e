//! Files in `/out`, as real guests leave them.

use strongroom_core::limits::{Limits, MIB};
use strongroom_run::CollectError;

use crate::house::{House, Task};

const LIMITS: Limits = Limits::DEFAULT;

#[tokio::test]
async fn files_that_a_guest_wrote_are_taken_with_their_digests() {
    let code = "mkdir -p /out/deep /out/empty; echo one > /out/a.txt; echo two > /out/deep/b.txt; chmod 000 /out/a.txt";
    let outcome = House::new().run(Task::sh(code)).await.succeeded();
    let files = outcome.collect(&LIMITS).unwrap();
    let rows: Vec<_> = files
        .iter()
        .map(|(file, text)| (file.path.as_str(), file.size_bytes, text.as_str()))
        .collect();
    assert_eq!(rows, [("a.txt", 4, "one\n"), ("deep/b.txt", 4, "two\n")]);
}

/// Runs a program that tries to leave something odd in `/out` as `x`. The
/// jail may stop it; if it did not, the collector must.
async fn never_comes_out(python: &str, why: &str) {
    let code = format!(
        "import os\ntry:\n    {python}\nexcept OSError as error: print('stopped', error.errno)"
    );
    let outcome = House::new().run(Task::python(&code)).await.succeeded();
    let stopped = outcome.stdout().starts_with("stopped");
    match outcome.collect(&LIMITS) {
        Err(CollectError::Refused { path, why: says }) => {
            assert_eq!((path.as_str(), says.as_str()), ("x", why))
        }
        Ok(files) => assert!(stopped && files.is_empty(), "{files:?}"),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn no_link_fifo_or_socket_comes_out() {
    never_comes_out(
        "os.symlink('/etc/passwd', '/out/x')",
        "it is a symbolic link",
    )
    .await;
    never_comes_out("os.mkfifo('/out/x')", "it is a FIFO").await;
    never_comes_out("os.mknod('/out/x', 0o140600)", "it is a socket").await;
    never_comes_out(
        "os.mknod('/out/x', 0o020600, os.makedev(1, 5))",
        "it is a device",
    )
    .await;
}

#[tokio::test]
async fn two_names_of_one_file_do_not_come_out() {
    let code = "open('/out/a', 'w').close()\nimport os\nos.link('/out/a', '/out/b')";
    let outcome = House::new().run(Task::python(code)).await;
    if outcome.ended.reason.is_success() {
        assert!(matches!(
            outcome.collect(&LIMITS),
            Err(CollectError::Refused { .. })
        ));
    }
}

#[tokio::test]
async fn a_sparse_file_counts_with_its_whole_size() {
    let code =
        "import os\nfd = os.open('/out/x', os.O_CREAT | os.O_WRONLY)\nos.ftruncate(fd, 3 << 20)";
    let task = Task::python(code).limits(|limits| limits.out_bytes = MIB);
    let limits = task.limits;
    let outcome = House::new().run(task).await;
    if outcome.ended.reason.is_success() {
        let error = outcome.collect(&limits).unwrap_err();
        assert!(
            matches!(error, CollectError::TooLarge { limit_bytes: MIB }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_value_and_the_files_share_one_bound() {
    let code = "def transform(data, ctx):\n    (ctx.out / 'x').write_bytes(b'x' * 600000)\n    return 'y' * 600000";
    let task = Task::python(code).limits(|limits| limits.out_bytes = MIB);
    let limits = task.limits;
    let outcome = House::new().run(task).await.succeeded();
    assert!(matches!(
        outcome.collect(&limits),
        Err(CollectError::TooLarge { .. })
    ));
}

#[tokio::test]
async fn what_a_failed_run_left_can_be_looked_at_too() {
    let outcome = House::new()
        .run(Task::sh("echo one > /out/a; exit 1"))
        .await;
    assert_eq!(outcome.collect(&LIMITS).unwrap().len(), 1);
}
