//! Published ESP packets: draft-mcgrew-gcm-test-01 (AES-GCM and AES-GMAC) and RFC 7634 appendix A.
//!
//! The draft's next header is 1 throughout, so its packets are opened in transport mode, where
//! they come out as what is behind an IPv4 header. Its vector with a key of 192 bits is left out:
//! no such suite exists here.

mod common;

use common::*;
use lockgate_esp::{Inbound, KeyMaterial, Mode, Opened, Parameters, Suite};
use ports::Frame;
use wire::{IpVersion, Time, checksum::Sum};

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let byte = |i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// An IPv4 header in front of an ESP packet.
fn carry(esp: &[u8]) -> Vec<u8> {
    let len = (20 + esp.len() as u16).to_be_bytes();
    let mut p = vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, 50, 0, 0];
    p.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    let sum = Sum::ZERO.bytes(&p).finish().to_be_bytes();
    p[10..12].copy_from_slice(&sum);
    p.extend(esp);
    p
}

struct Vector {
    key: &'static str,
    salt: &'static str,
    /// The whole sequence number; `None` without ESN.
    sequence: Option<u64>,
    plain: &'static str,
    packet: &'static str,
}

const GCM: &[Vector] = &[
    Vector {
        key: "4c80cdefbb5d10da906ac73c3613a634",
        salt: "2e443b68",
        sequence: Some(0x8765_4321_0000_0000),
        plain: "45000048699a000080114db7c0a80102c0a801010a9bf15638d30100000100000000000004\
                5f736970045f756470037369700963796265726369747902646b000021000101020201",
        packet: "00004321000000004956ed7e3b244cfefecf537e729d5b07dc30df528dd22b768d1b987366\
                 96a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247ae\
                 abb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4",
    },
    Vector {
        key: "feffe9928665731c6d6a8f9467308308",
        salt: "cafebabe",
        sequence: None,
        plain: "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000\
                000000037369700963796265726369747902646b00000100010001",
        packet: "0000a5f80000000afacedbaddecaf888deb22cd9b07c72c16e3a65beeb8df304a5a5897d33\
                 ae530f1ba76d5d114d2a5c3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b\
                 9ba95d918bd183b70d3aa8bc6ee4c309e9d85a41ad4a",
    },
    Vector {
        key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        salt: "11223344",
        sequence: None,
        plain: "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020\
                bf0000020405b40101040201020201",
        packet: "4a2cbfe3000000020102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b\
                 0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8eb335f4eecfdb\
                 f831824b4c4915956c96",
    },
    Vector {
        key: "00000000000000000000000000000000",
        salt: "00000000",
        sequence: None,
        plain: "4500003c99c500008001cb7a40679318010101010800075c02004400616263646566676869\
                6a6b6c6d6e6f707172737475767761626364656667686901020201",
        packet: "000000000000000100000000000000004688daf2f973a392732909c331d56d60f694abaa41\
                 4b5e7ff5fdcdfff5e9a284456476492719ffb64de7d9dca1e1d894bc3bd57873ed4d181d19\
                 d4d5c8c18af3f821d496eeb096e98ad2b69e4799c71d",
    },
    Vector {
        key: "3de09874b388e6491988d0c3607eae1f",
        salt: "57690e43",
        sequence: Some(0x1010_1010_1010_1010),
        plain: "4500003c99c300008001cb7c40679318010101010800085c02004300616263646566676869\
                6a6b6c6d6e6f707172737475767761626364656667686901020201",
        packet: "42f67e3f101010104e280000a2fca1a3fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf\
                 1a04b00d1138ec9c35791765acbd8701ad79845bf9fe3fba487bc91755e6662b4c8d0d1f5e\
                 22739530320ae0d731cc978ecafaeae88f00e80d6e48",
    },
    Vector {
        key: "3de09874b388e6491988d0c3607eae1f",
        salt: "57690e43",
        sequence: Some(0x1010_1010_1010_1010),
        plain: "4500001c42a200008001441f406793b6e00000020a00f5ff01020201",
        packet: "42f67e3f101010104e280000a2fca1a3fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd\
                 1af9130e1379ed369f071f35e034be95f112e4e7d05d35",
    },
    Vector {
        key: "abbccddef00112233445566778899aab",
        salt: "decaf888",
        sequence: Some(1),
        plain: "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e2000\
                1e8c18d75b81dc91baa0476b91b924b280389d92c963bac046ec959b6266c04722b1492301\
                0101",
        packet: "0000010000000001cafedebaceface7418a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d9\
                 5412e1c349c1d2fbec168f9190feebaf2cb01984e65863965d7472b79da345e0e780191f0d\
                 2f0e0f496c226f2127b27db35724e7845d68651f57e65f354f75ff17015769623436",
    },
    Vector {
        key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        salt: "73616c74",
        sequence: Some(0x156f_3126_dd0d_b99b),
        plain: "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d\
                540001",
        packet: "17405e67dd0db99b616e640169766563f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98\
                 ef67549d524a3018d9a57ff4d3a31ce673119e451626c2415771e3b7eebca614c89b35",
    },
    Vector {
        key: "3de09874b388e6491988d0c3607eae1f",
        salt: "57690e43",
        sequence: Some(0x1010_1010_1010_1010),
        plain: "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e000\
                1e8c18d65759d52284a0352c71475c8880391c764d6e5ee0496b325ae270c0389949391501\
                0101",
        packet: "42f67e3f101010104e280000a2fca1a3fba2cad12fc1f9f00d3cebf305410db83d7784b607\
                 323d220f24b0a97d54182800cadb0f68d99ef0e0c0c89ae9bea8884e52d65bc1afd0740f74\
                 2444747b5b39ab533163aad4550ee5160975cdb608c5769189609763b8e18caa81e2",
    },
    Vector {
        key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        salt: "73616c74",
        sequence: Some(0x156f_3126_dd0d_b99b),
        plain: "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e\
                6f6c6f67696573017468617477696c6c01646566696e65746f6d6f72726f7701020201",
        packet: "17405e67dd0db99b616e640169766563d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb\
                 56831226508bebd2dceb18d0a6df10e5487df074113e14c641024e3e6773d91a62ee429b04\
                 3a10e3efe6b012a49363412364f8c0cac587f249e56b11e24f30e44ccc76",
    },
    Vector {
        key: "7d773d00c144c525ac619d18c84a3f47",
        salt: "d9664267",
        sequence: None,
        plain: "01020201",
        packet: "335467aeffffffff43457e9182443bc6437f866bcb3f699fe9b0822bac961c4504bef270",
    },
    Vector {
        key: "abbccddef00112233445566778899aab",
        salt: "decaf888",
        sequence: Some(1),
        plain: "746f016265016f72016e6f7401746f0162650001",
        packet: "0000010000000001cafedebaceface7429c9fc69a197d038ccdd14e2ddfcaa054333216441\
                 2503524303ed3c6c5f283843af8c3e",
    },
    Vector {
        key: "6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961",
        salt: "7475726e",
        sequence: Some(u64::MAX),
        plain: "45000030da3a00008001df3bc0a80005c0a800010800c6cd02000700616263646566676869\
                6a6b6c6d6e6f707172737401020201",
        packet: "796b6963ffffffff333021696765746df97ab2aa356d8edce17644ac8c78e25dd24dedbb29\
                 ebf1b64a274b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc63b9d0937ba2945f\
                 669368661a329fb4c053",
    },
];

