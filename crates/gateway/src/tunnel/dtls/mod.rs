//! Clients whose packets travel in DTLS records: who they are, and what their association is now.
//!
//! Many clients share an interface, so here packets do not find a tunnel but a client: what comes in by the
//! addresses and ports of its datagrams, what goes out by the address that was given to it. A client outlives its
//! associations: a new one takes the place of the one before, on the engine too, and what is still on the way
//! by the old one is opened until the next. Both halves are shared with the engine, as those of SAs are.
//!
//! Who negotiates owns the clients: it opens and closes them, tells of their associations, and takes what they
//! say that is no packet ([`Gateway::poll_client_message`]).
//!
//! Limits: one association sends at a time; paths are not probed, outer packets over IPv4 may be cut on their way.

mod promote;
mod unwrap;
mod wrap;

pub(crate) use promote::fast;
pub(crate) use unwrap::FromClient;

use core::net::IpAddr;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use aead::Algorithm;
use config::model::{IfId, VrId};
use hashbrown::HashMap;
use offload::{
    ClientAddresses, Direction, datagrams_of,
    ledger::{Entry, Ledger},
};
use reason::{DemotionReason, DropReason};
use wire::{Time, Tuple};

use crate::{Gateway, apply::Moves, keyed::Keyed, neighbour::NeighbourId};

/// History entries kept over all clients.
const HISTORY: usize = 4_096;

/// Messages that wait to be taken; the owner takes them after every burst.
const MESSAGES: usize = 4_096;

/// A client by its number; no other ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNumber(pub u32);

/// A client to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewClient {
    /// The interface its packets come from and go to.
    pub interface: IfId,
    /// The virtual router its datagrams come in by.
    pub vr: VrId,
    /// The addresses that were given to it.
    pub addresses: ClientAddresses,
    /// The largest packet it takes, in bytes.
    pub mtu: u16,
}

/// An association that stands.
#[derive(Clone, Debug)]
pub struct Association {
    /// From where to where its datagrams go.
    pub path: ::dtls::Path,
    /// What protects its records.
    pub cipher: Algorithm,
    /// What opens.
    pub inbound: Arc<::dtls::Inbound>,
    /// What seals.
    pub outbound: Arc<::dtls::Outbound>,
}

/// A client.
pub struct Client {
    /// What it was opened as.
    pub is: NewClient,
    /// What sends and receives now.
    pub association: Option<Association>,
    /// The one before, which receives only.
    before: Option<Association>,
    /// Where it stands with the engine: the original direction is what seals.
    pub ledger: Entry,
    /// The neighbour that the last datagram went to.
    next_hop: u32,
}

/// All clients.
pub struct Clients {
    clients: BTreeMap<ClientNumber, Client>,
    made: u32,
    ledger: Ledger,
    by_datagrams: HashMap<(VrId, Tuple), ClientNumber, Keyed>,
    by_address: HashMap<(IfId, IpAddr), ClientNumber, Keyed>,
    /// Interfaces that lead to clients, whether there are any or not.
    interfaces: BTreeSet<IfId>,
    messages: VecDeque<(ClientNumber, Vec<u8>)>,
}

