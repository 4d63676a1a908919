//! The sending half: an IP packet becomes an ESP packet in its frame (RFC 4303 §3.3).

use std::{fmt, mem::offset_of, ops::Range};

use aead::{Operation, Selection};
use association::{Meter, Sequence, Tallies};
use ports::{Frame, Offloads};
use reason::DropReason;
use wire::{
    IpVersion, Time, ecn,
    outer::{self, Outer, OuterFields, OuterUdp},
    proto,
};

use crate::{
    DfRule, DscpRule, Expiry, HEADER_LEN, Lifetime, Limit, MAX_PACKET, Mode, ParameterError,
    Parameters, REASONS, TRAILER_LEN, Tally, WRITERS,
    headers::{self, IPV4_IN, IPV4_LEN, IPV6_IN, IPV6_LEN, Ip, NO_NEXT},
    nat_t::{KEEPALIVE, UDP_LEN},
    transform::Transform,
};

/// The last sequence number without ESN.
const LAST_32: u64 = u32::MAX as u64;
/// The longest IPv4 header, in bytes.
const IPV4_LONGEST: usize = 60;
/// The padding of RFC 4303 §2.4, as much as we ever add.
const PADDING: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// An SA that protects what is sent.
///
/// All methods take `&self`: sequence numbers are reserved atomically, so any number of threads
/// may seal with the same SA, each with a `writer` of its own.
#[repr(C, align(64))]
pub struct Outbound {
    // what every packet reads comes first and together: see `prefetch`
    meter: Meter,
    layout: Layout,
    outer: Outer,
    transform: Transform,
    sequence: Apart,
    tallies: Tallies<{ REASONS.len() }>,
    parameters: Parameters,
}

/// The sequence numbers, on cache lines of their own: every worker writes there, and what they only read is not
/// to go from core to core with it.
#[repr(align(128))]
struct Apart(Sequence);

impl core::ops::Deref for Apart {
    type Target = Sequence;

    fn deref(&self) -> &Sequence {
        &self.0
    }
}

/// Lengths that packets of the SA have in common, in bytes.
#[derive(Clone, Copy)]
struct Layout {
    spi: u32,
    pad_to: u16,
    /// UDP header if any, ESP header and initialization vector.
    front: u8,
    udp: u8,
    icv: u8,
    /// What text and trailer together are padded to.
    align: u8,
    esn: bool,
    mode: Mode,
    dscp: DscpRule,
    df: DfRule,
}

impl Layout {
    fn front(&self) -> usize {
        usize::from(self.front)
    }

    fn udp(&self) -> usize {
        usize::from(self.udp)
    }

    fn icv(&self) -> usize {
        usize::from(self.icv)
    }

    fn align(&self) -> usize {
        usize::from(self.align)
    }
}

/// Bytes an SA adds to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// When no padding is needed.
    pub min: usize,
    /// When the most padding is needed, TFC padding not counted.
    pub max: usize,
}

/// What an outbound SA is doing.
#[derive(Clone, Debug)]
pub struct OutboundStatus {
    /// The last sequence number given.
    pub sequence: u64,
    /// The last there is.
    pub sequence_limit: u64,
    /// Where in its life it is.
    pub expiry: Expiry,
    /// What is left of the soft lifetime.
    pub soft_left: Lifetime,
    /// What is left of the hard lifetime.
    pub hard_left: Lifetime,
    /// Counters over all writers.
    pub total: Tally,
    /// Counters by writer.
    pub writers: [Tally; WRITERS],
}

/// How a packet will be laid out.
#[derive(Clone, Copy)]
struct Plan {
    /// Bytes of the original packet that stay in front, in transport mode its IP headers.
    kept: usize,
    /// Where the field is, in the kept bytes, that names the protocol behind them.
    named_at: usize,
    /// Bytes that move into ESP.
    payload: usize,
    next_header: u8,
    tfc: usize,
    padding: usize,
    fields: (u8, bool),
    ip: Option<Ip>,
}

impl Outbound {
    /// An SA whose first packet has sequence number 1, with the default cryptographic library.
    pub fn new(parameters: Parameters, created: Time) -> Result<Self, ParameterError> {
        Self::with(parameters, created, &Selection::default(), 0)
    }

