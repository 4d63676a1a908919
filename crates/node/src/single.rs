//! Ports that packets cross one by one: what is configured with `super-packets = false`.
//!
//! Nothing joined leaves by such a port, and what comes in joined is cut before anybody looks at it, so
//! the rest of the gateway sees of every packet what was on the wire. A way to tell whether joining is
//! at fault, and a way for captures to show packets as they were.

use std::sync::Arc;

use ports::{Frame, FramePool, Port, PortCapabilities};

use crate::finish::{Lost, finish};

/// What leaves whole by a port, which may be one that packets cross one by one.
pub(crate) fn taken(port: &dyn Port, single: bool) -> PortCapabilities {
    let all = port.capabilities();
    if single { PortCapabilities { tso4: false, tso6: false, uso: false, ..all } } else { all }
}

/// Cuts what is joined of received frames; `lost` is told of what could not be. The order stays.
pub(crate) fn cut(
    received: &mut Vec<Frame>,
    spare: &mut Vec<Frame>,
    pool: &Arc<FramePool>,
    mut lost: impl FnMut(Lost),
) {
    if received.iter().all(|frame| frame.offloads.gso.is_none()) {
        return;
    }
    // unfinished checksums may stay: they are no matter of size
    let takes = PortCapabilities { partial_checksum: true, ..PortCapabilities::default() };
    for frame in received.drain(..) {
        if let Err(of_it) = finish(frame, takes, pool, spare) {
            lost(of_it);
        }
    }
    std::mem::swap(received, spare);
}

#[cfg(test)]
mod tests {
    use ports::{Checksum, Gso, GsoKind};
    use wire::{
        build::{Packet, tuple},
        proto,
        tcp::flags,
    };

    use super::*;

    #[test]
    fn what_comes_joined_is_cut_in_its_place_and_what_cannot_be_is_told() {
        let pool = FramePool::new(64, 4);
        let flow = tuple(proto::TCP, ([10, 0, 0, 5], 4000), ([203, 0, 113, 9], 443));
        let frame = |seq: u32, len: usize, size: Option<u16>| {
            let packet = Packet::new(flow).tcp(flags::ACK, seq, 1).payload(&vec![seq as u8; len]);
            let mut frame = pool.alloc_from(&packet.build()).expect("room");
            if let Some(size) = size {
                frame.offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size, ecn: false });
                frame.offloads.checksum = Checksum::Partial { start: 34, offset: 16 };
            }
            frame
        };
        let mut lost = Vec::new();
        let mut received = vec![
            frame(1, 10, None),
            frame(11, 2_500, Some(1_000)),
            frame(7, 900, Some(0)),
            frame(2_511, 5, None),
        ];
        let mut spare = Vec::new();
        cut(&mut received, &mut spare, &pool, |of_it| lost.push(of_it.reason));
        let sequences = |frames: &[Frame]| -> Vec<(u32, usize)> {
            let of = |frame: &Frame| {
                let headers = wire::parse(frame.bytes()).expect("a packet");
                wire::verify_l4_checksum(frame.bytes(), &headers).expect("right");
                let at = usize::from(headers.l4) + 4;
                let bytes = frame.bytes()[at..at + 4].try_into().expect("four bytes");
                (u32::from_be_bytes(bytes), headers.payload_len() as usize)
            };
            frames.iter().map(of).collect()
        };
        assert_eq!(
            sequences(&received),
            [(1, 10), (11, 1_000), (1_011, 1_000), (2_011, 500), (2_511, 5)]
        );
        assert_eq!(lost, [reason::DropReason::SuperPacketInvalid]);
        assert!(spare.is_empty());
    }
}
