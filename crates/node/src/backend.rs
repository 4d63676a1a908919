//! Answers requests: ports are the node's own, the rest is the slow path's.

use api::{ApiError, Backend, Name, PortCountersView, PortView, PortsView, Request, Response};
use config::model::PortKind;
use ports::{LinkState, PortCounters};

use crate::{Node, single::taken};

impl Backend for Node {
    fn handle(&mut self, request: Request) -> Result<Response, ApiError> {
        let now = self.now;
        match request {
            Request::ShowPorts => Ok(Response::Ports(self.show_ports())),
            other => {
                let mut gateway = self.gateway();
                let answer = gateway.answer(other, now);
                self.common.note(&gateway);
                answer
            }
        }
    }
}

impl Node {
    fn show_ports(&self) -> PortsView {
        let gateway = self.gateway();
        let config = gateway.config();
        let view = |(index, port): (usize, &config::model::Port)| {
            let attached = self.ports().get(index);
            let counters = self.port_counters(index);
            let (rx, tx) = split(&counters);
            let on_it =
                config.interfaces.iter().filter(|i| i.port().map(usize::from) == Some(index));
            PortView {
                name: port.name.clone(),
                attachment: attachment(&port.kind).into(),
                device: device(&port.kind),
                line: port.line.0,
                mac: gateway.port_state(ports::PortId(index as u16)).mac.to_string(),
                link: attached.map_or("gone", |p| link(p.link())).into(),
                fast_path: port.fast_path,
                takes: attached.map_or_else(Vec::new, |p| {
                    taken(p.as_ref(), !port.super_packets)
                        .words()
                        .split_whitespace()
                        .map(|w| Name::from(w.to_owned()))
                        .collect()
                }),
                interfaces: on_it.map(|i| i.name.clone()).collect(),
                rx,
                tx,
            }
        };
        PortsView { ports: config.ports.iter().enumerate().map(view).collect() }
    }
}

const fn attachment(kind: &PortKind) -> &'static str {
    match kind {
        PortKind::Packet { .. } => "packet",
        PortKind::Xdp { .. } => "xdp",
        PortKind::Tap { .. } => "tap",
        PortKind::Tun { .. } => "tun",
        PortKind::Memif { .. } => "memif",
        PortKind::Pcap { .. } => "pcap",
        PortKind::Memory => "memory",
    }
}

fn device(kind: &PortKind) -> String {
    match kind {
        PortKind::Packet { device }
        | PortKind::Xdp { device }
        | PortKind::Tap { device }
        | PortKind::Tun { device } => device.clone(),
        PortKind::Memif { socket, id, .. } => format!("{} id {id}", socket.display()),
        PortKind::Pcap { read, write } => {
            let name = |p: &Option<std::path::PathBuf>| {
                p.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
            };
            format!("{} > {}", name(read), name(write))
        }
        PortKind::Memory => String::new(),
    }
}

const fn link(state: LinkState) -> &'static str {
    match state {
        LinkState::Up => "up",
        LinkState::Down => "down",
        LinkState::Gone => "gone",
    }
}

const fn split(c: &PortCounters) -> (PortCountersView, PortCountersView) {
    (
        PortCountersView {
            packets: c.rx_packets,
            bytes: c.rx_bytes,
            dropped: c.rx_dropped,
            errors: c.rx_errors,
            super_packets: c.rx_super,
        },
        PortCountersView {
            packets: c.tx_packets,
            bytes: c.tx_bytes,
            dropped: c.tx_dropped,
            errors: c.tx_errors,
            super_packets: c.tx_super,
        },
    )
}
