//! One gateway with an engine that does what a test wants of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use lockgate_gateway::{Gateway, Parts};
use offload::{
    Adjacency, AdjacencyId, Capabilities, Direction, Engine, EngineEvent, EngineInterface,
    EngineStats, EpochTable, FlowProgram, FlowStats, Handle, Refusal, Retry, SaProgram,
    ledger::Kind, tcp_window::TcpWindows,
};
use ports::{FramePool, PortId};
use reason::{DemotionReason, PuntCause, RefusalReason};
use wire::{Mac, Time, Tuple, build, proto};

/// Who sends.
pub(crate) const PEER: Mac = Mac([2, 0, 0, 0, 0, 5]);

const CONFIG: &str = r#"
neighbour = [
    { interface = "lan", address = "10.0.0.5", mac = "02:00:00:00:00:05" },
    { interface = "wan", address = "192.0.2.9", mac = "02:00:00:00:00:09" },
]
[[port]]
name = "lan0"
kind = "memory"
[[port]]
name = "wan0"
kind = "memory"
[[interface]]
name = "lan"
port = "lan0"
address = ["10.0.0.1/24", "2001:db8::1/64"]
zone = "inside"
[[interface]]
name = "wan"
port = "wan0"
address = ["192.0.2.1/24", "2001:db8:1::1/64"]
zone = "outside"
[[policy]]
id = 1
from = "inside"
to = "outside"
action = "allow"
[offload]
after-packets = 1
"#;

/// What the engine holds, and how many programs the audit has looked at.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) rows: Vec<(Handle, u32, Direction, Tuple)>,
    pub(crate) looked_at: u64,
    pub(crate) adjacencies: BTreeMap<u32, Adjacency>,
}

struct Forgetful {
    held: Arc<Mutex<Held>>,
    capabilities: Capabilities,
    installed: u32,
}

impl Engine for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    fn set_interfaces(&mut self, _: &[EngineInterface]) {}
    fn set_adjacency(&mut self, id: AdjacencyId, adjacency: Adjacency) -> Result<(), Refusal> {
        self.held.lock().expect("held").adjacencies.insert(id.0, adjacency);
        Ok(())
    }
    fn clear_adjacency(&mut self, _: AdjacencyId) {}
    fn install(&mut self, program: &FlowProgram, _: Time) -> Result<Handle, Refusal> {
        self.installed += 1;
        let handle = Handle { index: self.installed, generation: 1 };
        let row = (handle, program.session, program.direction, program.key);
        self.held.lock().expect("held").rows.push(row);
        Ok(handle)
    }
    fn install_sa(&mut self, _: SaProgram, _: Time) -> Result<Handle, Refusal> {
        let evidence = [Some(("limit", 0)), None, None];
        Err(Refusal { reason: RefusalReason::SaTableFull, evidence, retry: Retry::Never })
    }
    fn move_sa(&mut self, _: Handle, _: AdjacencyId) -> bool {
        false
    }
    fn replace_sa(&mut self, _: Handle, _: SaProgram) -> bool {
        false
    }
    fn remove_sa(&mut self, _: Handle) -> bool {
        false
    }
    fn remove(&mut self, handle: Handle, _: DemotionReason) -> bool {
        let rows = &mut self.held.lock().expect("held").rows;
        let before = rows.len();
        rows.retain(|row| row.0 != handle);
        rows.len() != before
    }
    fn stats(&self, handle: Handle) -> Option<FlowStats> {
        let rows = &self.held.lock().expect("held").rows;
        rows.iter().any(|row| row.0 == handle).then(FlowStats::default)
    }
    fn poll_event(&mut self) -> Option<EngineEvent> {
        None
    }
    fn engine_stats(&self) -> EngineStats {
        EngineStats::new()
    }
    fn audit(
        &self,
        cursor: u32,
        max: u32,
        each: &mut dyn FnMut(Handle, u32, Direction, Tuple),
    ) -> Option<u32> {
        let mut held = self.held.lock().expect("held");
        let total = held.rows.len() as u32;
        let (start, end) = (cursor.min(total), (cursor + max).min(total));
        held.looked_at += u64::from(end - start);
        for (handle, session, direction, key) in &held.rows[start as usize..end as usize] {
            each(*handle, *session, *direction, *key);
        }
        (end < total).then_some(end)
    }
    fn set_traced(&mut self, _: Handle, _: bool) {}
}

pub(crate) struct Bench {
    pub(crate) gateway: Gateway,
    pub(crate) held: Arc<Mutex<Held>>,
    frames: Arc<FramePool>,
    pub(crate) now: Time,
}

impl Bench {
    /// The configuration above, and `more` of it.
    pub(crate) fn new(more: &str) -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let config =
            Arc::new(config::parse("test", &format!("{CONFIG}{more}")).expect("valid").config);
        let frames = FramePool::new(64, 4);
        let parts = Parts {
            engine: Box::new(Forgetful {
                held: Arc::clone(&held),
                capabilities: Capabilities::soft(1_000),
                installed: 0,
            }),
            epochs: Arc::new(EpochTable::new(1)),
            windows: Arc::new(TcpWindows::new(config.limits.sessions)),
            frames: Arc::clone(&frames),
            more_frames: Vec::new(),
            ciphers: Default::default(),
            seed: 1,
            random: lockgate_gateway::rng::simulated(7),
            stopwatch: || 0,
        };
        let now = Time::from_millis(1);
        Self { gateway: Gateway::new(config, parts, now), held, frames, now }
    }

    /// Hands a frame in; what comes out of any port.
    pub(crate) fn send(&mut self, port: PortId, bytes: &[u8]) -> Vec<Vec<u8>> {
        let frame = self.frames.alloc_from(bytes).expect("a buffer");
        self.gateway.handle_frame(port, frame, PuntCause::FlowMiss, self.now);
        let out = std::iter::from_fn(|| self.gateway.poll_transmit());
        out.map(|(_, frame)| frame.bytes().to_vec()).collect()
    }

    pub(crate) fn packet(&mut self, port: PortId, tuple: Tuple) {
        let mac = self.gateway.port_state(port).mac;
        let bytes = build::Packet::new(tuple).macs(PEER, mac).payload(b"x").build();
        self.send(port, &bytes);
    }

    /// Both directions of one session installed.
    pub(crate) fn promote(&mut self) {
        for _ in 0..4 {
            self.packet(PortId(0), tuple());
            self.packet(PortId(1), tuple().reversed());
        }
        assert_eq!(self.gateway.ledger().directions(Kind::Installed), 2);
    }
}

/// The session of [`Bench::promote`].
pub(crate) fn tuple() -> Tuple {
    Tuple {
        src: [10, 0, 0, 5].into(),
        dst: [192, 0, 2, 9].into(),
        src_port: 4000,
        dst_port: 53,
        proto: proto::UDP,
    }
}
