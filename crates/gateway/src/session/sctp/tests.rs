use offload::Direction::{self, Original, Reply};
use proptest::prelude::*;

use super::*;
use crate::session::SessionState::*;

const CLIENT_TAG: u32 = 0x1111_2345;
const SERVER_TAG: u32 = 0x2222_6789;

fn chunks(tag: u32, kinds: &[u8]) -> SctpChunks {
    let kinds = kinds.iter().fold(0, |bits, kind| bits | 1 << kind);
    SctpChunks { tag, kinds, ..SctpChunks::default() }
}

fn init() -> SctpChunks {
    SctpChunks { initiate_tag: CLIENT_TAG, ..chunks(0, &[kind::INIT]) }
}

fn init_ack() -> SctpChunks {
    SctpChunks { initiate_tag: SERVER_TAG, ..chunks(CLIENT_TAG, &[kind::INIT_ACK]) }
}

fn to_server(kinds: &[u8]) -> SctpChunks {
    chunks(SERVER_TAG, kinds)
}

fn to_client(kinds: &[u8]) -> SctpChunks {
    chunks(CLIENT_TAG, kinds)
}

/// DATA.
const DATA: u8 = 0;

fn life() -> Vec<(Direction, SctpChunks, SessionState)> {
    vec![
        (Original, init(), SctpCookieWait),
        (Original, init(), SctpCookieWait),
        (Reply, init_ack(), SctpInitAcked),
        (Original, to_server(&[kind::COOKIE_ECHO, DATA]), SctpCookieEchoed),
        (Reply, to_client(&[kind::COOKIE_ACK]), SctpEstablished),
        (Original, to_server(&[DATA]), SctpEstablished),
        (Reply, to_client(&[3]), SctpEstablished),
        (Reply, to_client(&[kind::SHUTDOWN]), SctpShutdownSent),
        (Original, to_server(&[DATA]), SctpShutdownSent),
        (Original, to_server(&[kind::SHUTDOWN_ACK]), SctpShutdownAckSent),
        (Reply, to_client(&[kind::SHUTDOWN_COMPLETE]), SctpClosed),
        (Original, to_server(&[kind::SHUTDOWN_ACK]), SctpClosed),
    ]
}

fn after(steps: usize) -> (SessionState, u32) {
    let (mut state, mut tags) = (New, u32::MAX);
    for (direction, chunks, expected) in life().into_iter().take(steps) {
        assert_eq!(step(state, &mut tags, direction, &chunks), Step::To(expected));
        state = expected;
    }
    (state, tags)
}

#[test]
fn an_association_lives_and_dies() {
    let (state, mut tags) = after(usize::MAX);
    let late = step(state, &mut tags, Original, &to_server(&[DATA]));
    assert_eq!(late, Step::Drop(DropReason::SessionClosed));
    assert_eq!(step(state, &mut tags, Original, &init()), Step::Reopen);
}

#[test]
fn what_does_not_belong_has_its_reason() {
    const HANDSHAKE: Step = Step::Drop(DropReason::SctpHandshakeInvalid);
    const TAG: Step = Step::Drop(DropReason::SctpTagInvalid);
    let rows = [
        (0, Original, to_server(&[DATA]), HANDSHAKE),
        (0, Reply, init(), HANDSHAKE),
        (0, Original, SctpChunks { tag: 1, ..init() }, HANDSHAKE),
        (0, Original, chunks(0, &[kind::INIT, DATA]), HANDSHAKE),
        (1, Original, to_server(&[kind::COOKIE_ECHO]), TAG),
        (1, Reply, to_client(&[kind::COOKIE_ACK]), HANDSHAKE),
        (1, Reply, chunks(7, &[kind::INIT_ACK]), TAG),
        (3, Reply, to_client(&[DATA]), HANDSHAKE),
        (3, Original, to_server(&[DATA]), HANDSHAKE),
        (4, Reply, to_client(&[DATA]), HANDSHAKE),
        (5, Original, chunks(7, &[DATA]), TAG),
        (5, Original, to_client(&[DATA]), TAG),
        (5, Reply, chunks(7, &[kind::ABORT]), TAG),
        (5, Original, init(), HANDSHAKE),
        (5, Original, SctpChunks { reflected: true, ..to_server(&[kind::ABORT]) }, TAG),
    ];
    for (steps, direction, chunks, expected) in rows {
        let (state, mut tags) = after(steps);
        let before = tags;
        assert_eq!(step(state, &mut tags, direction, &chunks), expected, "{steps} {chunks:?}");
        assert_eq!(tags, before);
    }
}

#[test]
fn an_abort_closes_whichever_tag_it_may_carry() {
    let (state, mut tags) = after(5);
    let own = to_server(&[kind::ABORT]);
    assert_eq!(step(state, &mut tags, Original, &own), Step::To(SctpClosed));
    let reflected = SctpChunks { reflected: true, ..to_client(&[kind::ABORT]) };
    assert_eq!(step(state, &mut tags, Original, &reflected), Step::To(SctpClosed));
}

proptest! {
    #[test]
    fn nothing_is_established_without_cookies(
        packets in prop::collection::vec((0usize..14, any::<bool>()), 0..14)
    ) {
        let (mut state, mut tags, mut passed) = (New, u32::MAX, Vec::new());
        for (n, original) in packets {
            let direction = if original { Original } else { Reply };
            let chunks = match (n, original) {
                (0, _) => init(),
                (1, _) => init_ack(),
                (n, true) => to_server(&[n as u8]),
                (n, false) => to_client(&[n as u8]),
            };
            if let Step::To(next) = step(state, &mut tags, direction, &chunks) {
                passed.push((original, n as u8));
                state = next;
            }
            let order = [(true, 0), (false, 1), (true, kind::COOKIE_ECHO), (false, kind::COOKIE_ACK)];
            let mut wanted = order.iter().peekable();
            for packet in &passed {
                if wanted.peek() == Some(&packet) {
                    wanted.next();
                }
            }
            if state == SctpEstablished {
                prop_assert!(wanted.peek().is_none(), "{:?}", passed);
            }
        }
    }
}
