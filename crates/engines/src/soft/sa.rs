//! SAs on the fast path, DTLS associations among them: packets that come in for one are opened and looked
//! up again, packets that go out by one are sealed.
//!
//! Opening changes the frame and moves the replay window, so a packet that was opened is never
//! handed to the slow path as it came: it is punted as the packet inside, with its tunnel's
//! interface. What an SA does not accept is dropped here, with the SA's own reason.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::VecDeque;

use offload::{EngineInterface, SaProgram};
use ports::{Checksum, Frame};
use reason::{DropReason, PuntCause};
use wire::{Headers, IpVersion, Mac, Time, Tuple, proto};

use super::{
    Tally,
    entry::{Entry, Family, Key, V4, V6},
    index::Place,
    sa_table::{SaMap, SaRef},
    table::Table,
    tap::{TapPlace, TapPoint},
    worker::{BURST, Output, Reader, Search, Served, Size, Step, push_ethernet, search},
};

/// An Ethernet header without addresses: what stands before a packet that was opened.
pub(super) const BLANK: usize = 14;

/// How many packets ahead the CPU is asked for an SA, and for the part of it whose place only the SA
/// knows: time enough for memory, and little enough for the cache nearest to the core.
const FAR: usize = 6;
const NEAR: usize = 3;

/// The SAs that the packets of a burst will come to.
pub(super) struct Coming([Option<SaRef>; BURST]);

impl Coming {
    pub(super) const fn new() -> Self {
        Self([None; BURST])
    }
}

/// What comes of packets that pass an SA, besides their frames.
#[derive(Default)]
pub(super) struct Scratch {
    /// What super-packets were cut into, in order.
    pub(super) pieces: VecDeque<Frame>,
    cut: Vec<Frame>,
}

