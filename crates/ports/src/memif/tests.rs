//! Two ports in one process, over a real socket and real shared memory.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use super::*;
use message::{MESSAGE_LEN, VERSION};

/// A socket path of its own, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lockgate-memif-{}-{number}.sock", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn options(&self, role: MemifRole) -> MemifOptions {
        MemifOptions {
            name: format!("{role:?}").to_lowercase(),
            socket: self.0.clone(),
            id: 3,
            role,
            log2_ring_size: 5,
        }
    }

    fn open(&self, role: MemifRole) -> MemifPort {
        MemifPort::open(self.options(role), &FramePool::new(256, 8)).expect("a port")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Receives at both until `done`, as a gateway with nothing to do would; panics after ten seconds.
fn until(
    ports: &mut [&mut MemifPort],
    mut done: impl FnMut(&[&mut MemifPort]) -> bool,
) -> Vec<Frame> {
    let (start, mut got) = (Instant::now(), Vec::new());
    while !done(ports) {
        assert!(start.elapsed() < Duration::from_secs(10), "nothing happened");
        for port in ports.iter_mut() {
            port.receive(&mut got, MAX_BURST);
        }
    }
    got
}

fn both_up(ports: &[&mut MemifPort]) -> bool {
    ports.iter().all(|port| port.link() == LinkState::Up)
}

fn exchange(from: &mut MemifPort, to: &mut MemifPort) {
    let sent: Vec<_> = [60, 1514, 9014].map(|len| vec![len as u8; len]).to_vec();
    let mut burst: Vec<_> = sent.iter().map(|bytes| Frame::from_vec(bytes.clone())).collect();
    let before = to.counters().rx_packets;
    from.send(&mut burst);
    assert!(burst.is_empty());
    let got = until(&mut [to], |ports| ports[0].counters().rx_packets == before + 3);
    assert_eq!(got.iter().map(|frame| frame.bytes().to_vec()).collect::<Vec<_>>(), sent);
}

#[test]
fn two_ports_connect_and_frames_pass_both_ways() {
    let place = Place::new();
    let mut server = place.open(MemifRole::Server);
    let mut client = place.open(MemifRole::Client);
    assert_eq!(client.link(), LinkState::Down);
    assert_eq!(server.describe().hints.len(), 1);
    until(&mut [&mut server, &mut client], both_up);
    for _ in 0..100 {
        exchange(&mut client, &mut server);
        exchange(&mut server, &mut client);
    }
    let told = server.describe();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        told.mode,
        format!("memif server, connected to lockgate {version} client, rings of 32 and 32")
    );
    assert!(told.hints.is_empty());
}

#[test]
fn either_end_may_go_and_come_back() {
    let place = Place::new();
    let mut server = place.open(MemifRole::Server);
    let mut client = place.open(MemifRole::Client);
    until(&mut [&mut server, &mut client], both_up);

    drop(client);
    until(&mut [&mut server], |ports| ports[0].link() == LinkState::Down);
    assert_eq!(server.last_fault, Some(MemifFault::Gone));
    let mut lost = vec![Frame::from_vec(vec![0; 60])];
    server.send(&mut lost);
    assert_eq!((lost.len(), server.counters().tx_dropped), (0, 1));

    let mut client = place.open(MemifRole::Client);
    until(&mut [&mut server, &mut client], both_up);
    exchange(&mut client, &mut server);

    drop(server);
    until(&mut [&mut client], |ports| ports[0].link() == LinkState::Down);
    client.refresh();
    assert_eq!(client.link(), LinkState::Down, "nobody listens");
    let mut server = place.open(MemifRole::Server);
    client.refresh();
    until(&mut [&mut server, &mut client], both_up);
    exchange(&mut server, &mut client);
}

#[test]
fn the_descriptor_to_wait_on_tells_of_peers_and_frames() {
    let wakes = |port: &MemifPort| {
        let fd = port.poll_fd().expect("always");
        // SAFETY: the descriptor is open as long as the port.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).expect("poll") == 1
    };
    let place = Place::new();
    let mut server = place.open(MemifRole::Server);
    assert!(!wakes(&server));
    let mut client = place.open(MemifRole::Client);
    assert!(wakes(&server), "a peer waits");
    until(&mut [&mut server, &mut client], both_up);
    until(&mut [&mut server, &mut client], |ports| ports.iter().all(|port| !wakes(port)));
    for _ in 0..3 {
        client.send(&mut vec![Frame::from_vec(vec![1; 60])]);
        assert!(wakes(&server), "a frame waits");
        until(&mut [&mut server], |ports| !wakes(ports[0]));
    }
    drop(client);
    assert!(wakes(&server), "the peer has gone");
}

