//! The burst loop: parse and hash all, fetch, then serve one after the other.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use offload::{Adjacency, Direction, EngineInterface, tcp_window::Segment};
use ports::{Checksum, Frame, Gso, GsoKind, PortId, prefetch};
use reason::{DropReason, PuntCause, Reason};
use wire::{Fragmentation, Headers, IpVersion, L3, Time, Tuple, proto, tcp::flags};

use super::{
    Shared, Tally,
    entry::{Entry, Family, Key, V4, V6},
    index::Place,
    interfaces::InterfaceMap,
    moving::Burst,
    punt::{Bucket, CAUSES, Punt, PuntLimits},
    quiescence::Passage,
    sa::{Coming, Scratch, search_spi, spi_of},
    sa_table::SaMap,
    table::Table,
    tap::{Tap, TapPlace},
};

/// Frames looked at together.
pub const BURST: usize = 64;

/// How many frames ahead of parsing the CPU is asked for their headers.
const AHEAD: usize = 4;

/// What a worker did with frames. The caller empties it and keeps the memory.
#[derive(Debug, Default)]
pub struct Output {
    /// Frames to send, and by which port, in the order they came.
    pub tx: Vec<(PortId, Frame)>,
    /// Frames for the slow path; bounded by [`SoftConfig::punt_ring`](super::SoftConfig).
    pub punts: Vec<Punt>,
    /// Packets of traced flows; bounded by [`SoftConfig::trace_ring`](super::SoftConfig).
    pub traces: Vec<TraceHit>,
    /// Frames to give back to their pool: punts over a limit. They are counted.
    pub dropped: Vec<Frame>,
    /// Copies for captures; the caller sets it while one runs.
    pub tap: Option<Box<Tap>>,
}

impl Output {
    /// Empty, with room for a few bursts.
    pub fn new() -> Self {
        Self {
            tx: Vec::with_capacity(4 * BURST),
            punts: Vec::with_capacity(4 * BURST),
            traces: Vec::new(),
            dropped: Vec::with_capacity(BURST),
            tap: None,
        }
    }
}

/// A packet of a traced flow that the fast path forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHit {
    /// Its session.
    pub session: u32,
    /// Its direction.
    pub direction: Direction,
    /// As it came.
    pub before: Tuple,
    /// As it left.
    pub after: Tuple,
    /// Length of the IP packet as it came; of a super-packet, of the whole.
    pub ip_len: u32,
    /// When.
    pub time: Time,
}

/// One run-to-completion worker.
pub struct SoftWorker {
    reader: Reader,
    interfaces: (u64, Arc<InterfaceMap>),
    headers: Box<[Headers; BURST]>,
    steps: Box<[Step; BURST]>,
    verdicts: Box<[Served; BURST]>,
    coming: Box<Coming>,
    scratch: Scratch,
    limits: [Option<Bucket>; CAUSES],
    tally: Tally,
}

/// What a worker reads of the shared state.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) v4: Arc<Table<V4>>,
    pub(super) v6: Arc<Table<V6>>,
    pub(super) sas: (u64, Arc<SaMap>),
    pub(super) passage: Passage,
    pub(super) number: usize,
}

/// What is next for a frame.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Nothing more.
    Done(Served),
    V4(Search<V4>),
    V6(Search<V6>),
    /// ESP or a record of DTLS; the key is that of its SA.
    Sa4(Search<V4>),
    Sa6(Search<V6>),
}

/// What became of a frame.
#[derive(Clone, Copy)]
pub(super) enum Served {
    /// It leaves by a port.
    Sent(PortId),
    /// It was cut; so many of the pieces that wait leave by a port.
    Cut { port: PortId, count: u32 },
    /// It goes to the slow path as it came.
    Punted(PuntCause),
    /// It came out of a tunnel, and goes to the slow path as a packet of that interface.
    Opened(PuntCause, u16),
    /// It came out of a DTLS association, is no packet, and goes to the slow path.
    Control(u32),
    /// It goes no further.
    Dropped(DropReason),
    /// Nothing is left of it: a dummy packet.
    Taken,
}

#[derive(Clone, Copy)]
pub(super) struct Search<F: Family> {
    pub(super) key: Key<F>,
    pub(super) place: Place,
    pub(super) guess: Option<u32>,
    pub(super) interface: u16,
    /// It came out of an SA; the interface is its tunnel's.
    pub(super) opened: bool,
}