    /// An SA with the cryptographic libraries of `selection` whose first packet has the sequence
    /// number after `used`: 0 for a new SA, what was sent before for one that is taken over.
    /// Numbers, and so nonces, must never be given twice with a key.
    pub fn with(
        parameters: Parameters,
        created: Time,
        selection: &Selection,
        used: u64,
    ) -> Result<Self, ParameterError> {
        parameters.check()?;
        let suite = parameters.suite;
        let udp = if parameters.encapsulation.is_some() { UDP_LEN } else { 0 };
        let layout = Layout {
            front: (udp + HEADER_LEN + suite.iv_len()) as u8,
            udp: udp as u8,
            icv: suite.icv_len() as u8,
            spi: parameters.spi,
            esn: parameters.esn,
            mode: parameters.mode,
            dscp: parameters.dscp,
            df: parameters.df,
            align: suite.padded_to() as u8,
            pad_to: parameters.pad_to.unwrap_or(0),
        };
        Ok(Self {
            sequence: Apart(Sequence::new(if parameters.esn { u64::MAX } else { LAST_32 }, used)),
            meter: Meter::new(parameters.soft, parameters.hard, created),
            transform: Transform::new(suite, &parameters.key, selection)?,
            outer: outer_of(&parameters),
            layout,
            tallies: Tallies::default(),
            parameters,
        })
    }

    /// What the SA was made from.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The largest IP packet, in bytes, whose ESP packet is not larger than `path_mtu`. Every
    /// smaller one fits too, TFC padding aside. In transport mode that holds for the shortest and
    /// every longer IP header, so some packets would fit that are a little larger. 0 when none
    /// fits.
    pub fn inner_mtu(&self, path_mtu: u16) -> u16 {
        let layout = self.layout;
        let (front, icv, align) = (layout.front(), layout.icv(), layout.align());
        // what fits behind `kept` bytes of headers that stay in front, of `outer` new ones
        let fits = |outer: usize, kept: usize| {
            let text = usize::from(path_mtu).saturating_sub(outer + kept + front + icv);
            let payload = (text - text % align).checked_sub(TRAILER_LEN);
            payload.map_or(0, |payload| kept + payload)
        };
        let largest = match self.layout.mode {
            Mode::Tunnel => fits(self.outer.len() - self.layout.udp(), 0),
            Mode::Transport => {
                let headers = match self.outer.version() {
                    IpVersion::V4 => (IPV4_LEN..=IPV4_LONGEST).step_by(4),
                    IpVersion::V6 => (IPV6_LEN..=IPV6_LEN + 8).step_by(8),
                };
                headers.map(|kept| fits(0, kept)).min().unwrap_or(0)
            }
        };
        largest.min(MAX_PACKET) as u16
    }

    /// Bytes that sealing adds.
    pub fn overhead(&self) -> Overhead {
        let outer = match self.layout.mode {
            Mode::Tunnel => self.outer.len() - self.layout.udp(),
            Mode::Transport => 0,
        };
        let min = outer + self.layout.front() + TRAILER_LEN + self.layout.icv();
        Overhead { min, max: min + self.layout.align() - 1 }
    }

    /// Bytes of a packet of `len` bytes once it is padded for confidentiality.
    #[inline]
    pub fn padded(&self, len: usize) -> usize {
        len.max(usize::from(self.layout.pad_to))
    }

    /// The most bytes that sealing adds behind a packet of `len` bytes: its frame needs as much
    /// tailroom.
    #[inline]
    pub fn added_behind(&self, len: usize) -> usize {
        let Layout { align, icv, .. } = self.layout;
        self.padded(len) - len + usize::from(align) - 1 + TRAILER_LEN + usize::from(icv)
    }

    /// Makes an ESP packet of the IP packet in `frame`, from its first byte on: the packet to
    /// tunnel, or the one to protect in transport mode. Its checksums must be final, and it is one
    /// packet, not a super-packet. Bytes behind its end are cut off.
    ///
    /// When it is refused the frame is as it was.
    #[inline]
    pub fn seal(&self, frame: &mut Frame, writer: usize, now: Time) -> Result<(), DropReason> {
        let sealed = self.plan(frame).and_then(|plan| self.reserve_and_write(frame, plan, now));
        self.count(sealed, writer, now)
    }

