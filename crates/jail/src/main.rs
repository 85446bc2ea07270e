//! A program that can only be a warden: for tests, and for embedders that keep
//! the warden apart from their own binary. Asked for anything else, it says so.

use std::io::Write as _;

fn main() {
    strongroom_jail::inside::main_if_asked();
    strongroom_jail::warden::main_if_asked();
    let usage = "strongroom-jail: builds sandboxes for Strongroom; it is not started by hand\n";
    let _ = std::io::stderr().write_all(usage.as_bytes());
    std::process::exit(2);
}
