//! What happens to IKE SAs and children that are there: rekeying, deletion, dead peers.

mod pair;

use std::time::Duration;

use lockgate_ike::{Command, DownReason, Event, Kept, Settings, Task, Traffic};
use pair::{A, B, Pair, name};

const SECOND: Duration = Duration::from_secs(1);

fn rekeyed(pair: &Pair, end: usize) -> usize {
    pair.count(end, |event| matches!(event, Event::ChildRekeyed { .. }))
}

#[test]
fn a_child_is_rekeyed_by_either_end_and_never_missing() {
    for end in [A, B] {
        let mut pair = Pair::new(3).up();
        let old = pair.child(end).sa.id;
        pair.command(end, Command::RekeyChild(old));
        // the responder has the new one before the initiator can use it
        pair.run_for(SECOND);
        pair.assert_agreed(1);
        assert_ne!(pair.child(end).sa.id, old);
        assert_eq!(pair.child(end).sa.replaces, Some(old));
        assert_eq!([rekeyed(&pair, A), rekeyed(&pair, B)], [1, 1]);
        assert_eq!(pair.messages(end, "CREATE_CHILD_SA request").len(), 1);
        assert_eq!(pair.messages(end, "INFORMATIONAL request").len(), 1, "the old one's deletion");
        for end in [A, B] {
            let gone = |event: &Event| {
                matches!(event, Event::ChildGone { reason: DownReason::Replaced, .. })
            };
            assert_eq!(pair.count(end, gone), 1);
        }
    }
}

#[test]
fn perfect_forward_secrecy_makes_another_key_exchange() {
    let mut pair = Pair::with(4, Settings { trace: true, ..Settings::default() }, |_, c| {
        c.children[0].offers = vec!["aes256gcm16-ecp256".parse().unwrap()];
    })
    .up();
    assert!(!pair.messages(A, "IKE_AUTH request")[0].contains("KE "));
    let old = pair.child(A).sa.id;
    pair.command(A, Command::RekeyChild(old));
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    assert!(pair.messages(A, "CREATE_CHILD_SA request")[0].contains("KE ecp256, 64 bytes"));
    assert!(pair.messages(B, "CREATE_CHILD_SA response")[0].contains("KE ecp256, 64 bytes"));
}

#[test]
fn the_responder_sends_by_the_new_child_once_the_peer_does() {
    let mut pair = Pair::new(5).up();
    let old = pair.child(A).sa.id;
    pair.command(A, Command::RekeyChild(old));
    // the deletion of the old one does not arrive
    while pair.messages(A, "INFORMATIONAL request").is_empty() {
        assert!(pair.step(pair.now + SECOND));
    }
    pair.lose_all();
    let new = *pair.children[B].keys().next_back().unwrap();
    assert!(!pair.children[B][&new].up);
    let now = pair.now;
    let traffic = Traffic { last_inbound: Some(now), ..Traffic::default() };
    pair.ends[B].handle_traffic(now, new, traffic);
    pair.take(B);
    assert!(pair.children[B][&new].up);
    pair.run_for(10 * SECOND);
    pair.assert_agreed(1);
    assert_eq!(rekeyed(&pair, B), 1);
}

#[test]
fn an_ike_sa_is_rekeyed_and_its_children_stay() {
    for end in [A, B] {
        let mut pair = Pair::new(6).up();
        let (ike, child) = (pair.ike(end), pair.child(end).sa.id);
        pair.task(end, Task::RekeyIke);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
        assert_ne!(pair.ike(end), ike);
        assert_eq!(pair.child(end).sa.id, child);
        // and the new one works, both ways
        for end in [A, B] {
            let old = pair.child(end).sa.id;
            pair.command(end, Command::RekeyChild(old));
            pair.run_for(SECOND);
            pair.assert_agreed(1);
        }
        pair.task(1 - end, Task::RekeyIke);
        pair.run_for(SECOND);
        pair.assert_agreed(1);
    }
}

#[test]
fn children_come_and_go() {
    let mut pair = Pair::new(7).up();
    for end in [A, B] {
        pair.task(end, Task::CreateChild(name("net")));
        pair.run_for(SECOND);
        pair.assert_agreed(2);
        let child = *pair.children[end].keys().next_back().unwrap();
        pair.command(1 - end, {
            let spi = pair.children[end][&child].sa.outbound_spi;
            let theirs = pair.children[1 - end].values().find(|c| c.sa.inbound_spi == spi);
            Command::DeleteChild(theirs.unwrap().sa.id)
        });
        pair.run_for(SECOND);
        pair.assert_agreed(1);
    }
}

