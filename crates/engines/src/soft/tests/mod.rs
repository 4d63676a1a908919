//! A rig with three interfaces: `in` on port 0, `out` on port 1, `tagged` on port 1 with VLAN 20.

mod associations;
mod forward;
mod punts;
mod stress;
mod tables;

use std::sync::Arc;

use offload::{
    Adjacency, AdjacencyId, Direction, Engine, EngineEvent, EngineInterface, EpochTable,
    FlowProgram, Handle, tcp_window::TcpWindows,
};
use ports::{Frame, PortId};
use reason::DemotionReason;
use wire::{Headers, Mac, Rewrite, Time, Tuple, build, proto};

use super::*;

const IN: u16 = 10;
const OUT: u16 = 11;
const TAGGED: u16 = 12;

const IN_MAC: Mac = Mac([2, 0, 0, 0, 0, 10]);
const OUT_MAC: Mac = Mac([2, 0, 0, 0, 0, 11]);
const HOST: Mac = Mac([2, 0, 0, 0, 1, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 1, 2]);

const TO_HOST: AdjacencyId = AdjacencyId(0);
const TO_ROUTER: AdjacencyId = AdjacencyId(1);
const TO_TAGGED: AdjacencyId = AdjacencyId(2);

struct Rig {
    control: SoftControl,
    workers: Vec<SoftWorker>,
    epochs: Arc<EpochTable>,
    windows: Arc<TcpWindows>,
    out: Output,
    now: Time,
}

fn unlimited(flows: u32) -> SoftConfig {
    SoftConfig {
        flows,
        adjacencies: 4,
        seed: 7,
        punt_limits: PuntLimits::NONE,
        ..SoftConfig::default()
    }
}

fn interfaces() -> [EngineInterface; 3] {
    [(0, None, IN, IN_MAC), (1, None, OUT, OUT_MAC), (1, Some(20), TAGGED, OUT_MAC)].map(
        |(port, vlan, interface, mac)| EngineInterface {
            port,
            vlan,
            interface,
            vr: 0,
            mac,
            enabled: true,
        },
    )
}

impl Rig {
    fn new(config: SoftConfig) -> Self {
        let (epochs, windows) = (Arc::new(EpochTable::new(8)), Arc::new(TcpWindows::new(8)));
        let (mut control, workers) = soft(config, Arc::clone(&epochs), Arc::clone(&windows));
        control.set_interfaces(&interfaces());
        let hops = [
            (TO_HOST, 0, IN, IN_MAC, HOST, None),
            (TO_ROUTER, 1, OUT, OUT_MAC, ROUTER, None),
            (TO_TAGGED, 1, TAGGED, OUT_MAC, ROUTER, Some(20)),
        ];
        for (id, port, interface, src, dst, vlan) in hops {
            let hop = Adjacency { port, interface, src, dst, vlan, mtu: 1500 };
            control.set_adjacency(id, hop).expect("room");
        }
        Self { control, workers, epochs, windows, out: Output::new(), now: Time::from_secs(1) }
    }

    fn install(&mut self, program: &FlowProgram) -> Handle {
        self.control.install(program, self.now).expect("the engine takes it")
    }

    /// Serves one frame that came in by a port, on the first worker.
    fn offer(&mut self, port: u16, frame: Frame) -> Result<(u16, Frame), PuntCause> {
        self.out.tx.clear();
        self.out.punts.clear();
        self.workers[0].process(PortId(port), &mut vec![frame], self.now, &mut self.out);
        assert_eq!(self.out.tx.len() + self.out.punts.len(), 1);
        match self.out.tx.pop() {
            Some((port, frame)) => Ok((port.0, frame)),
            None => {
                let punt = self.out.punts.pop().expect("one or the other");
                assert_eq!(punt.port, PortId(port));
                Err(punt.cause)
            }
        }
    }

    fn events(&mut self) -> Vec<EngineEvent> {
        self.workers.iter_mut().for_each(SoftWorker::quiesce);
        std::iter::from_fn(|| self.control.poll_event()).collect()
    }
}

use reason::PuntCause;

fn udp(n: u16) -> Tuple {
    build::tuple(proto::UDP, ([10, 0, 0, 5], 1000 + n), ([198, 51, 100, 9], 53))
}

fn udp6(n: u16) -> Tuple {
    let ip = |last| [0x2001, 0xdb8, 0, 0, 0, 0, 0, last];
    build::tuple(proto::UDP, (ip(5), 1000 + n), (ip(9), 53))
}

fn natted(n: u16) -> Tuple {
    build::tuple(proto::UDP, ([203, 0, 113, 1], 40_000 + n), ([198, 51, 100, 9], 53))
}

/// From `in` to the router, translated from one tuple to the other.
fn outbound(from: Tuple, to: Tuple, session: u32) -> FlowProgram {
    FlowProgram {
        key: from,
        vr: 0,
        ingress: IN,
        rewrite: Rewrite::compile(from, to),
        adjacency: TO_ROUTER,
        sa: None,
        mtu: 1500,
        tcp_window: None,
        session,
        direction: Direction::Original,
        epoch: offload::EpochRef::default(),
        worth: 10,
    }
}

/// An SA of tunnel mode with AES-128-GCM.
pub(super) fn sa(spi: u32) -> esp::Parameters {
    esp::Parameters {
        spi,
        suite: esp::Suite::AES128_GCM16,
        key: esp::KeyMaterial::from_bytes(&[7; 20]),
        mode: esp::Mode::Tunnel,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        encapsulation: None,
        esn: false,
        replay_window: 64,
        soft: esp::Lifetime::default(),
        hard: esp::Lifetime::default(),
        dscp: esp::DscpRule::Copy,
        df: esp::DfRule::Copy,
        pad_to: None,
        hop_limit: 64,
        allow_null: false,
    }
}

fn from_host(tuple: Tuple) -> build::Packet {
    build::Packet::new(tuple).macs(HOST, IN_MAC)
}

fn frame(packet: &build::Packet) -> Frame {
    Frame::from_vec(packet.build())
}

fn parsed(frame: &Frame) -> Headers {
    let headers = wire::parse(frame.bytes()).expect("what is sent parses");
    wire::verify_l4_checksum(frame.bytes(), &headers).expect("and is whole");
    headers
}
