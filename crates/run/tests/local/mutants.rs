//! Who misses the bounds on what a guest leaves; built for `cargo xtask mutation` alone.

use strongroom_core::limits::Limits;

use crate::house::{House, Task};
use crate::removed;

/// Far more than any of the bounds below.
const MUCH_BYTES: u64 = 1 << 20;
/// On a disk of its own, which has room for more files than a run may leave.
const LARGE_OUT_BYTES: u64 = 65 << 20;
const WALLS: [&str; 4] = ["LogBytes", "ValueBytes", "OutBytes", "OutFiles"];

#[tokio::test]
async fn who_misses_the_bounds_on_what_a_guest_leaves() {
    if !removed::is_inside() {
        let test = "mutants::who_misses_the_bounds_on_what_a_guest_leaves";
        return removed::each(test, &WALLS);
    }
    let house = House::new();
    log(&house).await;
    value(&house).await;
    files(&house).await;
}

async fn log(house: &House) {
    let code = "for _ in range(4096): print('x' * 63)";
    let task = Task::python(code).limits(|limits| limits.log_bytes = 4096);
    let outcome = house.run(task).await;
    let attempt = "output: write more than its log may hold";
    removed::show(attempt, outcome.reason().is_success(), outcome.reason());
}

async fn value(house: &House) {
    let code = format!("def transform(data, ctx): return 'x' * {MUCH_BYTES}");
    let task = Task::python(&code).limits(|limits| limits.out_bytes = 64 << 10);
    let outcome = house.run(task).await;
    let attempt = "output: return more than its outputs may hold";
    removed::show(attempt, outcome.ended.value.is_some(), outcome.reason());
}

async fn files(house: &House) {
    let hole = format!("open('/out/hole', 'w').truncate({MUCH_BYTES} * 8)");
    let attempt = "output: leave a file that is larger than it was written";
    left(house, attempt, &hole, |limits| {
        limits.out_bytes = MUCH_BYTES
    })
    .await;
    let many = "for n in range(64): open(f'/out/{n}', 'w').write('x')";
    let attempt = "output: leave more files than it may";
    left(house, attempt, many, |limits| {
        limits.out_files = 8;
        limits.out_bytes = LARGE_OUT_BYTES;
    })
    .await;
}

async fn left(house: &House, attempt: &str, code: &str, change: impl FnOnce(&mut Limits)) {
    let task = Task::python(code).limits(change);
    let limits = task.limits;
    let outcome = house.run(task).await;
    let ended = format!("{:?}", outcome.reason());
    let collected = outcome.ended.out.is_some() && outcome.collect(&limits).is_ok();
    removed::show(attempt, collected, ended);
}
