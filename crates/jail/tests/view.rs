//! What a guest sees: the promises of the view, the same everywhere.
#![allow(clippy::unwrap_used)]

mod cell;

use cell::{LIMITS, directory_with, host, input, prints, python, run, shell};
use strongroom_jail::Status;

#[test]
fn python_runs_and_its_output_arrives() {
    let ran = run(python(LIMITS, "print(6 * 7)"));
    assert_eq!(ran.text(), "42");
    assert!(ran.exit.cpu_ms < 10_000 && 0 < ran.exit.memory_peak_bytes);
}

#[test]
fn a_shell_runs_other_programs() {
    assert_eq!(
        run(shell(LIMITS, "echo one | tr o 0; ls /"))
            .text()
            .lines()
            .next(),
        Some("0ne")
    );
}

#[test]
fn arguments_arrive_on_standard_input_and_results_leave_on_three() {
    let program = "import sys,os; os.write(3, sys.stdin.read().upper().encode())";
    let ran = run(python(LIMITS, program).stdin(input("{\"by\": 1}")));
    assert_eq!(
        (ran.result.as_str(), ran.exit.status),
        ("{\"BY\": 1}", Status::Exited(0))
    );
}

#[test]
fn the_root_holds_only_what_was_named() {
    let data = directory_with("rows.csv", "1\n");
    let program = "import os; print(*sorted(os.listdir('/')))";
    let ran = run(python(LIMITS, program).read_only(data.path().into(), "/data/birds".into()));
    assert_eq!(
        ran.text(),
        "bin data dev etc lib lib64 out proc sbin tmp usr"
    );
    assert_eq!(
        prints("import os; print(*sorted(os.listdir('/etc')))"),
        "passwd"
    );
}

#[test]
fn data_is_readable_where_it_was_put() {
    let data = directory_with("rows.csv", "a,b\n");
    let jail = python(LIMITS, "print(open('/data/rows.csv').read())");
    assert_eq!(
        run(jail.read_only(data.path().into(), "/data".into())).text(),
        "a,b"
    );
}

#[test]
fn data_is_listed_where_it_was_put() {
    let data = directory_with("rows.csv", "a,b\n");
    let jail = python(LIMITS, "import os; print(*os.listdir('/data'))");
    assert_eq!(
        run(jail.read_only(data.path().into(), "/data".into())).text(),
        "rows.csv"
    );
}

#[test]
fn what_is_written_to_out_can_be_read_after_the_end() {
    // Only root reads a file that its owner may not; others must ask for leave.
    let mode = if cell::is_root() { "000" } else { "400" };
    let program = format!("mkdir /out/d; echo kept > /out/d/f; chmod {mode} /out/d/f");
    let ran = run(shell(LIMITS, &program));
    assert_eq!(ran.exit.status, Status::Exited(0), "{}", ran.stderr);
    assert_eq!(ran.file("d/f"), "kept\n");
}

#[test]
fn the_environment_is_what_was_given() {
    let jail = shell(LIMITS, "/usr/bin/env").env("A".into(), "b c".into());
    let ran = run(jail);
    let mut lines: Vec<&str> = ran
        .text()
        .lines()
        .filter(|one| !one.starts_with("PWD="))
        .collect();
    lines.retain(|one| !one.starts_with("SHLVL=") && !one.starts_with("_="));
    lines.sort_unstable();
    assert_eq!(lines, ["A=b c", "PATH=/usr/bin:/bin"]);
}

#[test]
fn an_exit_code_and_a_signal_are_told_apart() {
    assert_eq!(run(shell(LIMITS, "exit 9")).exit.status, Status::Exited(9));
    assert_eq!(
        run(shell(LIMITS, "kill -9 $$")).exit.status,
        Status::Signaled(9)
    );
}

#[test]
fn a_file_that_is_no_program_is_told_apart_from_its_exit() {
    let folder = directory_with("text", "no program");
    std::fs::set_permissions(
        folder.path().join("text"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let jail = host(LIMITS).runtime(folder.path().into(), "/opt/x".into());
    let ran = run(jail.command(vec!["/opt/x/text".into()], "/".into()));
    assert_eq!(ran.exit.status, Status::Exited(127));
    assert!(
        ran.exit.exec_failed.unwrap().contains("Exec format"),
        "{:?}",
        ran.exit.status
    );
}

/// What ordinary programs do, which the walls must let through.
#[test]
fn ordinary_python_works() {
    let program = "
import asyncio, concurrent.futures, ctypes, decimal, hashlib, json, locale, mmap, multiprocessing
import os, random, re, secrets, select, shutil, signal, sqlite3, socket, subprocess, sys, tempfile
import threading, time, uuid, zipfile, zlib
with tempfile.TemporaryDirectory() as d:
    db = sqlite3.connect(d + '/x.db'); db.execute('create table t (x)')
    db.execute('insert into t values (1)'); db.commit()
    assert db.execute('select count(*) from t').fetchone() == (1,)
    open(d + '/a', 'w').write('x'); shutil.copy2(d + '/a', d + '/b'); os.rename(d + '/b', d + '/c')
    os.link(d + '/a', d + '/l'); zipfile.ZipFile(d + '/z', 'w').write(d + '/a')
    with open(d + '/m', 'w+b') as f:
        f.truncate(4096); mmap.mmap(f.fileno(), 4096).close()
assert subprocess.run(['/bin/echo', 'hi'], capture_output=True, text=True).stdout == 'hi\\n'
assert subprocess.run('echo $((1 + 1))', shell=True, capture_output=True, text=True).stdout == '2\\n'
async def wait():
    process = await asyncio.create_subprocess_exec('/bin/true')
    return await process.wait() + await asyncio.to_thread(lambda: 1)
assert asyncio.run(wait()) == 1
with concurrent.futures.ThreadPoolExecutor(4) as pool: assert sum(pool.map(len, ['a'] * 8)) == 8
with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context('fork')) as pool:
    assert sum(pool.map(abs, range(4))) == 6
lock = multiprocessing.Lock(); lock.acquire(); lock.release()
signal.setitimer(signal.ITIMER_REAL, 60); signal.setitimer(signal.ITIMER_REAL, 0)
random.random(); secrets.token_hex(); uuid.uuid4(); hashlib.sha256(b'').digest()
one, other = socket.socketpair(); one.sendall(b'x'); assert select.select([other], [], [], 1)[0]
time.sleep(0.001); os.sched_getaffinity(0); os.cpu_count(); sys.getswitchinterval()
print('all')";
    assert_eq!(run(python(LIMITS, program)).text(), "all");
}

#[test]
fn no_two_runs_share_randomness_or_layout() {
    let warden = cell::warden();
    let program = "
import os, random, ctypes
print(hash('x'), random.random(), os.urandom(4).hex(), id(object()), ctypes.addressof(ctypes.c_int()))";
    let texts: Vec<String> = (0..3)
        .map(|_| {
            cell::run_in(&warden, python(LIMITS, program))
                .text()
                .to_owned()
        })
        .collect();
    let columns: Vec<Vec<&str>> = texts.iter().map(|text| text.split(' ').collect()).collect();
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        for (left, right) in columns[one].iter().zip(&columns[other]) {
            assert_ne!(left, right, "{texts:?}");
        }
    }
}
