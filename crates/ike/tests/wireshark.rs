//! Against a program nobody here wrote: tshark decrypts and checks what we seal.
//!
//! Needs the Debian package tshark; without it the test fails and says so.

use std::{env, fs, path::Path, process::Command, time::Duration};

use lockgate_ike::{
    algorithm::{Encryption, Integrity, Prf},
    crypto::{IkeKeys, Nonce, Nonces, Role, Secret, SharedSecret, Spis, Suite, wireshark_row},
};
use pcap_file::{
    DataLink,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
};

const TSHARK: &str = "/usr/bin/tshark";

/// Every suite Wireshark can be told of.
fn suites() -> Vec<Suite> {
    let combined = [Encryption::Aes128Gcm16, Encryption::Aes256Gcm16].map(|e| (e, None));
    let composed = [
        (Encryption::Aes128Cbc, Integrity::HmacSha1),
        (Encryption::Aes128Cbc, Integrity::HmacSha256),
        (Encryption::Aes256Cbc, Integrity::HmacSha384),
        (Encryption::Aes256Cbc, Integrity::HmacSha512),
    ]
    .map(|(e, i)| (e, Some(i)));
    let suite = |(e, i)| Suite::new(e, i, Prf::HmacSha256).expect("they fit");
    combined.into_iter().chain(composed).map(suite).collect()
}

/// An INFORMATIONAL request of `role` with a vendor ID inside, in UDP and IPv4.
fn packet(keys: &IkeKeys, spis: Spis, role: Role, text: &[u8]) -> Vec<u8> {
    let inner = [&[0, 0], &(4 + text.len() as u16).to_be_bytes()[..], text].concat();
    let sk = 4 + keys.suite().sealed_len(inner.len());
    let total = 28 + sk;
    let mut message = [spis.initiator.to_be_bytes(), spis.responder.to_be_bytes()].concat();
    let flags = if role == Role::Initiator { 0x08 } else { 0 };
    message.extend([46, 0x20, 37, flags, 0, 0, 0, 7]);
    message.extend((total as u32).to_be_bytes());
    message.extend([43, 0]);
    message.extend((sk as u16).to_be_bytes());
    let body = message.len();
    message.extend(inner);
    keys.sealer(role).seal(&mut message, body).expect("it can");
    assert_eq!(message.len(), total);
    let udp = (8 + total) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend([500u16, 500, udp, 0].iter().flat_map(|word| word.to_be_bytes()));
    packet.extend(message);
    packet
}

#[test]
fn tshark_decrypts_and_checks_what_we_seal() {
    assert!(Path::new(TSHARK).exists(), "{TSHARK} is missing: install the Debian package tshark");
    let folder = env::temp_dir().join(format!("lockgate-ike-wireshark-{}", std::process::id()));
    let tables = folder.join("wireshark");
    fs::create_dir_all(&tables).expect("a folder");
    let capture = folder.join("ike.pcap");
    let file = fs::File::create(&capture).expect("a file");
    let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(file, header).expect("a capture");
    let (mut rows, mut texts) = (String::new(), vec![]);
    for (i, suite) in suites().into_iter().enumerate() {
        let nonce = |n: u8| Nonce::from_peer(&[n + i as u8; 32]).expect("a nonce");
        let (initiator, responder) = (nonce(1), nonce(101));
        let nonces = Nonces { initiator: &initiator, responder: &responder };
        let spis = Spis { initiator: 0xaa00 + i as u64, responder: 0xbb00 + i as u64 };
        let secret = SharedSecret(Secret::from_bytes(&[i as u8; 32]));
        let keys = IkeKeys::initial(suite, &secret, nonces, spis);
        rows.push_str(&wireshark_row(&keys, spis).expect("it knows the suite"));
        rows.push('\n');
        for role in [Role::Initiator, Role::Responder] {
            let text = format!("suite {i} of the {role:?}");
            let data = packet(&keys, spis, role, text.as_bytes());
            let packet = PcapPacket::new(Duration::ZERO, data.len() as u32, &data);
            writer.write_packet(&packet).expect("it can be written");
            texts.push(text.bytes().map(|b| format!("{b:02x}")).collect::<String>());
        }
    }
    drop(writer);
    fs::write(tables.join("ikev2_decryption_table"), rows).expect("a file");
    let output = Command::new(TSHARK)
        .env("XDG_CONFIG_HOME", &folder)
        .args(["-r", capture.to_str().expect("UTF-8"), "-V"])
        .output()
        .expect("tshark runs");
    let seen = String::from_utf8_lossy(&output.stdout);
    for text in &texts {
        assert!(seen.contains(text), "{text} is not in\n{seen}");
    }
    let right = seen.matches("[correct]").count();
    assert_eq!(right, texts.len(), "check values\n{seen}");
    fs::remove_dir_all(&folder).expect("it was there");
}