/// The draft's packet for AES-GMAC.
const GMAC: Vector = Vector {
    key: "4c80cdefbb5d10da906ac73c3613a634",
    salt: "22433c64",
    sequence: None,
    plain: "45000030da3a00008001df3bc0a80005c0a800010800c6cd02000700616263646566676869\
            6a6b6c6d6e6f707172737401020201",
    packet: "0000432100000007000000000000000045000030da3a00008001df3bc0a80005c0a8000108\
             00c6cd020007006162636465666768696a6b6c6d6e6f707172737401020201f2a9a836e155\
             106aa8dcd618e4099aaa",
};

const CHACHA: Vector = Vector {
    key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    salt: "a0a1a2a3",
    sequence: None,
    plain: "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708\
            090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d\
            2e2f303132333435363701020204",
    packet: "01020304000000051011121314151617240394 28b97f417e3c13753a4f05087b67c352e6a7\
             fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe\
             2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0\
             f7b11b369907e1ad43",
};

fn inbound(vector: &Vector, suite: &str, mode: Mode) -> Inbound {
    let mut p = Parameters { mode, ..parameters(suite.parse().expect("a suite")) };
    p.key = KeyMaterial::from_parts(&hex(vector.key), &hex(vector.salt));
    p.esn = vector.sequence.is_some();
    let seen = vector.sequence.map_or(0, |sequence| sequence - 1);
    Inbound::with(p, Time::ZERO, &aead::Selection::default(), seen).expect("right parameters")
}

fn opens_in_transport_mode(vector: &Vector, suite: &str) {
    let sa = inbound(vector, suite, Mode::Transport);
    let mut frame = Frame::from_vec(carry(&hex(vector.packet)));
    let opened = sa.open(&mut frame, 0, NOW);
    assert_eq!(opened, Ok(Opened::Packet(IpVersion::V4)), "{}", vector.packet);
    let plain = hex(vector.plain);
    let (text, trailer) = plain.split_at(plain.len() - 2);
    assert_eq!(&frame.bytes()[20..], &text[..text.len() - usize::from(trailer[0])]);
    assert_eq!(frame.bytes()[9], trailer[1]);
    if let Some(sequence) = vector.sequence {
        assert_eq!(sa.status(NOW).sequence, sequence);
    }
}

#[test]
fn draft_mcgrew_gcm_test_01() {
    for vector in GCM {
        let suite = if vector.key.len() == 32 { "aes128gcm16" } else { "aes256gcm16" };
        opens_in_transport_mode(vector, suite);
    }
    opens_in_transport_mode(&GMAC, "aes128gmac");
}

#[test]
fn rfc_7634_appendix_a() {
    let sa = inbound(&CHACHA, "chacha20poly1305", Mode::Tunnel);
    let mut frame = Frame::from_vec(carry(&hex(CHACHA.packet)));
    assert_eq!(sa.open(&mut frame, 0, NOW), Ok(Opened::Packet(IpVersion::V4)));
    let plain = hex(CHACHA.plain);
    assert_eq!(frame.bytes(), &plain[..plain.len() - 4]);
}

#[test]
fn every_suite_has_another_key_schedule() {
    // the same packet and key bytes must not give the same ciphertext under two ciphers
    let sealed = Suite::ALL.map(|suite| {
        let frame = seal(&pair(&parameters(suite)).0, &udp4(64, 0));
        frame.bytes()[28..].to_vec()
    });
    for (i, a) in sealed.iter().enumerate() {
        assert!(sealed[..i].iter().all(|b| a != b), "{}", Suite::ALL[i]);
    }
}
