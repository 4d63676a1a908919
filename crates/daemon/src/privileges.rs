//! Capabilities: checked before ports are opened, dropped to what is needed afterwards.

use std::io;

use config::{Config, model::PortKind};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

use crate::StartError;

/// What a gateway keeps: raw sockets and devices may have to be opened again by a reload.
const KEPT: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN);

/// Checks that the process may open the ports of a configuration.
///
/// # Errors
/// [`StartError::MissingCapability`] with the first port that needs it.
pub fn check(config: &Config) -> Result<(), StartError> {
    let held = effective();
    for port in &config.ports {
        let needed = match port.kind {
            PortKind::Packet { .. } => [("CAP_NET_RAW", CapabilitySet::NET_RAW)],
            PortKind::Tap { .. } | PortKind::Tun { .. } => {
                [("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN)]
            }
            PortKind::Pcap { .. } | PortKind::Memory => continue,
        };
        for (capability, set) in needed {
            if !held.contains(set) {
                let port = port.name.clone();
                return Err(StartError::MissingCapability { capability, port });
            }
        }
    }
    Ok(())
}

/// Drops everything but [`KEPT`], for this thread and those it makes from now on; nothing that is
/// executed later can gain any.
///
/// # Errors
/// What the kernel says.
pub fn drop_to_needed() -> io::Result<()> {
    let now = capabilities(None)?;
    set_no_new_privs(true)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: now.effective & KEPT,
            permitted: now.permitted & KEPT,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// What the process may still do, as names.
pub fn held() -> Vec<String> {
    effective().iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

fn effective() -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}
