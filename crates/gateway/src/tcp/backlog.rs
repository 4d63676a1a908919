//! How much a connection may hold of what its peer has not acknowledged.
//!
//! It is what the peer takes in [`DELAY`], but at least [`LEAST`] bytes: more only makes what comes last wait longer,
//! and less throws away what a fast peer would have taken, whose senders come in bursts.

use core::time::Duration;

use wire::Time;

use super::SEND;

/// Bytes that are held however slow the peer is.
const LEAST: usize = 256 << 10;

/// How long what is held takes to go.
const DELAY: Duration = Duration::from_millis(20);

/// Over how long it is counted what the peer takes.
const WINDOW: Duration = Duration::from_millis(10);

/// What a connection was given and what is gone of it.
pub(super) struct Backlog {
    written: u64,
    /// Since when the peer's pace is measured, and what was gone by then.
    window: (Time, u64),
    limit: usize,
}

impl Backlog {
    pub(super) const fn new(now: Time) -> Self {
        Self { written: 0, window: (now, 0), limit: LEAST }
    }

    /// Bytes that may be added to those that are held.
    pub(super) const fn room(&self, held: usize) -> usize {
        self.limit.saturating_sub(held)
    }

    pub(super) const fn add(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// So many are held now.
    pub(super) fn look(&mut self, held: usize, now: Time) {
        let (since, before) = self.window;
        let elapsed = now.since(since);
        if elapsed < WINDOW {
            return;
        }
        let gone = self.written.saturating_sub(held as u64);
        let taken = u128::from(gone.saturating_sub(before));
        let in_delay = taken * DELAY.as_nanos() / elapsed.as_nanos();
        self.limit = usize::try_from(in_delay).unwrap_or(SEND).clamp(LEAST, SEND);
        self.window = (now, gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be held once a peer has taken so many bytes a second for a while.
    fn held_for(rate: u64) -> usize {
        let mut now = Time::from_secs(1);
        let mut backlog = Backlog::new(now);
        for _ in 0..100 {
            now = now + Duration::from_millis(1);
            backlog.add(usize::try_from(rate / 1_000).expect("small"));
            backlog.look(0, now);
        }
        backlog.room(0)
    }

    #[test]
    fn a_fast_peer_has_more_under_way_and_a_slow_one_no_queue() {
        assert_eq!(held_for(0), LEAST);
        assert_eq!(held_for(1_250_000), LEAST, "10 Mbit/s");
        assert_eq!(held_for(25_000_000), 500_000, "200 Mbit/s for 20 ms");
        assert_eq!(held_for(1_250_000_000), SEND, "10 Gbit/s");
    }

    #[test]
    fn a_peer_that_stops_is_given_no_more_than_a_slow_one() {
        let mut now = Time::from_secs(1);
        let mut backlog = Backlog::new(now);
        now = now + WINDOW;
        backlog.add(10 << 20);
        backlog.look(0, now);
        assert_eq!(backlog.room(0), SEND);
        backlog.add(SEND);
        assert_eq!(backlog.room(SEND), 0);
        now = now + WINDOW;
        backlog.look(SEND, now);
        assert_eq!(backlog.room(SEND), 0, "nothing of it went");
        assert_eq!(backlog.room(LEAST - 7), 7);
    }
}
