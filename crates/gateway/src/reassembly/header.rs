//! Where a fragment stands, read from its headers, and the header of the packet it belongs to.

use wire::{Headers, IpVersion, L3, checksum};

/// Next-header number of the fragment header (RFC 8200 §4.5).
const FRAGMENT_HEADER: u8 = 44;
/// Next-header number of the authentication header, whose length counts in fours (RFC 4302 §2.2).
const AUTHENTICATION: u8 = 51;
/// Extension headers before the fragment header; [`wire::parse`] follows no more.
const MAX_EXTENSIONS: usize = 8;

/// One fragment's place in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Identification.
    pub(super) id: u32,
    /// Protocol, which is part of the identity in IPv4 only (RFC 791 §3.2; RFC 8200 §4.5).
    pub(super) proto: u8,
    /// First byte of the data in the packet's fragmentable part.
    pub(super) offset: u32,
    /// More fragments follow.
    pub(super) more: bool,
    /// Where the data starts in the frame.
    pub(super) data: usize,
    /// IPv6: where the fragment header is in the frame, and the next-header field that names it.
    v6: Option<(usize, usize)>,
}

/// Reads the place of a fragment. `None` if the frame is not what `headers` say.
pub(super) fn place(frame: &[u8], headers: &Headers) -> Option<Place> {
    let l3 = usize::from(headers.l3);
    match headers.kind {
        L3::Arp => None,
        L3::Ip(IpVersion::V4) => {
            let fields: &[u8; 6] = frame.get(l3 + 4..)?.first_chunk()?;
            let [id0, id1, flags0, flags1, _, proto] = *fields;
            let flags = u16::from_be_bytes([flags0, flags1]);
            Some(Place {
                id: u32::from(u16::from_be_bytes([id0, id1])),
                proto,
                offset: u32::from(flags & 0x1fff) * 8,
                more: flags & 0x2000 != 0,
                data: usize::from(headers.l4),
                v6: None,
            })
        }
        L3::Ip(IpVersion::V6) => {
            let mut named_by = l3 + 6;
            let mut next = *frame.get(named_by)?;
            let mut at = l3 + 40;
            for _ in 0..MAX_EXTENSIONS {
                if next == FRAGMENT_HEADER {
                    break;
                }
                let [following, units] = *frame.get(at..)?.first_chunk()?;
                named_by = at;
                at += match next {
                    AUTHENTICATION => (usize::from(units) + 2) * 4,
                    _ => (usize::from(units) + 1) * 8,
                };
                next = following;
            }
            if next != FRAGMENT_HEADER {
                return None;
            }
            let fields: &[u8; 8] = frame.get(at..)?.first_chunk()?;
            let [_, _, field0, field1, id @ ..] = *fields;
            let field = u16::from_be_bytes([field0, field1]);
            Some(Place {
                id: u32::from_be_bytes(id),
                proto: 0,
                offset: u32::from(field & 0xfff8),
                more: field & 1 != 0,
                data: at + 8,
                v6: Some((at, named_by)),
            })
        }
    }
}

/// Bytes of the reassembled packet that its length field counts besides `data` bytes of
/// fragmentable part: the IPv4 header, or the IPv6 extension headers before the fragment header.
pub(super) fn counted_before(headers: &Headers, place: &Place) -> usize {
    match place.v6 {
        None => place.data - usize::from(headers.l3),
        Some((fragment, _)) => fragment - usize::from(headers.l3) - 40,
    }
}

/// Writes the first fragment's headers, up to its data, as those of the whole packet: length set,
/// fragment fields cleared or the fragment header taken out, and CE kept if any fragment had it
/// (RFC 3168 §5.3). `None` only if `head` is not what `place` was read from.
pub(super) fn whole(
    out: &mut Vec<u8>,
    head: &[u8],
    l3: usize,
    place: &Place,
    data: usize,
    ce: bool,
) -> Option<()> {
    match place.v6 {
        None => {
            out.extend_from_slice(head);
            let total = u16::try_from(head.len().checked_sub(l3)? + data).ok()?;
            let header = out.get_mut(l3..)?;
            header.get_mut(2..4)?.copy_from_slice(&total.to_be_bytes());
            header.get_mut(6..8)?.fill(0);
            if ce {
                *header.get_mut(1)? |= 3;
            }
            header.get_mut(10..12)?.fill(0);
            let sum = checksum::checksum(header);
            header.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
        }
        Some((fragment, named_by)) => {
            out.extend_from_slice(head.get(..fragment)?);
            let total = u16::try_from(fragment.checked_sub(l3 + 40)? + data).ok()?;
            let following = *head.get(fragment)?;
            *out.get_mut(named_by)? = following;
            out.get_mut(l3 + 4..l3 + 6)?
                .copy_from_slice(&total.to_be_bytes());
            if ce {
                *out.get_mut(l3 + 1)? |= 0x30;
            }
        }
    }
    Some(())
}