impl Clients {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clients: BTreeMap::new(),
            made: 0,
            ledger: Ledger::new(HISTORY),
            by_datagrams: HashMap::with_hasher(Keyed::new(seed.rotate_left(23))),
            by_address: HashMap::with_hasher(Keyed::new(seed.rotate_left(41))),
            interfaces: BTreeSet::new(),
            messages: VecDeque::new(),
        }
    }

    /// A client.
    pub fn get(&self, number: ClientNumber) -> Option<&Client> {
        self.clients.get(&number)
    }

    /// Clients in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (ClientNumber, &Client)> {
        self.clients.iter().map(|(number, client)| (*number, client))
    }

    /// Whether somebody has said something that is no packet.
    pub(crate) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Packets that leave by these interfaces go to clients, and by no others.
    pub(crate) fn lead_only(&mut self, interfaces: BTreeSet<IfId>) {
        self.interfaces = interfaces;
    }

    /// Where each client stands with the engine.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether packets that leave by an interface go to clients.
    pub(crate) fn are_behind(&self, interface: IfId) -> bool {
        self.interfaces.contains(&interface)
    }

    /// Whose datagrams look like this.
    pub(crate) fn receiving(&self, vr: VrId, datagram: &Tuple) -> Option<ClientNumber> {
        self.by_datagrams.get(&(vr, *datagram)).copied()
    }

    /// Who has this address behind an interface.
    pub(crate) fn at(&self, interface: IfId, address: IpAddr) -> Option<ClientNumber> {
        self.by_address.get(&(interface, address)).copied()
    }

    fn ledger_and(&mut self, number: ClientNumber) -> (&mut Ledger, Option<&mut Client>) {
        (&mut self.ledger, self.clients.get_mut(&number))
    }

    /// Numbers from `from` on, `max` at most.
    pub(crate) fn slice(&self, from: ClientNumber, max: usize) -> Vec<ClientNumber> {
        self.clients.range(from..).take(max).map(|(number, _)| *number).collect()
    }

    fn enter_datagrams(&mut self, number: ClientNumber, association: &Association, vr: VrId) {
        self.by_datagrams.insert((vr, datagrams_of(association.path)), number);
    }

    fn leave_datagrams(&mut self, number: ClientNumber, association: &Association, vr: VrId) {
        let key = (vr, datagrams_of(association.path));
        // another client may have the port by now
        if self.by_datagrams.get(&key) == Some(&number) {
            self.by_datagrams.remove(&key);
        }
    }

    fn say(&mut self, number: ClientNumber, message: Vec<u8>) -> Result<(), DropReason> {
        if self.messages.len() >= MESSAGES {
            return Err(DropReason::DtlsMessagesFull);
        }
        self.messages.push_back((number, message));
        Ok(())
    }
}

impl Gateway {
    /// Packets that leave by an interface go to clients from now on, or no longer.
    pub fn lead_to_clients(&mut self, interface: IfId, leads: bool) {
        if leads {
            self.clients.interfaces.insert(interface);
        } else {
            self.clients.interfaces.remove(&interface);
        }
    }

    /// Opens a client. Its addresses are no other's behind the interface: whoever had one has it no more.
    pub fn open_client(&mut self, is: NewClient, now: Time) -> ClientNumber {
        let number = ClientNumber(self.clients.made);
        self.clients.made += 1;
        for address in addresses(&is.addresses) {
            self.clients.by_address.insert((is.interface, address), number);
        }
        let mut ledger = Entry::default();
        self.clients.ledger.open(&mut ledger, now);
        let (association, before, next_hop) = (None, None, u32::MAX);
        let client = Client { is, association, before, ledger, next_hop };
        self.clients.clients.insert(number, client);
        number
    }

    /// A client has another association, or none.
    pub fn set_association(
        &mut self,
        number: ClientNumber,
        association: Option<Association>,
        now: Time,
    ) {
        let change = match association {
            Some(_) => DemotionReason::SaRekeyed,
            None => DemotionReason::SaRemoved,
        };
        self.demote_client(number, super::IN, change, now);
        let Some(client) = self.clients.clients.get_mut(&number) else { return };
        let vr = client.is.vr;
        let counted = promote::fast(client, super::OUT);
        let was = std::mem::replace(&mut client.association, association);
        let client =
            (client.association.clone(), std::mem::replace(&mut client.before, was.clone()));
        let (is, oldest) = client;
        if let Some(oldest) = oldest {
            self.clients.leave_datagrams(number, &oldest, vr);
        }
        // what the present one replaces is still found by its own datagrams
        for association in [&was, &is].into_iter().flatten() {
            self.clients.enter_datagrams(number, association, vr);
        }
        let same_host = match (&was, &is) {
            (Some(was), Some(is)) => was.path.remote.ip() == is.path.remote.ip(),
            (None, _) | (_, None) => false,
        };
        if !same_host {
            self.demote_client(number, super::OUT, change, now);
            self.forget_way_of_client(number);
        } else if !self.replace_on_engine(number, counted, now) {
            self.demote_client(number, super::OUT, change, now);
        }
        for direction in Direction::BOTH {
            self.promote_client(number, direction, now);
        }
    }