/// The key that an incoming SA stands under in the flow table. No packet has it: none has this
/// source.
pub(super) fn spi_tuple(spi: u32, destination: IpAddr) -> Tuple {
    let src = match destination {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let (src_port, dst_port) = ((spi >> 16) as u16, spi as u16);
    Tuple { src, dst: destination, src_port, dst_port, proto: proto::ESP }
}

/// The SPI of a packet that may be ESP, plain or in UDP.
#[inline(always)]
pub(super) fn spi_of(frame: &[u8], headers: &Headers, sas: &SaMap) -> Option<u32> {
    let is_esp = match headers.tuple.proto {
        proto::ESP => true,
        proto::UDP => sas.carries_esp(headers.tuple.dst_port),
        _ => false,
    };
    if !is_esp {
        return None;
    }
    let spi = frame.get(usize::from(headers.payload)..)?.first_chunk()?;
    // zero in UDP is IKE (RFC 3948 §2.2), and no SA has it otherwise
    Some(u32::from_be_bytes(*spi)).filter(|spi| *spi != 0)
}

impl Reader {
    /// Notes the SAs that the steps will come to, as far as a look at the likely flows tells, and asks
    /// the CPU for where they are named. Of several in a row for the same SA only the first is noted.
    pub(super) fn note_sas(&self, steps: &[Step], headers: &[Headers], coming: &mut Coming) {
        let mut last = None;
        for (step, coming) in steps.iter().zip(coming.0.iter_mut()) {
            let sa = match step {
                Step::V4(s) | Step::Sa4(s) => s.guess.and_then(|g| self.sa_at(&self.v4, g)),
                Step::V6(s) | Step::Sa6(s) => s.guess.and_then(|g| self.sa_at(&self.v6, g)),
                Step::Done(_) => None,
            };
            *coming = if sa == last { None } else { sa };
            last = sa;
            if let Some(sa) = *coming {
                self.sas.1.prefetch(sa);
            }
        }
        for coming in coming.0.iter_mut().skip(steps.len()) {
            *coming = None;
        }
        for at in 0..FAR {
            self.fetch_sa(coming, at);
        }
        for at in 0..NEAR {
            self.fetch_rest(coming, headers, at);
        }
    }

    /// Asks the CPU for the SAs of packets a few steps after `at`: in good time for what stands in
    /// them, and later, when that has come, for what only they know the place of. More at a time
    /// would have to wait for each other, and drive each other out of the cache again.
    #[inline(always)]
    pub(super) fn fetch_ahead(&self, coming: &Coming, headers: &[Headers], at: usize) {
        self.fetch_sa(coming, at + FAR);
        self.fetch_rest(coming, headers, at + NEAR);
    }

    #[inline(always)]
    fn fetch_rest(&self, coming: &Coming, headers: &[Headers], at: usize) {
        if let (Some(Some(sa)), Some(headers)) = (coming.0.get(at), headers.get(at)) {
            let len = headers.ip_len() as usize;
            match self.sas.1.get(*sa) {
                Some(SaProgram::Inbound { sa, .. }) => sa.prefetch_rest(len),
                Some(SaProgram::Outbound { sa, .. }) => sa.prefetch_rest(len),
                Some(SaProgram::DtlsInbound { sa, .. }) => sa.prefetch_rest(len),
                Some(SaProgram::DtlsOutbound { sa, .. }) => sa.prefetch_rest(len),
                None => {}
            }
        }
    }

    #[inline(always)]
    fn fetch_sa(&self, coming: &Coming, at: usize) {
        if let Some(Some(sa)) = coming.0.get(at) {
            match self.sas.1.get(*sa) {
                Some(SaProgram::Inbound { sa, .. }) => sa.prefetch(self.number + 1),
                Some(SaProgram::Outbound { sa, .. }) => sa.prefetch(self.number + 1),
                Some(SaProgram::DtlsInbound { sa, .. }) => sa.prefetch(self.number + 1),
                Some(SaProgram::DtlsOutbound { sa, .. }) => sa.prefetch(self.number + 1),
                None => {}
            }
        }
    }

    #[inline(always)]
    fn sa_at<F: Family>(&self, table: &Table<F>, slot: u32) -> Option<SaRef> {
        table.glance(&self.passage, slot)?.sa()
    }

    /// Opens an ESP packet or a record of DTLS, if an SA is here for it; what is next is for the packet inside,
    /// whose headers are left in `headers`. `None` for a datagram that no association is for.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn open<F: Family>(
        &self,
        table: &Table<F>,
        headers: &mut Headers,
        key: &Search<F>,
        frame: &mut Frame,
        now: Time,
        out: &mut Output,
        tally: &mut Tally,
    ) -> Option<Step> {
        let found = table.lookup(&self.passage, key.place, key.guess, &key.key);
        let Some(entry) = found.map(|(_, entry)| entry).filter(|entry| entry.is_sa()) else {
            // only associations stand under keys that datagrams have
            let is_esp = key.key.proto() == proto::ESP;
            return is_esp.then(|| self.without_sa(headers, key, tally));
        };
        let Some(program) = entry.sa().and_then(|sa| self.sas.1.get(sa)) else {
            return Some(Step::Done(Served::Punted(PuntCause::SaMiss)));
        };
        let (interface, inner_vr, client) = match program {
            SaProgram::Inbound { interface, inner_vr, .. } => (*interface, *inner_vr, None),
            SaProgram::DtlsInbound { interface, inner_vr, client, .. } => {
                (*interface, *inner_vr, Some(client))
            }
            SaProgram::Outbound { .. } | SaProgram::DtlsOutbound { .. } => {
                return Some(Step::Done(Served::Punted(PuntCause::SaMiss)));
            }
        };
        if frame.offloads.gso.is_some() {
            return Some(Step::Done(Served::Punted(PuntCause::SuperPacketUnsupported)));
        }
        frame.truncate(headers.end as usize);
        if client.is_some()
            && let Err(cause) = record_in(frame.bytes(), headers)
        {
            return Some(Step::Done(Served::Punted(cause)));
        }
        tally.sa_hits += 1;
        let held = match &mut out.tap {
            Some(tap) => {
                let place = TapPlace::Interface(key.interface);
                tap.hold(program.name(), place, frame.bytes())
            }
            None => None,
        };
        let opened = self.open_by(program, headers, frame, now);
        if let Some(tap) = &mut out.tap {
            match opened {
                Ok(what) => {
                    let whole = matches!(what, Inside::Packet).then(|| frame.bytes());
                    tap.opened(held, interface, whole);
                }
                Err(reason) => tap.keep(held, TapPoint::Dropped(reason)),
            }
        }
        match opened {
            Ok(Inside::Packet) => {}
            Ok(Inside::Nothing) => return Some(Step::Done(Served::Taken)),
            Ok(Inside::Control(number)) => return Some(Step::Done(Served::Control(number))),
            Err(reason) => return Some(Step::Done(Served::Dropped(reason))),
        }
        tally.opened += 1;
        let parsed = wire::parse_into(frame.bytes(), headers).and_then(|()| match client {
            Some(client) if !client.has(headers.tuple.src) => Err(DropReason::RemoteSourceForeign),
            Some(_) | None => Ok(()),
        });
        if let Err(reason) = parsed {
            if let Some(tap) = &mut out.tap {
                tap.dropped(reason, TapPlace::Interface(interface), frame.bytes());
            }
            return Some(Step::Done(Served::Dropped(reason)));
        }
        let tunnel = EngineInterface {
            port: u16::MAX,
            vlan: None,
            interface,
            vr: inner_vr,
            mac: Mac::default(),
            enabled: true,
        };
        // a second ESP packet inside the first is for the slow path: it has no flow
        Some(match self.search(headers, Some(&tunnel)) {
            Step::V4(search) => Step::V4(Search { opened: true, ..search }),
            Step::V6(search) => Step::V6(Search { opened: true, ..search }),
            Step::Done(Served::Punted(cause)) => Step::Done(Served::Opened(cause, interface)),
            other => other,
        })
    }

    /// Opens in place; a packet stands behind a blank Ethernet header then.
    #[inline(always)]
    fn open_by(
        &self,
        program: &SaProgram,
        headers: &Headers,
        frame: &mut Frame,
        now: Time,
    ) -> Result<Inside, DropReason> {
        let writer = self.number + 1;
        let (version, full) = match program {
            SaProgram::Inbound { sa, .. } => {
                frame.pull_front(usize::from(headers.l3));
                frame.offloads = Default::default();
                match sa.open(frame, writer, now)? {
                    esp::Opened::Packet(version) => (version, DropReason::EspTooBig),
                    esp::Opened::Dummy => return Ok(Inside::Nothing),
                }
            }
            SaProgram::DtlsInbound { sa, number, .. } => {
                match sa.open_packet(frame, usize::from(headers.payload), writer, now)? {
                    dtls::Opened::Packet(version) => (version, DropReason::DtlsTooBig),
                    dtls::Opened::Control => return Ok(Inside::Control(*number)),
                }
            }
            SaProgram::Outbound { .. } | SaProgram::DtlsOutbound { .. } => {
                return Err(DropReason::EspMalformed);
            }
        };
        put_blank(frame, version).map(|()| Inside::Packet).ok_or(full)
    }

    /// An ESP packet that no SA here is for: datagrams may still be of an ordinary flow.
    #[cold]
    fn without_sa<F: Family>(&self, headers: &Headers, spi: &Search<F>, tally: &mut Tally) -> Step {
        tally.sa_misses += 1;
        if headers.tuple.proto != proto::UDP {
            return Step::Done(Served::Punted(PuntCause::SaMiss));
        }
        let vr = spi.key.vr();
        let plain4 = search::<V4>(&self.v4, headers, spi.interface, vr).map(Step::V4);
        let plain6 = search::<V6>(&self.v6, headers, spi.interface, vr).map(Step::V6);
        plain4.or(plain6).unwrap_or(Step::Done(Served::Punted(PuntCause::FlowMiss)))
    }

    /// Rewrites a packet and seals it with the SA of its flow. All that could send it to the slow
    /// path is looked at before anything is changed.
    #[inline]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn seal<F: Family>(
        &self,
        entry: &Entry<F>,
        headers: &Headers,
        size: Size,
        frame: &mut Frame,
        now: Time,
        out: &mut Output,
        tally: &mut Tally,
        scratch: &mut Scratch,
    ) -> Served {
        let program = entry.sa().and_then(|sa| self.sas.1.get(sa));
        let (sa, adjacency) = match program {
            Some(SaProgram::Outbound { sa, adjacency }) => (Sealer::Esp(sa), adjacency),
            Some(SaProgram::DtlsOutbound { sa, adjacency, .. }) => (Sealer::Dtls(sa), adjacency),
            Some(SaProgram::Inbound { .. } | SaProgram::DtlsInbound { .. }) | None => {
                return Served::Punted(PuntCause::SaMiss);
            }
        };
        let Some(hop) = self.shared.adjacencies.get(adjacency.0) else {
            return Served::Punted(PuntCause::AdjacencyLost);
        };
        if sa.padded(size.largest as usize) > usize::from(entry.mtu) {
            return Served::Punted(PuntCause::ExceedsMtu);
        }
        let is_whole = frame.offloads.gso.is_none();
        if is_whole && frame.tailroom() < sa.added_behind(size.largest as usize) {
            return Served::Punted(PuntCause::BufferFull);
        }
        let pool = if frame.offloads.gso.is_some() {
            match frame.pool() {
                Some(pool) => Some(std::sync::Arc::clone(pool)),
                None => return Served::Punted(PuntCause::SuperPacketUnsupported),
            }
        } else {
            None
        };
        let partial = matches!(frame.offloads.checksum, Checksum::Partial { .. });
        entry.rewrite().apply(frame.bytes_mut(), headers, true, partial);
        frame.truncate(headers.end as usize);
        let l3 = usize::from(headers.l3);
        let place = TapPlace::Interface(entry.ingress);
        let tap = &mut out.tap;
        let mut finish = |frame: &mut Frame| {
            frame.offloads = Default::default();
            frame.pull_front(l3);
            let held = match tap {
                Some(tap) => program
                    .and_then(|program| tap.hold_packet(program.name(), place, frame.bytes())),
                None => None,
            };
            let sealed = sa.seal(frame, self.number + 1, now);
            let sealed = sealed.and_then(|()| push_ethernet(frame, &hop).ok_or(sa.too_big()));
            if let Some(tap) = tap {
                tap.keep(held, sealed.err().map_or(TapPoint::Sealed, TapPoint::Dropped));
            }
            sealed
        };
        let port = ports::PortId(hop.port);
        match pool {
            None => {
                if let Err(reason) = frame.finish_checksum() {
                    if let Some(tap) = &mut out.tap {
                        tap.dropped(reason, place, frame.bytes());
                    }
                    return Served::Dropped(reason);
                }
                if let Err(reason) = finish(frame) {
                    return Served::Dropped(reason);
                }
                tally.sealed += 1;
                Served::Sent(port)
            }
            Some(pool) => {
                let cut = ports::segment(frame, headers, &pool, &mut scratch.cut);
                let result = match cut {
                    Ok(()) => scratch.cut.iter_mut().try_for_each(finish),
                    Err(reason) => {
                        if let Some(tap) = &mut out.tap {
                            tap.dropped(reason, place, frame.bytes());
                        }
                        Err(reason)
                    }
                };
                if let Err(reason) = result {
                    scratch.cut.clear();
                    return Served::Dropped(reason);
                }
                let count = scratch.cut.len() as u32;
                tally.sealed += u64::from(count);
                scratch.pieces.extend(scratch.cut.drain(..));
                Served::Cut { port, count }
            }
        }
    }
}