impl SoftWorker {
    pub(super) fn new(
        shared: Arc<Shared>,
        (v4, v6): (Arc<Table<V4>>, Arc<Table<V6>>),
        passage: Passage,
        number: usize,
        limits: &PuntLimits,
    ) -> Self {
        let workers = shared.workers.len();
        let mut buckets = [None; CAUSES];
        for cause in PuntCause::ALL {
            buckets[cause.index()] = limits.get(*cause).map(|limit| Bucket::new(limit, workers));
        }
        Self {
            reader: Reader { shared, v4, v6, sas: Default::default(), passage, number },
            interfaces: Default::default(),
            headers: Box::new([Headers::EMPTY; BURST]),
            steps: Box::new([Step::Done(Served::Taken); BURST]),
            verdicts: Box::new([Served::Taken; BURST]),
            coming: Box::new(Coming::new()),
            scratch: Scratch::default(),
            limits: buckets,
            tally: Tally::default(),
        }
    }

    /// Serves the frames received on a port, all of them: `rx` is empty afterwards, and `out` has
    /// each of them once. Quiesces.
    ///
    /// Limit: frames of one flow leave out of order when one of them is an exception (too large for
    /// its way out, outside its window, …) and a later one of the same burst is not: the exception
    /// goes by the slow path, after the burst. A flow whose program is gone has no such frames.
    pub fn process(&mut self, port: PortId, rx: &mut Vec<Frame>, now: Time, out: &mut Output) {
        self.reader.passage.resume();
        self.reader.shared.interfaces.refresh(&mut self.interfaces);
        self.reader.shared.sas.refresh(&mut self.reader.sas);
        let mut rest = Burst::take(rx);
        while !rest.is_empty() {
            let count = rest.len().min(BURST);
            let any_sa = self.look(port, &rest.as_slice()[..count]);
            if any_sa {
                self.open(&mut rest.as_mut_slice()[..count], now, out);
            }
            self.serve(&mut rest.as_mut_slice()[..count], now, out);
            out.tx.reserve(count);
            for at in 0..count {
                match self.verdicts[at] {
                    Served::Sent(port) => rest.move_first(port, &mut out.tx),
                    Served::Punted(cause) => {
                        if let Some(frame) = rest.next() {
                            let (tunnel, control) = (None, None);
                            self.punt(Punt { frame, cause, port, tunnel, control }, now, out);
                        }
                    }
                    Served::Opened(cause, tunnel) => {
                        if let Some(frame) = rest.next() {
                            let (tunnel, control) = (Some(tunnel), None);
                            self.punt(Punt { frame, cause, port, tunnel, control }, now, out);
                        }
                    }
                    Served::Control(number) => {
                        if let Some(frame) = rest.next() {
                            let cause = PuntCause::DtlsControl;
                            let (tunnel, control) = (None, Some(number));
                            self.punt(Punt { frame, cause, port, tunnel, control }, now, out);
                        }
                    }
                    Served::Cut { port, count } => {
                        out.dropped.extend(rest.next());
                        let pieces = self.scratch.pieces.drain(..count as usize);
                        out.tx.extend(pieces.map(|piece| (port, piece)));
                    }
                    Served::Dropped(reason) => {
                        out.dropped.extend(rest.next());
                        bump(&self.reader.shared.workers[self.reader.number].drops[reason.index()]);
                    }
                    Served::Taken => out.dropped.extend(rest.next()),
                }
            }
            self.tally.bursts += 1;
            self.reader.passage.quiesce();
        }
        self.tally.punt_depth = out.punts.len() as u64;
        self.reader.shared.workers[self.reader.number].write(&self.tally);
    }

    /// Says that the worker holds no flow, and that its punts have been taken; lets go of SAs that are
    /// gone. An idle worker must call it now and then, or [`SoftWorker::rest`], or what was removed is
    /// never given back.
    pub fn quiesce(&mut self) {
        self.reader.shared.sas.refresh(&mut self.reader.sas);
        self.tally.punt_depth = 0;
        self.reader.shared.workers[self.reader.number].write(&self.tally);
        self.reader.passage.quiesce();
    }

    /// As [`SoftWorker::quiesce`], and nobody waits for the worker until it processes frames again.
    pub fn rest(&mut self) {
        self.quiesce();
        self.reader.passage.rest();
    }

