//! Bytes between TCP and the endpoints, and what they want sent.

use core::net::SocketAddr;
use std::sync::Arc;

use ::anyconnect::{ClientId, ConnId};
use ::dtls::{Datagram, Path};
use ports::{Frame, FramePool};
use wire::Time;

use super::{Remotes, Server, ServerId};
use crate::{Gateway, local::ETHERNET, tcp};

impl Gateway {
    /// Takes in what the endpoints and TCP have, until there is nothing more: what a client sends may go
    /// to another.
    pub(crate) fn drive_remote(&mut self, now: Time) {
        if std::mem::replace(&mut self.remote.driving, true) {
            return;
        }
        loop {
            let mut idle = true;
            self.remote.stack.flush(now);
            while let Some(event) = self.remote.stack.poll_event() {
                idle = false;
                self.handle_tcp_event(event, now);
            }
            let ids: smallvec::SmallVec<[ServerId; 4]> =
                self.remote.servers.keys().copied().collect();
            for id in ids {
                while let Some(event) = self.remote.event_of(id) {
                    idle = false;
                    self.handle_remote_event(id, event, now);
                }
                while let Some(conn) = self.remote.ready_of(id) {
                    idle = false;
                    self.pump(id, conn, now);
                }
                while let Some((vr, datagram)) = self.remote.datagram_of(id) {
                    idle = false;
                    let Path { local, remote } = datagram.path;
                    self.send_udp(vr, (local, remote), &[&datagram.bytes], now);
                }
            }
            idle &= !self.deliver_client_messages(now);
            idle &= !self.enter_from_clients(now);
            while let Some(segment) = self.remote.stack.poll_transmit() {
                idle = false;
                self.send_segment(segment, now);
            }
            if idle {
                break;
            }
        }
        self.remote.driving = false;
    }

    /// Lets in what clients sent, those of one that stand in a row together; whether there was any.
    fn enter_from_clients(&mut self, now: Time) -> bool {
        let mut frames = std::mem::take(&mut self.remote.joining);
        let mut any = false;
        while let Some((id, client, first)) = self.remote.entering.pop_front() {
            any = true;
            frames.push(first);
            let entering = &mut self.remote.entering;
            let more = |(server, of, _): &mut (_, _, _)| (*server, *of) == (id, client);
            while let Some((.., frame)) = entering.pop_front_if(more) {
                frames.push(frame);
            }
            self.remote.coalescer.coalesce_for_way(&mut frames, &self.frames);
            for frame in frames.drain(..) {
                self.enter_from_client(id, client, frame, now);
            }
        }
        self.remote.joining = frames;
        any
    }

    /// A datagram of DTLS.
    pub(super) fn handle_remote_datagram(
        &mut self,
        id: ServerId,
        path: Path,
        bytes: &mut [u8],
        now: Time,
    ) {
        let frames = &self.frames;
        let Remotes { servers, entering, counters, .. } = &mut self.remote;
        let Some(server) = servers.get_mut(&id) else { return };
        let mut enter = |client: ClientId, packet: &[u8]| {
            entering.extend(behind_ethernet(frames, packet).map(|frame| (id, client, frame)));
        };
        if server.endpoint.handle_datagram(now, path, bytes, &mut enter).is_err() {
            counters.datagrams_ignored += 1;
        }
    }

    fn handle_tcp_event(&mut self, event: tcp::Event, now: Time) {
        match event {
            tcp::Event::Connected(tcp, tcp::Ends { vr, local, remote }) => {
                let taken = self.remote.accept(vr, local, remote, now);
                match taken {
                    Some((server, conn)) => {
                        self.remote.conns.insert(tcp, (server, conn));
                        self.remote.by_conn.insert((server, conn), tcp);
                    }
                    None => self.remote.stack.abort(tcp, now),
                }
            }
            tcp::Event::Readable(tcp) | tcp::Event::Writable(tcp) => {
                if let Some((server, conn)) = self.remote.conns.get(&tcp).copied() {
                    self.pump(server, conn, now);
                }
            }
            tcp::Event::Finished(tcp) => {
                if let Some((server, conn)) = self.remote.conns.get(&tcp).copied() {
                    self.pump(server, conn, now);
                    self.remote.end(tcp, now);
                    self.remote.stack.close(tcp);
                }
            }
            tcp::Event::Closed(tcp) => self.remote.end(tcp, now),
        }
    }

