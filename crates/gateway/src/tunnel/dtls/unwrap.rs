//! Out of a record: a datagram of a client becomes the packet inside, which enters again as a packet of the
//! client's interface.

use api::CapturePoint;
use offload::SaName;
use ports::Frame;
use reason::DropReason;
use wire::{Headers, Time, proto};

use super::ClientNumber;
use crate::{
    Gateway,
    capture::{Place, Sight, What},
    packet::{BeforeSa, Packet},
    tunnel::{SLOW_PATH, wrap::put_blank_ethernet},
};

/// What was in a client's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FromClient {
    /// A packet; it is in the frame now.
    Packet,
    /// Something for who owns the client.
    Message,
}

impl Gateway {
    /// The client whose record a packet is. Datagrams that are anything else are delivered like others; of a
    /// super-packet each datagram is asked about by itself.
    pub(crate) fn client_of(&self, packet: &Packet) -> Option<ClientNumber> {
        let headers: &Headers = &packet.headers;
        if headers.tuple.proto != proto::UDP {
            return None;
        }
        let number = self.clients.receiving(packet.vr, &headers.tuple)?;
        let whole = usize::from(headers.payload)..headers.end as usize;
        let datagram = packet.frame.bytes().get(whole).unwrap_or_default();
        let is_record = ::dtls::record::check(datagram).is_ok();
        (is_record || packet.frame.offloads.gso.is_some()).then_some(number)
    }

    /// Opens a client's record; a packet inside takes its place.
    pub(crate) fn unwrap_client(
        &mut self,
        packet: &mut Packet,
        number: ClientNumber,
        now: Time,
    ) -> Result<FromClient, DropReason> {
        let client = self.clients.get(number).ok_or(DropReason::DtlsMalformed)?;
        let is = client.is;
        let datagram = packet.headers.tuple;
        let is_of = |of: &&super::Association| offload::datagrams_of(of.path) == datagram;
        let association = [&client.association, &client.before].into_iter().flatten().find(is_of);
        let inbound = association.ok_or(DropReason::DtlsMalformed)?.inbound.clone();
        packet.frame.truncate(packet.headers.end as usize);
        let sa = SaName::Dtls { number: number.0 };
        if self.is_capturing() {
            let bytes = packet.frame.bytes().to_vec();
            packet.before_sa = Some(Box::new(BeforeSa { sa, bytes }));
        }
        let payload = usize::from(packet.headers.payload);
        match inbound.open_packet(&mut packet.frame, payload, SLOW_PATH, now)? {
            ::dtls::Opened::Packet(_) => {}
            ::dtls::Opened::Control => {
                let text = std::mem::replace(&mut packet.frame, Frame::empty());
                self.clients.say(number, text.bytes().to_vec())?;
                return Ok(FromClient::Message);
            }
        }
        put_blank_ethernet(&mut packet.frame).map_err(|_| DropReason::DtlsMalformed)?;
        packet.headers = wire::parse(packet.frame.bytes())?;
        packet.ingress = is.interface;
        if self.is_capturing() {
            let (place, what) = (Place::Interface(packet.ingress), What::Frame(&packet.frame));
            let sight = Sight::new(CapturePoint::Decap, place, what).by(packet.tier.name());
            self.handle_sight(&sight.at_sa(Some(sa)), now);
        }
        // many clients share the interface, and none may pass for another
        if !is.addresses.has(packet.headers.src()) {
            if let Some(before) = &mut packet.before_sa {
                before.bytes = packet.frame.bytes().to_vec();
            }
            return Err(DropReason::RemoteSourceForeign);
        }
        packet.before_sa = None;
        packet.asks_for_no_sa();
        packet.vr = self.interface(is.interface).vr;
        packet.reassembled = None;
        packet.nesting += 1;
        Ok(FromClient::Packet)
    }
}
