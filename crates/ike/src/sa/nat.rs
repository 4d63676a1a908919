//! NAT detection and what follows from it (RFC 7296 §2.23).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest;

use super::{
    Context, IkeSa, Phase,
    payloads::{Payloads, notify},
};
use crate::{
    Event, Path, Settings,
    crypto::{Role, Spis},
    message::{Payload, notify_type},
};

/// Who is behind a NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nat {
    /// We are.
    pub(crate) local: bool,
    /// The peer is.
    pub(crate) remote: bool,
    /// Encapsulation is wanted whether or not anybody is.
    pub(crate) forced: bool,
}

impl Nat {
    pub(crate) const fn encapsulates(self) -> bool {
        self.local || self.remote || self.forced
    }
}

/// The two notifications of a message of IKE_SA_INIT. With `force` the peer is made to believe that
/// there is a NAT, so that it encapsulates.
pub(super) fn detection(spis: Spis, path: Path, force: bool) -> [Payload; 2] {
    let mut source = hash(spis, path.local);
    if force {
        source[0] ^= 0xff;
    }
    [
        notify(notify_type::NAT_DETECTION_SOURCE_IP, source),
        notify(notify_type::NAT_DETECTION_DESTINATION_IP, hash(spis, path.remote)),
    ]
}

fn hash(spis: Spis, address: SocketAddr) -> [u8; digest::SHA1_OUTPUT_LEN] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&spis.initiator.to_be_bytes());
    context.update(&spis.responder.to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => context.update(&ip.octets()),
        IpAddr::V6(ip) => context.update(&ip.octets()),
    }
    context.update(&address.port().to_be_bytes());
    let digest = context.finish();
    digest.as_ref().try_into().expect("invariant: SHA-1 has 20 bytes")
}

impl IkeSa {
    /// Finds out from the peer's notifications. `spis` are those of the message they came in.
    pub(super) fn detect(&mut self, payloads: Payloads<'_>, spis: Spis, path: Path) {
        self.nat.forced = self.connection.force_encapsulation;
        let mut sources = payloads
            .notifies()
            .filter(|n| n.kind == notify_type::NAT_DETECTION_SOURCE_IP)
            .peekable();
        let Some(destination) = payloads.notify(notify_type::NAT_DETECTION_DESTINATION_IP) else {
            // the peer does not do NAT traversal
            self.nat = Nat::default();
            return;
        };
        if sources.peek().is_some() {
            let seen = hash(spis, path.remote);
            self.nat.remote = !sources.any(|n| n.data == seen);
            self.nat.local = destination.data != hash(spis, path.local);
        }
    }

    /// The initiator goes to the port of NAT traversal once it knows of one.
    pub(super) fn float(&mut self, settings: &Settings) {
        if self.role == Role::Initiator
            && self.nat.encapsulates()
            && self.path.local.port() == settings.port
        {
            self.path.local.set_port(settings.nat_port);
            self.path.remote.set_port(settings.nat_port);
        }
    }

    /// An authentic message with a number not seen before came by `path`. Until it is up the
    /// initiator may go to another port; later only a peer behind a NAT may move, and only when we
    /// are not behind one ourselves.
    pub(super) fn moved(&mut self, ctx: &mut Context<'_>, path: Path) {
        if path == self.path {
            return;
        }
        if self.phase == Phase::Opening {
            if self.role == Role::Responder {
                self.path = path;
            }
            return;
        }
        if self.nat.remote && !self.nat.local && path.local == self.path.local {
            self.path = path;
            ctx.out.event(Event::PathChanged { ike: self.id, path });
        }
    }
}
