use super::*;

/// Commands for two servers, with the words of the trace broken as web pages do it.
const TWO_SERVERS: &str = include_str!("tests/two-servers.txt");

fn taken(text: &str, locals: &[&str]) -> Imported {
    let locals: Vec<IpAddr> = locals.iter().map(|ip| ip.parse().expect("an address")).collect();
    let made = import("text", text, &locals).unwrap_or_else(|list| {
        panic!("{}", list.iter().map(|fault| fault.render(false)).collect::<String>())
    });
    config::parse("made", &made.toml).unwrap_or_else(|e| panic!("{}\n{e}", *made.toml));
    made
}

fn faults(text: &str) -> String {
    let list = import("text", text, &[]).expect_err("cannot be taken");
    list.iter().map(|fault| fault.render(false)).collect()
}

fn shown_with_notes(made: &Imported) -> String {
    let notes: String = made.notes.iter().map(|note| format!("note: {note}\n")).collect();
    format!("{notes}\n{}", *made.toml)
}

/// A state of this direction, with a key of its own; `more` is what differs.
fn sa(out: bool, more: &str) -> String {
    let more = more.replace("0x5a5b", if out { "0x5a5b" } else { "0xa55b" });
    let (src, dst, spi) =
        if out { ("192.0.2.1", "192.0.2.2", 0x1001) } else { ("192.0.2.2", "192.0.2.1", 0x2001) };
    format!("ip xfrm state add src {src} dst {dst} proto esp spi {spi:#x} {more}\n")
}

fn hex(bytes: usize) -> String {
    (0..bytes).fold("0x".to_owned(), |text, i| format!("{text}{:02x}", i as u8 ^ 0x5a))
}

fn gcm() -> String {
    format!("aead 'rfc4106(gcm(aes))' {} 128", hex(36))
}

/// Both SAs with the same `more`, and which of them goes out.
fn both(more: &str) -> String {
    sa(true, &format!("{more} dir out")) + &sa(false, &format!("{more} dir in"))
}

#[test]
fn the_first_of_two_servers() {
    let second = TWO_SERVERS.find("Second server").expect("both");
    insta::assert_snapshot!(shown_with_notes(&taken(&TWO_SERVERS[..second], &[])));
}

#[test]
fn the_second_of_two_servers() {
    let second = TWO_SERVERS.find("Second server").expect("both");
    insta::assert_snapshot!(shown_with_notes(&taken(&TWO_SERVERS[second..], &[])));
}

