//! Applications of simulated hosts: they check every byte they get.
//!
//! Streams and datagrams carry bytes that follow from a seed and a position, so loss, repetition,
//! exchange and damage of a single byte show at once, at the position where they happened.

mod datagram;
mod probe;
mod stream;

use core::net::IpAddr;

use wire::Time;

use crate::{rng::mix, sim::Stack};

pub use datagram::{DatagramClient, DatagramServer};
pub use probe::{Ping, Traceroute};
pub use stream::{StreamClient, StreamServer, Work};

/// An application.
pub trait App {
    /// Does what it can; says whether it did anything.
    fn poll(&mut self, stack: &mut Stack, now: Time) -> bool;

    /// When it wants to be called if nothing arrives.
    fn wake(&self) -> Option<Time> {
        None
    }

    /// How it does.
    fn report(&self) -> &Report;
}

/// How an application does. Fields an application has no use for stay zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// It has done all it had to do.
    pub done: bool,
    /// Why it gave up.
    pub failed: Option<String>,
    /// TCP connections opened or accepted.
    pub connections: u64,
    /// TCP connections that ended in order.
    pub finished: u64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received and found right.
    pub received_bytes: u64,
    /// Datagrams or echo requests sent.
    pub sent: u64,
    /// Datagrams or echo replies received and found right.
    pub received: u64,
    /// Of those, how many came twice.
    pub duplicates: u64,
    /// Of those, how many came after one that was sent later.
    pub reordered: u64,
    /// Where probes got: `None` for one that was not answered.
    pub hops: Vec<Option<IpAddr>>,
    /// ICMP errors received: type, code, who sent it.
    pub errors: Vec<(u8, u8, IpAddr)>,
    /// The address and port the peer has seen or used, of the last conversation.
    pub peer: Option<core::net::SocketAddr>,
}

impl Report {
    /// Done without a complaint.
    pub fn succeeded(&self) -> bool {
        self.done && self.failed.is_none()
    }

    fn fail(&mut self, why: impl Into<String>) {
        if self.failed.is_none() {
            self.failed = Some(why.into());
        }
        self.done = true;
    }
}

/// Fills `bytes` with what stands at `position` of the stream of `seed`.
pub fn pattern(seed: u32, position: u64, bytes: &mut [u8]) {
    let word = |index: u64| mix((u64::from(seed) << 32) ^ index).to_le_bytes();
    let mut block = word(position / 8);
    for (i, byte) in bytes.iter_mut().enumerate() {
        let at = position + i as u64;
        if at.is_multiple_of(8) {
            block = word(at / 8);
        }
        *byte = block[(at % 8) as usize];
    }
}

/// Where `bytes` differ from what should stand at `position` of the stream of `seed`.
pub fn first_difference(seed: u32, position: u64, bytes: &[u8]) -> Option<u64> {
    let mut expected = vec![0; bytes.len()];
    pattern(seed, position, &mut expected);
    let at = expected.iter().zip(bytes).position(|(a, b)| a != b)?;
    Some(position + at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_same_however_it_is_cut() {
        let mut whole = [0; 100];
        pattern(7, 5, &mut whole);
        for cut in 0..100 {
            assert_eq!(first_difference(7, 5, &whole[..cut]), None);
            assert_eq!(first_difference(7, 5 + cut as u64, &whole[cut..]), None);
        }
        whole[60] ^= 1;
        assert_eq!(first_difference(7, 5, &whole), Some(65));
    }
}