    /// Seals a burst: the sequence numbers are reserved at once. `verdict` is called once per
    /// frame, in order, with its index. A frame that is refused leaves a gap in the numbers.
    pub fn seal_batch(
        &self,
        frames: &mut [Frame],
        writer: usize,
        now: Time,
        mut verdict: impl FnMut(usize, Result<(), DropReason>),
    ) {
        if self.meter.is_over(now) {
            for i in 0..frames.len() {
                verdict(i, self.count(Err(DropReason::EspSaExpired), writer, now));
            }
            return;
        }
        let reserved = self.sequence.reserve(frames.len() as u64);
        let (mut packets, mut bytes) = (0, 0);
        for (i, frame) in frames.iter_mut().enumerate() {
            let sealed = if i as u64 >= reserved.count {
                Err(DropReason::EspSequenceExhausted)
            } else {
                let sequence = reserved.first + i as u64;
                self.plan(frame).and_then(|plan| self.write(frame, plan, sequence))
            };
            match sealed {
                Ok(size) => {
                    packets += 1;
                    bytes += size;
                }
                Err(reason) => self.tallies.dropped(&REASONS, writer, reason),
            }
            verdict(i, sealed.map(|_| ()));
        }
        self.meter.add(packets, bytes);
        self.tallies.passed(writer, packets, bytes, now);
    }

    /// Replaces what is in `frame` by a dummy packet with `length` bytes of payload, which the
    /// peer drops (next header 59, RFC 4303 §2.6).
    pub fn seal_dummy(
        &self,
        frame: &mut Frame,
        length: u16,
        writer: usize,
        now: Time,
    ) -> Result<(), DropReason> {
        match self.dummy(frame, usize::from(length), now) {
            Ok(bytes) => {
                self.meter.add(1, bytes);
                self.tallies.dummy(writer);
                Ok(())
            }
            Err(reason) => self.count(Err(reason), writer, now),
        }
    }

    /// Replaces what is in `frame` by a NAT keepalive: one byte in UDP behind the outer IP header
    /// (RFC 3948 §2.3).
    ///
    /// # Errors
    /// `esp-malformed` when the SA is not in UDP, `esp-too-big` when the frame has no room.
    pub fn keepalive(&self, frame: &mut Frame) -> Result<(), DropReason> {
        if self.layout.udp == 0 {
            return Err(DropReason::EspMalformed);
        }
        frame.offloads = Offloads::default();
        let fits = frame.set_len(KEEPALIVE.len()) && frame.push_front(self.outer.len()).is_some();
        let Some(payload) = frame.bytes_mut().get_mut(self.outer.len()..).filter(|_| fits) else {
            return Err(DropReason::EspTooBig);
        };
        payload.copy_from_slice(&KEEPALIVE);
        let tos = match self.layout.dscp {
            DscpRule::Copy => 0,
            DscpRule::Set(dscp) => dscp << 2,
        };
        self.outer
            .write(frame.bytes_mut(), OuterFields { tos, df: true, id: 0, source_port: None });
        Ok(())
    }

    /// Asks the CPU for what tells where the rest is. Whoever has packets of several SAs at hand
    /// calls it some packets ahead, and [`Outbound::prefetch_rest`] when this has come.
    #[inline]
    pub fn prefetch(&self, writer: usize) {
        let head = offset_of!(Self, transform) + aead::Key::HEAD;
        ports::prefetch_range(std::ptr::from_ref(self).cast(), head);
        ports::prefetch(std::ptr::from_ref(&self.sequence).cast());
        ports::prefetch(self.tallies.line(writer));
    }

    /// The last sequence number given.
    pub fn sequence(&self) -> u64 {
        self.sequence.used()
    }

    /// Packets and bytes that writers have passed: as [`Tally`] has them, without adding up all of it.
    pub fn served(&self, writers: Range<usize>) -> (u64, u64) {
        self.tallies.passed_by(writers)
    }

    /// When the last packet was sealed, whoever did; zero if none was. Dummies do not count.
    pub fn last(&self) -> Time {
        self.tallies.last()
    }

    /// Asks the CPU for the rest of what sealing a packet of `len` bytes will touch: the key.
    #[inline]
    pub fn prefetch_rest(&self, len: usize) {
        self.meter.prefetch();
        self.transform.prefetch(Operation::Seal, len);
    }

