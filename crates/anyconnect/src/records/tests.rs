use std::{io::Read as _, io::Write as _, sync::Arc};

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite, crypto};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::*;
use crate::{ClientCertificates, Tls, tls};

/// Both ends of a connection whose handshake is over: a client of the library, and ours.
struct Ends {
    client: ClientConnection,
    ours: Records,
}

/// Every suite of both versions.
fn suites() -> impl Iterator<Item = SupportedCipherSuite> {
    crypto::aws_lc_rs::ALL_CIPHER_SUITES.iter().copied().filter(|suite| {
        // those of TLS 1.2 in pairs for two kinds of certificates, of which we have one
        suite.tls13().is_some() || format!("{suite:?}").contains("ECDSA")
    })
}

fn of_version(version: ProtocolVersion) -> SupportedCipherSuite {
    suites().find(|suite| suite.version().version == version).expect("there is one")
}

fn connect(suite: SupportedCipherSuite) -> (ClientConnection, tls::Connection) {
    let made = rcgen::generate_simple_self_signed(["gw.test".to_owned()]).expect("a certificate");
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let none = ClientCertificates::None;
    let tls = Tls::from_pem(pem.as_bytes(), key.as_bytes(), none, None).expect("TLS");
    tls.set_time(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later"),
    );
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    roots.add(authority).expect("an authority");
    let mut provider = crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![suite];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[suite.version()])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = "gw.test".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut server = *tls.accept().expect("a server");
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).expect("a vector takes it");
        }
        each_record(&mut sent, |record| server.read_record(record).map(|_| ()).expect("taken"));
        let mut answer = Vec::new();
        tls::take_output(&mut server, &mut answer);
        heard(&mut client, &answer).expect("taken");
    }
    (client, server)
}

fn ends(suite: SupportedCipherSuite) -> Ends {
    let (client, server) = connect(suite);
    let ours = Records::take_over(server, &Selection::default()).expect("taken over");
    Ends { client, ours }
}

/// Both ends ours.
fn ours(version: ProtocolVersion) -> (Records, Records) {
    let Ends { client, ours } = ends(of_version(version));
    let selection = Selection::default();
    let secrets = client.dangerous_extract_secrets().expect("extracted");
    let half = |(sequence, keys), secret| Half::new(sequence, &keys, secret, &selection);
    let theirs = Records {
        opening: half(secrets.rx, ours.sealing.secret.clone()).expect("known"),
        sealing: half(secrets.tx, ours.opening.secret.clone()).expect("known"),
        selection,
        is_13: ours.is_13,
        oddities: 0,
    };
    (theirs, ours)
}

fn each_record(bytes: &mut [u8], mut take: impl FnMut(&mut [u8])) {
    let mut rest = bytes;
    while let Some(len) = record_len(rest) {
        let (record, behind) = rest.split_at_mut(len);
        take(record);
        rest = behind;
    }
    assert!(rest.is_empty());
}

/// What the client hears of some records.
fn heard(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut text = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("a slice gives it");
        client.process_new_packets()?;
        // that it would have to wait for more is no error here
        let _ = client.reader().read_to_end(&mut text);
    }
    Ok(text)
}

