//! A guest with a gateway: what it reaches through it, and what it tries besides.
#![allow(clippy::unwrap_used)]

pub(crate) mod cell;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cell::{Guest, LIMITS, PRELUDE, Ran, SLOT, directory_with, input, python, soon, warden};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strongroom_jail::{GATEWAY, Jail, Open, SealError, SlotId, Tier, Waiting, Warden};

/// Answers every connection with what it sent, until the guest has ended.
fn echoing(warden: &Warden, jail: Jail<Open>) -> (Ran, Vec<String>) {
    let mut guest = Guest::prepare(warden, SLOT, jail.gateway());
    let listener = listener(guest.gateway.take());
    guest.start();
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let echo = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            match listener.accept() {
                Ok((stream, _)) => heard.push(echo(stream)),
                Err(_) if is_over.try_recv().is_ok() => break,
                Err(_) => wait_a_moment(&listener),
            }
        }
        heard
    });
    let ran = guest.finish();
    over.send(()).unwrap();
    (ran, echo.join().unwrap())
}

fn wait_a_moment(listener: &TcpListener) {
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&moment)).unwrap();
}

fn listener(gateway: Option<OwnedFd>) -> TcpListener {
    let listener = TcpListener::from(gateway.expect("the jail asked for a gateway"));
    assert_eq!(listener.local_addr().unwrap(), GATEWAY.into());
    listener
}

fn echo(mut stream: TcpStream) -> String {
    stream.set_nonblocking(false).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    let mut heard = [0; 64];
    let length = stream.read(&mut heard).unwrap_or(0);
    let _ = stream.write_all(&heard[..length]);
    String::from_utf8_lossy(&heard[..length]).into()
}

fn tries(program: &str) -> String {
    let jail = python(LIMITS, &format!("{PRELUDE}import socket\n{program}"));
    echoing(&warden(), jail).0.text().to_owned()
}

const CONNECT: &str = "
def connect(host, port, timeout=2.0):
    one = socket.socket(); one.settimeout(timeout)
    return attempt(one.connect, (host, port))
";

#[test]
fn a_guest_talks_to_its_gateway() {
    let program = "
import socket
one = socket.create_connection(('127.0.0.1', 3128), 10)
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
one.settimeout(10); one.sendall(b'ping')
print(one.recv(10).decode(), one.getpeername())";
    let (ran, heard) = echoing(&warden(), python(LIMITS, program));
    assert_eq!(ran.text(), "ping ('127.0.0.1', 3128)");
    assert_eq!(heard, ["ping"]);
}

#[test]
fn no_socket_but_tcp_of_version_four_can_be_opened() {
    let answers = tries(
        "
kinds = [kind | flags for kind in range(11) for flags in (0, 0x800, 0x80000, 0x80800)]
for family in range(64):
    for kind in kinds:
        for protocol in (0, 6, 17, 132, 255, 262, -1):
            if family == 2 and kind & 0xf == 1 and protocol in (0, 6):
                assert call(41, family, kind, protocol) == 'allowed'
                os.closerange(3, 100)
            else:
                answer = call(41, family, kind, protocol)
                if answer != 'EAFNOSUPPORT': print(family, kind, protocol, answer)
print('done')",
    );
    assert_eq!(answers, "done");
}

#[test]
fn nothing_can_be_bound_listened_on_or_accepted() {
    let answers = tries(
        "
one = socket.socket()
print(attempt(one.bind, ('127.0.0.1', 4000)), attempt(one.bind, ('127.0.0.1', 3128)))
print(attempt(one.bind, ('0.0.0.0', 0)), attempt(one.listen), attempt(one.accept))
one.connect(('127.0.0.1', 3128))
print(attempt(one.listen), call(288, one.fileno(), 0, 0, 0))",
    );
    assert_eq!(answers, "EPERM EPERM\nEPERM EPERM EPERM\nEPERM EPERM");
}

#[test]
fn no_other_port_and_no_other_address_is_reached() {
    let answers = tries(&format!(
        "{CONNECT}
answers = {{connect('127.0.0.1', port) for port in list(range(1, 3128)) + [3129, 8080, 65535]}}
print(sorted(answers - {{'EACCES', 'ECONNREFUSED'}}))
for host in '127.0.0.2 10.0.0.1 192.168.0.1 169.254.169.254 100.64.0.1 8.8.8.8 224.0.0.1 255.255.255.255'.split():
    for port in 53, 80, 3128:
        answer = connect(host, port)
        if answer not in ('EACCES', 'ECONNREFUSED', 'ENETUNREACH'): print(host, port, answer)
"
    ));
    assert_eq!(answers, "[]");
}

#[test]
fn the_loopback_of_the_host_is_another() {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    theirs.set_nonblocking(true).unwrap();
    // If this port is free on the host, whoever connects to it is not us.
    let same_port = TcpListener::bind(GATEWAY).ok();
    let port = theirs.local_addr().unwrap().port();
    let answer = tries(&format!(
        "{CONNECT}
print(connect('127.0.0.1', {port}) in ('EACCES', 'ECONNREFUSED'))
one = socket.create_connection(('127.0.0.1', 3128), 10); one.settimeout(10)
one.sendall(b'ours'); print(one.recv(10).decode())"
    ));
    assert_eq!(answer, "True\nours");
    for listener in [Some(theirs), same_port].into_iter().flatten() {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "a guest reached the host");
    }
}