    /// Where in its life the SA is.
    pub fn expiry(&self, now: Time) -> Expiry {
        match self.meter.expiry(now) {
            Expiry::Hard(limit) => Expiry::Hard(limit),
            _ if self.sequence.is_exhausted() => Expiry::Hard(Limit::Sequence),
            Expiry::Live if self.sequence.is_nearly_exhausted() => Expiry::Soft(Limit::Sequence),
            rest => rest,
        }
    }

    /// What the SA is doing.
    pub fn status(&self, now: Time) -> OutboundStatus {
        let (soft_left, hard_left) = self.meter.left(now);
        let writers = self.tallies.all(&REASONS);
        OutboundStatus {
            sequence: self.sequence(),
            sequence_limit: self.sequence.limit(),
            expiry: self.expiry(now),
            soft_left,
            hard_left,
            total: Tally::sum(&writers),
            writers,
        }
    }

    #[inline]
    fn count(
        &self,
        sealed: Result<u64, DropReason>,
        writer: usize,
        now: Time,
    ) -> Result<(), DropReason> {
        match sealed {
            Ok(bytes) => {
                self.meter.add(1, bytes);
                self.tallies.passed(writer, 1, bytes, now);
                Ok(())
            }
            Err(reason) => {
                self.tallies.dropped(&REASONS, writer, reason);
                Err(reason)
            }
        }
    }

    #[inline]
    fn reserve_and_write(
        &self,
        frame: &mut Frame,
        plan: Plan,
        now: Time,
    ) -> Result<u64, DropReason> {
        if self.meter.is_over(now) {
            return Err(DropReason::EspSaExpired);
        }
        let reserved = self.sequence.reserve(1);
        if reserved.count == 0 {
            return Err(DropReason::EspSequenceExhausted);
        }
        self.write(frame, plan, reserved.first)
    }

    /// Looks at the packet and decides everything that can fail.
    #[inline]
    fn plan(&self, frame: &Frame) -> Result<Plan, DropReason> {
        debug_assert!(frame.offloads.gso.is_none(), "super-packets are cut before");
        let bytes = frame.bytes();
        let ip = headers::read(bytes)?;
        let (kept, named_at, next_header) = match self.layout.mode {
            Mode::Tunnel => match ip.version {
                IpVersion::V4 => (0, 0, IPV4_IN),
                IpVersion::V6 => (0, 0, IPV6_IN),
            },
            Mode::Transport => {
                let place = headers::upper(bytes, &ip, true)?;
                if matches!(place.protocol, IPV4_IN | IPV6_IN | NO_NEXT) {
                    return Err(DropReason::EspNextHeaderUnsupported);
                }
                (place.at, place.named_at, place.protocol)
            }
        };
        let payload = ip.len - kept;
        let tfc = usize::from(self.layout.pad_to).saturating_sub(payload);
        let tos = match self.layout.dscp {
            DscpRule::Copy => ip.tos,
            DscpRule::Set(dscp) => dscp << 2 | ip.tos & ecn::MASK,
        };
        let df = match self.layout.df {
            DfRule::Copy => ip.df,
            DfRule::Set => true,
            DfRule::Clear => false,
        };
        let fields = (tos, df);
        let ip = Some(ip);
        let plan = Plan { kept, named_at, payload, next_header, tfc, padding: 0, fields, ip };
        self.fit(frame, plan)
    }

    fn dummy(&self, frame: &mut Frame, length: usize, now: Time) -> Result<u64, DropReason> {
        let tos = match self.layout.dscp {
            DscpRule::Copy => 0,
            DscpRule::Set(dscp) => dscp << 2,
        };
        let plan = Plan {
            kept: 0,
            named_at: 0,
            payload: length,
            next_header: NO_NEXT,
            tfc: 0,
            padding: 0,
            fields: (tos, self.layout.df == DfRule::Set),
            ip: None,
        };
        let plan = self.fit(frame, plan)?;
        if self.meter.is_over(now) {
            return Err(DropReason::EspSaExpired);
        }
        frame.offloads = Offloads::default();
        if !frame.set_len(length) {
            return Err(DropReason::EspTooBig);
        }
        frame.bytes_mut().fill(0);
        self.reserve_and_write(frame, plan, now)
    }

