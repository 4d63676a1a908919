//! Cutting a super-packet into frames of their own: where its packets must be told apart, or for a
//! port that cannot take it whole.

use std::sync::Arc;

use reason::DropReason;
use wire::Headers;

use crate::{Frame, FramePool, Gso, GsoKind};

/// Appends the packets that a super-packet stands for, with all checksums finished, to `into`.
///
/// # Errors
/// The offload state does not describe the frame, or no buffer is left. What has been appended by
/// then stays.
pub fn segment(
    frame: &Frame,
    headers: &Headers,
    pool: &Arc<FramePool>,
    into: &mut Vec<Frame>,
) -> Result<(), DropReason> {
    let Some(Gso { kind, size, ecn }) = frame.offloads.gso else {
        return Err(DropReason::SuperPacketInvalid);
    };
    let tcp = matches!(kind, GsoKind::Tcp4 | GsoKind::Tcp6);
    let mut segments = wire::gso::Segmenter::new(frame.bytes(), headers, tcp, size, ecn)?;
    let room = usize::from(headers.payload) + usize::from(size);
    while segments.remaining() > 0 {
        let mut piece = pool.alloc(room).ok_or(DropReason::BuffersExhausted)?;
        let len = segments.next(piece.bytes_mut()).ok_or(DropReason::SuperPacketInvalid)?;
        piece.truncate(len);
        into.push(piece);
    }
    Ok(())
}
