//! `show sa --export-keys` and `show ike --export-keys`: keys of SAs, written to a file that only its owner reads.
//!
//! The client of the other commands keeps what it reads in buffers that are not wiped; here the answer is
//! read into one that is.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use api::{ApiError, ExportKeys, KeyTable, KeysOf};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::{
    app::{Terminal, local},
    client::{self, Failure},
};

/// Largest answer, in bytes: thousands of SAs.
const MOST: usize = 4 << 20;

/// The file that Wireshark reads in its directory, and what it has to be told besides.
const fn file(of: KeysOf) -> (&'static str, &'static str) {
    match of {
        KeysOf::Esp => (
            "esp_sa",
            "-o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE ",
        ),
        KeysOf::Ike => ("ikev2_decryption_table", ""),
    }
}

/// Asks for the keys and writes them to a new file in the directory.
pub async fn export(
    socket: &Path,
    t: &mut Terminal<'_>,
    request: &ExportKeys,
    directory: &Path,
) -> Result<(), Failure> {
    let (name, options) = file(request.of);
    let path = directory.join(name);
    if path.exists() {
        let message = format!("{} is there already; remove it first", path.display());
        return Err(local(ApiError::failed(message)));
    }
    let answer = ask(socket, request).await?;
    let (status, body) = split(&answer)
        .ok_or_else(|| Failure::Protocol("the gateway's answer is not HTTP".to_owned()))?;
    if status != 200 {
        return Err(match client::read(status, body) {
            Err(failure) => failure,
            Ok(_) => Failure::Protocol(format!("the gateway answers {status}")),
        });
    }
    write(directory, &path, body)
        .map_err(|e| local(ApiError::failed(format!("{}: {e}", path.display()))))?;
    t.print(&told(t.json, &path, (directory, options), body));
    Ok(())
}

async fn ask(socket: &Path, request: &ExportKeys) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreachable = |source| Failure::Unreachable { socket: socket.to_owned(), source };
    let broken =
        |e: io::Error| Failure::Protocol(format!("the connection to the gateway broke: {e}"));
    let body = serde_json::to_string(request)
        .map_err(|e| Failure::Protocol(format!("the request cannot be written: {e}")))?;
    let head = format!(
        "POST /v1/export-keys HTTP/1.1\r\nhost: lockgate\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let mut rest = &(head + &body).into_bytes()[..];
    while !rest.is_empty() {
        stream.writable().await.map_err(broken)?;
        match stream.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(broken(e)),
        }
    }
    // all of it is there before: a buffer that grew would leave copies behind
    let mut answer = Zeroizing::new(vec![0; MOST]);
    let mut length = 0;
    loop {
        stream.readable().await.map_err(broken)?;
        match stream.try_read(&mut answer[length..]) {
            Ok(0) if length == MOST => {
                return Err(Failure::Protocol("there are too many SAs for one file".to_owned()));
            }
            Ok(0) => break,
            Ok(read) => length += read,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(broken(e)),
        }
    }
    answer.truncate(length);
    Ok(answer)
}

/// Status and body of an HTTP answer that ends with its connection.
fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, &answer[end + 4..]))
}

/// A new file: nothing that is there is followed or overwritten.
fn write(directory: &Path, path: &Path, body: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(body)?;
    file.sync_all()
}

/// What was exported, without the keys.
fn told(json: bool, path: &Path, (directory, options): (&Path, &str), body: &[u8]) -> String {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"#"));
    let comments: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    let of = |head: &str| -> Vec<&str> {
        comments.iter().filter_map(|line| line.strip_prefix(head)).collect()
    };
    let (exported, left_out) = (of(KeyTable::EXPORTED), of(KeyTable::LEFT_OUT));
    if json {
        let document = serde_json::json!({
            "schema": api::SCHEMA,
            "kind": "keys-exported",
            "file": path,
            "exported": exported,
            "left_out": left_out,
        });
        return format!("{document}\n");
    }
    let mut out = format!("{} holds the keys of\n", path.display());
    for sa in &exported {
        out.push_str(&format!("  {sa}\n"));
    }
    for sa in &left_out {
        out.push_str(&format!("left out: {sa}\n"));
    }
    out.push_str(&format!(
        "next: WIRESHARK_CONFIG_DIR={} tshark {options}-r CAPTURE\nthen: remove the file\n",
        directory.display()
    ));
    out
}
