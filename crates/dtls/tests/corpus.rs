//! The corpus: datagrams of strangers and what a server makes of them, in words.
//!
//! `corpus.txt` has for each a name, the outcome and the bytes in hexadecimal digits; the first four are what real
//! clients sent. What ever broke the parser becomes a block there. With `LOCKGATE_DTLS_CORPUS=write` the outcomes
//! are written anew, to be looked at before they are kept.

mod common;

use association::KeyMaterial;
use common::{PSK, path, server};
use lockgate_dtls::{Secret, record::Records};
use proptest::prelude::*;
use wire::Time;

/// What comes of a datagram, and of the answer to a HelloVerifyRequest.
fn outcome(bytes: &[u8]) -> String {
    let mut server = server(1);
    let secrets = |_: &[u8]| Some(Secret::Psk(KeyMaterial::from_bytes(&PSK)));
    let path = path("198.51.100.7:50000");
    let mut give = |bytes: &[u8]| {
        let outcome =
            server.handle_datagram(Time::from_secs(1000), path, &mut bytes.to_vec(), &secrets);
        let answers: Vec<_> = std::iter::from_fn(|| server.poll_transmit()).collect();
        let kinds = answers.iter().flat_map(|datagram| {
            Records::of(&datagram.bytes)
                .map(|(header, range)| (header.content, datagram.bytes[range.start + 13]))
                .collect::<Vec<_>>()
        });
        let words: Vec<_> = kinds
            .map(|kind| match kind {
                (22, 3) => "HelloVerifyRequest",
                (22, 2) => "ServerHello",
                (22, 14) => "ServerHelloDone",
                (21, _) => "Alert",
                other => panic!("{other:?} is no answer to a stranger"),
            })
            .collect();
        let first = answers.first().map(|datagram| datagram.bytes.clone());
        let answered: usize = answers.iter().map(|datagram| datagram.bytes.len()).sum();
        // but for the answer to a cookie, which is to the address that has shown itself
        let proved = first.as_ref().is_some_and(|first| first[13] == 2);
        assert!(proved || answered <= bytes.len(), "{answered} bytes for {}", bytes.len());
        let refused = outcome.err().map(|ignored| ignored.to_string());
        let parts: Vec<_> =
            refused.into_iter().chain(words.into_iter().map(str::to_owned)).collect();
        (if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }, first)
    };
    let (mut told, answer) = give(bytes);
    // a ClientHello without a cookie, once more with the one it was given
    if told == "HelloVerifyRequest"
        && let Some(cookie) = answer.map(|answer| answer[28..].to_vec())
        && let Some(second) = with_cookie(bytes, &cookie)
    {
        told = format!("{told}, then {}", give(&second).0);
    }
    told
}

fn with_cookie(bytes: &[u8], cookie: &[u8]) -> Option<Vec<u8>> {
    let at = 13 + 12 + 34 + 1 + usize::from(*bytes.get(59)?);
    let mut second = bytes.get(..at)?.to_vec();
    second.push(cookie.len() as u8);
    second.extend(cookie);
    second.extend(bytes.get(at + 1 + usize::from(*bytes.get(at)?)..)?);
    let len = second.len() - 13;
    second[11..13].copy_from_slice(&(len as u16).to_be_bytes());
    let body = &((len - 12) as u32).to_be_bytes()[1..];
    second[14..17].copy_from_slice(body);
    second[22..25].copy_from_slice(body);
    second[18] = 1;
    Some(second)
}

fn corpus() -> Vec<(String, String, Vec<u8>)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus.txt");
    let text = std::fs::read_to_string(file).expect("the corpus");
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let read = |block: &str| {
        let mut lines = block.trim().lines();
        let mut line = || lines.next().expect("three lines at least").to_owned();
        let (name, told) = (line(), line());
        let digits: String = lines.collect();
        let bytes = KeyMaterial::from_hex(&digits).expect("digits").expose().to_vec();
        (name, told, bytes)
    };
    blocks.map(read).collect()
}

#[test]
fn every_datagram_of_the_corpus_is_answered_as_it_was() {
    let corpus = corpus();
    assert!(corpus.len() >= 12);
    if std::env::var("LOCKGATE_DTLS_CORPUS").is_ok_and(|mode| mode == "write") {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus.txt");
        let block = |(name, _, bytes): &(String, String, Vec<u8>)| {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let lines: Vec<_> =
                hex.as_bytes().chunks(120).map(|l| str::from_utf8(l).unwrap()).collect();
            format!("{name}\n{}\n{}\n", outcome(bytes), lines.join("\n"))
        };
        let blocks: Vec<_> = corpus.iter().map(block).collect();
        std::fs::write(file, blocks.join("\n")).expect("it can be written");
        return;
    }
    for (name, told, bytes) in corpus {
        assert_eq!(outcome(&bytes), told, "{name}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered_with_less(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = outcome(&bytes);
    }

    #[test]
    fn any_change_of_a_real_first_message_is_answered_with_less(
        which in 0..3usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = corpus()[which].2.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = outcome(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = outcome(&bytes);
    }
}
