//! The last step before a port, for both tiers: cut super-packets and finish checksums that the
//! port cannot take as they are.

use std::sync::Arc;

use ports::{Checksum, Frame, FramePool, Gso, GsoKind, PortCapabilities};

/// Makes `frame` fit for a port with these capabilities and appends the result to `into`. A frame
/// whose offload state does not describe it is discarded; the parser has seen it, so that happens
/// only when a buffer is missing.
pub fn finish(
    mut frame: Frame,
    port: PortCapabilities,
    pool: &Arc<FramePool>,
    into: &mut Vec<Frame>,
) {
    let whole = match frame.offloads.gso {
        None => true,
        Some(gso) => port.partial_checksum && takes(port, gso.kind),
    };
    if !whole {
        segment(&frame, pool, into);
        return;
    }
    if let Checksum::Partial { start, offset } = frame.offloads.checksum
        && !port.partial_checksum
    {
        if wire::checksum::finish_partial(frame.bytes_mut(), start, offset).is_err() {
            return;
        }
        frame.offloads.checksum = Checksum::Unchecked;
    }
    into.push(frame);
}

const fn takes(port: PortCapabilities, kind: GsoKind) -> bool {
    match kind {
        GsoKind::Tcp4 => port.tso4,
        GsoKind::Tcp6 => port.tso6,
        GsoKind::Udp => port.uso,
    }
}

fn segment(frame: &Frame, pool: &Arc<FramePool>, into: &mut Vec<Frame>) {
    let Some(Gso { kind, size, ecn }) = frame.offloads.gso else { return };
    let Ok(headers) = wire::parse(frame.bytes()) else { return };
    let tcp = matches!(kind, GsoKind::Tcp4 | GsoKind::Tcp6);
    let Ok(mut segments) = wire::gso::Segmenter::new(frame.bytes(), &headers, tcp, size, ecn)
    else {
        return;
    };
    let room = usize::from(headers.payload) + usize::from(size);
    while segments.remaining() > 0 {
        let Some(mut piece) = pool.alloc(room) else { return };
        match segments.next(piece.bytes_mut()) {
            Some(len) => {
                piece.truncate(len);
                into.push(piece);
            }
            None => return,
        }
    }
}
