//! DNAT: is the destination a virtual IP?

use wire::Time;

use crate::{
    Gateway,
    packet::{Packet, Verdict},
    trace::Note,
};

pub(crate) fn run(gateway: &mut Gateway, packet: &mut Packet, _now: Time) -> Verdict {
    let tuple = packet.headers.tuple;
    packet.dnat = gateway.nat.dnat(packet.ingress, &tuple);
    let config = &gateway.config;
    packet.say(|p| match p.dnat.as_ref().and_then(|d| config.vips.get(d.vip).map(|v| (d, v))) {
        Some((dnat, vip)) => Note::new(
            format!("virtual IPs for {}", p.headers.dst()),
            format!("to {} port {}", dnat.address, dnat.port),
        )
        .by("vip", vip.name.clone(), vip.line),
        None => Note::new(format!("virtual IPs for {}", p.headers.dst()), "not translated"),
    });
    Verdict::Continue
}

impl Packet {
    /// The tuple after destination translation: what routing and policies look at.
    pub(crate) fn inner_tuple(&self) -> wire::Tuple {
        let tuple = self.headers.tuple;
        match &self.dnat {
            Some(dnat) => wire::Tuple { dst: dnat.address, dst_port: dnat.port, ..tuple },
            None => tuple,
        }
    }
}
