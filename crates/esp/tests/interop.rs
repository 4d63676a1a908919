//! Against programs nobody here wrote: tshark decrypts and checks what we seal; scapy opens what
//! we seal, and we open what scapy seals.
//!
//! Needs the Debian packages tshark, python3-scapy and python3-cryptography; without them the
//! tests fail and say so. tshark of Debian 12 does not know ChaCha20-Poly1305, and no version
//! knows AES-GMAC or extended sequence numbers by its key table; scapy's side covers the first,
//! and `interop.py` the rest from primitives.

mod common;

use std::{
    env, fs,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::*;
use lockgate_esp::{Inbound, Mode, Opened, Outbound, Parameters, Suite, wireshark_row};
use pcap_file::{
    DataLink,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
};
use ports::Frame;
use wire::Time;

const PYTHON: &str = "/usr/bin/python3";
const TSHARK: &str = "/usr/bin/tshark";

/// Tells which package is missing instead of passing in silence.
fn need(program: &str, package: &str) {
    assert!(
        Path::new(program).exists(),
        "{program} is missing: install the Debian package {package}"
    );
}

/// In transport mode packets keep their addresses, so the SA has those of the packet.
fn with_addresses_of_packet(mut p: Parameters) -> Parameters {
    if p.mode == Mode::Transport {
        (p.source, p.destination) = match p.source {
            IpAddr::V4(_) => (ip("10.0.0.1"), ip("10.0.0.2")),
            IpAddr::V6(_) => (ip("2001:db8:a::1"), ip("2001:db8:b::2")),
        };
    }
    p
}

/// A job for `interop.py`.
fn job(verb: &str, p: &Parameters, sequence: u64, packet: &[u8]) -> String {
    let mode = match p.mode {
        Mode::Tunnel => "tunnel",
        Mode::Transport => "transport",
    };
    format!(
        "{verb} {} {} {} {sequence} {} {mode} {} {} {} {}\n",
        p.suite,
        *p.key.expose_hex(),
        p.spi,
        u8::from(p.esn),
        p.source,
        p.destination,
        p.encapsulation.map_or(0, |e| e.destination_port),
        hex(packet),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Answers of `interop.py`, one per job.
fn scapy(jobs: &[String]) -> Vec<Vec<u8>> {
    need(PYTHON, "python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop.py");
    let mut child = Command::new(PYTHON)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = jobs.concat();
    let feed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("python3 ends");
    let written = feed.join().expect("no panic");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && written.is_ok(), "interop.py failed: {complaint}");
    let answers = String::from_utf8(output.stdout).expect("text");
    let answers: Vec<Vec<u8>> = answers.lines().map(unhex).collect();
    assert_eq!(answers.len(), jobs.len(), "{complaint}");
    answers
}

/// Shapes `interop.py` can do: see there.
fn shapes() -> Vec<(Parameters, u64)> {
    let by_hand = |p: &Parameters| {
        p.suite.name().ends_with("gmac") || (p.esn && p.suite.name().contains('-'))
    };
    every_shape()
        .filter(|p| !by_hand(p) || (p.mode == Mode::Tunnel && p.encapsulation.is_none()))
        .map(with_addresses_of_packet)
        .map(|p| {
            let used = if p.esn { (5 << 32) - 2 } else { 40 };
            (p, used)
        })
        .collect()
}

#[test]
fn scapy_opens_what_we_seal() {
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for (p, used) in shapes() {
        let out = Outbound::with(p.clone(), Time::ZERO, &aead::Selection::default(), used);
        let out = out.expect("right parameters");
        for (i, payload) in [0, 5, 33, 1300].into_iter().enumerate() {
            let packet = packet_for(&p, payload);
            let frame = seal(&out, &packet);
            jobs.push(job("open", &p, used + 1 + i as u64, frame.bytes()));
            expected.push((packet, p.clone()));
        }
    }
    for (opened, (packet, p)) in scapy(&jobs).iter().zip(&expected) {
        assert_eq!(hex(opened), hex(packet), "{p:?}");
    }
}

#[test]
fn we_open_what_scapy_seals() {
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for (p, used) in shapes() {
        for (i, payload) in [0, 5, 33, 1300].into_iter().enumerate() {
            let packet = packet_for(&p, payload);
            jobs.push(job("seal", &p, used + 1 + i as u64, &packet));
            expected.push((packet, p.clone(), used));
        }
    }
    for (sealed, (packet, p, used)) in scapy(&jobs).into_iter().zip(expected) {
        let selection = aead::Selection::default();
        let inside = Inbound::with(p.clone(), Time::ZERO, &selection, used).expect("right");
        let mut frame = Frame::from_vec(sealed);
        let opened = inside.open(&mut frame, 0, NOW);
        assert!(matches!(opened, Ok(Opened::Packet(_))), "{opened:?} {p:?}");
        assert_eq!(hex(frame.bytes()), hex(&packet), "{p:?}");
    }
}

/// A directory of its own that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("wireshark")).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn tshark_decrypts_and_finds_every_icv_good() {
    need(TSHARK, "tshark");
    let scratch = Scratch::new("tshark");
    let capture = scratch.0.join("esp.pcap");
    let file = fs::File::create(&capture).expect("a file");
    let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(file, header).expect("a capture");
    let (mut table, mut expected) = (String::new(), Vec::new());
    let known = |p: &Parameters| !p.esn && p.suite != Suite::CHACHA20_POLY1305;
    for (i, p) in every_shape().filter(known).enumerate() {
        let p = with_addresses_of_packet(Parameters { spi: 0x1000 + i as u32, ..p });
        let Some(row) = wireshark_row(&p) else {
            continue;
        };
        table.push_str(&row);
        table.push('\n');
        let out = pair(&p).0;
        for payload in [1, 16, 1000] {
            let packet = packet_for(&p, payload);
            let frame = seal(&out, &packet);
            let time = std::time::Duration::from_secs(expected.len() as u64);
            let packet_len = frame.len() as u32;
            let record = PcapPacket::new(time, packet_len, frame.bytes());
            writer.write_packet(&record).expect("written");
            let data = &packet[packet.len() - payload..];
            // good, not bad, and the payload
            expected.push((format!("1\t0\t{}", hex(data)), p.clone()));
        }
    }
    drop(writer);
    assert!(expected.len() > 100);
    fs::write(scratch.0.join("wireshark/esp_sa"), table).expect("written");
    let output = Command::new(TSHARK)
        .env("XDG_CONFIG_HOME", &scratch.0)
        .env("HOME", &scratch.0)
        .arg("-r")
        .arg(&capture)
        .args(["-o", "esp.enable_encryption_decode:TRUE"])
        .args(["-o", "esp.enable_authentication_check:TRUE"])
        .args(["-T", "fields", "-e", "esp.icv_good", "-e", "esp.icv_bad", "-e", "data.data"])
        .output()
        .expect("tshark starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let lines = String::from_utf8(output.stdout).expect("text");
    assert_eq!(lines.lines().count(), expected.len(), "{complaint}");
    for (line, (expected, p)) in lines.lines().zip(&expected) {
        assert_eq!(line, expected, "{p:?} {complaint}");
    }
}
