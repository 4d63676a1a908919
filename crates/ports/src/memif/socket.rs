//! The control socket: whole messages over a Unix socket, each with a descriptor or without.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, socket_with,
};

use super::message::MESSAGE_LEN;

/// Owner and group may connect; whoever may, sends and receives as the peer.
const MODE: u32 = 0o660;

/// A socket that peers connect to; its file goes with it.
pub(super) struct Listener {
    path: PathBuf,
    socket: OwnedFd,
}

impl Listener {
    /// Listens at `path`. A socket there that nobody listens on any more is replaced.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket = new_socket()?;
        if let Err(error) = bind(&socket, &address) {
            if error != rustix::io::Errno::ADDRINUSE || !is_left_over(path) {
                return Err(error.into());
            }
            fs::remove_file(path)?;
            bind(&socket, &address)?;
        }
        let listener = Self { path: path.to_owned(), socket };
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        listen(&listener.socket, 4)?;
        Ok(listener)
    }

    /// The next peer that waits.
    pub(super) fn accept(&self) -> Option<Control> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        accept_with(&self.socket, flags).ok().map(Control)
    }

    pub(super) const fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Gone already is as well.
        drop(fs::remove_file(&self.path));
    }
}

/// Whether a socket is there that nobody listens on.
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket && Control::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// A connection to the peer.
pub(super) struct Control(OwnedFd);

/// What came over a connection.
pub(super) enum Incoming {
    /// A message, of any length, and its descriptor.
    Message(Vec<u8>, Option<OwnedFd>),
    /// Nothing for now.
    Nothing,
    /// The peer has gone.
    End,
}

impl Control {
    /// Connects to who listens at `path`.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = new_socket()?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket))
    }

    pub(super) const fn socket(&self) -> &OwnedFd {
        &self.0
    }

    pub(super) fn send(
        &self,
        message: &[u8; MESSAGE_LEN],
        descriptor: Option<&OwnedFd>,
    ) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.map(|fd| [fd.as_fd()]);
        if let Some(descriptors) = &descriptors {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.0, &[IoSlice::new(message)], &mut control, flags)?;
        Ok(())
    }

    pub(super) fn receive(&self) -> Incoming {
        // One byte more than a message, so that a longer one is seen as such.
        let mut bytes = [0; MESSAGE_LEN + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let got = match recvmsg(&self.0, &mut slices, &mut control, flags) {
            Ok(got) => got,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Incoming::Nothing,
            Err(_) => return Incoming::End,
        };
        if got.bytes == 0 {
            return Incoming::End;
        }
        let mut descriptor = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptor = fds.last().or(descriptor);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            descriptor = None;
        }
        Incoming::Message(bytes[..got.bytes].to_vec(), descriptor)
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}
