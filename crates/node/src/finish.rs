//! The last step before a port, for both tiers: cut super-packets and finish checksums that the
//! port cannot take as they are.

use std::sync::Arc;

use ports::{Frame, FramePool, GsoKind, PortCapabilities};
use reason::DropReason;

/// Packets that cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub reason: DropReason,
    /// How many; a super-packet counts as the packets it stands for, those that left already
    /// left out.
    pub packets: u64,
}

/// Makes `frame` fit for a port with these capabilities and appends the result to `into`.
///
/// # Errors
/// What is lost because a buffer is missing (`buffers-exhausted`) or because the frame's offload
/// state does not describe it (`super-packet-invalid`). Segments made before a buffer was missing
/// stay in `into`.
pub fn finish(
    mut frame: Frame,
    port: PortCapabilities,
    pool: &Arc<FramePool>,
    into: &mut Vec<Frame>,
) -> Result<(), Lost> {
    let whole = match frame.offloads.gso {
        None => true,
        Some(gso) => port.partial_checksum && takes(port, gso.kind),
    };
    if !whole {
        return segment(&frame, pool, into);
    }
    if !port.partial_checksum {
        frame.finish_checksum().map_err(one)?;
    }
    into.push(frame);
    Ok(())
}

const fn takes(port: PortCapabilities, kind: GsoKind) -> bool {
    match kind {
        GsoKind::Tcp4 => port.tso4,
        GsoKind::Tcp6 => port.tso6,
        GsoKind::Udp => port.uso,
    }
}

const fn one(reason: DropReason) -> Lost {
    Lost { reason, packets: 1 }
}

fn segment(frame: &Frame, pool: &Arc<FramePool>, into: &mut Vec<Frame>) -> Result<(), Lost> {
    let headers = wire::parse(frame.bytes()).map_err(one)?;
    let before = into.len();
    ports::segment(frame, &headers, pool, into).map_err(|reason| {
        let size = frame.offloads.gso.map_or(0, |gso| gso.size);
        let all = u64::from(wire::gso::segment_count(headers.payload_len(), size));
        Lost { reason, packets: all.saturating_sub((into.len() - before) as u64) }
    })
}

#[cfg(test)]
mod tests {
    use ports::{Checksum, Gso, Offloads};
    use wire::{Tuple, build, proto};

    use super::*;

    const PLAIN: PortCapabilities =
        PortCapabilities { partial_checksum: false, tso4: false, tso6: false, uso: false };

    fn super_packet(pool: &Arc<FramePool>, kind: GsoKind) -> Frame {
        let tuple = Tuple {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            src_port: 1,
            dst_port: 2,
            proto: proto::TCP,
        };
        let packet = build::Packet::new(tuple).tcp(0x10, 1, 1).payload(&[3; 5000]);
        let mut frame = pool.alloc_from(&packet.partial_checksum().build()).expect("a buffer");
        frame.offloads = Offloads {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            gso: Some(Gso { kind, size: 1000, ecn: false }),
        };
        frame
    }

    #[test]
    fn segments_without_a_buffer_are_lost_and_said_to_be() {
        let pool = FramePool::new(3, 1);
        let mut out = Vec::new();
        let lost = finish(super_packet(&pool, GsoKind::Tcp4), PLAIN, &pool, &mut out);
        assert_eq!(lost, Err(Lost { reason: DropReason::BuffersExhausted, packets: 2 }));
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn offload_state_that_does_not_fit_is_said_to() {
        let pool = FramePool::new(8, 1);
        let mut out = Vec::new();
        let mut frame = super_packet(&pool, GsoKind::Udp);
        let lost = finish(frame, PLAIN, &pool, &mut out);
        assert_eq!(lost, Err(Lost { reason: DropReason::SuperPacketInvalid, packets: 5 }));
        frame = super_packet(&pool, GsoKind::Tcp4);
        frame.offloads.gso = None;
        frame.offloads.checksum = Checksum::Partial { start: 6000, offset: 16 };
        let lost = finish(frame, PLAIN, &pool, &mut out);
        assert_eq!(lost, Err(Lost { reason: DropReason::SuperPacketInvalid, packets: 1 }));
        assert!(out.is_empty());
    }
}
