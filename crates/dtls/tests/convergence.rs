//! Many runs over a bad network: whatever is lost, late or there twice, both ends agree in the end, every
//! record number is used once, and no data comes twice.
//!
//! `LOCKGATE_DTLS_RUNS` says how many runs there are; the usual loop has few. `LOCKGATE_DTLS_SEED` is the first.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{Chaos, Client, Offer, path, secrets, server};
use lockgate_dtls::{AssociationId, Event, Path, Server, Suite, record::Records};
use wire::Time;

/// To whom a datagram is on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Server(Path),
    Client(Path),
}

struct Network {
    random: Chaos,
    now: Time,
    /// In thousandths.
    loss: u64,
    duplicates: u64,
    /// Milliseconds at most.
    jitter: u64,
    on_the_way: BTreeMap<(Time, u64), (To, Vec<u8>)>,
    sent: u64,
    /// Protected records by direction and the client's random number: every number is used once.
    numbers: BTreeSet<(bool, [u8; 32], u64)>,
    /// Handshakes the client has begun. What the server sends to one port does not tell of which it is.
    begun: u32,
}

impl Network {
    fn send(&mut self, to: To, bytes: Vec<u8>, random: [u8; 32]) {
        let to_client = matches!(to, To::Client(_));
        for (header, _) in Records::of(&bytes).filter(|(header, _)| header.epoch == 1) {
            let fresh = self.numbers.insert((to_client, random, header.number));
            let told = !to_client || self.begun == 1;
            assert!(fresh || !told, "record number {} was used twice", header.number);
        }
        if self.random.below(1000) < self.loss {
            return;
        }
        let copies = 1 + u64::from(self.random.below(1000) < self.duplicates);
        for _ in 0..copies {
            self.sent += 1;
            let late = Duration::from_millis(1 + self.random.below(self.jitter + 1));
            self.on_the_way.insert((self.now + late, self.sent), (to, bytes.clone()));
        }
    }
}

struct Run {
    network: Network,
    server: Server,
    client: Client,
    /// When the client sends its flight again.
    again: Time,
    standing: Option<AssociationId>,
    /// What the server got from the client that is there.
    got: Vec<Vec<u8>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Chaos(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let offer = offer(&mut random);
        Self {
            network: Network {
                loss: random.below(300),
                duplicates: random.below(200),
                jitter: random.below(400),
                random,
                now: Time::from_secs(1000),
                on_the_way: BTreeMap::new(),
                sent: 0,
                numbers: BTreeSet::new(),
                begun: 0,
            },
            server: server(seed),
            client: Client::new(seed, "198.51.100.7:50000", offer),
            again: Time::ZERO,
            standing: None,
            got: vec![],
        }
    }

    fn begin(&mut self, client: Client) {
        self.client = client;
        self.network.begun += 1;
        self.got.clear();
        self.standing = None;
        let first = self.client.start();
        self.give_server(first);
        self.again = self.network.now + Duration::from_millis(900);
    }

    fn give_server(&mut self, bytes: Vec<u8>) {
        let random = self.client.random;
        self.network.send(To::Server(self.client.path), bytes, random);
    }

    fn take(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Established { id, .. } => self.standing = Some(id),
                Event::Data { bytes, id } if Some(id) == self.standing => {
                    assert!(!self.got.contains(&bytes), "{bytes:?} came twice");
                    self.got.push(bytes);
                }
                Event::Closed { id, .. } if Some(id) == self.standing => self.standing = None,
                _ => {}
            }
        }
        while let Some(datagram) = self.server.poll_transmit() {
            // whose it is tells the path: there is one client
            self.network.send(To::Client(datagram.path), datagram.bytes, self.client.random);
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.network.now + time;
        loop {
            let next = self.network.on_the_way.keys().next().map(|(at, _)| *at);
            let again = (!self.client.is_done()).then_some(self.again);
            let due = [next, again, self.server.poll_timeout(), Some(end)];
            let now = due.into_iter().flatten().min().expect("there is an end");
            self.network.now = now.max(self.network.now);
            if now >= end {
                return;
            }
            if again == Some(now) {
                let flight = self.client.again();
                self.give_server(flight);
                self.again = now + Duration::from_millis(900);
            }
            self.server.handle_timeout(now);
            while let Some(entry) = self.network.on_the_way.first_entry()
                && entry.key().0 <= now
            {
                match entry.remove() {
                    (To::Server(path), mut bytes) => {
                        let _ = self.server.handle_datagram(now, path, &mut bytes, &secrets);
                        self.take();
                    }
                    (To::Client(path), bytes) if path == self.client.path => {
                        for answer in self.client.handle(&bytes) {
                            self.give_server(answer);
                            self.again = now + Duration::from_millis(900);
                        }
                    }
                    // nobody is there any more
                    (To::Client(_), _) => {}
                }
            }
            self.take();
        }
    }
}