#[test]
fn both_servers_in_one_text_need_to_be_told_apart() {
    let fault = faults(TWO_SERVERS);
    assert!(fault.contains("no-direction") && fault.contains("--local 192.168.1.64"), "{fault}");
    let tables = |made: &Imported| {
        let lines = made.toml.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let second = TWO_SERVERS.find("Second server").expect("both");
    let parts = [&TWO_SERVERS[..second], &TWO_SERVERS[second..]];
    for (part, local) in parts.into_iter().zip(["192.168.1.64", "192.168.1.65"]) {
        let whole = taken(TWO_SERVERS, &[local]);
        assert_eq!(tables(&whole), tables(&taken(part, &[])), "{local}");
        assert!(whole.notes.iter().any(|note| note.contains("as the far end has it")));
    }
}

#[test]
fn what_ip_xfrm_prints() {
    let text = format!(
        "\
src 192.0.2.1 dst 192.0.2.2
\tproto esp spi 0x00001001 reqid 1 mode tunnel
\treplay-window 0 flag nopmtudisc af-unspec
\tauth-trunc hmac(sha256) {auth} 128
\tenc cbc(aes) {enc}
\tencap type espinudp sport 4500 dport 4501 addr 0.0.0.0
\tlastused 2026-01-02 03:04:05
\tanti-replay context: seq 0x0, oseq 0x7, bitmap 0x00000000
\tsel src 0.0.0.0/0 dst 0.0.0.0/0
\tdir out
src 192.0.2.2 dst 192.0.2.1
\tproto esp spi 0x00002001 reqid 1 mode tunnel
\treplay-window 0 flag af-unspec
\tauth-trunc hmac(sha256) {auth} 128
\tenc cbc(aes) {enc}
\tencap type espinudp sport 4501 dport 4500 addr 0.0.0.0
\tanti-replay esn context:
\t seq-hi 0x0, seq 0x3, oseq-hi 0x0, oseq 0x0
\t replay_window 64, bitmap-length 2
\t 00000007 00000000
\tcrypto offload parameters: dev eth0 dir in mode crypto
src 10.1.0.0/16 dst 10.2.0.0/16 proto tcp dport 443
\tdir out priority 100 ptype main
\ttmpl src 192.0.2.1 dst 192.0.2.2
\t\tproto esp spi 0x00001001 reqid 1 mode tunnel
src 10.2.0.0/16 dst 10.1.0.0/16 proto tcp sport 443
\tdir fwd priority 100 ptype main
\ttmpl src 192.0.2.2 dst 192.0.2.1
\t\tproto esp reqid 1 mode tunnel
src 0.0.0.0/0 dst 0.0.0.0/0
\tsocket in priority 0 ptype main
",
        auth = hex(32),
        enc = hex(16)
    );
    insta::assert_snapshot!(shown_with_notes(&taken(&text, &[])));
}

#[test]
fn every_suite_can_be_taken() {
    for suite in esp::Suite::ALL {
        let (cipher, integrity) = (suite.encryption_key_len(), suite.integrity_key_len());
        let aead = |name: &str| format!("aead '{name}' {} 128", hex(suite.key_len()));
        let algorithm = match suite.name().split_once('-') {
            None if suite.name().contains("gmac") => aead("rfc4543(gcm(aes))"),
            None if suite.name().contains("gcm") => aead("rfc4106(gcm(aes))"),
            None => aead("rfc7539esp(chacha20,poly1305)"),
            Some((name, hash)) => {
                let (enc, key) = match name {
                    "null" => ("ecb(cipher_null)", "''".to_owned()),
                    _ => ("cbc(aes)", hex(cipher)),
                };
                let (auth, bits) = (hex(integrity), suite.icv_len() * 8);
                format!("enc '{enc}' {key} auth-trunc 'hmac({hash})' {auth} {bits}")
            }
        };
        let made = taken(&both(&algorithm), &[]);
        assert!(made.toml.contains(&format!("algorithm = \"{suite}\"")), "{suite}");
    }
}

#[test]
fn parameters_are_kept() {
    let more = format!(
        "reqid 5 mode transport replay-window 8 flag esn {} tfcpad 1200 limit byte-hard 4096 \
         limit time-soft 60",
        gcm()
    );
    let made = taken(&both(&more), &[]);
    for line in [
        "esn = true",
        "replay-window = 32",
        "pad-to = 1200",
        "soft-lifetime = { seconds = 60 }",
        "hard-lifetime = { bytes = 4096 }",
    ] {
        assert!(made.toml.lines().any(|found| found == line), "{line}\n{}", *made.toml);
    }
    let v6 = both(&more).replace("192.0.2.", "2001:db8::");
    assert!(taken(&v6, &[]).toml.contains("name = \"to-2001-db8--2\""));
}

#[test]
fn what_cannot_be_taken_names_line_and_fix() {
    let short = gcm().replace("128", "96");
    let cases = [
        both(&short),
        both(&format!("{} comp deflate", gcm())),
        both(&gcm()).replace("proto esp", "proto ah"),
        both(&format!("mode beet {}", gcm())),
        both(&format!("enc 'cbc(des3_ede)' {} auth-trunc 'hmac(sha256)' {} 128", hex(24), hex(32))),
        both(&format!("enc 'cbc(aes)' {} auth 'hmac(sha256)' {}", hex(16), hex(32))),
        both(&format!("aead 'rfc4106(gcm(aes))' {} 128", hex(28))),
        both(&format!("mode tunnel {}", gcm())),
        sa(true, &format!("{} dir out", gcm())),
        both("aead 'rfc4106(gcm(aes))' 5a5b58_in_words 128"),
        both(&format!("aead 'rfc4106(gcm(aes))' {}x 128", hex(36))),
        both(&format!("{} if_id 7", gcm())),
        both(&format!("{} frobnicate 7", gcm())),
        both("reqid 1"),
        "echo nothing here\n".to_owned(),
    ];
    let all: String = cases.iter().map(|text| faults(text) + "\n").collect();
    assert!(!all.contains("5a5b58"), "a key is shown:\n{all}");
    insta::assert_snapshot!(all);
}

#[test]
fn a_key_that_was_sent_with_is_told() {
    let more = format!("{} replay-oseq 0x10", gcm());
    let text = sa(true, &format!("{more} dir out")) + &sa(false, &format!("{} dir in", gcm()));
    let notes = taken(&text, &[]).notes.concat();
    assert!(notes.contains("16 packets were sent"), "{notes}");
}

#[test]
fn any_text_is_read_or_refused() {
    let whole: Vec<&str> = TWO_SERVERS.split_inclusive('\n').collect();
    for skip in 0..whole.len() {
        let text: String =
            whole.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, line)| *line).collect();
        let _ = import("text", &text, &[]);
        let _ = import("text", &whole[..skip].concat(), &[]);
    }
}