/// What an SA opened.
#[derive(Clone, Copy)]
enum Inside {
    /// A packet.
    Packet,
    /// A dummy.
    Nothing,
    /// Something for the owner of an association.
    Control(u32),
}

/// What seals a flow's packets.
#[derive(Clone, Copy)]
enum Sealer<'a> {
    Esp(&'a esp::Outbound),
    Dtls(&'a dtls::Outbound),
}

impl Sealer<'_> {
    #[inline(always)]
    fn padded(self, len: usize) -> usize {
        match self {
            Self::Esp(sa) => sa.padded(len),
            Self::Dtls(_) => len,
        }
    }

    #[inline(always)]
    fn added_behind(self, len: usize) -> usize {
        match self {
            Self::Esp(sa) => sa.added_behind(len),
            Self::Dtls(_) => aead::TAG_LEN,
        }
    }

    #[inline(always)]
    fn seal(self, frame: &mut Frame, writer: usize, now: Time) -> Result<(), DropReason> {
        match self {
            Self::Esp(sa) => sa.seal(frame, writer, now),
            Self::Dtls(sa) => sa.seal_packet(frame, writer, now),
        }
    }

    const fn too_big(self) -> DropReason {
        match self {
            Self::Esp(_) => DropReason::EspTooBig,
            Self::Dtls(_) => DropReason::DtlsTooBig,
        }
    }
}