    /// Adds the padding, and checks that the result fits a packet and the frame.
    #[inline]
    fn fit(&self, frame: &Frame, mut plan: Plan) -> Result<Plan, DropReason> {
        let layout = self.layout;
        let (front, icv, align) = (layout.front(), layout.icv(), layout.align());
        let text = plan.payload + plan.tfc + TRAILER_LEN;
        plan.padding = text.next_multiple_of(align) - text;
        let added = self.added_in_front(plan.ip.is_none());
        let behind = plan.tfc + plan.padding + TRAILER_LEN + icv;
        let total = plan.kept + added + plan.payload + behind;
        let room = frame.headroom() >= added
            && frame.len() + frame.tailroom() >= plan.kept + plan.payload + behind;
        debug_assert!(added >= front);
        if total > MAX_PACKET || !room { Err(DropReason::EspTooBig) } else { Ok(plan) }
    }

    /// Bytes that come in front of what moves into ESP. A dummy has an outer header in either mode.
    #[inline]
    fn added_in_front(&self, dummy: bool) -> usize {
        let outer = if self.layout.mode == Mode::Tunnel || dummy {
            self.outer.len() - self.layout.udp()
        } else {
            0
        };
        outer + self.layout.front()
    }

    /// Writes the packet; returns the bytes of the original one.
    #[inline]
    fn write(&self, frame: &mut Frame, plan: Plan, sequence: u64) -> Result<u64, DropReason> {
        let added = self.added_in_front(plan.ip.is_none());
        let original = plan.kept + plan.payload;
        let behind = plan.tfc + plan.padding + TRAILER_LEN + self.layout.icv();
        frame.offloads = Offloads::default();
        let grown = frame.set_len(original + behind) && frame.push_front(added).is_some();
        if !grown {
            return Err(DropReason::EspTooBig);
        }
        let packet = frame.bytes_mut();
        if plan.kept != 0 {
            packet.copy_within(added..added + plan.kept, 0);
        }
        let esp = plan.kept + added - self.layout.front() + self.layout.udp();

        let (_, tail) = packet.split_at_mut(added + original);
        let (tfc, tail) = tail.split_at_mut(plan.tfc);
        tfc.fill(0);
        let (padding, trailer) = tail.split_at_mut(plan.padding);
        padding.copy_from_slice(&PADDING[..plan.padding]);
        trailer[..TRAILER_LEN].copy_from_slice(&[plan.padding as u8, plan.next_header]);
        let header = &mut packet[esp..esp + HEADER_LEN];
        header[..4].copy_from_slice(&self.layout.spi.to_be_bytes());
        header[4..].copy_from_slice(&(sequence as u32).to_be_bytes());

        if !self.transform.seal(packet, esp, sequence, self.layout.esn) {
            return Err(DropReason::EspTooBig);
        }
        match plan.ip {
            Some(ip) if self.layout.mode == Mode::Transport => {
                self.finish_transport(packet, &ip, plan);
            }
            Some(_) | None => {
                let (tos, df) = plan.fields;
                let id = sequence as u16;
                self.outer.write(packet, OuterFields { tos, df, id, source_port: None });
            }
        }
        Ok(original as u64)
    }

    fn finish_transport(&self, packet: &mut [u8], ip: &Ip, plan: Plan) {
        let len = packet.len();
        let protocol = if self.layout.udp != 0 { proto::UDP } else { proto::ESP };
        packet[plan.named_at] = protocol;
        headers::set_len(packet, ip, len);
        if let Some(ports) = self.parameters.encapsulation {
            let udp = &mut packet[plan.kept..];
            udp[..2].copy_from_slice(&ports.source_port.to_be_bytes());
            udp[2..4].copy_from_slice(&ports.destination_port.to_be_bytes());
            outer::finish_udp(packet, ip.version, plan.kept, false);
        }
    }
}

/// The outer header of an SA's packets.
fn outer_of(parameters: &Parameters) -> Outer {
    let udp = parameters.encapsulation.map(|udp| OuterUdp {
        source_port: udp.source_port,
        destination_port: udp.destination_port,
        zero_checksum: false,
    });
    let ends = (parameters.source, parameters.destination);
    Outer::new(ends, proto::ESP, parameters.hop_limit, udp)
}

/// Says whose SA it is, and nothing of its keys.
impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}