/// Takes in what the client says: the text, and our answers.
fn hear(ours: &mut Records, client: &mut ClientConnection) -> (Vec<u8>, Vec<u8>) {
    let (mut sent, mut text, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    while client.wants_write() {
        client.write_tls(&mut sent).expect("a vector takes it");
    }
    each_record(&mut sent, |record| match ours.open(record, &mut answers) {
        Ok(Opened::Data(at)) => text.extend_from_slice(&record[at]),
        Ok(Opened::Ours) => {}
        Ok(Opened::Closed) => text.extend_from_slice(b"closed"),
        Err(Broken) => panic!("broken"),
    });
    (text, answers)
}

fn say(ours: &mut Records, parts: &[&[u8]]) -> Vec<u8> {
    let mut output = Vec::new();
    ours.seal(parts, &mut output);
    output
}

#[test]
fn every_suite_goes_on_where_the_library_left_it() {
    for suite in suites() {
        let (mut client, mut server) = connect(suite);
        // both directions have been used before
        client.writer().write_all(b"before").expect("taken");
        let mut sent = Vec::new();
        client.write_tls(&mut sent).expect("taken");
        server.read_record(&sent).expect("taken");
        let mut before = [0; 6];
        server.reader().read_exact(&mut before).expect("read");
        server.writer().write_all(b"answer").expect("taken");
        let mut answer = Vec::new();
        tls::take_output(&mut server, &mut answer);
        assert_eq!(&before, b"before");
        assert_eq!(heard(&mut client, &answer).expect("taken"), b"answer");
        let mut ours = Records::take_over(server, &Selection::default()).expect("taken over");
        let long = vec![0x5a; 40_000];
        for len in [1, 2, 8, 15, 16, 17, 100, 1400, MAX_TEXT - 1, MAX_TEXT, MAX_TEXT + 1, 40_000] {
            let text = &long[..len];
            let records = say(&mut ours, &[&text[..len / 3], &text[len / 3..]]);
            let around = if ours.is_13 { 22 } else { 5 + ours.sealing.explicit() + 16 };
            if len <= MAX_TEXT {
                assert_eq!(records.len(), len + around, "{suite:?}");
            }
            assert_eq!(heard(&mut client, &records).expect("taken"), text, "{suite:?} {len}");
            client.writer().write_all(text).expect("taken");
            assert_eq!(
                hear(&mut ours, &mut client),
                (text.to_vec(), Vec::new()),
                "{suite:?} {len}"
            );
        }
        client.send_close_notify();
        assert_eq!(hear(&mut ours, &mut client).0, b"closed");
        let mut goodbye = Vec::new();
        ours.goodbye(&mut goodbye);
        heard(&mut client, &goodbye).expect("taken");
        assert_eq!(client.reader().read(&mut [0]).expect("an orderly end"), 0);
    }
}

#[test]
fn keys_change_when_the_client_asks() {
    for suite in suites().filter(|suite| suite.tls13().is_some()) {
        let Ends { mut client, mut ours } = ends(suite);
        for round in 0..40 {
            client.refresh_traffic_keys().expect("TLS 1.3");
            client.writer().write_all(b"new").expect("taken");
            let (text, answers) = hear(&mut ours, &mut client);
            assert_eq!(text, b"new", "{suite:?} {round}");
            // asked to, we have changed our own
            assert!(!answers.is_empty() && ours.sealing.sequence == 0);
            heard(&mut client, &answers).expect("taken");
            let records = say(&mut ours, &[b"newer"]);
            assert_eq!(heard(&mut client, &records).expect("taken"), b"newer");
        }
    }
}

#[test]
fn a_key_that_has_sealed_enough_is_replaced_or_spent() {
    let Ends { mut client, mut ours } = ends(of_version(ProtocolVersion::TLSv1_3));
    ours.sealing.limit = 3;
    for round in 0..10u8 {
        let records = say(&mut ours, &[&[round]]);
        assert_eq!(heard(&mut client, &records).expect("taken"), [round]);
        assert!(ours.sealing.sequence <= 3 && !ours.is_spent());
    }
    let (_, mut ours) = self::ours(ProtocolVersion::TLSv1_2);
    assert!(!ours.is_spent());
    ours.sealing.limit = ours.sealing.sequence + 1;
    say(&mut ours, &[b"last"]);
    assert!(ours.is_spent());
}

#[test]
fn what_is_forged_ends_it_with_an_alert() {
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let records = {
            let (mut theirs, _) = ours(version);
            say(&mut theirs, &[b"some text"])
        };
        // with another length it would be another record
        for at in (0..records.len()).filter(|at| !(3..HEADER_LEN).contains(at)) {
            let Ends { mut client, mut ours } = ends(of_version(version));
            client.writer().write_all(b"some text").expect("taken");
            let mut record = Vec::new();
            client.write_tls(&mut record).expect("taken");
            record[at] ^= 0x40;
            let mut answer = Vec::new();
            assert!(ours.open(&mut record, &mut answer).is_err(), "{version:?} {at}");
            let error = heard(&mut client, &answer).expect_err("an alert");
            assert!(matches!(error, rustls::Error::AlertReceived(_)), "{error}");
        }
    }
}

