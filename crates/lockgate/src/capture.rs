//! `capture`: polls the gateway for packets, and prints them or writes them to a pcapng file.

use std::{
    collections::BTreeMap,
    fs::{OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use api::{ApiError, CapturePoint, CapturePolledView, CapturedView, Request, Response};
use ports::pcap::{Direction, LinkType, Packet, PcapWriter};
use tokio::signal::unix::{SignalKind, signal};
use wire::Time;

use crate::{
    app::{Terminal, local, unexpected},
    cli::CaptureArgs,
    client::{Answer, Client, Failure},
    render,
};

/// How often packets are asked for when none wait.
const POLL: Duration = Duration::from_millis(100);

/// Captures until the gateway says that it is done, or somebody ends it.
pub async fn run(
    client: &mut Client,
    t: &mut Terminal<'_>,
    args: CaptureArgs,
) -> Result<(), Failure> {
    let output = args.output.clone();
    let answer = client.ask(&Request::CaptureStart(args.spec())).await?;
    let Response::CaptureStarted(started) = answer.response else { return Err(unexpected()) };
    let Terminal { out, err, style, json, .. } = t;
    let mut sink = match &output {
        None => Sink::Lines(out),
        Some(path) if path.as_os_str() == "-" => {
            Sink::File(File::new(Box::new(&mut **out)).map_err(|e| failed("stdout", &e))?)
        }
        Some(path) => Sink::File(create(path)?),
    };
    let mut talk = |text: String| {
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    };
    talk(format!("capture {} has begun; end it with Ctrl-C\n", started.capture));
    let terminated = signal(SignalKind::terminate()).map_err(|e| failed("SIGTERM", &e));
    let mut terminated = terminated?;
    let capture = started.capture;
    let (mut wait, mut ending) = (Duration::ZERO, false);
    loop {
        let interrupted = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            _ = tokio::signal::ctrl_c() => true,
            _ = terminated.recv() => true,
        };
        ending |= interrupted;
        let request = match interrupted {
            true => Request::CaptureStop { capture },
            false => Request::CapturePoll { capture },
        };
        let answer = client.ask(&request).await?;
        let Response::CapturePolled(view) = &answer.response else { return Err(unexpected()) };
        if sink.take(&answer, view, style, *json).is_err() {
            // whoever read went away; the gateway is told
            client.ask(&Request::CaptureStop { capture }).await?;
            return Ok(());
        }
        if view.done {
            if !*json || matches!(sink, Sink::File(_)) {
                let last = CapturePolledView { packets: Vec::new(), ..view.clone() };
                talk(render::response(&Response::CapturePolled(last), &render::Style::default()));
            }
            return Ok(());
        }
        wait = if view.more || ending { Duration::ZERO } else { POLL };
    }
}

/// Where packets go.
enum Sink<'a> {
    Lines(&'a mut dyn Write),
    File(File<'a>),
}

impl Sink<'_> {
    fn take(
        &mut self,
        answer: &Answer,
        view: &CapturePolledView,
        style: &render::Style,
        json: bool,
    ) -> io::Result<()> {
        match self {
            Self::Lines(out) => {
                let text = match json {
                    true if view.packets.is_empty() && !view.done => return Ok(()),
                    true => format!("{}\n", answer.document),
                    // the last words go to stderr
                    false => {
                        let packets = CapturePolledView { done: false, ..view.clone() };
                        render::response(&Response::CapturePolled(packets), style)
                    }
                };
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::File(file) => {
                view.packets.iter().try_for_each(|packet| file.write(packet))?;
                file.writer.flush()
            }
        }
    }
}

/// A pcapng file with an interface for each interface and point.
struct File<'a> {
    writer: PcapWriter<Box<dyn Write + 'a>>,
    interfaces: BTreeMap<(String, CapturePoint), u32>,
}

impl<'a> File<'a> {
    fn new(out: Box<dyn Write + 'a>) -> io::Result<Self> {
        let mut writer = PcapWriter::new(out)?;
        writer.flush()?;
        Ok(Self { writer, interfaces: BTreeMap::new() })
    }

    fn write(&mut self, packet: &CapturedView) -> io::Result<()> {
        let key = (packet.interface.clone(), packet.point);
        let interface = match self.interfaces.get(&key) {
            Some(interface) => *interface,
            None => {
                let link = if packet.point.is_ip() { LinkType::Ip } else { LinkType::Ethernet };
                let name = format!("{}:{}", packet.interface, packet.point.name());
                let interface = self.writer.add_interface_as(&name, link)?;
                self.interfaces.insert(key, interface);
                interface
            }
        };
        let outward = packet.point.is_outward();
        let comment = render::comment(packet);
        self.writer.write_packet(&Packet {
            interface,
            time: Time::from_nanos(packet.unix_ns.unwrap_or(packet.uptime_ns)),
            bytes: &packet.data,
            original_len: packet.length,
            direction: Some(if outward { Direction::Outbound } else { Direction::Inbound }),
            comment: Some(&comment),
        })
    }
}

/// A file that only its owner reads: what is in it may be in clear.
fn create(path: &Path) -> Result<File<'static>, Failure> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.and_then(|file| {
        // one that was there has the mode it had; a pipe or a device keeps it
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.set_len(0)?;
        }
        File::new(Box::new(BufWriter::new(file)))
    });
    file.map_err(|e| failed(&path.display().to_string(), &e))
}

fn failed(what: &str, error: &io::Error) -> Failure {
    local(ApiError::failed(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_others_could_read_is_the_owners_alone_before_anything_is_in_it() {
        let path = std::env::temp_dir().join(format!("lockgate-capture-{}", std::process::id()));
        fs::write(&path, vec![b'x'; 10_000]).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("ours");
        drop(create(&path).unwrap_or_else(|_| panic!("it is ours")));
        let (kept, mode) = (fs::read(&path).expect("there"), fs::metadata(&path).expect("there"));
        fs::remove_file(&path).expect("ours");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        assert!(kept.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && !kept.ends_with(b"x"));
    }
}
