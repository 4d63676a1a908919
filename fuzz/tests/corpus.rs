//! Every target with its corpus, without a fuzzer: what was found once stays mended.
//!
//! `corpus/TARGET.txt` has a line for each input, a name and hexadecimal digits. With
//! `LOCKGATE_FUZZ_UNPACK=FOLDER` they are written to files in `FOLDER/TARGET` too, to begin a search
//! with; `LOCKGATE_FUZZ_PACK=FOLDER` takes those there in place of all but what was found.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use lockgate_fuzz::Reached;

/// Names of inputs that something was found with begin with it.
const FOUND: &str = "found-";

/// The inputs of a target by their names.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let line = |line: &str| {
        let (name, digits) = line.split_once(' ').expect("a name and digits");
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        assert!(rest.is_empty(), "{name}: half a byte");
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).expect(name), 16);
        (name.to_owned(), pairs.iter().map(|pair| byte(pair).expect(name)).collect())
    };
    let mut inputs: BTreeMap<String, Vec<u8>> = text.lines().map(line).collect();
    let folder = |variable| env::var_os(variable).map(|f| PathBuf::from(f).join(target));
    if let Some(folder) = folder("LOCKGATE_FUZZ_PACK") {
        inputs.retain(|name, _| name.starts_with(FOUND));
        for entry in fs::read_dir(folder).expect("a folder for each target") {
            let path = entry.expect("an entry").path();
            let mut name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !name.starts_with(FOUND) {
                name.truncate(12);
            }
            inputs.insert(name, fs::read(&path).expect("a file"));
        }
        let mut text = String::new();
        for (name, bytes) in &inputs {
            let _ = write!(text, "{name} ");
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        fs::write(&path, text).expect("the corpus is written");
    }
    if let Some(folder) = folder("LOCKGATE_FUZZ_UNPACK") {
        fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in &inputs {
            fs::write(folder.join(name), bytes).expect("a file");
        }
    }
    inputs
}

/// Runs a target; `least` are the inputs that it has to understand at least.
fn run(name: &str, target: fn(&[u8]) -> bool, least: usize) {
    let inputs = corpus(name);
    let understood = inputs
        .iter()
        .filter(|(input, bytes)| {
            let outcome = std::panic::catch_unwind(|| target(bytes));
            outcome.unwrap_or_else(|_| panic!("{name}: {input} fails"))
        })
        .count();
    assert!(understood >= least, "{name}: {understood} of {} inputs", inputs.len());
}

#[test]
fn ike_message() {
    run("ike_message", lockgate_fuzz::ike_message, 100);
}

#[test]
fn ike_identity() {
    run("ike_identity", lockgate_fuzz::ike_identity, 60);
}

#[test]
fn wire_packet() {
    run("wire_packet", lockgate_fuzz::wire_packet, 150);
}

#[test]
fn dtls_server() {
    run("dtls_server", lockgate_fuzz::dtls_server, 15);
}

#[test]
fn dtls_record() {
    run("dtls_record", lockgate_fuzz::dtls_record, 4);
}

#[test]
fn esp_open() {
    run("esp_open", lockgate_fuzz::esp_open, 10);
}

#[test]
fn config_text() {
    run("config_text", lockgate_fuzz::config_text, 6);
}

#[test]
fn filter_text() {
    run("filter_text", lockgate_fuzz::filter_text, 50);
}

#[test]
fn remote_http() {
    run("remote_http", lockgate_fuzz::remote_http, 20);
}

#[test]
fn remote_login() {
    run("remote_login", lockgate_fuzz::remote_login, 8);
}

#[test]
fn remote_cstp() {
    run("remote_cstp", lockgate_fuzz::remote_cstp, 5);
}

#[test]
fn remote_records() {
    run("remote_records", lockgate_fuzz::remote_records, 6);
}

#[test]
fn remote_endpoint() {
    run("remote_endpoint", lockgate_fuzz::remote_endpoint, 10);
}

#[test]
fn aead_gcm() {
    // where the CPU has no VAES there is nothing to compare, and somebody has to say that this is known
    let known = env::var_os("LOCKGATE_WITHOUT_VAES").is_some();
    run("aead_gcm", lockgate_fuzz::aead_gcm, if known { 0 } else { 16 });
}

#[test]
fn ike_endpoint() {
    let mut all = Reached::default();
    for (input, bytes) in corpus("ike_endpoint") {
        let reached = std::panic::catch_unwind(|| lockgate_fuzz::ike_endpoint(&bytes));
        all += reached.unwrap_or_else(|_| panic!("ike_endpoint: {input} fails"));
    }
    let least = Reached {
        up: 500,
        ike_rekeyed: 50,
        child_rekeyed: 300,
        edited: 150,
        forged: 60,
        taken: 300,
        strange: 5,
        failures: 100,
    };
    assert!(all.covers(&least), "{all:?}");
}