#[test]
fn other_messages_are_dealt_with_and_bounded() {
    let (mut theirs, mut ours) = ours(ProtocolVersion::TLSv1_2);
    let put = |theirs: &mut Records, ours: &mut Records, kind, text: &[u8]| {
        let (mut record, mut answer) = (Vec::new(), Vec::new());
        theirs.put(kind, &[text], text.len(), &mut record);
        (ours.open(&mut record, &mut answer), answer)
    };
    // renegotiation is refused, and the connection goes on
    let (outcome, mut answer) = put(&mut theirs, &mut ours, HANDSHAKE, &[CLIENT_HELLO, 0, 0, 0]);
    assert!(matches!(outcome, Ok(Opened::Ours)));
    let (kind, text) = theirs.decrypt(&mut answer).expect("authentic");
    assert_eq!((kind, &answer[text]), (ALERT, &[WARNING, NO_RENEGOTIATION][..]));
    assert!(matches!(put(&mut theirs, &mut ours, ALERT, &[WARNING, 41]).0, Ok(Opened::Ours)));
    assert!(matches!(put(&mut theirs, &mut ours, DATA, &[]).0, Ok(Opened::Ours)));
    assert!(matches!(put(&mut theirs, &mut ours, DATA, b"x").0, Ok(Opened::Data(_))));
    // in a row they are too many
    let row = (0..=ODDITIES).map(|_| put(&mut theirs, &mut ours, DATA, &[]).0.is_ok());
    let row: Vec<_> = row.collect();
    assert_eq!(row.iter().filter(|ok| **ok).count(), ODDITIES as usize);
    assert!(!row[ODDITIES as usize]);
    for (version, kind, text) in [
        (ProtocolVersion::TLSv1_2, HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0][..]),
        (ProtocolVersion::TLSv1_2, ALERT, &[FATAL, 80]),
        (ProtocolVersion::TLSv1_3, ALERT, &[WARNING, 80]),
        (ProtocolVersion::TLSv1_3, ALERT, &[FATAL]),
        (ProtocolVersion::TLSv1_3, HANDSHAKE, &[CLIENT_HELLO, 0, 0, 0]),
        (ProtocolVersion::TLSv1_3, HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 2]),
        (ProtocolVersion::TLSv1_3, HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE]),
        (ProtocolVersion::TLSv1_3, 20, &[1]),
    ] {
        let (mut theirs, mut ours) = self::ours(version);
        assert!(put(&mut theirs, &mut ours, kind, text).0.is_err(), "{version:?} {kind} {text:?}");
    }
}

#[test]
fn padding_is_taken_off() {
    let (mut theirs, mut ours) = ours(ProtocolVersion::TLSv1_3);
    let (mut record, mut answer) = (Vec::new(), Vec::new());
    // zeros where the type would be, behind text and type: content that `put` does not know of
    theirs.put(0, &[b"text", &[DATA], &[0; 100]], 105, &mut record);
    match ours.open(&mut record, &mut answer) {
        Ok(Opened::Data(text)) => assert_eq!(&record[text], b"text"),
        _ => panic!("no data"),
    }
    let mut record = Vec::new();
    theirs.put(0, &[&[0; 100]], 100, &mut record);
    assert!(ours.open(&mut record, &mut answer).is_err(), "nothing but padding");
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), is_13: bool) {
        let version = if is_13 { ProtocolVersion::TLSv1_3 } else { ProtocolVersion::TLSv1_2 };
        let (_, mut ours) = ours(version);
        let mut bytes = bytes;
        prop_assert!(ours.open(&mut bytes, &mut Vec::new()).is_err());
    }
}
