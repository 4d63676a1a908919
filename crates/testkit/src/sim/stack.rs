//! A host with a TCP/IP stack of its own (smoltcp): ARP, ND, IPv4, IPv6, TCP, UDP, ICMP.

use core::net::IpAddr;
use std::collections::VecDeque;

use smoltcp::{
    iface::{self, Interface, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::{EthernetAddress, HardwareAddress, IpCidr},
};
use wire::{Mac, Time};

use super::Clip;
use crate::apps::App;

/// Rounds of stack and applications at one moment; more means they never come to rest.
const ROUNDS: usize = 10_000;

/// What a host is.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Name, in captures and messages.
    pub name: String,
    /// MAC address.
    pub mac: Mac,
    /// Addresses with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default gateways, one a version.
    pub gateways: Vec<IpAddr>,
    /// 802.1Q tag of all its frames.
    pub vlan: Option<u16>,
    /// Largest IP packet it sends.
    pub mtu: u16,
}

impl HostConfig {
    /// A host without VLAN, with an MTU of 1500.
    pub fn new(name: &str, mac: Mac, addresses: &[(IpAddr, u8)], gateways: &[IpAddr]) -> Self {
        Self {
            name: name.into(),
            mac,
            addresses: addresses.to_vec(),
            gateways: gateways.to_vec(),
            vlan: None,
            mtu: 1500,
        }
    }

    /// The same on a VLAN.
    pub fn on_vlan(self, vlan: u16) -> Self {
        Self { vlan: Some(vlan), ..self }
    }
}

/// A simulated host.
pub struct Host {
    /// What it is.
    pub config: HostConfig,
    stack: Stack,
    apps: Vec<Box<dyn App>>,
}

/// The part of a host that applications use.
pub struct Stack {
    /// smoltcp's interface; its context opens TCP connections.
    pub iface: Interface,
    /// All sockets.
    pub sockets: SocketSet<'static>,
    device: Queues,
}

impl Host {
    pub(super) fn new(config: HostConfig, seed: u64, now: Time) -> Self {
        let mut device =
            Queues { rx: VecDeque::new(), tx: VecDeque::new(), mtu: usize::from(config.mtu) + 14 };
        let address = HardwareAddress::Ethernet(EthernetAddress(config.mac.0));
        let mut settings = iface::Config::new(address);
        settings.random_seed = seed;
        let mut iface = Interface::new(settings, &mut device, instant(now));
        iface.update_ip_addrs(|list| {
            for (address, prefix) in &config.addresses {
                list.push(IpCidr::new((*address).into(), *prefix))
                    .expect("invariant: a host has at most six addresses");
            }
        });
        for gateway in &config.gateways {
            let routes = iface.routes_mut();
            let added = match gateway {
                IpAddr::V4(ip) => routes.add_default_ipv4_route(*ip).map(drop),
                IpAddr::V6(ip) => routes.add_default_ipv6_route(*ip).map(drop),
            };
            added.expect("invariant: a host has one gateway of each version");
        }
        let stack = Stack { iface, sockets: SocketSet::new(Vec::new()), device };
        Self { config, stack, apps: Vec::new() }
    }

    /// Its first address of a version.
    ///
    /// # Panics
    /// When it has none.
    pub fn address(&self, v6: bool) -> IpAddr {
        let mut all = self.config.addresses.iter().map(|(address, _)| *address);
        all.find(|a| a.is_ipv6() == v6).expect("the host has an address of that version")
    }

    /// One of its applications.
    pub fn app(&self, index: usize) -> &dyn App {
        &*self.apps[index]
    }

    pub(super) fn start(&mut self, app: Box<dyn App>) -> usize {
        self.apps.push(app);
        self.apps.len() - 1
    }

    pub(super) fn receive(&mut self, clip: &Clip) {
        if let Some(bytes) = untag(&clip.bytes, self.config.vlan) {
            self.stack.device.rx.push_back(bytes);
        }
    }

    /// Lets stack and applications work until both rest; gives the frames to send to `send`.
    pub(super) fn run(&mut self, now: Time, mut send: impl FnMut(Clip)) {
        for _ in 0..ROUNDS {
            self.stack.poll(now);
            let mut busy = false;
            for app in &mut self.apps {
                busy |= app.poll(&mut self.stack, now);
            }
            while let Some(bytes) = self.stack.device.tx.pop_front() {
                send(Clip::plain(tag(bytes, self.config.vlan)));
            }
            if !busy {
                return;
            }
        }
        panic!("{} does not come to rest at {now:?}", self.config.name);
    }

    pub(super) fn wake(&mut self, now: Time) -> Option<Time> {
        let stack = self.stack.iface.poll_at(instant(now), &self.stack.sockets).map(|at| {
            let at = Time::from_nanos(at.total_micros().max(0) as u64 * 1_000);
            if at > now { at } else { now + core::time::Duration::from_micros(1) }
        });
        self.apps.iter().filter_map(|app| app.wake()).chain(stack).min()
    }
}

impl Stack {
    fn poll(&mut self, now: Time) {
        self.iface.poll(instant(now), &mut self.device, &mut self.sockets);
    }
}

fn instant(now: Time) -> Instant {
    Instant::from_micros((now.as_nanos() / 1_000) as i64)
}

fn tag(mut bytes: Vec<u8>, vlan: Option<u16>) -> Vec<u8> {
    if let Some(id) = vlan {
        let [high, low] = id.to_be_bytes();
        bytes.splice(12..12, [0x81, 0x00, high, low]);
    }
    bytes
}

/// The frame without its tag, where it carries the host's.
fn untag(bytes: &[u8], vlan: Option<u16>) -> Option<Vec<u8>> {
    let tagged = match bytes.get(12..16) {
        Some(&[0x81, 0x00, high, low]) => Some(u16::from_be_bytes([high, low]) & 0x0fff),
        Some(_) | None => None,
    };
    if tagged != vlan {
        return None;
    }
    let mut bytes = bytes.to_vec();
    if vlan.is_some() {
        bytes.drain(12..16);
    }
    Some(bytes)
}

struct Queues {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
    mtu: usize,
}

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let bytes = self.rx.pop_front()?;
        Some((Received(bytes), Sending(&mut self.tx)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = self.mtu;
        caps
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push_back(bytes);
        result
    }
}
