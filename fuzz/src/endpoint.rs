//! Two ends of IKE, with somebody between them who does what the input says.
//!
//! He delivers, loses, repeats and reorders datagrams, changes them, and sends some of his own: what a
//! stranger can do. He also opens protected messages and changes what is inside, or sends requests and
//! answers as one of the ends: what a peer can do that has authenticated itself and means no good.
//! Time, commands, jobs and the data path are his too. In the end the ends are told to forget each
//! other, and must have kept nothing.

use std::{sync::Arc, time::Duration};

use ike::{
    Command, IkeView, Kept, PpkSettings, Settings, Task, Traffic,
    crypto::{Ppk, Secret},
    message::{
        Configuration, ConfigurationAttribute, ConfigurationKind, Delete, ExchangeType, Header,
        Identification, KeyExchange, Notify, Payload, decode_chain, encode_chain, notify_type,
        protocol,
    },
};

use crate::{
    input::Input,
    pair::{A, ADDRESSES, B, NAT, Pair, psk, selector},
    sealed::{Inside, Keys},
};

/// Steps of one input.
const MOST_STEPS: usize = 128;
/// Things that may happen in a step before somebody is going in circles.
const MOST_HAPPENINGS: usize = 50_000;

macro_rules! reached {
    ($($name:ident: $doc:literal,)+) => {
        /// How far an input got, in numbers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Reached {
            $(#[doc = $doc] pub $name: usize,)+
        }

        impl Reached {
            /// Whether nothing is below what `least` has.
            pub fn covers(&self, least: &Self) -> bool {
                $(self.$name >= least.$name)&&+
            }
        }

        impl std::ops::AddAssign for Reached {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

reached! {
    up: "IKE SAs that came up, at either end.",
    ike_rekeyed: "IKE SAs that were replaced.",
    child_rekeyed: "Children that were replaced.",
    edited: "Protected messages that were changed inside.",
    forged: "Protected messages that were made up.",
    taken: "Messages from peers, changed ones or not, that an end had something to tell about.",
    strange: "Datagrams of strangers.",
    failures: "Failures that were told.",
}

struct Between<'a> {
    pair: Pair,
    input: Input<'a>,
    reached: Reached,
}

/// Runs what the bytes say.
pub fn ike_endpoint(bytes: &[u8]) -> Reached {
    let mut input = Input::new(bytes);
    let pair = pair(&mut input);
    let mut between = Between { pair, input, reached: Reached::default() };
    for _ in 0..MOST_STEPS {
        if between.input.is_empty() {
            break;
        }
        between.step();
    }
    between.end()
}

fn pair(input: &mut Input<'_>) -> Pair {
    let (flags, more) = (input.byte(), input.byte());
    let has = |bit: u8| flags & (1 << bit) != 0;
    let settings = Settings {
        trace: true,
        fragment_size: if has(0) { 576 } else { 1280 },
        cookie_threshold: if has(1) { 0 } else { 32 },
        ..Settings::default()
    };
    let mut pair = Pair::with(u64::from(more >> 4), settings, |end, connection| {
        connection.dpd_after = has(2).then_some(Duration::from_secs(20));
        connection.rekey_after = has(2).then_some(Duration::from_secs(3600));
        connection.lifetime = has(2).then_some(Duration::from_secs(4000));
        let child = &mut connection.children[0];
        if has(3) {
            child.offers =
                ["aes256gcm16-x25519", "aes128gcm16"].map(|o| o.parse().expect("one")).into();
            child.rekey_after = Some(Duration::from_secs(600));
            child.lifetime = Some(Duration::from_secs(700));
        }
        if has(4) {
            let offers =
                ["aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes128gcm16-prfsha256-x25519"];
            connection.offers = offers.map(|offer| offer.parse().expect("an offer")).into();
        }
        if has(5) {
            let key = Ppk(Secret::from_bytes(b"quantum"));
            connection.ppk =
                Some(PpkSettings { id: b"one".to_vec(), key, required: more & 1 == 1 });
        }
        if has(6) && end == A {
            connection.request_addresses.v4 = true;
        } else if has(6) {
            connection.gives_addresses = true;
        }
    });
    pair.pool = vec!["192.0.2.10".parse().expect("an address")];
    pair.nat = has(7).then_some(NAT.1);
    pair.hold_jobs = more & 2 != 0;
    if more & 4 == 0 {
        pair.connect(A);
        if more & 8 == 0 {
            pair.run_for(Duration::from_secs(1));
        }
    }
    pair
}

impl Between<'_> {
    fn step(&mut self) {
        match self.input.below(20) {
            0..=3 => self.pass(0),
            4 => {
                let index = usize::from(self.input.byte());
                self.pass(index);
            }
            5 => drop(self.pair.catch(self.input.below(256))),
            6 => self.repeat(),
            7 => self.damage(),
            8..=10 => self.edit(),
            11 | 12 => self.forge(),
            13 => self.strange(),
            14 => self.wait(),
            15 => self.command(),
            16 => {
                let end = self.input.below(2);
                self.pair.run_jobs(end);
            }
            17 => self.pair.hold_jobs = self.input.flag(),
            18 => self.traffic(),
            _ => self.configure(),
        }
        for end in [A, B] {
            let kept = self.pair.ends[end].kept();
            assert!(kept.children <= 2 * 512 * kept.ike_sas.max(1), "{kept:?}");
            assert!(kept.timers <= kept.ike_sas, "{kept:?}");
        }
    }

    /// A datagram goes on.
    fn pass(&mut self, index: usize) {
        if let Some((from, datagram)) = self.pair.catch(index) {
            self.pair.arrive(from, datagram);
        }
    }

    /// One that was sent before comes again.
    fn repeat(&mut self) {
        let index = usize::from(self.input.byte());
        let count = self.pair.sent.len();
        if let Some(at) = index.checked_rem(count) {
            let (from, datagram) = self.pair.sent[count - 1 - at].clone();
            self.pair.arrive(from, datagram);
        }
    }

    /// A byte is changed on the way, or the rest lost.
    fn damage(&mut self) {
        let Some((from, mut datagram)) = self.pair.catch(0) else { return };
        let (at, value) = (usize::from(self.input.u16()), self.input.byte());
        let length = datagram.bytes.len();
        match at.checked_rem(length) {
            Some(at) if value == 0 => datagram.bytes.truncate(at),
            Some(at) => datagram.bytes[at] ^= value,
            None => {}
        }
        self.pair.arrive(from, datagram);
    }

    /// What is inside of a protected message is changed by one who may.
    fn edit(&mut self) {
        let Some((from, mut datagram)) = self.pair.catch(0) else { return };
        let marker = if datagram.bytes.starts_with(&[0; 4]) { 4 } else { 0 };
        let message = &datagram.bytes[marker..];
        let header = Header::decode(message).map(|(header, ..)| header);
        let keys = header
            .ok()
            .and_then(|h| Keys::find(&self.pair.ends, [h.initiator_spi, h.responder_spi]));
        if let Some(keys) = keys
            && let Some(mut inside) = keys.open(message)
        {
            self.change(&mut inside, 1 - from);
            if let Some(message) = keys.seal(&inside) {
                datagram.bytes.truncate(marker);
                datagram.bytes.extend(message);
                self.reached.edited += 1;
            }
        }
        let before = self.pair.events[1 - from].len();
        self.pair.arrive(from, datagram);
        self.reached.taken += usize::from(self.pair.events[1 - from].len() > before);
    }

    fn change(&mut self, inside: &mut Inside, receiver: usize) {
        match self.input.below(8) {
            0 => {
                inside.first = self.input.byte();
                inside.chain = self.input.string().to_vec();
                return;
            }
            1 => {
                let at = usize::from(self.input.u16()).checked_rem(inside.chain.len());
                let value = self.input.byte();
                match at {
                    Some(at) if value == 0 => inside.chain.truncate(at),
                    Some(at) => inside.chain[at] ^= value,
                    None => {}
                }
                return;
            }
            2 => {
                inside.header.exchange = ExchangeType::from_id(34 + self.input.byte() % 12);
                return;
            }
            _ => {}
        }
        let Ok(mut payloads) = decode_chain(inside.first, &inside.chain) else { return };
        for _ in 0..1 + self.input.below(3) {
            let at = self.input.below(payloads.len() + 1);
            match self.input.below(5) {
                0 if at < payloads.len() => drop(payloads.remove(at)),
                1 if at < payloads.len() => payloads.push(payloads[at].clone()),
                2 if at < payloads.len() => payloads.swap(0, at),
                3 if at < payloads.len() => payloads[at] = self.payload(receiver),
                _ => payloads.insert(at, self.payload(receiver)),
            }
        }
        inside.first = payloads.first().map_or(0, Payload::kind);
        inside.chain = encode_chain(&payloads);
    }

    /// An IKE SA of an end.
    fn view(&mut self, end: usize) -> Option<IkeView> {
        let views: Vec<_> = self.pair.ends[end].views().collect();
        let index = usize::from(self.input.byte()).checked_rem(views.len())?;
        views.into_iter().nth(index)
    }

    /// A protected message is made up, as the peer of an IKE SA could.
    fn forge(&mut self) {
        let receiver = self.input.below(2);
        let Some(view) = self.view(receiver) else { return };
        let [ours, theirs] = view.spis;
        let spis = if view.initiator { [ours, theirs] } else { [theirs, ours] };
        let Some(keys) = Keys::find(&self.pair.ends, spis) else { return };
        let kind = self.input.byte();
        let is_response = kind & 1 == 1;
        let exchange = [36, 37, 36, 37, 44, 35, 43, 38][usize::from(kind >> 1) % 8];
        let late = if kind & 0x10 != 0 { u32::from(self.input.byte()) } else { 0 };
        let header = Header {
            initiator_spi: spis[0],
            responder_spi: spis[1],
            exchange: ExchangeType::from_id(exchange),
            from_initiator: !view.initiator,
            is_response,
            message_id: self.next_number(receiver, &view, is_response).wrapping_add(late),
        };
        let count = self.input.below(8);
        let payloads: Vec<_> = (0..count).map(|_| self.payload(receiver)).collect();
        let first = payloads.first().map_or(0, Payload::kind);
        let inside = Inside { header, first, chain: encode_chain(&payloads) };
        let Some(message) = keys.seal(&inside) else { return };
        let marker: &[u8] = if view.path.local.port() == 500 { &[] } else { &[0; 4] };
        self.reached.forged += 1;
        let before = self.pair.events[receiver].len();
        self.pair.receive(receiver, view.path, &[marker, &message].concat());
        self.reached.taken += usize::from(self.pair.events[receiver].len() > before);
    }

    /// The number of the next request an end takes under an IKE SA, or of its own that is not answered.
    fn next_number(&self, receiver: usize, view: &IkeView, of_answer: bool) -> u32 {
        let last = self.pair.events[receiver].iter().rev().find_map(|event| match event {
            ike::Event::Message(record)
                if record.ike == view.ike && record.is_response == (record.sent != of_answer) =>
            {
                Some(record.message_id)
            }
            _ => None,
        });
        match (last, of_answer) {
            (Some(last), true) => last,
            (Some(last), false) => last.wrapping_add(1),
            (None, _) => 0,
        }
    }

    /// A payload, mostly one that makes sense.
    fn payload(&mut self, receiver: usize) -> Payload {
        let input = &mut self.input;
        match input.below(18) {
            0 => {
                Payload::Notify(Notify::new(16_384 + u16::from(input.byte() % 64), input.string()))
            }
            1 => Payload::Notify(Notify::new(u16::from(input.byte() % 48), input.string())),
            2 => Payload::Delete(Delete::Ike),
            3 => {
                let which = input.byte();
                Payload::Delete(Delete::Esp(vec![self.spi(receiver, which)]))
            }
            4 => {
                let which = input.byte();
                Payload::Notify(Notify {
                    protocol: protocol::ESP,
                    spi: self.spi(receiver, which).to_be_bytes().to_vec(),
                    kind: notify_type::REKEY_SA,
                    data: Vec::new(),
                })
            }
            5 => {
                let offer = ["aes256gcm16", "aes256gcm16-x25519", "aes128gcm16", "aes256gcm16-esn"];
                let offer = offer[input.below(4)].parse::<ike::proposal::EspOffer>().expect("one");
                let spi = 0x1000 + u32::from(input.byte());
                Payload::SecurityAssociation(vec![offer.proposal(1, spi, true)])
            }
            6 => {
                let offer = ["aes256gcm16-prfsha384-x25519", "aes128gcm16-prfsha256-x25519"];
                let offer = offer[input.below(2)].parse::<ike::proposal::IkeOffer>().expect("one");
                let spi = [input.byte(), 0, 0, 0, 0, 0, 0, 1];
                let spi = if input.flag() { &spi[..] } else { &[] };
                Payload::SecurityAssociation(vec![offer.proposal(1, spi)])
            }
            7 | 8 => Payload::Nonce(vec![input.byte(); 16 + input.below(64)]),
            9 => {
                let (method, data) = (31 + input.u16() % 8, vec![9; 32]);
                Payload::KeyExchange(KeyExchange { method, data })
            }
            10 => Payload::KeyExchange(KeyExchange {
                method: input.u16(),
                data: input.string().to_vec(),
            }),
            11 => Payload::SelectorsInitiator(vec![network(input.byte())]),
            12 => Payload::SelectorsResponder(vec![network(input.byte())]),
            13 => Payload::IdInitiator(Identification {
                kind: input.byte() % 16,
                data: input.string().to_vec(),
            }),
            14 => Payload::Authentication { method: input.byte(), data: input.string().to_vec() },
            15 => {
                let kind = [
                    ConfigurationKind::Request,
                    ConfigurationKind::Reply,
                    ConfigurationKind::Set,
                    ConfigurationKind::Ack,
                ][input.below(4)];
                let attribute = ConfigurationAttribute {
                    kind: u16::from(input.byte() % 16),
                    value: input.string().to_vec(),
                };
                Payload::Configuration(Configuration { kind, attributes: vec![attribute] })
            }
            16 => Payload::VendorId(input.string().to_vec()),
            _ => {
                // a fragment of a key exchange that was announced
                let link = Notify::new(notify_type::ADDITIONAL_KEY_EXCHANGE, input.string());
                Payload::Notify(link)
            }
        }
    }

    /// The SPI the peer of `end` has for one of its children.
    fn spi(&self, end: usize, which: u8) -> u32 {
        let children = &self.pair.children[end];
        let index = usize::from(which).checked_rem(children.len());
        let child = index.and_then(|index| children.values().nth(index));
        child.map_or(u32::from(which) << 24 | 1, |child| child.sa.outbound_spi)
    }

    /// A stranger's datagram: at most one answer, which is not much longer.
    fn strange(&mut self) {
        let to = self.input.below(2);
        let kind = self.input.byte();
        let port = if kind & 1 == 0 { 500 } else { 4500 };
        let from = match kind & 2 {
            0 => ADDRESSES[1 - to].to_owned(),
            _ => format!("192.0.2.{}", kind >> 2),
        };
        let path = ike::Path {
            local: format!("{}:{port}", ADDRESSES[to]).parse().expect("an address"),
            remote: format!("{from}:{port}").parse().expect("an address"),
        };
        let length = usize::from(self.input.u16() % 1500);
        let bytes = self.input.take(length);
        let before = self.pair.sent.len();
        self.pair.receive(to, path, bytes);
        let answers = &self.pair.sent[before..];
        assert!(answers.len() <= 1, "{} answers", answers.len());
        assert!(answers.iter().all(|(_, answer)| answer.bytes.len() <= bytes.len() + 1500));
        self.reached.strange += 1;
    }

    fn wait(&mut self) {
        let times = [1, 20, 500, 2_000, 10_000, 60_000, 600_000, 4_000_000];
        let time = Duration::from_millis(times[self.input.below(8)]);
        self.run(time);
    }

    fn run(&mut self, time: Duration) {
        let until = self.pair.now + time;
        let mut happenings = 0;
        while self.pair.step(until) {
            happenings += 1;
            assert!(happenings < MOST_HAPPENINGS, "it never rests");
        }
    }

    fn command(&mut self) {
        let end = self.input.below(2);
        let (kind, view) = (self.input.below(9), self.view(end));
        let child = view.as_ref().and_then(|view| {
            let index = usize::from(self.input.byte()).checked_rem(view.children.len())?;
            view.children.get(index).copied()
        });
        let ike = |task| view.as_ref().map(|view| Command::Ike { ike: view.ike, task });
        let name: Arc<str> = "net".into();
        let command = match kind {
            0 => Some(Command::Connect { connection: "peer".into(), path: self.pair.path(end) }),
            1 | 2 => child.map(Command::RekeyChild),
            3 => child.map(Command::DeleteChild),
            4 | 5 => ike(Task::RekeyIke),
            6 => ike(Task::DeleteIke),
            7 => ike(Task::Check),
            _ => ike(Task::CreateChild(name)),
        };
        if let Some(command) = command {
            // what is gone meanwhile cannot be asked for
            let _ = self.pair.ends[end].handle_command(self.pair.now, command);
            self.pair.take(end);
        }
    }

    fn traffic(&mut self) {
        let (end, flags) = (self.input.below(2), self.input.byte());
        let Some(view) = self.view(end) else { return };
        let traffic = Traffic {
            last_inbound: (flags & 1 == 1).then_some(self.pair.now),
            soft_expired: flags & 2 == 2,
            hard_expired: flags & 4 == 4,
        };
        for child in view.children {
            self.pair.ends[end].handle_traffic(self.pair.now, child, traffic);
        }
        self.pair.take(end);
    }

    /// The connection is configured anew, otherwise or not at all.
    fn configure(&mut self) {
        let (end, kind) = (self.input.below(2), self.input.below(3));
        let mut connection = crate::pair::connection(end);
        if kind == 1 {
            connection.local_auth = ike::LocalAuth::Psk(psk("another"));
        }
        let connections = if kind == 2 { Vec::new() } else { vec![connection] };
        self.pair.ends[end].apply(self.pair.now, connections);
        self.pair.take(end);
    }

    /// Everything is taken down, and nothing may be left.
    fn end(mut self) -> Reached {
        self.pair.hold_jobs = false;
        for end in [A, B] {
            self.pair.run_jobs(end);
        }
        for end in [A, B] {
            self.pair.ends[end].apply(self.pair.now, Vec::new());
            self.pair.take(end);
        }
        self.run(Duration::from_secs(2_000));
        assert_eq!(self.pair.pool.len(), 1, "what was given is given back");
        for end in [A, B] {
            assert_eq!(self.pair.ends[end].kept(), Kept::default(), "{:#?}", self.pair.log(end));
            assert_eq!(self.pair.ends[end].poll_timeout(), None);
            assert!(self.pair.children[end].is_empty(), "the owner was told of every end");
            assert!(self.pair.ikes[end].is_empty(), "the owner was told of every end");
            self.reached.failures += self.pair.failures(end).len();
            let count = |which: fn(&ike::Event) -> bool| self.pair.count(end, which);
            self.reached.up += count(|event| matches!(event, ike::Event::IkeUp(_)));
            self.reached.ike_rekeyed += count(|e| matches!(e, ike::Event::IkeRekeyed { .. }));
            self.reached.child_rekeyed += count(|e| matches!(e, ike::Event::ChildRekeyed { .. }));
        }
        self.reached
    }
}

/// Selectors of the configuration, and others.
fn network(which: u8) -> ike::message::TrafficSelector {
    let networks =
        ["10.1.0.0/24", "10.2.0.0/24", "0.0.0.0/0", "10.2.0.7/32", "::/0", "10.9.0.0/24"];
    selector(networks[usize::from(which) % networks.len()])
}
