//! `show nat vips`, `show nat pools`.

use api::{NatPoolsView, NatVipsView};

use super::{
    port::{loss, or_none},
    style::{Style, Tone},
    table::{Cell, Table},
    units::{bytes, count, percent},
};

pub fn vips(view: &NatVipsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "VIP", "INTERFACE", "EXTERNAL", "MAPPED", "PROTO", "PORTS", "TO PORTS", ">HITS", ">NOW",
        ">PKTS", ">BYTES", ">LINE",
    ]);
    for vip in &view.vips {
        table.row([
            Cell::new(Tone::Name, &vip.name),
            vip.interface.clone().unwrap_or_else(|| "any".to_owned()).into(),
            vip.external.as_str().into(),
            vip.mapped.as_str().into(),
            vip.proto.as_deref().unwrap_or_default().into(),
            vip.external_ports.clone().unwrap_or_default().into(),
            vip.mapped_ports.clone().unwrap_or_default().into(),
            count(vip.hits).into(),
            count(vip.sessions).into(),
            count(vip.traffic.packets).into(),
            bytes(vip.traffic.bytes).into(),
            vip.line.to_string().into(),
        ]);
    }
    or_none(table, "no virtual IPs are configured", style)
}

pub fn pools(view: &NatPoolsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "POOL", "MODE", "ADDRESSES", "PORTS", "BLOCKS", ">USED", ">OF", ">SHARE", ">PEAK", ">MADE",
        ">EXHAUSTED", ">LINE",
    ]);
    for pool in &view.pools {
        let blocks = match (pool.block_size, pool.blocks_per_host) {
            (Some(size), Some(blocks)) => format!("{size} ports, {blocks} a host"),
            (Some(size), None) => format!("{size} ports"),
            _ => String::new(),
        };
        table.row([
            Cell::new(Tone::Name, &pool.name),
            pool.mode.as_ref().into(),
            pool.addresses.as_str().into(),
            pool.ports.as_str().into(),
            blocks.into(),
            count(pool.used).into(),
            count(pool.capacity).into(),
            percent(pool.used, pool.capacity).into(),
            count(pool.peak).into(),
            count(pool.allocated).into(),
            loss(pool.exhausted),
            if pool.line == 0 { String::new() } else { pool.line.to_string() }.into(),
        ]);
    }
    or_none(table, "no pools are configured, and no interface address is in use as a source", style)
}