    /// Its number, counted from zero.
    pub const fn number(&self) -> usize {
        self.reader.number
    }

    /// Trace hits that were lost because nobody read the ones before.
    pub const fn traces_lost(&self) -> u64 {
        self.tally.traces_lost
    }

    /// Parses and hashes all frames and asks the CPU for what serving them needs. Whether any of
    /// them may be for an SA.
    fn look(&mut self, port: PortId, frames: &[Frame]) -> bool {
        let Self { reader, interfaces, headers, steps, coming, .. } = self;
        let untagged = interfaces.1.get(port, None);
        for frame in frames.iter().take(AHEAD) {
            prefetch(frame.bytes().as_ptr());
        }
        let mut any_sa = false;
        let work = headers.iter_mut().zip(steps.iter_mut());
        for (at, (frame, (headers, step))) in frames.iter().zip(work).enumerate() {
            if let Some(later) = frames.get(at + AHEAD) {
                prefetch(later.bytes().as_ptr());
            }
            *step = match wire::parse_into(frame.bytes(), headers) {
                Ok(()) => {
                    let interface = match headers.vlan {
                        None => untagged,
                        vlan => interfaces.1.get(port, vlan),
                    };
                    reader.step(frame.bytes(), headers, interface)
                }
                Err(reason) => Step::Done(Served::Punted(unreadable(reason))),
            };
            any_sa |= matches!(step, Step::Sa4(_) | Step::Sa6(_));
        }
        let steps = &mut steps[..frames.len()];
        reader.guess(steps);
        if !reader.sas.1.is_empty() {
            reader.note_sas(steps, &headers[..], coming);
        }
        any_sa
    }

    /// Opens what is for an SA here, so that the packets inside are looked up together like others.
    fn open(&mut self, frames: &mut [Frame], now: Time, out: &mut Output) {
        let Self { reader, headers, steps, coming, tally, .. } = self;
        for (at, (frame, step)) in frames.iter_mut().zip(steps.iter_mut()).enumerate() {
            reader.fetch_ahead(coming, &headers[..], at);
            let headers = &mut headers[at];
            *step = match step {
                // a datagram to a port of DTLS may be of an ordinary flow
                Step::Sa4(s) => reader
                    .open(&reader.v4, headers, s, frame, now, out, tally)
                    .unwrap_or(Step::V4(*s)),
                Step::Sa6(s) => reader
                    .open(&reader.v6, headers, s, frame, now, out, tally)
                    .unwrap_or(Step::V6(*s)),
                Step::Done(_) | Step::V4(_) | Step::V6(_) => continue,
            };
        }
        let steps = &mut steps[..frames.len()];
        reader.guess(steps);
        reader.note_sas(steps, &headers[..], coming);
    }

    fn serve(&mut self, frames: &mut [Frame], now: Time, out: &mut Output) {
        let Self { reader, headers, steps, verdicts, coming, tally, scratch, .. } = self;
        let work = steps.iter().zip(verdicts.iter_mut());
        for (at, (frame, (step, verdict))) in frames.iter_mut().zip(work).enumerate() {
            reader.fetch_ahead(coming, &headers[..], at);
            let headers = &headers[at];
            *verdict = match step {
                Step::Done(served) => *served,
                Step::V4(s) => {
                    reader.forward(&reader.v4, headers, s, frame, now, out, tally, scratch)
                }
                Step::V6(s) => {
                    reader.forward(&reader.v6, headers, s, frame, now, out, tally, scratch)
                }
                // `open` leaves none
                Step::Sa4(_) | Step::Sa6(_) => Served::Punted(PuntCause::SaMiss),
            };
        }
    }

    #[cold]
    fn punt(&mut self, punt: Punt, now: Time, out: &mut Output) {
        let stats = &self.reader.shared.workers[self.reader.number];
        let cause = punt.cause.index();
        let reason = if !self.limits[cause].as_mut().is_none_or(|bucket| bucket.take(now)) {
            bump(&stats.punt_limited[cause]);
            DropReason::PuntRateLimited
        } else if out.punts.len() >= self.reader.shared.punt_ring {
            bump(&stats.punt_ring_full[cause]);
            DropReason::PuntRingFull
        } else {
            bump(&stats.punts[cause]);
            out.punts.push(punt);
            return;
        };
        if let Some(tap) = &mut out.tap
            && punt.control.is_none()
        {
            let place = punt.tunnel.map_or(TapPlace::Port(punt.port), TapPlace::Interface);
            tap.dropped(reason, place, punt.frame.bytes());
        }
        out.dropped.push(punt.frame);
    }
}

