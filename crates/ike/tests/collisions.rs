//! Both ends want something at the same time (RFC 7296 §2.8.1, §2.25). Whatever the order in which
//! datagrams arrive, both ends agree in the end, and a child is missing only when somebody deleted it.

mod pair;

use std::time::Duration;

use lockgate_ike::{Command, Task};
use pair::{A, B, Chaos, Network, Pair, name};

const SECOND: Duration = Duration::from_secs(1);

/// What an end wants.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    RekeyChild,
    DeleteChild,
    CreateChild,
    RekeyIke,
    DeleteIke,
    Check,
}

const WISHES: [Wish; 6] = [
    Wish::RekeyChild,
    Wish::DeleteChild,
    Wish::CreateChild,
    Wish::RekeyIke,
    Wish::DeleteIke,
    Wish::Check,
];

fn wish(pair: &mut Pair, end: usize, wish: Wish) {
    let child = pair.child(end).sa.id;
    match wish {
        Wish::RekeyChild => pair.command(end, Command::RekeyChild(child)),
        Wish::DeleteChild => pair.command(end, Command::DeleteChild(child)),
        Wish::CreateChild => pair.task(end, Task::CreateChild(name("net"))),
        Wish::RekeyIke => pair.task(end, Task::RekeyIke),
        Wish::DeleteIke => pair.task(end, Task::DeleteIke),
        Wish::Check => pair.task(end, Task::Check),
    }
}

/// How many children there may be in the end.
fn expected(a: Wish, b: Wish) -> std::ops::RangeInclusive<usize> {
    if [a, b].contains(&Wish::DeleteIke) {
        return 0..=0;
    }
    let created = [a, b].iter().filter(|w| **w == Wish::CreateChild).count();
    match [a, b].iter().filter(|w| **w == Wish::DeleteChild).count() {
        0 => 1 + created..=1 + created,
        // the peer may have replaced it before the deletion came
        _ if [a, b].contains(&Wish::RekeyChild) => created..=1 + created,
        _ => created..=created,
    }
}

#[track_caller]
fn check(pair: &Pair, a: Wish, b: Wish) {
    let told = || format!("{a:?} x {b:?}\nA: {:#?}\nB: {:#?}", pair.log(A), pair.log(B));
    if [a, b].contains(&Wish::DeleteIke) {
        assert!(pair.ends.iter().all(|end| end.views().count() == 0), "{}", told());
        assert!(pair.children.iter().all(|children| children.is_empty()), "{}", told());
        return;
    }
    let count = pair.children[A].len();
    assert!(expected(a, b).contains(&count), "{count} children: {}", told());
    if let Err(what) = pair.agreed(count) {
        panic!("{what}: {}", told());
    }
}

#[test]
fn every_pair_of_wishes_at_once() {
    for a in WISHES {
        for b in WISHES {
            for seed in 0..8 {
                let mut pair = Pair::new(seed).up();
                wish(&mut pair, A, a);
                wish(&mut pair, B, b);
                pair.run_for(300 * SECOND);
                check(&pair, a, b);
            }
        }
    }
}

/// The first message of one wish is lost, so that one end knows of no collision.
#[test]
fn every_pair_of_wishes_when_one_request_is_lost() {
    for a in WISHES {
        for b in WISHES {
            for seed in 0..4 {
                let mut pair = Pair::new(seed).up();
                wish(&mut pair, A, a);
                pair.lose_all();
                wish(&mut pair, B, b);
                pair.run_for(300 * SECOND);
                check(&pair, a, b);
            }
        }
    }
}

/// Any order: each end's wish comes at some moment of the other's exchange, datagrams overtake each
/// other, and jobs take their time.
#[test]
fn every_pair_of_wishes_at_any_moment() {
    for (i, a) in WISHES.into_iter().enumerate() {
        for (j, b) in WISHES.into_iter().enumerate() {
            for seed in 0..12 {
                let mut random = Chaos((i * 100 + j * 10 + seed) as u64);
                let mut pair = Pair::new(seed as u64).up();
                pair.network = Network { jitter: 40, duplicates: 200, loss: 0 };
                wish(&mut pair, A, a);
                let later = Duration::from_millis(random.below(80));
                pair.run_for(later);
                let alive = pair.ends[B].views().any(|view| view.state == "up")
                    && pair.children[B].values().any(|child| child.up);
                if !alive {
                    continue;
                }
                wish(&mut pair, B, b);
                pair.run_for(300 * SECOND);
                check(&pair, a, b);
            }
        }
    }
}

