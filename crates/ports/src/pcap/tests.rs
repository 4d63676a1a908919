use std::process;

use super::*;
use crate::{Checksum, Gso, GsoKind};

/// A file in the temporary directory that goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("lockgate-ports-{}-{name}", process::id())))
    }

    fn holding(name: &str, bytes: &[u8]) -> Self {
        let scratch = Self::new(name);
        std::fs::write(&scratch.0, bytes).expect("written");
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn records(path: &Path) -> Vec<Record> {
    let mut reader = PcapReader::open(path).expect("a capture");
    std::iter::from_fn(|| reader.next_record()).collect::<Result<_, _>>().expect("whole")
}

#[test]
fn what_is_written_is_read_again_to_the_nanosecond() {
    let file = Scratch::new("roundtrip.pcapng");
    let mut writer = PcapWriter::create(&file.0).expect("created");
    assert_eq!(writer.add_interface("lan").expect("added"), 0);
    assert_eq!(writer.add_interface("wan").expect("added"), 1);
    let times = [0, 1, 1_700_000_000_123_456_789];
    for (i, nanos) in times.into_iter().enumerate() {
        let bytes = vec![i as u8; 60 + i];
        let direction = Some(Direction::Inbound);
        let comment = (i == 1).then_some("odd length comment");
        writer
            .write_with(i as u32 % 2, Time::from_nanos(nanos), &bytes, direction, comment)
            .expect("written");
    }
    assert!(writer.write(2, Time::ZERO, &[0; 60]).is_err(), "there is no third interface");
    writer.finish().expect("flushed");

    let read = records(&file.0);
    assert_eq!(read.iter().map(|r| r.time.as_nanos()).collect::<Vec<_>>(), times);
    assert_eq!(read.iter().map(|r| r.interface).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(read[2].bytes, [2; 62]);
    let mut reader = PcapReader::open(&file.0).expect("a capture");
    while reader.next_record().is_some() {}
    assert_eq!(reader.interface_names(), ["lan", "wan"]);
}

#[test]
fn a_classic_file_is_read() {
    // Big-endian, microseconds, Ethernet; one packet at 2.000003 s.
    let mut bytes = vec![0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4];
    for word in [0u32, 0, 65535, 1, 2, 3, 4, 4] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend([9, 8, 7, 6]);
    let file = Scratch::holding("classic.pcap", &bytes);
    let read = records(&file.0);
    assert_eq!(
        read,
        [Record { time: Time::from_nanos(2_000_003_000), interface: 0, bytes: vec![9, 8, 7, 6] }]
    );
}

#[test]
fn microseconds_are_the_default_of_pcapng() {
    let block = |kind: u32, body: &[u8]| {
        let len = (12 + body.len() as u32).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    };
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let mut bytes = block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    bytes.extend(block(1, &words(&[1, 0])));
    bytes.extend(block(6, &words(&[0, 0, 5_000_001, 4, 4, 0x0102_0304])));
    let file = Scratch::holding("micro.pcapng", &bytes);
    assert_eq!(records(&file.0)[0].time, Time::from_nanos(5_000_001_000));
}

#[test]
fn a_read_port_gives_every_frame_and_goes_down() {
    let file = Scratch::new("port.pcapng");
    let mut writer = PcapWriter::create(&file.0).expect("created");
    writer.add_interface("lan").expect("added");
    for i in 0..100u8 {
        writer.write(0, Time::from_millis(u64::from(i)), &[i; 60]).expect("written");
    }
    writer.finish().expect("flushed");
    let pool = FramePool::new(128, 0);
    let mut port = PcapReadPort::open(&file.0, &pool).expect("opened");
    let mut frames = Vec::new();
    assert_eq!(port.receive(&mut frames, 1000), MAX_BURST);
    assert_eq!(port.link(), LinkState::Up);
    assert_eq!(port.receive(&mut frames, 1000), 36);
    assert_eq!(
        (port.link(), port.finished(), port.error().is_none()),
        (LinkState::Down, true, true)
    );
    assert!(frames.iter().enumerate().all(|(i, f)| f.bytes() == [i as u8; 60]));
    assert_eq!((port.counters().rx_packets, port.counters().rx_bytes), (100, 6000));
    port.send(&mut frames);
    assert_eq!((port.counters().tx_dropped, pool.in_use()), (100, 0));
}

#[test]
fn a_broken_file_is_an_error_with_its_name() {
    let missing = Scratch::new("missing.pcap");
    let text = |path: &Path| PcapReader::open(path).map(|_| ()).expect_err("refused").to_string();
    assert!(text(&missing.0).contains("missing.pcap: cannot open it"), "{}", text(&missing.0));
    let noise = Scratch::holding("noise.pcap", &[7; 64]);
    assert!(text(&noise.0).contains("neither pcap nor pcapng"), "{}", text(&noise.0));

    let file = Scratch::new("cut.pcapng");
    let mut writer = PcapWriter::create(&file.0).expect("created");
    writer.add_interface("lan").expect("added");
    writer.write(0, Time::ZERO, &[1; 60]).expect("written");
    writer.write(0, Time::ZERO, &[2; 60]).expect("written");
    writer.finish().expect("flushed");
    let bytes = std::fs::read(&file.0).expect("read");
    std::fs::write(&file.0, &bytes[..bytes.len() - 10]).expect("written");
    let pool = FramePool::new(8, 0);
    let mut port = PcapReadPort::open(&file.0, &pool).expect("its head is whole");
    let mut frames = Vec::new();
    assert_eq!(port.receive(&mut frames, 64), 1);
    assert_eq!((port.counters().rx_errors, port.finished()), (1, true));
    assert!(port.error().is_some_and(|e| e.to_string().contains("cut.pcapng")));
}

#[test]
fn write_ports_share_a_file_and_say_what_is_unfinished() {
    let writer = Arc::new(Mutex::new(PcapWriter::new(Vec::new()).expect("a vector")));
    let clock = |t| -> Clock { Box::new(move || Time::from_secs(t)) };
    let mut a = PcapWritePort::new(&writer, "lan", clock(1)).expect("added");
    let mut b = PcapWritePort::new(&writer, "wan", clock(2)).expect("added");
    a.send(&mut vec![Frame::from_vec(vec![1; 60])]);
    let mut frame = Frame::from_vec(vec![2; 3000]);
    frame.offloads.checksum = Checksum::Partial { start: 34, offset: 16 };
    frame.offloads.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1000, ecn: false });
    b.send(&mut vec![frame]);
    assert_eq!((a.counters().tx_packets, b.counters().tx_super), (1, 1));
    drop((a, b));
    let writer = Arc::into_inner(writer).expect("the last").into_inner().expect("whole");
    let bytes = writer.finish().expect("a vector");
    let words = b"TCP super-packet for 1 packets of 1000 bytes each; transport checksum unfinished";
    assert!(bytes.windows(words.len()).any(|w| w == words));
    let file = Scratch::holding("shared.pcapng", &bytes);
    let seen: Vec<_> = records(&file.0).iter().map(|r| (r.interface, r.time)).collect();
    assert_eq!(seen, [(0, Time::from_secs(1)), (1, Time::from_secs(2))]);
}
