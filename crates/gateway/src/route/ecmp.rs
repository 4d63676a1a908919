//! Choosing among equal routes: weighted rendezvous hashing.
//!
//! Every member draws a lot from the session's hash and its own identity; the best lot wins. So
//! the choice does not depend on the order of members, and when one goes away only its sessions
//! move. Integer arithmetic throughout, so that it is the same on every machine.

use core::net::IpAddr;

use super::Member;

/// Finalizer of SplitMix64: every bit of the input moves every bit of the output.
pub(crate) const fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of an address.
#[inline]
pub(crate) fn hash_address(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits()) ^ 0x9e37_79b9_7f4a_7c15),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            mix((bits >> 64) as u64 ^ mix(bits as u64 ^ 0x6a09_e667_f3bc_c909))
        }
    }
}

/// The member that serves the session with this hash; `None` for no members.
#[inline]
pub(super) fn select(members: &[Member], hash: u64) -> Option<&Member> {
    if let [only] = members {
        return Some(only);
    }
    // The smallest -log2(u) / weight wins: exponential lots with rates in proportion to the weights.
    let mut best: Option<(&Member, u64)> = None;
    for member in members {
        let cost = lot(member, hash);
        let better = best.is_none_or(|(held, held_cost)| {
            cost * u64::from(held.weight.max(1)) < held_cost * u64::from(member.weight.max(1))
        });
        if better {
            best = Some((member, cost));
        }
    }
    best.map(|(member, _)| member)
}

/// -log2 of a uniform number in (0, 1], in units of 2^-32.
fn lot(member: &Member, hash: u64) -> u64 {
    let gateway = member.gateway.map_or(0, hash_address);
    let identity = gateway ^ (u64::from(member.interface.0) << 1 | 1);
    let u = mix(hash ^ mix(identity)) | 1;
    let zeros = u64::from(u.leading_zeros());
    // log2(1 + x) is near x + c x (1 - x): within 0.8 %, far below what weights can tell.
    const C: u64 = (0.343 * 4_294_967_296.0) as u64;
    let x = (u << zeros << 1) >> 32;
    let curve = (x * ((1 << 32) - x)) >> 32;
    let log = x + ((curve * C) >> 32);
    ((zeros + 1) << 32) - log
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::IfId;

    fn members(weights: &[u8]) -> Vec<Member> {
        weights
            .iter()
            .zip(1_u16..)
            .map(|(&weight, n)| Member {
                gateway: Some(IpAddr::from([192, 0, 2, n as u8])),
                interface: IfId(n),
                weight,
            })
            .collect()
    }

    fn shares(members: &[Member]) -> Vec<u32> {
        let mut shares = vec![0; members.len()];
        for n in 0..100_000 {
            let chosen = select(members, mix(n)).expect("members");
            let at = members.iter().position(|m| m == chosen).expect("one of them");
            shares[at] += 1;
        }
        shares
    }

    #[test]
    fn sessions_spread_by_weight() {
        for (weights, expected) in [
            (vec![1, 1], vec![50_000, 50_000]),
            (vec![3, 1], vec![75_000, 25_000]),
            (vec![100, 200, 100, 100], vec![20_000, 40_000, 20_000, 20_000]),
        ] {
            for (got, wanted) in shares(&members(&weights)).into_iter().zip(expected) {
                assert!(got.abs_diff(wanted) < 1_500, "{weights:?}: {got} of {wanted}");
            }
        }
    }

    #[test]
    fn only_sessions_of_a_lost_member_move() {
        let all = members(&[1, 2, 3]);
        let fewer = vec![all[2], all[0]];
        for n in 0..10_000 {
            let before = select(&all, mix(n)).expect("members");
            if *before != all[1] {
                assert_eq!(select(&fewer, mix(n)), Some(before));
            }
        }
        assert_eq!(select(&[], 1), None);
    }
}