impl Reader {
    /// Looks for the likely slots of the steps, and asks the CPU for what stands there.
    fn guess(&self, steps: &mut [Step]) {
        for step in steps.iter_mut() {
            match step {
                Step::V4(s) | Step::Sa4(s) if s.guess.is_none() => {
                    s.guess = self.v4.guess_first(s.place, self.number);
                }
                Step::V6(s) | Step::Sa6(s) if s.guess.is_none() => {
                    s.guess = self.v6.guess_first(s.place, self.number);
                }
                Step::V4(_) | Step::V6(_) | Step::Sa4(_) | Step::Sa6(_) | Step::Done(_) => {}
            }
        }
        for step in steps.iter_mut() {
            match step {
                Step::V4(s) | Step::Sa4(s) if s.guess.is_none() => {
                    s.guess = self.v4.guess_second(s.place, self.number);
                }
                Step::V6(s) | Step::Sa6(s) if s.guess.is_none() => {
                    s.guess = self.v6.guess_second(s.place, self.number);
                }
                Step::V4(_) | Step::V6(_) | Step::Sa4(_) | Step::Sa6(_) | Step::Done(_) => {}
            }
        }
    }

    /// What a received frame tells: whose SA or flow it may be.
    #[inline(always)]
    fn step(&self, frame: &[u8], headers: &Headers, interface: Option<&EngineInterface>) -> Step {
        if let Some(spi) = spi_of(frame, headers, &self.sas.1)
            && let Some(interface) = interface
            && let L3::Ip(version) = headers.kind
        {
            if let Some(cause) = exception(headers, interface) {
                return Step::Done(Served::Punted(cause));
            }
            let esp = match version {
                IpVersion::V4 => search_spi(&self.v4, spi, headers, interface).map(Step::Sa4),
                IpVersion::V6 => search_spi(&self.v6, spi, headers, interface).map(Step::Sa6),
            };
            if let Some(esp) = esp {
                return esp;
            }
        }
        let step = self.search(headers, interface);
        if headers.tuple.proto == proto::UDP && self.sas.1.carries_dtls(headers.tuple.dst_port) {
            return match step {
                Step::V4(search) => Step::Sa4(search),
                Step::V6(search) => Step::Sa6(search),
                other => other,
            };
        }
        step
    }

    /// What the headers alone tell.
    #[inline(always)]
    pub(super) fn search(&self, headers: &Headers, interface: Option<&EngineInterface>) -> Step {
        let version = match headers.kind {
            L3::Ip(version) => version,
            L3::Arp => return Step::Done(Served::Punted(PuntCause::NotIp)),
        };
        let Some(interface) = interface else {
            return Step::Done(Served::Punted(PuntCause::InterfaceUnknown));
        };
        if let Some(cause) = exception(headers, interface) {
            return Step::Done(Served::Punted(cause));
        }
        match version {
            IpVersion::V4 => {
                search(&self.v4, headers, interface.interface, interface.vr).map(Step::V4)
            }
            IpVersion::V6 => {
                search(&self.v6, headers, interface.interface, interface.vr).map(Step::V6)
            }
        }
        .unwrap_or(Step::Done(Served::Punted(PuntCause::FlowMiss)))
    }

