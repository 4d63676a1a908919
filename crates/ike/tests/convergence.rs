//! Many runs over a bad network: whatever is lost, late or there twice, both ends agree in the end.
//!
//! `LOCKGATE_IKE_RUNS` says how many runs there are; the usual loop has few.

mod pair;

use std::time::Duration;

use lockgate_ike::{Command, Settings, Task};
use pair::{A, B, Chaos, Network, Pair, name};

const SECOND: Duration = Duration::from_secs(1);

/// One run; the number of messages it took.
fn run(seed: u64) -> usize {
    let mut random = Chaos(seed.wrapping_mul(0x1234_5678_9abc_def1));
    let settings = Settings {
        trace: std::env::var_os("LOCKGATE_IKE_TRACE").is_some(),
        fragment_size: if random.below(4) == 0 { 576 } else { 1280 },
        ..Settings::default()
    };
    let pfs = random.below(2) == 0;
    let mut pair = Pair::with(seed, settings, |_, connection| {
        connection.dpd_after = Some(20 * SECOND);
        if pfs {
            connection.children[0].offers = vec!["aes256gcm16-x25519".parse().unwrap()];
        }
    });
    pair.nat = (random.below(3) == 0).then_some(pair::NAT.1);
    pair.network = Network {
        loss: random.below(250),
        duplicates: random.below(200),
        jitter: random.below(400),
    };
    pair.connect(A);
    // until it stands: what was given up is begun again, as the owner of an endpoint would
    for _ in 0..100 {
        pair.run_for(20 * SECOND);
        if pair.ends[A].views().count() == 0 {
            pair.connect(A);
        } else if pair.ikes[A].len() == 1 && pair.children[A].len() == 1 {
            break;
        }
    }
    for _ in 0..2 + random.below(6) {
        let end = random.below(2) as usize;
        let up: Vec<_> = pair.ends[end].views().filter(|view| view.state == "up").collect();
        let child =
            pair.children[end].values().filter(|child| child.up).map(|c| c.sa.id).next_back();
        let command = match (random.below(8), up.first(), child) {
            (0..4, Some(_), Some(child)) => Some(Command::RekeyChild(child)),
            (4..6, Some(view), _) => Some(Command::Ike { ike: view.ike, task: Task::RekeyIke }),
            (6, Some(view), _) => Some(Command::Ike { ike: view.ike, task: Task::Check }),
            (7, Some(view), _) if pair.children[end].len() < 3 => {
                Some(Command::Ike { ike: view.ike, task: Task::CreateChild(name("net")) })
            }
            _ => None,
        };
        if let Some(command) = command {
            pair.command(end, command);
        }
        pair.run_for(Duration::from_millis(random.below(3000)));
    }
    // the network heals; after the longest retransmission and the time replaced SAs may take,
    // everything is settled
    pair.network = Network { jitter: 20, ..Network::default() };
    pair.run_for(400 * SECOND);
    if pair.ikes[A].is_empty() {
        // an end gave up; it begins again
        pair.connect(A);
        pair.run_for(400 * SECOND);
    }
    let count = pair.children[A].len();
    if let Err(what) = pair.agreed(count) {
        panic!("seed {seed}: {what}\nA: {:#?}\nB: {:#?}", pair.log(A), pair.log(B));
    }
    assert!(count >= 1, "seed {seed}: nothing was deleted\nA: {:#?}", pair.log(A));
    pair.sent.len()
}

#[test]
fn whatever_is_lost_both_ends_agree_in_the_end() {
    let runs = std::env::var("LOCKGATE_IKE_RUNS").map_or(150, |runs| runs.parse().unwrap());
    let first = std::env::var("LOCKGATE_IKE_SEED").map_or(0, |seed| seed.parse().unwrap());
    let messages: usize = (first..first + runs).map(run).sum();
    assert!(messages > 8 * runs as usize);
}

#[test]
fn one_seed_gives_one_run() {
    let log = || {
        let mut pair = Pair::new(77);
        pair.network = Network { loss: 200, duplicates: 200, jitter: 300 };
        pair.connect(A);
        pair.run_for(60 * SECOND);
        if let Some(child) = pair.children[B].keys().next_back().copied() {
            pair.command(B, Command::RekeyChild(child));
        }
        pair.run_for(60 * SECOND);
        (pair.sent.clone(), pair.log(A), pair.log(B))
    };
    assert_eq!(log(), log());
}
