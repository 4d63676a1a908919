//! The drift audit against an engine that forgets programs and keeps ones nobody asked for.

use std::sync::{Arc, Mutex};

use lockgate_gateway::{Gateway, Parts};
use offload::{
    Adjacency, AdjacencyId, Capabilities, Direction, Engine, EngineEvent, EngineInterface,
    EngineStats, EpochTable, FlowProgram, FlowStats, Handle, Refusal, ledger::Kind,
    tcp_window::TcpWindows,
};
use ports::{FramePool, PortId};
use reason::{DemotionReason, PuntCause};
use wire::{Mac, Time, Tuple, build, proto};

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
address = "10.0.0.1/24"
zone = "inside"
[[interface]]
name = "wan"
port = "wan0"
address = "192.0.2.1/24"
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
struct Held {
    rows: Vec<(Handle, u32, Direction, Tuple)>,
    looked_at: u64,
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
    fn set_adjacency(&mut self, _: AdjacencyId, _: Adjacency) -> Result<(), Refusal> {
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

struct Bench {
    gateway: Gateway,
    held: Arc<Mutex<Held>>,
    frames: Arc<FramePool>,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let config = Arc::new(config::parse("test", CONFIG).expect("valid").config);
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
            seed: 1,
            stopwatch: || 0,
        };
        let now = Time::from_millis(1);
        Self { gateway: Gateway::new(config, parts, now), held, frames, now }
    }

    fn send(&mut self, port: PortId, tuple: Tuple) {
        let mac = self.gateway.port_state(port).mac;
        let from = Mac([2, 0, 0, 0, 0, 5]);
        let bytes = build::Packet::new(tuple).macs(from, mac).payload(b"x").build();
        let frame = self.frames.alloc_from(&bytes).expect("a buffer");
        self.gateway.handle_frame(port, frame, PuntCause::FlowMiss, self.now);
        while self.gateway.poll_transmit().is_some() {}
    }

    /// Both directions of one session installed.
    fn promote(&mut self) {
        for _ in 0..4 {
            self.send(PortId(0), tuple());
            self.send(PortId(1), tuple().reversed());
        }
        assert_eq!(self.gateway.ledger().directions(Kind::Installed), 2);
    }

    /// One whole audit; says in how many calls.
    fn audit(&mut self) -> u32 {
        self.now = self.now + self.gateway.config().offload.audit_interval;
        let mut calls = 0;
        loop {
            let before = self.held.lock().expect("held").looked_at;
            self.gateway.handle_timeout(self.now);
            let after = self.held.lock().expect("held").looked_at;
            assert!(after - before <= 4_096, "one call looks at one slice");
            calls += 1;
            if !self.gateway.is_working() {
                return calls;
            }
        }
    }
}

fn tuple() -> Tuple {
    Tuple {
        src: [10, 0, 0, 5].into(),
        dst: [192, 0, 2, 9].into(),
        src_port: 4000,
        dst_port: 53,
        proto: proto::UDP,
    }
}

#[test]
fn a_program_the_engine_lost_is_missed_and_installed_again() {
    let mut bench = Bench::new();
    bench.promote();
    bench.held.lock().expect("held").rows.clear();
    bench.audit();
    assert_eq!(bench.gateway.counters().drift_repaired, 2);
    let ledger = bench.gateway.ledger();
    assert_eq!(ledger.directions(Kind::Retiring), 0, "nothing waits for what never comes");
    assert_eq!(ledger.directions(Kind::NotEvaluated), 2);
    assert_eq!(ledger.demotions(DemotionReason::DriftRepaired), 2);
    bench.promote();
}

#[test]
fn programs_nobody_knows_are_removed_a_slice_at_a_time() {
    let mut bench = Bench::new();
    bench.promote();
    let strays = 10_000;
    for index in 0..strays {
        let stray = (Handle { index, generation: 9 }, 7, Direction::Original, tuple());
        bench.held.lock().expect("held").rows.push(stray);
    }
    assert!(bench.audit() >= 3);
    // What is removed from this list moves the rest up, past the walk; later walks find it.
    for _ in 0..8 {
        bench.audit();
    }
    assert_eq!(bench.held.lock().expect("held").rows.len(), 2);
    assert_eq!(bench.gateway.counters().drift_repaired, u64::from(strays));
}