#[test]
fn a_deleted_ike_sa_takes_its_children_along() {
    for end in [A, B] {
        let mut pair = Pair::new(8).up();
        pair.task(end, Task::DeleteIke);
        pair.run_for(SECOND);
        let down = |end: usize| {
            pair.events[end].iter().find_map(|event| match event {
                Event::IkeDown { reason, .. } => Some(reason.clone()),
                _ => None,
            })
        };
        assert_eq!(down(end), Some(DownReason::Deleted));
        assert_eq!(down(1 - end), Some(DownReason::PeerDeleted));
        assert!(pair.children.iter().all(|children| children.is_empty()));
        assert!(pair.ends.iter().all(|end| end.views().count() == 0));
        assert_eq!(pair.ends.each_ref().map(|end| end.poll_timeout()), [None, None]);
    }
}

fn watched() -> Pair {
    Pair::with(9, Settings { trace: true, ..Settings::default() }, |end, connection| {
        connection.dpd_after = (end == A).then_some(10 * SECOND);
    })
    .up()
}

#[test]
fn a_silent_peer_is_asked_and_a_busy_one_is_not() {
    let mut pair = watched();
    pair.run_for(35 * SECOND);
    assert_eq!(pair.messages(A, "INFORMATIONAL request").len(), 3);
    for _ in 0..10 {
        let (now, child) = (pair.now, pair.child(A).sa.id);
        let traffic = Traffic { last_inbound: Some(now), ..Traffic::default() };
        pair.ends[A].handle_traffic(now, child, traffic);
        pair.take(A);
        pair.run_for(5 * SECOND);
    }
    assert_eq!(pair.messages(A, "INFORMATIONAL request").len(), 3);
    pair.assert_agreed(1);
}