#[test]
fn no_socket_of_the_file_system_and_no_abstract_one_is_reached() {
    let answers = tries(
        "
print(attempt(socket.socket, socket.AF_UNIX))
for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    for address in ('/tmp/s', '\\0abstract', '/run/dbus'):
        assert attempt(one.connect, address) != 'allowed', address
        one.shutdown(socket.SHUT_RDWR) if address == '\\0abstract' else None
    print(attempt(one.bind, '\\0mine'))
print(attempt(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM))",
    );
    assert_eq!(answers, "EAFNOSUPPORT\nEPERM\nEPERM\nEAFNOSUPPORT");
}

#[test]
fn interfaces_routes_and_filters_cannot_be_asked_for_or_changed() {
    let answers = tries(
        "
import fcntl
one = socket.socket()
for request in (0x8912, 0x8913, 0x8914, 0x8915, 0x8927, 0x890b, 0x89a0, 0x8946):
    print(attempt(fcntl.ioctl, one, request, bytes(64)))
for option in (15, 25, 26, 36, 49, 50, 61):
    print(attempt(one.setsockopt, socket.SOL_SOCKET, option, bytes(16)))
for level, option in ((6, 13), (6, 19), (6, 31), (0, 64), (41, 1), (270, 1)):
    print(attempt(one.setsockopt, level, option, 1))",
    );
    let (requests, options) = answers.split_at("ENOTTY\n".len() * 8);
    assert_eq!(requests, "ENOTTY\n".repeat(8));
    assert_eq!(options.lines().count(), 13);
    assert!(
        options.lines().all(|line| line == "ENOPROTOOPT"),
        "{options}"
    );
}

#[test]
fn two_guests_with_gateways_do_not_meet() {
    let program = "
import socket
one = socket.create_connection(('127.0.0.1', 3128), 20); one.settimeout(20)
one.sendall(b'NAME'); print(one.recv(10).decode())";
    let warden = warden();
    let mut guests: Vec<Guest<'_>> = ["first", "second"]
        .into_iter()
        .enumerate()
        .map(|(slot, name)| {
            let slot = SlotId(u32::try_from(slot).unwrap());
            let jail = python(LIMITS, &program.replace("NAME", name)).gateway();
            Guest::prepare(&warden, slot, jail)
        })
        .collect();
    let listeners: Vec<TcpListener> = guests
        .iter_mut()
        .map(|guest| listener(guest.gateway.take()))
        .collect();
    for (index, (guest, name)) in guests.into_iter().zip(["first", "second"]).enumerate() {
        guest.start();
        let mut heard = None;
        soon("a connection", || {
            assert!(listeners[1 - index].accept().is_err());
            heard = listeners[index].accept().ok();
            heard.is_some()
        });
        assert_eq!(echo(heard.unwrap().0), name);
        assert_eq!(guest.finish().text(), name);
    }
}

#[test]
fn a_guest_that_floods_its_gateway_is_bounded_and_ends() {
    let program = "
import socket
socket.setdefaulttimeout(0.2)
held = []
try:
    while True:
        one = socket.create_connection(('127.0.0.1', 3128)); one.setblocking(False)
        held.append(one)
        try:
            while one.send(bytes(65536)): pass
        except BlockingIOError: pass
except OSError as error:
    print(len(held) < 64, error.errno in (None, 24, 110))";
    let warden = warden();
    let mut guest = Guest::prepare(&warden, SLOT, python(LIMITS, program).gateway());
    let listener = listener(guest.gateway.take());
    guest.start();
    assert_eq!(guest.finish().text(), "True True");
    drop(listener);
}

#[test]
fn data_and_network_never_meet() {
    let data = directory_with("rows", "1\n");
    let warden = warden();
    let jail = || python(LIMITS, "").data(data.path().into(), "/data".into());
    for both in [
        jail().gateway(),
        python(LIMITS, "")
            .gateway()
            .data(data.path().into(), "/data".into()),
    ] {
        let error = both.seal(warden.kernel()).unwrap_err();
        assert!(matches!(error, SealError::DataAndNetwork), "{error}");
    }
    drop(jail().seal(warden.kernel()).unwrap());
}

#[test]
fn no_guest_that_waits_or_is_copied_has_a_gateway() {
    let warden = warden();
    let jails = [
        Jail::waiting(Waiting::AtTheGate).gateway(),
        python(LIMITS, "").zygote().gateway(),
        python(LIMITS, "")
            .stdin(input(""))
            .copy_of(SlotId(9))
            .gateway(),
    ];
    for jail in jails {
        let error = jail.seal(warden.kernel()).unwrap_err();
        assert!(matches!(error, SealError::GatewayAhead), "{error}");
    }
}

#[test]
fn the_reduced_tier_refuses_a_gateway_by_name() {
    let mut kernel = warden().kernel().clone();
    kernel.tier = Tier::Reduced;
    match python(LIMITS, "").gateway().seal(&kernel) {
        Err(SealError::Wall { name, why, .. }) => {
            assert_eq!(name, "gateway");
            assert!(why.contains("no network of its own"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_without_a_gateway_still_opens_no_socket() {
    let warden = warden();
    let program = format!("{PRELUDE}print(call(41, 2, 1, 0))");
    let (ran, _) = echoing(&warden, python(LIMITS, &program));
    assert_eq!(ran.text(), "allowed");
    let guest = Guest::prepare(&warden, SLOT, python(LIMITS, &program));
    assert!(guest.gateway.is_none());
    guest.start();
    assert_eq!(guest.finish().text(), "EAFNOSUPPORT");
}
