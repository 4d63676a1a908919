//! The corpus of the decoder: datagrams and what they decode to, in words.
//!
//! `corpus.txt` has for each a name, the outcome and the bytes in hexadecimal digits. With
//! `LOCKGATE_IKE_CORPUS=write` the outcomes are written anew, to be looked at before they are kept.

use std::fmt::Write as _;

use lockgate_ike::message::Message;

fn outcome(bytes: &[u8]) -> String {
    match Message::decode(bytes) {
        Ok(message) => {
            let kind = if message.header.is_response { "response" } else { "request" };
            let payloads: Vec<_> = message.payloads.iter().map(ToString::to_string).collect();
            format!("{} {kind}: {}", message.header.exchange, payloads.join(" | "))
        }
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn every_datagram_of_the_corpus_decodes_as_it_did() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus.txt");
    let corpus = std::fs::read_to_string(path).expect("the corpus");
    let mut again = String::new();
    let mut count = 0;
    let mut wrong = Vec::new();
    for block in corpus.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let mut lines = block.trim().lines();
        let (name, expected) = (lines.next().expect("a name"), lines.next().expect("an outcome"));
        let digits: String = lines.collect();
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        assert!(rest.is_empty(), "{name}: half a byte");
        let bytes: Vec<u8> = pairs
            .iter()
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect(name))
            .collect();
        let outcome = outcome(&bytes);
        if outcome != expected {
            wrong.push(format!("{name}\n  is      {outcome}\n  was     {expected}"));
        }
        let _ = write!(again, "{name}\n{outcome}\n");
        for line in digits.as_bytes().chunks(96) {
            let _ = writeln!(again, "{}", std::str::from_utf8(line).unwrap());
        }
        again.push('\n');
        count += 1;
    }
    if std::env::var("LOCKGATE_IKE_CORPUS").is_ok_and(|mode| mode == "write") {
        std::fs::write(path, again.trim_end().to_owned() + "\n").unwrap();
        return;
    }
    assert!(count >= 30, "{count} datagrams");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
