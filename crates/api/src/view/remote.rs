//! Remote access: its clients and their DTLS associations.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Name, Traffic};

/// One page of clients, and the servers they are at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteAccessView {
    /// Every `[[remote-access]]`.
    pub servers: Vec<RemoteServerView>,
    /// The TCP connections and datagrams under all of them.
    pub transport: RemoteTransportView,
    /// Clients, in the order they logged in.
    pub clients: Vec<RemoteClientView>,
    /// Clients there are, whether they are on the page or not.
    pub total: u64,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// What carries remote access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteTransportView {
    /// TCP connections.
    pub connections: u64,
    /// TCP connections that are half open.
    pub half_open: u64,
    /// Half-open ones that gave way to others.
    pub evicted: u64,
    /// Opening segments refused because their source had too many half-open connections.
    pub refused_of_source: u64,
    /// Opening segments refused because there are enough connections.
    pub refused_full: u64,
    /// Opening segments that are none.
    pub malformed: u64,
    /// Datagrams that DTLS did nothing with.
    pub datagrams_ignored: u64,
}

/// A `[[remote-access]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteServerView {
    /// Name.
    pub name: String,
    /// Line of the configuration.
    pub line: u32,
    /// Own addresses.
    pub addresses: Vec<IpAddr>,
    /// TCP and UDP port.
    pub port: u16,
    /// How clients prove who they are.
    pub login: Name,
    /// Interface of the clients.
    pub interface: String,
    /// Clients, connected or expected again.
    pub clients: u64,
    /// How many may be.
    pub capacity: u64,
    /// Connections now, whatever they are doing.
    pub connections: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that failed.
    pub logins_failed: u64,
    /// Users that were locked.
    pub locked: u64,
    /// Handshakes of TLS that failed.
    pub handshakes_failed: u64,
    /// Tunnels made, rekeys among them.
    pub tunnels: u64,
    /// DTLS associations made.
    pub associations: u64,
    /// Moves between CSTP and DTLS.
    pub channel_moves: u64,
}

/// A client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteClientView {
    /// Name of its `[[remote-access]]`.
    pub access: String,
    /// Number; no other client of it ever has it.
    pub id: u64,
    /// User.
    pub user: String,
    /// The group that was chosen at login.
    pub group: Option<String>,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// `logged-in`, `connected` or `away`.
    pub state: Name,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where it is, or was last.
    pub remote: String,
    /// What it says it is.
    pub version: String,
    /// What it calls itself.
    pub hostname: String,
    /// Version and suite of TLS.
    pub tls: Option<String>,
    /// What packets to it go by: `CSTP` or `DTLS`.
    pub channel: Option<Name>,
    /// Suite of its DTLS association.
    pub dtls: Option<String>,
    /// Largest packet in bytes.
    pub mtu: Option<u16>,
    /// Since the login.
    pub age_ms: u64,
    /// Since its first tunnel began.
    pub connected_ms: Option<u64>,
    /// Since its tunnel began: the last rekey.
    pub rekeyed_ms: Option<u64>,
    /// Since it carried a packet.
    pub idle_ms: Option<u64>,
    /// Until it is forgotten, if it does not come.
    pub expires_ms: Option<u64>,
    /// What came from it, over all its tunnels and tiers.
    pub received: Traffic,
    /// What went to it.
    pub sent: Traffic,
}

/// DTLS associations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsView {
    /// In the order of the clients.
    pub associations: Vec<AssociationView>,
    /// Cursor of the next page; absent at the end.
    pub next: Option<u64>,
}

/// A DTLS association.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationView {
    /// Number; no other association of the server ever has it.
    pub id: u64,
    /// Name of its `[[remote-access]]`.
    pub access: String,
    /// User.
    pub user: String,
    /// Our end.
    pub local: String,
    /// The client's end.
    pub remote: String,
    /// Suite.
    pub suite: String,
    /// Since the handshake.
    pub age_ms: u64,
    /// Since something was heard by it.
    pub heard_ms: u64,
    /// What came.
    pub inbound: RecordsView,
    /// What went.
    pub outbound: RecordsView,
}

/// Records of one direction of an association.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsView {
    /// Packets, whoever served them.
    pub traffic: Traffic,
    /// Of those, by an engine.
    pub fast: Traffic,
    /// Records that carried no packet.
    pub control: u64,
    /// Record numbers used, or one more than the highest taken.
    pub numbers: u64,
    /// Records dropped, by reason.
    pub errors: Vec<RecordErrors>,
}

/// Records dropped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordErrors {
    /// Name of the reason.
    pub reason: Name,
    /// How many.
    pub records: u64,
}
