//! Reading pcap and pcapng.

use std::{
    fs::File,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use pcap_file::{
    DataLink, pcap,
    pcapng::{
        Block, PcapNgReader,
        blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
    },
};
use wire::Time;

use crate::PortError;

/// The block type of a pcapng section header, the same in both byte orders.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Resolution of interfaces that do not say: microseconds.
const DEFAULT_RESOLUTION: u8 = 6;

/// One packet of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, as the file says; that of the packet before where it does not.
    pub time: Time,
    /// Index of the interface; zero in pcap files.
    pub interface: u32,
    /// The bytes captured, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

/// Reads the Ethernet packets of a pcap or pcapng file in order.
pub struct PcapReader {
    path: PathBuf,
    format: Format,
    last: Time,
}

/// The first bytes, already read, and the rest.
type Input = std::io::Chain<Cursor<[u8; 4]>, File>;

enum Format {
    Pcap(pcap::PcapReader<Input>),
    PcapNg(PcapNgReader<Input>),
}

impl PcapReader {
    /// Opens a file and reads its head.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let failed = |message| PortError::File { path: path.to_owned(), message };
        let mut file = File::open(path).map_err(|e| failed(format!("cannot open it: {e}")))?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic).map_err(|e| failed(format!("cannot read its head: {e}")))?;
        let input = Cursor::new(magic).chain(file);
        let not_capture = |e| failed(format!("it is neither pcap nor pcapng ({e})"));
        let format = if magic == PCAPNG_MAGIC {
            Format::PcapNg(PcapNgReader::new(input).map_err(not_capture)?)
        } else {
            let reader = pcap::PcapReader::new(input).map_err(not_capture)?;
            if reader.header().datalink != DataLink::ETHERNET {
                return Err(failed("its link layer is not Ethernet".into()));
            }
            Format::Pcap(reader)
        };
        Ok(Self { path: path.to_owned(), format, last: Time::ZERO })
    }

    /// The next Ethernet packet; `None` at the end. An error ends the file.
    pub fn next_record(&mut self) -> Option<Result<Record, PortError>> {
        let record = match &mut self.format {
            Format::Pcap(reader) => next_pcap(reader),
            Format::PcapNg(reader) => next_pcapng(reader, self.last),
        }?;
        if let Ok(record) = &record {
            self.last = record.time;
        }
        Some(record.map_err(|message| PortError::File { path: self.path.clone(), message }))
    }

    /// The names of the interfaces read so far; empty for one without a name, and for pcap.
    pub fn interface_names(&self) -> Vec<String> {
        let Format::PcapNg(reader) = &self.format else {
            return Vec::new();
        };
        let name = |i: &InterfaceDescriptionBlock<'_>| {
            let name = i.options.iter().find_map(|option| match option {
                InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                _ => None,
            });
            name.unwrap_or_default()
        };
        reader.interfaces().iter().map(name).collect()
    }
}

fn next_pcap(reader: &mut pcap::PcapReader<Input>) -> Option<Result<Record, String>> {
    Some(reader.next_packet()?.map_err(|e| e.to_string()).map(|packet| Record {
        time: to_time(packet.timestamp),
        interface: 0,
        bytes: packet.data.into_owned(),
    }))
}

fn next_pcapng(reader: &mut PcapNgReader<Input>, last: Time) -> Option<Result<Record, String>> {
    loop {
        let (interface, raw, bytes) = match reader.next_block()? {
            Ok(Block::EnhancedPacket(packet)) => {
                (packet.interface_id, Some(packet.timestamp), packet.data.into_owned())
            }
            Ok(Block::SimplePacket(packet)) => (0, None, packet.data.into_owned()),
            Ok(_) => continue,
            Err(error) => return Some(Err(error.to_string())),
        };
        let Some(description) = reader.interfaces().get(interface as usize) else {
            return Some(Err(format!("a packet names interface {interface}, which is not there")));
        };
        if description.linktype != DataLink::ETHERNET {
            continue;
        }
        let time = raw.map_or(last, |raw| pcapng_time(raw, description));
        return Some(Ok(Record { time, interface, bytes }));
    }
}

/// The time of a packet block. The library hands out the count of units as if it were nanoseconds,
/// whatever the interface's unit is.
fn pcapng_time(raw: Duration, interface: &InterfaceDescriptionBlock<'_>) -> Time {
    let units = raw.as_nanos();
    let (mut resolution, mut offset) = (DEFAULT_RESOLUTION, 0);
    for option in &interface.options {
        match option {
            InterfaceDescriptionOption::IfTsResol(value) => resolution = *value,
            InterfaceDescriptionOption::IfTsOffset(seconds) => offset = *seconds as i64,
            _ => {}
        }
    }
    let exponent = u32::from(resolution & 0x7f);
    let nanos = if resolution & 0x80 != 0 {
        units.saturating_mul(1_000_000_000) >> exponent
    } else if exponent <= 9 {
        units.saturating_mul(10u128.pow(9 - exponent))
    } else {
        10u128.checked_pow(exponent - 9).map_or(0, |divisor| units / divisor)
    };
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    Time::from_nanos(nanos.saturating_add_signed(offset.saturating_mul(1_000_000_000)))
}

fn to_time(since_start: Duration) -> Time {
    Time::from_nanos(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX))
}
