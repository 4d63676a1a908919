//! Writing pcapng (draft-ietf-opsawg-pcapng): interface blocks with names, nanosecond times,
//! directions and comments.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use pcap_file::{
    DataLink, PcapError,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};
use wire::Time;

use crate::{Checksum, Frame, GsoKind, PortError};

/// Times count in units of 10^-9 seconds (if_tsresol).
const NANOSECONDS: u8 = 9;
/// No packet is longer; nothing is cut.
const SNAP_LEN: u32 = 262_144;

/// Which way a packet went, seen from the one who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    Inbound,
    /// Sent.
    Outbound,
}

/// What packets of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IPv4 or IPv6 header.
    Ip,
}

/// A packet as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Interface it was seen on.
    pub interface: u32,
    /// When.
    pub time: Time,
    /// The packet, or the front part of it.
    pub bytes: &'a [u8],
    /// Bytes of the whole packet.
    pub original_len: u32,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// What there is to say.
    pub comment: Option<&'a str>,
}

/// Writes a pcapng file.
pub struct PcapWriter<W: Write> {
    inner: PcapNgWriter<W>,
}

impl PcapWriter<BufWriter<File>> {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> Result<Self, PortError> {
        File::create(path).map(BufWriter::new).and_then(Self::new).map_err(|error| {
            PortError::File { path: path.to_owned(), message: format!("cannot create it: {error}") }
        })
    }
}

impl<W: Write> PcapWriter<W> {
    /// Starts a file in `out`.
    pub fn new(out: W) -> io::Result<Self> {
        Ok(Self { inner: PcapNgWriter::new(out).map_err(to_io)? })
    }

    /// Adds an Ethernet interface; returns its index, counted from zero.
    pub fn add_interface(&mut self, name: &str) -> io::Result<u32> {
        self.add_interface_as(name, LinkType::Ethernet)
    }

    /// Adds an interface; returns its index, counted from zero.
    pub fn add_interface_as(&mut self, name: &str, link: LinkType) -> io::Result<u32> {
        let index = self.inner.interfaces().len() as u32;
        let block = InterfaceDescriptionBlock {
            linktype: match link {
                LinkType::Ethernet => DataLink::ETHERNET,
                LinkType::Ip => DataLink::RAW,
            },
            snaplen: SNAP_LEN,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        self.inner.write_pcapng_block(block).map_err(to_io)?;
        Ok(index)
    }

    /// Writes a packet seen on an interface.
    pub fn write(&mut self, interface: u32, time: Time, bytes: &[u8]) -> io::Result<()> {
        self.write_with(interface, time, bytes, None, None)
    }

    /// Writes a packet with its direction and a comment.
    pub fn write_with(
        &mut self,
        interface: u32,
        time: Time,
        bytes: &[u8],
        direction: Option<Direction>,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let original_len = bytes.len() as u32;
        self.write_packet(&Packet { interface, time, bytes, original_len, direction, comment })
    }

    /// Writes a packet, or the front part of it.
    pub fn write_packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut options = Vec::new();
        options.extend(packet.comment.map(|c| EnhancedPacketOption::Comment(Cow::Borrowed(c))));
        options.extend(packet.direction.map(|d| {
            EnhancedPacketOption::Flags(match d {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
            })
        }));
        let block = EnhancedPacketBlock {
            interface_id: packet.interface,
            timestamp: Duration::from_nanos(packet.time.as_nanos()),
            original_len: packet.original_len,
            data: Cow::Borrowed(packet.bytes),
            options,
        };
        self.inner.write_pcapng_block(block).map_err(to_io).map(|_| ())
    }

    /// Writes a frame, with a comment on what is unfinished about it.
    pub fn write_frame(
        &mut self,
        interface: u32,
        time: Time,
        direction: Direction,
        frame: &Frame,
    ) -> io::Result<()> {
        let comment = unfinished(frame);
        self.write_with(interface, time, frame.bytes(), Some(direction), comment.as_deref())
    }

    /// Hands buffered bytes on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.inner.get_mut().flush()
    }

    /// Ends the file and returns what it was written to.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.inner.into_inner();
        out.flush()?;
        Ok(out)
    }
}

/// What is unfinished about a frame, in words: its checksum, its segmentation.
pub fn unfinished(frame: &Frame) -> Option<String> {
    let partial = matches!(frame.offloads.checksum, Checksum::Partial { .. });
    let checksum = if partial { "; transport checksum unfinished" } else { "" };
    match frame.offloads.gso {
        Some(gso) => {
            let kind = match gso.kind {
                GsoKind::Tcp4 | GsoKind::Tcp6 => "TCP",
                GsoKind::Udp => "UDP",
            };
            Some(format!(
                "{kind} super-packet for {} packets of {} bytes each{checksum}",
                frame.on_wire().packets,
                gso.size
            ))
        }
        None => partial.then(|| "transport checksum unfinished".into()),
    }
}

fn to_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        PcapError::IncompleteBuffer
        | PcapError::InvalidField(_)
        | PcapError::Utf8Error(_)
        | PcapError::FromUtf8Error(_)
        | PcapError::InvalidInterfaceId(_) => {
            io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
        }
    }
}
