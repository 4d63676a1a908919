//! How many ICMP errors the gateway sends (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)).
//!
//! A bucket for each destination comes first, so that one host cannot use up what is there for
//! all, then one for the whole gateway (`limits.icmp-errors-per-second`). The global bucket takes
//! zero, one or two tokens by chance, one on average: how full it is must not tell a stranger which
//! of his packets was answered.
//!
//! Limits: 1,024 destinations are remembered, in sets of four; a new one takes the place of the
//! fullest bucket, which has least to forget.

use core::{hash::BuildHasher, net::IpAddr, time::Duration};

use wire::Time;

use crate::{keyed::Keyed, rng::Rng};

/// Errors a second to one destination, and as many at once (the example of RFC 4443 §2.4 (f)).
pub const PER_DESTINATION: u32 = 10;

const WAYS: usize = 4;
const SETS: usize = 256;
/// The global bucket holds what it gains in this time, and no less than [`MIN_BURST`].
const BURST_TIME: Duration = Duration::from_millis(100);
/// Smallest size of the global bucket.
const MIN_BURST: i64 = 10;
const SECOND: i64 = 1_000_000_000;

/// Whether an error may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitVerdict {
    /// It may.
    Allowed,
    /// The destination has had enough.
    DestinationLimited,
    /// The gateway has sent enough.
    GatewayLimited,
}

/// Counters since start; none is ever reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpLimiterCounters {
    /// Errors allowed.
    pub allowed: u64,
    /// Errors not sent for the sake of one destination's limit.
    pub destination_limited: u64,
    /// Errors not sent for the gateway's limit.
    pub gateway_limited: u64,
}

/// The limiter.
pub struct IcmpLimiter {
    keyed: Keyed,
    rng: Rng,
    gateway: Bucket,
    places: Vec<Option<(IpAddr, Bucket)>>,
    per_second: u32,
    counters: IcmpLimiterCounters,
}

/// A token bucket; a token is [`SECOND`] units, and a rate of n gains n units a nanosecond.
#[derive(Clone, Copy)]
pub(crate) struct Bucket {
    /// Below zero after a costly draw: the debt keeps the rate true.
    units: i64,
    at: Time,
}

impl Bucket {
    /// One with as many tokens as may be drawn at once.
    pub(crate) const fn full(burst: i64) -> Self {
        Self { units: burst * SECOND, at: Time::ZERO }
    }

    /// Draws a token, if there is one.
    pub(crate) fn draw(&mut self, per_second: u32, burst: i64, now: Time) -> bool {
        self.refill(per_second, burst, now);
        let any = self.units >= SECOND;
        if any {
            self.units -= SECOND;
        }
        any
    }

    fn refill(&mut self, per_second: u32, burst: i64, now: Time) {
        let elapsed = now.as_nanos().saturating_sub(self.at.as_nanos());
        let gain = elapsed.saturating_mul(u64::from(per_second));
        let gain = i64::try_from(gain).unwrap_or(i64::MAX);
        self.units = self.units.saturating_add(gain).min(burst * SECOND);
        self.at = self.at.max(now);
    }
}

impl IcmpLimiter {
    /// A limiter for `per_second` errors; zero sends none. `seed` keys the hash and the chance.
    pub fn new(per_second: u32, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            keyed: Keyed::new(rng.next_u64()),
            rng,
            gateway: Bucket::full(burst(per_second)),
            places: vec![None; WAYS * SETS],
            per_second,
            counters: IcmpLimiterCounters::default(),
        }
    }

    /// Takes a new rate.
    pub fn reload(&mut self, per_second: u32) {
        self.per_second = per_second;
        self.gateway.units = self.gateway.units.min(burst(per_second) * SECOND);
    }

    /// Whether an error may be sent to `destination` now; if so, it counts as sent.
    pub fn allow(&mut self, destination: IpAddr, now: Time) -> bool {
        self.judge(destination, now) == LimitVerdict::Allowed
    }

    /// The same, and says which limit forbids it.
    pub fn judge(&mut self, destination: IpAddr, now: Time) -> LimitVerdict {
        self.gateway.refill(self.per_second, burst(self.per_second), now);
        let by_chance = i64::from(self.rng.below(3));
        let gateway = &mut self.gateway;
        let bucket = place(&mut self.places, &self.keyed, destination, now);
        if bucket.units < SECOND {
            self.counters.destination_limited += 1;
            return LimitVerdict::DestinationLimited;
        }
        if gateway.units < SECOND {
            self.counters.gateway_limited += 1;
            return LimitVerdict::GatewayLimited;
        }
        bucket.units -= SECOND;
        gateway.units -= by_chance * SECOND;
        self.counters.allowed += 1;
        LimitVerdict::Allowed
    }

    /// Counters.
    pub const fn counters(&self) -> &IcmpLimiterCounters {
        &self.counters
    }
}

/// The filled-up bucket of a destination.
fn place<'a>(
    places: &'a mut [Option<(IpAddr, Bucket)>],
    keyed: &Keyed,
    destination: IpAddr,
    now: Time,
) -> &'a mut Bucket {
    let set = keyed.hash_one(destination) as usize % SETS;
    let ways = &mut places[set * WAYS..(set + 1) * WAYS];
    let full = i64::from(PER_DESTINATION);
    let mut chosen = 0;
    let mut most = 0;
    for (at, way) in ways.iter_mut().enumerate() {
        let worth = match way {
            Some((address, bucket)) => {
                bucket.refill(PER_DESTINATION, full, now);
                if *address == destination {
                    chosen = at;
                    break;
                }
                bucket.units + 1
            }
            None => i64::MAX,
        };
        if worth > most {
            (chosen, most) = (at, worth);
        }
    }
    let fresh = (destination, Bucket { units: full * SECOND, at: now });
    let way = &mut ways[chosen];
    if way.is_some_and(|(address, _)| address != destination) {
        *way = None;
    }
    &mut way.get_or_insert(fresh).1
}

fn burst(per_second: u32) -> i64 {
    if per_second == 0 {
        return 0;
    }
    let in_burst_time = i64::from(per_second) * BURST_TIME.as_millis() as i64 / 1000;
    in_burst_time.max(MIN_BURST)
}