    /// Looks the flow up, makes every check, and only then changes the frame.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn forward<F: Family>(
        &self,
        table: &Table<F>,
        headers: &Headers,
        search: &Search<F>,
        frame: &mut Frame,
        now: Time,
        out: &mut Output,
        tally: &mut Tally,
        scratch: &mut Scratch,
    ) -> Served {
        let served = self.try_forward(table, headers, search, frame, now, out, tally, scratch);
        match served.unwrap_or_else(Served::Punted) {
            Served::Punted(cause) if search.opened => Served::Opened(cause, search.interface),
            served => served,
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn try_forward<F: Family>(
        &self,
        table: &Table<F>,
        headers: &Headers,
        search: &Search<F>,
        frame: &mut Frame,
        now: Time,
        out: &mut Output,
        tally: &mut Tally,
        scratch: &mut Scratch,
    ) -> Result<Served, PuntCause> {
        let found = table.lookup(&self.passage, search.place, search.guess, &search.key);
        let Some((slot, entry)) = found else {
            tally.misses += 1;
            return Err(PuntCause::FlowMiss);
        };
        tally.hits += 1;
        if entry.ingress != search.interface {
            return Err(PuntCause::IngressMoved);
        }
        if !self.shared.epochs.is_current(entry.epoch()) {
            return Err(PuntCause::StaleEpoch);
        }
        let size = Size::of(headers, frame.offloads.gso)?;
        if entry.is_into_sa() {
            if search.key.proto() == proto::TCP {
                self.check_window(entry, headers, frame.bytes())?;
            }
            let served = self.seal(entry, headers, size, frame, now, out, tally, scratch);
            if matches!(served, Served::Sent(_) | Served::Cut { .. }) {
                self.count(table, slot, entry, headers, size, now, out, tally);
            }
            return Ok(served);
        }
        let hop = self.shared.adjacencies.get(entry.adjacency).ok_or(PuntCause::AdjacencyLost)?;
        if size.largest > u32::from(entry.mtu.min(hop.mtu)) {
            return Err(PuntCause::ExceedsMtu);
        }
        let ether = if hop.vlan.is_some() { 18 } else { 14 };
        if usize::from(headers.l3) + frame.headroom() < ether {
            // no port gives such frames; the slow path makes a copy
            return Err(PuntCause::SuperPacketUnsupported);
        }
        if search.key.proto() == proto::TCP {
            self.check_window(entry, headers, frame.bytes())?;
        }

        let partial = matches!(frame.offloads.checksum, Checksum::Partial { .. });
        entry.rewrite().apply(frame.bytes_mut(), headers, true, partial);
        put_ethernet(frame, headers, &hop, ether);
        self.count(table, slot, entry, headers, size, now, out, tally);
        Ok(Served::Sent(PortId(hop.port)))
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn count<F: Family>(
        &self,
        table: &Table<F>,
        slot: u32,
        entry: &Entry<F>,
        headers: &Headers,
        size: Size,
        now: Time,
        out: &mut Output,
        tally: &mut Tally,
    ) {
        if let Some(counters) = table.counters(self.number, slot) {
            counters.add(size.packets, size.bytes, now);
        }
        if entry.is_traced() {
            self.trace(entry, headers, now, out, tally);
        }
        tally.packets += size.packets;
        tally.bytes += size.bytes;
    }

    #[inline(always)]
    fn check_window<F: Family>(
        &self,
        entry: &Entry<F>,
        headers: &Headers,
        frame: &[u8],
    ) -> Result<(), PuntCause> {
        let Some(index) = entry.window() else {
            return Ok(());
        };
        let header = frame.get(usize::from(headers.l4)..).and_then(|l4| l4.first_chunk::<16>());
        let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, _, flags, w0, w1] =
            *header.ok_or(PuntCause::Malformed)?;
        let segment = Segment {
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            window: u16::from_be_bytes([w0, w1]),
            len: headers.payload_len(),
            flags,
        };
        if self.shared.windows.check(index, entry.direction(), &segment).is_ok() {
            Ok(())
        } else {
            Err(PuntCause::TcpWindow)
        }
    }

    #[cold]
    fn trace<F: Family>(
        &self,
        entry: &Entry<F>,
        headers: &Headers,
        now: Time,
        out: &mut Output,
        tally: &mut Tally,
    ) {
        if out.traces.len() >= self.shared.trace_ring {
            tally.traces_lost += 1;
            return;
        }
        out.traces.push(TraceHit {
            session: entry.session,
            direction: entry.direction(),
            before: headers.tuple,
            after: entry.rewrite().result(headers.tuple.proto),
            ip_len: headers.ip_len(),
            time: now,
        });
    }
}

/// How a frame counts, and the largest IP packet it will become.
#[derive(Clone, Copy)]
pub(super) struct Size {
    packets: u64,
    bytes: u64,
    pub(super) largest: u32,
}

impl Size {
    #[inline(always)]
    fn of(headers: &Headers, gso: Option<Gso>) -> Result<Self, PuntCause> {
        let whole = headers.ip_len();
        match gso {
            None => Ok(Self { packets: 1, bytes: u64::from(whole), largest: whole }),
            Some(gso) => Self::of_super(headers, gso),
        }
    }

    fn of_super(headers: &Headers, gso: Gso) -> Result<Self, PuntCause> {
        let fits = match gso.kind {
            GsoKind::Tcp4 => !headers.tuple.is_v6() && headers.tuple.proto == proto::TCP,
            GsoKind::Tcp6 => headers.tuple.is_v6() && headers.tuple.proto == proto::TCP,
            GsoKind::Udp => headers.tuple.proto == proto::UDP,
        };
        if !fits || gso.size == 0 {
            return Err(PuntCause::SuperPacketUnsupported);
        }
        let payload = headers.payload_len();
        let header = headers.ip_len() - payload;
        let packets = u64::from(payload.div_ceil(u32::from(gso.size)).max(1));
        Ok(Self {
            packets,
            bytes: u64::from(headers.ip_len()) + (packets - 1) * u64::from(header),
            largest: header + payload.min(u32::from(gso.size)),
        })
    }
}

/// What the slow path makes of it: it parses the frame again and names the fault.
fn unreadable(reason: DropReason) -> PuntCause {
    if reason == DropReason::EthertypeUnsupported { PuntCause::NotIp } else { PuntCause::Malformed }
}

/// Why a packet can not be served whatever its flow.
#[inline(always)]
fn exception(headers: &Headers, interface: &EngineInterface) -> Option<PuntCause> {
    const CONTROL: u8 = flags::SYN | flags::FIN | flags::RST;
    if headers.eth_dst != interface.mac {
        Some(PuntCause::NotForUs)
    } else if headers.fragment != Fragmentation::Whole {
        Some(PuntCause::Fragment)
    } else if headers.options {
        Some(PuntCause::IpOptions)
    } else if headers.ttl <= 1 {
        Some(PuntCause::TtlExpiring)
    } else if headers.tcp_flags & CONTROL != 0 {
        Some(PuntCause::TcpControl)
    } else {
        None
    }
}

#[inline(always)]
pub(super) fn search<F: Family>(
    table: &Table<F>,
    headers: &Headers,
    interface: u16,
    vr: u16,
) -> Option<Search<F>> {
    let tuple = &headers.tuple;
    // an ICMP error has no ports, and so the key of an echo with identifier zero
    if matches!(tuple.proto, proto::ICMP | proto::ICMPV6) && tuple.src_port | tuple.dst_port == 0 {
        return None;
    }
    let key = Key::new(tuple, vr)?;
    let place = table.place(&key);
    Some(Search { key, place, guess: None, interface, opened: false })
}

/// Replaces the Ethernet header in front of the IP packet, and cuts what comes after it. The
/// headroom has been checked.
#[inline(always)]
fn put_ethernet(frame: &mut Frame, headers: &Headers, hop: &Adjacency, length: usize) {
    frame.truncate(headers.end as usize);
    let l3 = usize::from(headers.l3);
    if length > l3 {
        frame.push_front(length - l3);
    } else if length < l3 {
        frame.pull_front(l3 - length);
    }
    let Some(bytes) = frame.bytes_mut().get_mut(..length) else {
        return;
    };
    write_ethernet(bytes, hop, headers.tuple.is_v6());
}

/// Puts an Ethernet header before an IP packet; `None` if there is no room.
#[inline(always)]
pub(super) fn push_ethernet(frame: &mut Frame, hop: &Adjacency) -> Option<()> {
    let is_v6 = frame.bytes().first()? >> 4 == 6;
    let length = if hop.vlan.is_some() { 18 } else { 14 };
    write_ethernet(frame.push_front(length)?.get_mut(..length)?, hop, is_v6);
    Some(())
}

/// Fills an Ethernet header of exactly the right length.
#[inline(always)]
fn write_ethernet(bytes: &mut [u8], hop: &Adjacency, is_v6: bool) {
    let ethertype: u16 = if is_v6 { 0x86dd } else { 0x0800 };
    let length = bytes.len();
    bytes[..6].copy_from_slice(&hop.dst.0);
    bytes[6..12].copy_from_slice(&hop.src.0);
    if let Some(vlan) = hop.vlan {
        bytes[12..14].copy_from_slice(&[0x81, 0x00]);
        bytes[14..16].copy_from_slice(&vlan.to_be_bytes());
    }
    bytes[length - 2..].copy_from_slice(&ethertype.to_be_bytes());
}

fn bump(counter: &AtomicU64) {
    // one writer: a load and a store are enough
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}
