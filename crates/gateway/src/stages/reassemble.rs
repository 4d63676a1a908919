//! Reassemble: only whole packets with a transport checksum that holds leave this stage.

use ports::Checksum;
use reason::{DropReason, PuntCause};
use wire::{Fragmentation, Time};

use crate::{
    Gateway,
    local::IcmpErrorKind,
    packet::{Packet, Verdict},
    reassembly::{Outcome, ReassemblyEvent},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    match packet.headers.fragment {
        Fragmentation::Whole => {
            packet.say(|_| Note::new("not a fragment", "whole packet"));
        }
        Fragmentation::First | Fragmentation::Later => {
            let verdict = collect(gateway, packet, now);
            if verdict != Verdict::Continue {
                return verdict;
            }
        }
    }
    verify(gateway, packet)
}

/// Adds a fragment; the packet becomes the whole one when it was the last that was missing.
fn collect(gateway: &mut Gateway, packet: &mut Packet, now: Time) -> Verdict {
    if packet.is_simulated() {
        return Verdict::Continue;
    }
    let outcome =
        gateway.reassembler.push(packet.frame.bytes(), &packet.headers, packet.ingress, now);
    let whole = match outcome {
        Outcome::Held => {
            packet.say(|_| Note::new("fragment", "waits for the others"));
            return Verdict::Hold;
        }
        Outcome::Drop(reason) => return Verdict::Drop(reason),
        Outcome::Complete(whole) => whole,
    };
    let largest = whole.largest_fragment;
    let Some(frame) = gateway.frames.alloc_from(whole.frame) else {
        return Verdict::Drop(DropReason::BuffersExhausted);
    };
    let headers = match wire::parse(frame.bytes()) {
        Ok(headers) => headers,
        Err(reason) => return Verdict::Drop(reason),
    };
    gateway.counters.reassembled += 1;
    packet.frame = frame;
    packet.headers = headers;
    packet.reassembled = Some(largest);
    packet.cause = PuntCause::Fragment;
    packet.say(|p| {
        Note::new("last fragment", format!("whole packet of {} bytes", p.headers.ip_len()))
    });
    Verdict::Continue
}

/// Checks the transport checksum unless a device did, or it is not finished yet.
fn verify(gateway: &Gateway, packet: &mut Packet) -> Verdict {
    match packet.frame.offloads.checksum {
        Checksum::Verified | Checksum::Partial { .. } => Verdict::Continue,
        Checksum::Unchecked => {
            match wire::verify_l4_checksum(packet.frame.bytes(), &packet.headers) {
                Ok(()) => Verdict::Continue,
                Err(DropReason::UdpChecksumInvalid) if gateway.is_unchecked_vxlan(packet) => {
                    Verdict::Continue
                }
                Err(reason) => Verdict::Drop(reason),
            }
        }
    }
}

impl Gateway {
    /// Gives up on fragments that waited too long, and tells the sender (RFC 792, RFC 4443 §3.3).
    pub(crate) fn expire_fragments(&mut self, now: Time) {
        self.reassembler.handle_timeout(now);
        self.count_lost_fragments(now);
    }

    /// Counts fragments that were thrown away while others came in.
    pub(crate) fn count_lost_fragments(&mut self, now: Time) {
        while let Some(event) = self.reassembler.poll_event() {
            match event {
                ReassemblyEvent::TimedOut { interface, fragments, first_fragment } => {
                    for _ in 0..fragments {
                        self.counters.drop(DropReason::FragmentTimeout, interface);
                    }
                    if let Some(first) = first_fragment {
                        let kind = IcmpErrorKind::ReassemblyTimeout;
                        self.send_icmp_error(kind, &first, interface, now);
                    }
                }
                ReassemblyEvent::Discarded { interface, fragments, reason } => {
                    for _ in 0..fragments {
                        self.counters.drop(reason, interface);
                    }
                }
            }
        }
    }
}
