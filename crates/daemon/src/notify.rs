//! The service manager's notification protocol (sd_notify(3)): datagrams to `NOTIFY_SOCKET`.

use std::{
    env, io,
    os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt, unix::net},
};

use rustix::time::{ClockId, clock_gettime};

/// Start-up is done, or a reload is.
pub fn ready() {
    send("READY=1");
}

/// A reload begins; `Type=notify-reload` wants the time with it.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// The process is about to end.
pub fn stopping() {
    send("STOPPING=1");
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    send(&format!("STATUS={text}"));
}

fn send(message: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(e) = send_to(path.as_bytes(), message) {
        tracing::warn!("the service manager could not be told `{message}`: {e}");
    }
}

fn send_to(path: &[u8], message: &str) -> io::Result<()> {
    let socket = net::UnixDatagram::unbound()?;
    let address = match path.strip_prefix(b"@") {
        Some(name) => net::SocketAddr::from_abstract_name(name)?,
        None => net::SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    socket.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_by_path_and_by_abstract_name() {
        let name = format!("lockgate-test-{}", std::process::id());
        let address = net::SocketAddr::from_abstract_name(&name).expect("valid");
        let abstract_socket = net::UnixDatagram::bind_addr(&address).expect("bound");
        send_to(format!("@{name}").as_bytes(), "READY=1").expect("sent");
        let path = env::temp_dir().join(format!("{name}.sock"));
        let path_socket = net::UnixDatagram::bind(&path).expect("bound");
        send_to(path.as_os_str().as_bytes(), "READY=1").expect("sent");
        for socket in [abstract_socket, path_socket] {
            let mut buffer = [0; 64];
            let n = socket.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..n], b"READY=1");
        }
        std::fs::remove_file(path).expect("removed");
    }
}
