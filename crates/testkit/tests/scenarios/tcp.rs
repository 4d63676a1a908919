//! A TCP conversation built segment by segment across a rig.

use lockgate_testkit::rig::{Rig, out_tuple};
use wire::{Tuple, proto, tcp::flags};

pub const ACK: u8 = flags::ACK;
pub const SYN: u8 = flags::SYN;
pub const FIN: u8 = flags::FIN;
pub const RST: u8 = flags::RST;
pub const PSH: u8 = flags::PSH;

/// A conversation from inside (`client`) to outside (`server`).
pub struct Tcp {
    /// As the client sends it.
    pub tuple: Tuple,
    /// As the server sees it.
    pub seen: Tuple,
    /// Next sequence number of the client.
    pub client: u32,
    /// Next sequence number of the server.
    pub server: u32,
}

impl Tcp {
    /// Sends the SYN; the server has not answered yet.
    pub fn syn(rig: &mut Rig, src_port: u16, dst_port: u16, v6: bool) -> Self {
        let tuple = out_tuple(proto::TCP, src_port, dst_port, v6);
        rig.send("lan0", &rig.packet("lan0", tuple).tcp(SYN, 1000, 0));
        let seen = rig.one_tuple("wan0");
        Self { tuple, seen, client: 1001, server: 5000 }
    }

    /// The server's SYN/ACK.
    pub fn syn_ack(&mut self, rig: &mut Rig) {
        rig.send("wan0", &rig.back(self.seen).tcp(SYN | ACK, self.server, self.client));
        self.server += 1;
        assert_eq!(rig.one_tuple("lan0"), self.tuple.reversed());
    }

    /// The same SYN/ACK once more.
    pub fn syn_ack_again(&mut self, rig: &mut Rig) {
        self.server -= 1;
        self.syn_ack(rig);
    }

    /// A whole handshake.
    pub fn open(rig: &mut Rig, src_port: u16, dst_port: u16, v6: bool) -> Self {
        let mut tcp = Self::syn(rig, src_port, dst_port, v6);
        tcp.syn_ack(rig);
        tcp.client(rig, ACK, b"");
        tcp
    }

    /// A whole handshake, and one segment of data: then it is promoted, if it may be.
    pub fn promoted(rig: &mut Rig, src_port: u16, dst_port: u16, v6: bool) -> Self {
        let mut tcp = Self::open(rig, src_port, dst_port, v6);
        tcp.client(rig, ACK | PSH, b"hello");
        tcp
    }

    /// A segment from the client that arrives.
    pub fn client(&mut self, rig: &mut Rig, flags: u8, payload: &[u8]) -> Vec<u8> {
        self.client_sends(rig, flags, payload);
        rig.one("wan0")
    }

    /// A segment from the client, whatever becomes of it.
    pub fn client_sends(&mut self, rig: &mut Rig, flags: u8, payload: &[u8]) {
        let packet = rig.packet("lan0", self.tuple).tcp(flags, self.client, self.server);
        rig.send("lan0", &packet.payload(payload));
        self.client += payload.len() as u32 + u32::from(flags & FIN != 0);
    }

    /// A segment from the server that arrives.
    pub fn server(&mut self, rig: &mut Rig, flags: u8, payload: &[u8]) -> Vec<u8> {
        let packet = rig.back(self.seen).tcp(flags, self.server, self.client);
        rig.send("wan0", &packet.payload(payload));
        self.server += payload.len() as u32 + u32::from(flags & FIN != 0);
        rig.one("lan0")
    }
}