fn offer(random: &mut Chaos) -> Offer {
    if random.below(3) == 0 {
        return Offer::resumption(random.below(Suite::RESUMED.len() as u64) as usize);
    }
    let suite = Suite::PSK[random.below(3) as usize];
    Offer { extended: random.below(2) == 0, ..Offer::psk(suite) }
}

/// One run; how many datagrams it took.
fn run(seed: u64) -> u64 {
    let mut run = Run::new(seed);
    let mut random = Chaos(seed ^ 0x5555);
    let first = Client::new(seed, "198.51.100.7:50000", offer(&mut random));
    run.begin(first);
    run.run_for(Duration::from_secs(5));
    for step in 0..random.below(6) {
        match random.below(4) {
            // the client begins anew: from the same port, unless the answer to its first try may still come
            0 => {
                let port = if run.server.half_open() > 0 { 52_000 + step } else { 50_000 };
                let remote = format!("198.51.100.7:{port}");
                let again = Client::new(seed ^ (step + 1) << 32, &remote, offer(&mut random));
                // what is on the way is of the client before, whose numbers are its own
                run.network.on_the_way.clear();
                run.begin(again);
            }
            // its port changes; with a handshake under way that would be a client who begins anew
            1 if run.client.is_done() && run.standing.is_some() => {
                run.client.path = path(&format!("198.51.100.7:{}", 51_000 + step));
            }
            _ if run.client.is_done() => {
                let text = [3, step as u8];
                let record = run.client.seal(&text);
                run.give_server(record);
                if let Some(id) = run.standing {
                    let _ = run.server.send(run.network.now, id, &[4, step as u8]);
                    run.take();
                }
            }
            _ => {}
        }
        run.run_for(Duration::from_millis(random.below(3000)));
    }
    // the network heals, and everything is settled
    (run.network.loss, run.network.duplicates, run.network.jitter) = (0, 0, 20);
    run.run_for(Duration::from_secs(60));
    assert!(run.client.is_done(), "seed {seed}: the client is {:?}", run.client.state);
    assert_eq!(run.server.half_open(), 0, "seed {seed}");
    let text = b"\x03at last";
    let record = run.client.seal(text);
    run.give_server(record);
    run.run_for(Duration::from_secs(1));
    let id = run.standing.unwrap_or_else(|| panic!("seed {seed}: nothing stands"));
    assert_eq!(run.got.last().map(Vec::as_slice), Some(&text[..]), "seed {seed}");
    assert_eq!(run.server.association(run.client.path), Some(id), "seed {seed}");
    run.server.send(run.network.now, id, b"\x04at last").expect("it stands");
    run.take();
    run.run_for(Duration::from_secs(1));
    assert_eq!(
        run.client.received.last().map(Vec::as_slice),
        Some(&b"\x04at last"[..]),
        "seed {seed}"
    );
    let received: BTreeSet<_> = run.client.received.iter().collect();
    assert_eq!(received.len(), run.client.received.len(), "seed {seed}: data came twice");
    run.network.sent
}

#[test]
fn whatever_is_lost_both_ends_agree_in_the_end() {
    let runs = std::env::var("LOCKGATE_DTLS_RUNS").map_or(150, |runs| runs.parse().unwrap());
    let first = std::env::var("LOCKGATE_DTLS_SEED").map_or(0, |seed| seed.parse().unwrap());
    let datagrams: u64 = (first..first + runs).map(run).sum();
    assert!(datagrams > 6 * runs);
}
