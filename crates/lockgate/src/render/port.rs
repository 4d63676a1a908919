//! `show ports`, `show interfaces`.

use api::{InterfacesView, PortsView};

use super::{
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count},
};

pub fn ports(view: &PortsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "PORT",
        "ATTACHMENT",
        "DEVICE",
        "LINK",
        "FAST",
        "MAC",
        ">RX",
        ">BYTES",
        ">DROP",
        ">ERR",
        ">TX",
        ">BYTES",
        ">DROP",
        ">ERR",
        "TAKES",
        "INTERFACES",
    ]);
    for port in &view.ports {
        table.row([
            Cell::new(Tone::Name, &port.name),
            port.attachment.as_ref().into(),
            port.device.as_str().into(),
            link(&port.link),
            if port.fast_path { "yes" } else { "no" }.into(),
            port.mac.as_str().into(),
            count(port.rx.packets).into(),
            bytes(port.rx.bytes).into(),
            loss(port.rx.dropped),
            loss(port.rx.errors),
            count(port.tx.packets).into(),
            bytes(port.tx.bytes).into(),
            loss(port.tx.dropped),
            loss(port.tx.errors),
            port.takes.join(",").into(),
            port.interfaces.join(",").into(),
        ]);
    }
    or_none(table, "no ports are configured", style)
}

pub fn interfaces(view: &InterfacesView, style: &Style) -> String {
    let mut table = Table::new(&[
        "INTERFACE",
        "PORT",
        ">VLAN",
        "STATE",
        "ZONE",
        "VR",
        "ADDRESSES",
        ">MTU",
        "RPF",
        ">MSS",
        "PROXY",
        ">LINE",
    ]);
    for interface in &view.interfaces {
        table.row([
            Cell::new(Tone::Name, &interface.name),
            interface.port.as_str().into(),
            interface.vlan.map(|v| v.to_string()).unwrap_or_default().into(),
            if interface.enabled { link(&interface.link) } else { Cell::new(Tone::Dim, "off") },
            interface.zone.as_str().into(),
            interface.vr.as_str().into(),
            interface.addresses.join(" ").into(),
            interface.mtu.to_string().into(),
            interface.rpf.as_ref().into(),
            interface.mss_clamp.map(|v| v.to_string()).unwrap_or_default().into(),
            if interface.proxy_arp { "arp" } else { "" }.into(),
            interface.line.to_string().into(),
        ]);
    }
    or_none(table, "no interfaces are configured", style)
}

/// The table, or a sentence when it has no rows.
pub fn or_none(table: Table, sentence: &str, style: &Style) -> String {
    if table.is_empty() { format!("{sentence}\n") } else { table.render(style) }
}

/// A count that should be zero.
pub fn loss(value: u64) -> Cell {
    Cell::new(if value == 0 { Tone::Dim } else { Tone::Notice }, count(value))
}

fn link(link: &str) -> Cell {
    Cell::new(if link == "up" { Tone::Good } else { Tone::Bad }, link)
}