#[test]
fn a_dead_peer_is_given_up_after_all_tries() {
    let mut pair = watched();
    pair.network.loss = 1000;
    let (before, start) = (pair.sent.len(), pair.now);
    pair.run_for(600 * SECOND);
    let down = pair.events[A].iter().find_map(|event| match event {
        Event::IkeDown { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(down, Some(DownReason::PeerDead));
    assert!(pair.children[A].is_empty());
    assert_eq!(pair.sent.len() - before, 6);
    // 2 + 4 + 8 + 16 + 32 + 64 seconds and up to an eighth more, after 10 of silence
    assert!(pair.now.since(start) >= 136 * SECOND);
    assert_eq!(pair.failures(A)[0].to_string(), "no answer to INFORMATIONAL after 6 tries");
    assert_eq!(unanswered(&pair), [3, 4, 5, 6]);
    assert_eq!(pair.count(A, |event| matches!(event, Event::Answered { .. })), 0);
}

#[test]
fn that_nobody_answers_is_told_long_before_the_peer_is_given_up() {
    let mut pair = watched();
    pair.network.loss = 1000;
    // 10 of silence, then 2 and 4 seconds and up to an eighth more without an answer
    pair.run_for(17 * SECOND);
    assert_eq!(unanswered(&pair), [3]);
    pair.network.loss = 0;
    pair.run_for(20 * SECOND);
    assert_eq!(unanswered(&pair), [3, 4], "the fourth was answered");
    assert_eq!(pair.count(A, |event| matches!(event, Event::Answered { .. })), 1);
    pair.assert_agreed(1);
}

#[test]
fn a_peer_that_is_to_be_tried_less_is_given_up_earlier() {
    let mut pair = Pair::with(11, Settings::default(), |_, connection| {
        connection.transmissions = 2;
    });
    pair.network.loss = 1000;
    pair.connect(A);
    pair.run_for(7 * SECOND);
    assert_eq!(pair.failures(A)[0].to_string(), "no answer to IKE_SA_INIT after 2 tries");
    assert_eq!(pair.sent.len(), 2);
}

/// With how many tries it was told that there is no answer.
fn unanswered(pair: &Pair) -> Vec<u32> {
    let tries = pair.events[A].iter().filter_map(|event| match event {
        Event::Unanswered { tries, .. } => Some(*tries),
        _ => None,
    });
    tries.collect()
}

#[test]
fn limits_of_the_data_path_and_the_clock_rekey() {
    let mut pair = Pair::with(10, Settings::default(), |end, connection| {
        connection.children[0].rekey_after = (end == A).then_some(100 * SECOND);
        connection.rekey_after = (end == B).then_some(250 * SECOND);
    })
    .up();
    pair.run_for(1000 * SECOND);
    pair.assert_agreed(1);
    let count = rekeyed(&pair, A);
    assert!((10..=11).contains(&count), "up to a tenth earlier: {count}");
    let ikes = pair.count(B, |event| matches!(event, Event::IkeRekeyed { .. }));
    assert!((4..=5).contains(&ikes), "{ikes}");
    let (now, child) = (pair.now, pair.child(B).sa.id);
    let traffic = Traffic { soft_expired: true, ..Traffic::default() };
    pair.ends[B].handle_traffic(now, child, traffic);
    pair.take(B);
    pair.run_for(SECOND);
    assert_eq!(rekeyed(&pair, B), count + 1);
    let (now, child) = (pair.now, pair.child(B).sa.id);
    let traffic = Traffic { hard_expired: true, ..Traffic::default() };
    pair.ends[B].handle_traffic(now, child, traffic);
    pair.take(B);
    pair.run_for(SECOND);
    pair.assert_agreed(0);
}

#[test]
fn lifetimes_end_what_was_not_replaced() {
    let mut pair = Pair::with(11, Settings::default(), |end, connection| {
        connection.children[0].lifetime = (end == B).then_some(60 * SECOND);
        connection.lifetime = (end == B).then_some(90 * SECOND);
    })
    .up();
    pair.run_for(70 * SECOND);
    pair.assert_agreed(0);
    pair.run_for(30 * SECOND);
    assert!(pair.ends.iter().all(|end| end.views().count() == 0));
    let expired =
        |event: &Event| matches!(event, Event::IkeDown { reason: DownReason::Expired, .. });
    assert_eq!(pair.count(B, expired), 1);
}

#[test]
fn a_peer_that_began_anew_replaces_what_it_had() {
    let mut pair = Pair::new(12).up();
    let old = pair.ike(B);
    // A forgets everything, as after a power failure
    let fresh = Pair::new(99);
    pair.ends[A] = fresh.ends.into_iter().next().unwrap();
    pair.children[A].clear();
    pair.ikes[A].clear();
    pair.events[A].clear();
    pair.connect(A);
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    assert_ne!(pair.ike(B), old);
    let replaced =
        |event: &Event| matches!(event, Event::IkeDown { reason: DownReason::InitialContact, .. });
    assert_eq!(pair.count(B, replaced), 1);
}

#[test]
fn a_connection_that_is_no_longer_configured_is_deleted() {
    let mut pair = Pair::new(13).up();
    let now = pair.now;
    pair.ends[B].apply(now, Vec::new());
    pair.take(B);
    pair.run_for(SECOND);
    assert!(pair.ends.iter().all(|end| end.views().count() == 0));
}

#[test]
fn an_ike_sa_goes_on_with_the_connection_of_its_name() {
    let mut pair = Pair::new(14).up();
    let (ike, child) = (pair.ike(A), pair.child(A).sa.id);
    let mut connection = pair::connection(A);
    connection.dpd_after = Some(10 * SECOND);
    connection.children[0].offers = vec!["aes128gcm16".parse().unwrap()];
    let mut peers = pair::connection(B);
    peers.children[0].offers.push("aes128gcm16".parse().unwrap());
    let now = pair.now;
    for (end, connection) in [(A, connection), (B, peers)] {
        pair.ends[end].apply(now, vec![connection]);
        pair.take(end);
    }
    pair.run_for(35 * SECOND);
    assert_eq!(pair.messages(A, "INFORMATIONAL request").len(), 3, "asked every ten seconds");
    assert_eq!((pair.ike(A), pair.child(A).sa.id), (ike, child));
    pair.command(A, Command::RekeyChild(child));
    pair.run_for(SECOND);
    pair.assert_agreed(1);
    assert_eq!(pair.child(A).sa.suite.to_string(), "aes128gcm16");
}

/// Runs until `count` datagrams have been sent, or nothing happens any more.
fn until_sent(pair: &mut Pair, count: usize) {
    while pair.sent.len() < count && pair.step(pair.now + SECOND) {}
}

#[test]
fn what_ends_halfway_leaves_nothing_behind() {
    let pfs = |seed| {
        Pair::with(seed, Settings { trace: true, ..Settings::default() }, |_, connection| {
            connection.children[0].offers = vec!["aes256gcm16-x25519".parse().unwrap()];
        })
    };
    for task in [None, Some(Task::RekeyIke), Some(Task::CreateChild(name("net")))] {
        for count in 0..6 {
            let mut pair = pfs(31);
            let before = match &task {
                None => {
                    pair.connect(A);
                    0
                }
                Some(task) => {
                    pair = pair.up();
                    pair.task(A, task.clone());
                    pair.sent.len() - 1
                }
            };
            until_sent(&mut pair, before + count);
            pair.lose_all();
            for end in [A, B] {
                pair.ends[end].apply(pair.now, Vec::new());
                pair.take(end);
            }
            pair.run_for(400 * SECOND);
            for end in [A, B] {
                assert_eq!(pair.ends[end].kept(), Kept::default(), "{end}: {task:?} {count}");
            }
        }
    }
}

#[test]
fn an_ike_sa_that_is_not_up_is_deleted_at_once() {
    for count in 0..4 {
        let mut pair = Pair::new(32);
        let ike = pair.connect(A);
        until_sent(&mut pair, count);
        pair.command(A, Command::Ike { ike, task: Task::DeleteIke });
        pair.lose_all();
        let up = pair.count(A, |event| matches!(event, Event::IkeUp(_))) > 0;
        assert_eq!(pair.ends[A].kept() == Kept::default(), !up, "{count}");
        pair.run_for(400 * SECOND);
        assert_eq!(pair.ends[A].kept(), Kept::default(), "{count}");
    }
}