/// Whether a datagram is one record that may carry a packet; otherwise it is the slow path's, untouched.
#[inline(always)]
fn record_in(frame: &[u8], headers: &Headers) -> Result<(), PuntCause> {
    let datagram = frame.get(usize::from(headers.payload)..).unwrap_or_default();
    match dtls::record::check(datagram) {
        Ok(_) => Ok(()),
        Err(exception) => Err(match exception {
            dtls::Exception::Content => PuntCause::DtlsContent,
            dtls::Exception::Epoch => PuntCause::DtlsEpoch,
            dtls::Exception::ClientHello => PuntCause::DtlsClientHello,
            dtls::Exception::Version => PuntCause::DtlsVersion,
            dtls::Exception::Short => PuntCause::DtlsShort,
            dtls::Exception::Several => PuntCause::DtlsSeveral,
        }),
    }
}

/// Puts a blank Ethernet header before an IP packet.
#[inline(always)]
fn put_blank(frame: &mut Frame, version: IpVersion) -> Option<()> {
    frame.push_front(BLANK)?.get_mut(..BLANK)?.copy_from_slice(&blank(version));
    Some(())
}

/// A blank Ethernet header before an IP packet.
#[inline(always)]
pub(super) fn blank(version: IpVersion) -> [u8; BLANK] {
    let mut header = [0; BLANK];
    let ethertype: u16 = match version {
        IpVersion::V4 => 0x0800,
        IpVersion::V6 => 0x86dd,
    };
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    header
}

/// Where the key of an incoming SA may stand.
#[inline(always)]
pub(super) fn search_spi<F: Family>(
    table: &Table<F>,
    spi: u32,
    headers: &Headers,
    interface: &EngineInterface,
) -> Option<Search<F>> {
    let key = Key::new(&spi_tuple(spi, headers.tuple.dst), interface.vr)?;
    let place: Place = table.place(&key);
    Some(Search { key, place, guess: None, interface: interface.interface, opened: false })
}