#[test]
fn of_two_rekeyed_children_the_one_with_the_lowest_nonce_goes() {
    let mut winners = [0, 0];
    for seed in 0..16 {
        let mut pair = Pair::new(seed).up();
        wish(&mut pair, A, Wish::RekeyChild);
        wish(&mut pair, B, Wish::RekeyChild);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
        // both made two, and each deleted one: the loser its own, the winner the old one
        for end in [A, B] {
            assert_eq!(pair.messages(end, "CREATE_CHILD_SA request").len(), 1);
            assert_eq!(pair.messages(end, "CREATE_CHILD_SA response").len(), 1);
            assert_eq!(pair.messages(end, "INFORMATIONAL request").len(), 1);
        }
        let winner = pair.messages(A, "INFORMATIONAL request")[0].clone();
        let old = pair.log(A).iter().find(|l| l.starts_with("ChildInboundReady")).unwrap().clone();
        let spi = old.split(' ').next_back().unwrap().split('/').next().unwrap().to_owned();
        winners[usize::from(winner.contains(&spi))] += 1;
    }
    assert!(winners.iter().all(|count| *count > 0), "both ends win sometimes: {winners:?}");
}

#[test]
fn of_two_rekeyed_ike_sas_the_one_with_the_lowest_nonce_goes() {
    for seed in 0..16 {
        let mut pair = Pair::new(seed).up();
        let child = pair.child(A).sa.id;
        wish(&mut pair, A, Wish::RekeyIke);
        wish(&mut pair, B, Wish::RekeyIke);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
        assert_eq!(pair.child(A).sa.id, child, "the child stays");
        wish(&mut pair, A, Wish::RekeyChild);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
    }
}

#[test]
fn an_ike_sa_and_its_child_rekeyed_at_once_are_done_one_after_the_other() {
    let mut pair = Pair::new(1).up();
    wish(&mut pair, A, Wish::RekeyIke);
    wish(&mut pair, B, Wish::RekeyChild);
    pair.run_for(SECOND / 10);
    let busy =
        |end| pair.messages(end, "CREATE_CHILD_SA response")[0].contains("TEMPORARY_FAILURE");
    assert!(busy(A) && busy(B));
    let (ike, child) = (pair.ike(A), pair.child(A).sa.id);
    pair.run_for(30 * SECOND);
    pair.assert_agreed(1);
    assert_ne!(pair.ike(A), ike);
    assert_ne!(pair.child(A).sa.id, child);
}

/// Long jobs: the peer's wish comes while our key exchange is still being prepared or finished.
#[test]
fn every_pair_of_wishes_around_slow_jobs() {
    for a in WISHES {
        for b in WISHES {
            for order in 0..4 {
                let mut pair = Pair::new(order).up();
                pair.hold_jobs = true;
                wish(&mut pair, A, a);
                if order & 1 == 0 {
                    pair.run_jobs(A);
                }
                wish(&mut pair, B, b);
                for round in 0..40 {
                    pair.run_for(SECOND / 4);
                    if order & 2 == 0 || round % 2 == 0 {
                        pair.run_jobs(A);
                    }
                    if order & 2 != 0 || round % 3 == 0 {
                        pair.run_jobs(B);
                    }
                }
                pair.hold_jobs = false;
                pair.run_jobs(A);
                pair.run_jobs(B);
                pair.run_for(300 * SECOND);
                check(&pair, a, b);
            }
        }
    }
}

#[test]
fn a_request_that_overtakes_the_answer_of_ike_auth_waits() {
    let mut pair = Pair::new(3);
    pair.connect(A);
    while pair.ikes[B].is_empty() {
        assert!(pair.step(pair.now + SECOND));
    }
    pair.lose_all();
    // A does not know yet that it is up
    wish(&mut pair, B, Wish::RekeyChild);
    pair.run_for(60 * SECOND);
    pair.assert_agreed(1);
    assert_ne!(pair.child(B).sa.replaces, None);
}