#[test]
fn a_second_server_is_told_that_the_socket_is_taken_and_a_dead_one_leaves_it() {
    let place = Place::new();
    let server = place.open(MemifRole::Server);
    let again = MemifPort::open(place.options(MemifRole::Server), &FramePool::new(1, 0));
    assert!(matches!(again.err(), Some(PortError::DeviceBusy { .. })));
    // As after kill -9: the file stays when the process goes.
    let kept = place.0.with_extension("kept");
    std::fs::rename(&place.0, &kept).expect("renamed");
    drop(server);
    std::fs::rename(&kept, &place.0).expect("renamed back");
    drop(place.open(MemifRole::Server));
    assert!(!place.0.exists(), "the socket goes with its port");
    std::fs::write(&place.0, "a file that somebody needs").expect("written");
    let onto = MemifPort::open(place.options(MemifRole::Server), &FramePool::new(1, 0));
    assert!(onto.is_err() && place.0.exists());
}

/// Sends to a fresh server; gives the words it ends the connection with.
fn refusal(id: u32, say: impl FnOnce(&Control)) -> String {
    let place = Place::new();
    let mut server = MemifPort::open(
        MemifOptions { id, ..place.options(MemifRole::Server) },
        &FramePool::new(1, 0),
    )
    .expect("a port");
    let peer = Control::connect(&place.0).expect("listening");
    say(&peer);
    until(&mut [&mut server], |ports| ports[0].last_fault.is_some());
    let expected = server.last_fault.clone().expect("one").to_string();
    loop {
        match peer.receive() {
            Incoming::Message(bytes, _) => match Message::decode(&bytes) {
                Ok(Message::Disconnect { reason }) => {
                    assert_eq!(reason, expected);
                    return reason;
                }
                Ok(_) => {}
                Err(fault) => panic!("we said nonsense: {fault}"),
            },
            Incoming::Nothing | Incoming::End => panic!("no word"),
        }
    }
}

fn init(version: u16, id: u32, mode: u8) -> [u8; MESSAGE_LEN] {
    Message::Init { version, id, mode, name: "test".into() }.encode()
}

#[test]
fn a_peer_that_does_not_fit_is_told_why() {
    let one = |bytes: [u8; MESSAGE_LEN]| refusal(3, |peer| peer.send(&bytes, None).expect("sent"));
    assert_eq!(one(init(VERSION, 4, 0)), MemifFault::Id.to_string());
    assert_eq!(one(init(VERSION + 1, 3, 0)), MemifFault::Version.to_string());
    assert_eq!(one(init(VERSION, 3, 1)), MemifFault::Mode.to_string());
    assert_eq!(one([0xff; MESSAGE_LEN]), MemifFault::MessageType.to_string());
    assert_eq!(one(Message::Ack.encode()), MemifFault::MessageOrder.to_string());
    let two = |bytes: [u8; MESSAGE_LEN]| {
        refusal(3, |peer| {
            peer.send(&init(VERSION, 3, 0), None).expect("sent");
            peer.send(&bytes, None).expect("sent");
        })
    };
    let region = |index, size| Message::AddRegion { index, size }.encode();
    assert_eq!(two(region(0, 4096)), MemifFault::NoDescriptor.to_string());
    assert_eq!(two(region(1, 4096)), MemifFault::RegionIndex.to_string());
    assert_eq!(two(region(0, u64::MAX)), MemifFault::RegionSize.to_string());
    let connect = Message::Connect { name: "test".into() }.encode();
    assert_eq!(two(connect), MemifFault::RingMissing.to_string());
    assert_eq!(two(init(VERSION, 3, 0)), MemifFault::MessageOrder.to_string());
}

#[test]
fn every_refusal_fits_into_its_message() {
    for fault in [
        MemifFault::RegionUnsealed,
        MemifFault::RegionHuge,
        MemifFault::RegionSize,
        MemifFault::MessageLength,
    ] {
        let Ok(Message::Disconnect { reason }) = Message::decode(&farewell(&fault)) else {
            panic!("a disconnect");
        };
        assert_eq!(reason, fault.to_string());
    }
}

#[test]
fn a_second_peer_and_a_silent_one_are_let_go() {
    let place = Place::new();
    let mut server = place.open(MemifRole::Server);
    let silent = Control::connect(&place.0).expect("listening");
    until(&mut [&mut server], |ports| matches!(ports[0].state, State::Meeting { .. }));
    let late = Control::connect(&place.0).expect("listening");
    server.refresh();
    assert_eq!(last_words(&late), MemifFault::Taken.to_string());
    for _ in 0..HANDSHAKE_LOOKS {
        server.refresh();
    }
    assert_eq!(last_words(&silent), MemifFault::TooSlow.to_string());
    let mut client = place.open(MemifRole::Client);
    until(&mut [&mut server, &mut client], both_up);
}

fn last_words(peer: &Control) -> String {
    let mut last = String::new();
    while let Incoming::Message(bytes, _) = peer.receive() {
        if let Ok(Message::Disconnect { reason }) = Message::decode(&bytes) {
            last = reason;
        }
    }
    last
}

#[test]
fn a_path_that_cannot_be_listened_at_is_named() {
    let mut options = Place::new().options(MemifRole::Server);
    options.socket = Path::new("/nowhere/at/all.sock").into();
    let error = MemifPort::open(options, &FramePool::new(1, 0)).err().expect("no such place");
    assert!(error.to_string().starts_with("/nowhere/at/all.sock: cannot listen at it"), "{error}");
}