    /// Moves bytes of a connection both ways, as many as there is room for.
    fn pump(&mut self, id: ServerId, conn: ConnId, now: Time) {
        let frames = &self.frames;
        let Remotes { servers, stack, conns, by_conn, entering, .. } = &mut self.remote;
        let Some(tcp) = by_conn.get(&(id, conn)).copied() else { return };
        let Some(Server { endpoint, .. }) = servers.get_mut(&id) else { return };
        let mut enter = |client: ClientId, packet: &[u8]| {
            entering.extend(behind_ethernet(frames, packet).map(|frame| (id, client, frame)));
        };
        endpoint.handle_stream(now, conn, &[], &mut enter);
        stack.read(tcp, |bytes| endpoint.handle_stream(now, conn, bytes, &mut enter));
        loop {
            let output = endpoint.output(conn);
            let sent = if output.is_empty() { 0 } else { stack.write(tcp, output) };
            if sent == 0 {
                break;
            }
            endpoint.handle_sent(conn, sent);
        }
        if endpoint.is_finished(conn) {
            conns.remove(&tcp);
            by_conn.remove(&(id, conn));
            stack.close(tcp);
        }
    }
}

impl Remotes {
    fn event_of(&mut self, id: ServerId) -> Option<::anyconnect::Event> {
        self.servers.get_mut(&id)?.endpoint.poll_event()
    }

    fn ready_of(&mut self, id: ServerId) -> Option<ConnId> {
        self.servers.get_mut(&id)?.endpoint.poll_ready()
    }

    fn datagram_of(&mut self, id: ServerId) -> Option<(config::model::VrId, Datagram)> {
        let server = self.servers.get_mut(&id)?;
        Some((server.vr, server.endpoint.poll_datagram()?))
    }

    /// An endpoint takes a connection.
    fn accept(
        &mut self,
        vr: config::model::VrId,
        local: SocketAddr,
        remote: SocketAddr,
        now: Time,
    ) -> Option<(ServerId, ConnId)> {
        let id = *self.listeners.get(&(vr, local))?;
        let endpoint = &mut self.servers.get_mut(&id)?.endpoint;
        let conn = endpoint.handle_connected(now, Path { local, remote }).ok()?;
        Some((id, conn))
    }

    /// A connection is no more for its endpoint.
    fn end(&mut self, tcp: tcp::ConnId, now: Time) {
        let Some((server, conn)) = self.conns.remove(&tcp) else { return };
        self.by_conn.remove(&(server, conn));
        if let Some(server) = self.servers.get_mut(&server) {
            server.endpoint.handle_closed(now, conn);
        }
    }
}

/// A packet of a client in a frame, behind a blank Ethernet header; nothing when there is no room.
fn behind_ethernet(frames: &Arc<FramePool>, packet: &[u8]) -> Option<Frame> {
    let ethertype: u16 = match packet.first()? >> 4 {
        4 => 0x0800,
        6 => 0x86dd,
        _ => return None,
    };
    let mut frame = frames.alloc(ETHERNET + packet.len())?;
    frame.truncate(ETHERNET + packet.len());
    let bytes = frame.bytes_mut();
    bytes[..ETHERNET].fill(0);
    bytes[ETHERNET - 2..ETHERNET].copy_from_slice(&ethertype.to_be_bytes());
    bytes[ETHERNET..].copy_from_slice(packet);
    Some(frame)
}
