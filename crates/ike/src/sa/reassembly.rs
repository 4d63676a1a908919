//! Fragments of one message, put together (RFC 7383 §2.6). Each fragment was authenticated before it
//! comes here, so only the peer can fill the room.

use super::Ignored;

/// The most fragments of one message.
const MAX_FRAGMENTS: u16 = 128;
/// The most bytes of one message: what its length fields could say without fragments.
pub(super) const MAX_BYTES: usize = 65_535;
/// The same until the peer has proved who it is: certificates and their chain fit.
pub(super) const MAX_BYTES_OF_STRANGERS: usize = 24_576;

/// The fragments of the message that is being received in one direction.
#[derive(Default)]
pub(super) struct Assembly {
    message_id: u32,
    first: u8,
    parts: Vec<Option<Vec<u8>>>,
    bytes: usize,
}

impl Assembly {
    /// Takes a fragment of a message of at most `limit` bytes; gives the type of the first payload and the payloads once all are there.
    ///
    /// Fragments of another message, or of the same one cut into more pieces because the peer found
    /// out that they were too large, begin anew (RFC 7383 §2.5.1).
    pub(super) fn take(
        &mut self,
        message_id: u32,
        (number, total): (u16, u16),
        first: u8,
        inner: Vec<u8>,
        limit: usize,
    ) -> Result<Option<(u8, Vec<u8>)>, Ignored> {
        if total > MAX_FRAGMENTS {
            return Err(Ignored::Fragment);
        }
        let (slot, total) = (usize::from(number) - 1, usize::from(total));
        if self.message_id != message_id || self.parts.len() < total {
            *self = Self { message_id, first: 0, parts: vec![None; total], bytes: 0 };
        }
        if self.parts.len() != total || self.bytes + inner.len() > limit {
            return Err(Ignored::Fragment);
        }
        if self.parts[slot].is_none() {
            self.bytes += inner.len();
            self.parts[slot] = Some(inner);
        }
        if slot == 0 {
            self.first = first;
        }
        if self.parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole = std::mem::take(self);
        Ok(Some((whole.first, whole.parts.into_iter().flatten().flatten().collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        assembly: &mut Assembly,
        message_id: u32,
        numbers: (u16, u16),
        first: u8,
        inner: Vec<u8>,
    ) -> Result<Option<(u8, Vec<u8>)>, Ignored> {
        assembly.take(message_id, numbers, first, inner, MAX_BYTES)
    }

    #[test]
    fn any_order_and_duplicates_give_the_message_once() {
        let mut assembly = Assembly::default();
        let mut take = |number: u16| take(&mut assembly, 7, (number, 3), 41, vec![number as u8; 2]);
        assert_eq!(take(3), Ok(None));
        assert_eq!(take(1), Ok(None));
        assert_eq!(take(1), Ok(None));
        assert_eq!(take(2), Ok(Some((41, vec![1, 1, 2, 2, 3, 3]))));
    }

    #[test]
    fn more_pieces_begin_anew_and_fewer_are_refused() {
        let mut assembly = Assembly::default();
        assert_eq!(take(&mut assembly, 7, (1, 2), 41, vec![1]), Ok(None));
        assert_eq!(take(&mut assembly, 7, (1, 3), 41, vec![1]), Ok(None));
        assert_eq!(take(&mut assembly, 7, (2, 2), 41, vec![2]), Err(Ignored::Fragment));
        assert_eq!(take(&mut assembly, 7, (2, 3), 0, vec![2]), Ok(None));
        assert_eq!(take(&mut assembly, 8, (2, 2), 0, vec![9]), Ok(None), "the next message");
        assert_eq!(take(&mut assembly, 8, (1, 2), 33, vec![8]), Ok(Some((33, vec![8, 9]))));
    }

    #[test]
    fn there_are_limits() {
        let mut assembly = Assembly::default();
        assert_eq!(take(&mut assembly, 1, (1, 129), 41, vec![]), Err(Ignored::Fragment));
        assert_eq!(take(&mut assembly, 1, (1, 3), 41, vec![0; 40_000]), Ok(None));
        assert_eq!(take(&mut assembly, 1, (2, 3), 0, vec![0; 40_000]), Err(Ignored::Fragment));
        let long = vec![0; MAX_BYTES_OF_STRANGERS + 1];
        let limit = MAX_BYTES_OF_STRANGERS;
        assert_eq!(assembly.take(2, (1, 3), 41, long, limit), Err(Ignored::Fragment));
    }
}
