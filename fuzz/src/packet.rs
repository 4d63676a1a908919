//! What the stages look at in a packet, and what they write into it.

use wire::{
    Fragmentation, Headers, Rewrite, Tuple, arp,
    fragment::{self, Fragmenter},
    gre, gro, gso, icmp, nd, proto, quoted_esp, quoted_overlay,
    rewrite::{self, quoted_tuple, rewrite_quoted},
    tcp, vxlan,
};

/// A frame whose headers are right.
pub(crate) struct Packet<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) headers: Headers,
}

impl Packet<'_> {
    pub(crate) fn look(&self) {
        let (bytes, headers) = (self.bytes, &self.headers);
        assert!(headers.end as usize <= bytes.len());
        let _ = arp::parse(bytes, headers);
        let _ = nd::parse(bytes, headers);
        let _ = icmp::announced_mtu(bytes, headers);
        let _ = fragment::position(bytes, headers);
        let _ = (quoted_esp(bytes, headers), quoted_overlay(bytes, headers));
        if let Some(segment) = tcp::Segment::of(bytes, headers) {
            let _ = segment.offer();
            assert!(segment.options().count() <= 40);
        }
        let payload = bytes.get(usize::from(headers.payload)..headers.end as usize);
        let payload = payload.unwrap_or_default();
        let _ = vxlan::read(payload);
        if let Ok(header) = gre::Header::read(payload) {
            let mut again = payload.to_vec();
            header.write(&mut again);
            assert_eq!(gre::Header::read(&again), Ok(header));
        }
        if headers.version().is_some() {
            self.translate();
            self.cut();
        }
    }

    /// Translation gives the tuple it should, keeps a right checksum right, and can be undone.
    fn translate(&self) {
        let right = wire::verify_l4_checksum(self.bytes, &self.headers).is_ok();
        let from = self.headers.tuple;
        let to = Tuple { src: from.dst, dst: from.src, ..from };
        let mut frame = self.bytes.to_vec();
        Rewrite::compile(from, to).apply(&mut frame, &self.headers, false, false);
        let Ok(headers) = wire::parse(&frame) else {
            panic!("a translated packet is still one");
        };
        assert_eq!((headers.tuple.src, headers.tuple.dst), (to.src, to.dst));
        if right {
            assert_eq!(wire::verify_l4_checksum(&frame, &headers), Ok(()));
        }
        if let Some(quoted) = quoted_tuple(&frame, &headers) {
            let other = Tuple { src: quoted.dst, dst: quoted.src, ..quoted };
            assert!(rewrite_quoted(&mut frame, &headers, quoted, other));
            if right {
                assert_eq!(wire::verify_l4_checksum(&frame, &headers), Ok(()));
            }
        }
        rewrite::decrement_ttl(&mut frame, &headers);
        tcp::clamp_mss(&mut frame, &headers, 1220, false);
        let again = wire::parse(&frame).expect("a smaller TTL is one too");
        if right && again.ttl > 0 {
            assert_eq!(wire::verify_l4_checksum(&frame, &again), Ok(()));
        }
    }

    /// Pieces are no longer than they may be, are packets, and have all of the data.
    fn cut(&self) {
        let mut out = Vec::new();
        // the least a link has, so that the first piece has all of the transport header
        let least = if self.headers.tuple.is_v6() { 1280 } else { 576 };
        let mtu = least + u16::from(self.bytes[0]);
        if let Ok(mut pieces) = Fragmenter::new(self.bytes, &self.headers, mtu, 7) {
            while pieces.next(&mut out) {
                let piece = wire::parse(&out).expect("a piece is a packet");
                assert!(piece.ip_len() <= u32::from(mtu));
            }
        }
        let is_tcp = self.headers.tuple.proto == proto::TCP;
        let size = 1 + u16::from(self.bytes[1]);
        if let Ok(mut pieces) = gso::Segmenter::new(self.bytes, &self.headers, is_tcp, size, false)
        {
            out.resize(pieces.max_len(), 0);
            let (mut payload, mut segments) = (0, Vec::new());
            while let Some(length) = pieces.next(&mut out) {
                let piece = wire::parse(&out[..length]).expect("a segment is a packet");
                assert_eq!(wire::verify_l4_checksum(&out[..length], &piece), Ok(()));
                payload += piece.payload_len();
                segments.push(out[..length].to_vec());
            }
            assert_eq!(payload, self.headers.payload_len());
            join(&segments, is_tcp);
        }
        assert!(!icmp::is_error(&self.headers) || !icmp::may_answer_with_error(&self.headers));
        assert!(self.headers.fragment != Fragmentation::Later || self.headers.tuple.src_port == 0);
    }
}

/// Joins segments as far as they may be, and cuts the whole again into the same.
fn join(segments: &[Vec<u8>], is_tcp: bool) {
    let Some((first, others)) = segments.split_first() else { return };
    let headers = wire::parse(first).expect("a segment is a packet");
    let Some(mut run) = gro::Run::begin(first, &headers) else { return };
    let mut whole = first.clone();
    for segment in others {
        let headers = wire::parse(segment).expect("a segment is a packet");
        if !run.continues(&whole, segment, &headers) {
            break;
        }
        whole.extend_from_slice(&segment[usize::from(headers.payload)..]);
        run.add(&headers);
    }
    if run.count() < 2 {
        return;
    }
    run.finish(&mut whole).expect("it is as long as the run");
    let headers = wire::parse(&whole).expect("the whole is a packet");
    let mut pieces = gso::Segmenter::new(&whole, &headers, is_tcp, run.size(), false)
        .expect("what was joined can be cut");
    let mut out = vec![0; pieces.max_len()];
    for segment in &segments[..run.count() as usize] {
        let length = pieces.next(&mut out).expect("as many as were joined");
        assert_eq!(out[..length], segment[..]);
    }
    assert_eq!(pieces.remaining(), 0);
}