    /// A client is gone.
    pub fn close_client(&mut self, number: ClientNumber, now: Time) {
        for direction in Direction::BOTH {
            self.demote_client(number, direction, DemotionReason::SaRemoved, now);
        }
        self.forget_way_of_client(number);
        let Some(client) = self.clients.clients.remove(&number) else { return };
        self.clients.ledger.close(&client.ledger);
        for association in [client.association, client.before].into_iter().flatten() {
            self.clients.leave_datagrams(number, &association, client.is.vr);
        }
        for address in addresses(&client.is.addresses) {
            let key = (client.is.interface, address);
            if self.clients.by_address.get(&key) == Some(&number) {
                self.clients.by_address.remove(&key);
            }
        }
    }

    /// What a client said in a record that is no packet: the whole text, its kind in front. To be taken after
    /// each `handle_*`.
    pub fn poll_client_message(&mut self) -> Option<(ClientNumber, Vec<u8>)> {
        self.clients.messages.pop_front()
    }

    /// The clients that travel in DTLS.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What the fast path opened of a client, and is no packet.
    pub fn handle_client_message(&mut self, number: u32, text: &[u8]) {
        let number = ClientNumber(number);
        let Some(interface) = self.clients.get(number).map(|client| client.is.interface) else {
            return;
        };
        if let Err(reason) = self.clients.say(number, text.to_vec()) {
            self.counters.drop(reason, interface);
        }
    }

    /// Interfaces have other numbers now. Clients whose interface is gone are gone.
    pub(crate) fn renumber_clients(&mut self, moves: &Moves, now: Time) {
        let interfaces = std::mem::take(&mut self.clients.interfaces);
        self.clients.interfaces = interfaces.iter().filter_map(|id| moves.interface(*id)).collect();
        for number in self.clients.slice(ClientNumber(0), usize::MAX) {
            for direction in Direction::BOTH {
                self.demote_client(number, direction, DemotionReason::InterfaceChanged, now);
            }
            let Some(client) = self.clients.get(number) else { continue };
            let (interface, vr) =
                (moves.interface(client.is.interface), moves.router(client.is.vr));
            let (Some(interface), Some(vr)) = (interface, vr) else {
                self.close_client(number, now);
                continue;
            };
            let Some(mut client) = self.clients.clients.remove(&number) else { continue };
            (client.is.interface, client.is.vr) = (interface, vr);
            self.clients.clients.insert(number, client);
        }
        self.clients.by_address.clear();
        self.clients.by_datagrams.clear();
        let clients = std::mem::take(&mut self.clients.clients);
        for (number, client) in &clients {
            for address in addresses(&client.is.addresses) {
                self.clients.by_address.insert((client.is.interface, address), *number);
            }
            for association in [&client.before, &client.association].into_iter().flatten() {
                self.clients.enter_datagrams(*number, association, client.is.vr);
            }
        }
        self.clients.clients = clients;
    }

    fn forget_way_of_client(&mut self, number: ClientNumber) {
        let Some(client) = self.clients.clients.get_mut(&number) else { return };
        let known = std::mem::replace(&mut client.next_hop, u32::MAX);
        if known != u32::MAX {
            self.neighbours.release(NeighbourId(known));
        }
    }
}

fn addresses(of: &ClientAddresses) -> impl Iterator<Item = IpAddr> + use<> {
    of.v4.map(IpAddr::V4).into_iter().chain(of.v6.map(IpAddr::V6))
}
