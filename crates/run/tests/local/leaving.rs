//! How a Python function leaves: as under any interpreter, only sooner.

use strongroom_core::run::Reason;

use crate::house::{House, Outcome, Task};

async fn run(code: &str) -> Outcome {
    House::new().run(Task::python(code)).await
}

fn failed(exit_code: i32) -> Reason {
    Reason::Failed {
        exit_code: Some(exit_code),
        signal: None,
    }
}

#[tokio::test]
async fn what_a_function_left_open_is_written_to_its_end() {
    let code = "
import builtins, csv, gzip
left = open('/out/global', 'w')
left.write('one')
def uses_it():
    return left
class Ring: pass
ring = Ring()
ring.ring, ring.file = ring, open('/out/ring', 'w')
ring.file.write('two')
builtins.elsewhere = open('/out/elsewhere', 'w')
builtins.elsewhere.write('three')
packed = gzip.open('/out/packed', 'wb')
packed.write(b'four')
class Pair: pass
pair = Pair()
pair.pair, pair.file = pair, open('/out/second', 'w+b')
pair.file.write(b'five')
print('half a line', end='')";
    let limits = Task::python("").limits;
    let outcome = run(code).await.succeeded();
    assert_eq!(outcome.stdout(), "half a line");
    let files = outcome.collect(&limits).unwrap();
    let text = |name: &str| {
        let found = files.iter().find(|(file, _)| file.path.as_str() == name);
        found.map(|(_, text)| text.as_str()).unwrap()
    };
    let names = ["global", "ring", "elsewhere", "second"];
    assert_eq!(names.map(text), ["one", "two", "three", "five"]);
    // The last four bytes of a packed file are its length unpacked.
    assert!(text("packed").ends_with("\u{4}\0\0\0"));
}

#[tokio::test]
async fn threads_are_waited_for_and_exit_functions_are_called_in_order() {
    let code = "
import atexit, threading, time
class Last:
    def __del__(self): print('let go')
last = Last()
atexit.register(print, 'second')
atexit.register(print, 'first')
def late():
    time.sleep(0.05)
    print('thread')
threading.Thread(target=late).start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print('main')";
    let outcome = run(code).await.succeeded();
    assert_eq!(outcome.stdout(), "main\nthread\nfirst\nsecond\nlet go");
}

#[tokio::test]
async fn every_way_to_exit_has_the_code_and_the_words_that_it_always_had() {
    for (code, reason, stderr) in [
        ("import sys; sys.exit()", Reason::Succeeded, ""),
        ("import sys; sys.exit(False)", Reason::Succeeded, ""),
        ("import sys; sys.exit(7)", failed(7), ""),
        ("import sys; sys.exit(300)", failed(44), ""),
        ("import sys; sys.exit(-1)", failed(255), ""),
        ("import sys; sys.exit('words')", failed(1), "words"),
        ("import os; os._exit(9)", failed(9), ""),
        ("import sys; sys.stdout.close()", Reason::Succeeded, ""),
        ("import sys; sys.modules['x'] = 5", Reason::Succeeded, ""),
    ] {
        let outcome = run(code).await;
        assert_eq!(*outcome.reason(), reason, "{code}: {outcome:?}");
        assert_eq!(outcome.stderr(), stderr, "{code}");
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_written_at_the_end_is_a_failure() {
    let code = "import os; print('lost', end=''); os.close(1)";
    assert_eq!(*run(code).await.reason(), failed(120));
}

#[tokio::test]
async fn what_machine_code_has_buffered_is_not_lost() {
    let code = "import ctypes; ctypes.CDLL(None).printf(b'from C')";
    assert_eq!(run(code).await.succeeded().stdout(), "from C");
}
