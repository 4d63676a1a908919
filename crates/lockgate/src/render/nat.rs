//! `show nat vips`, `show nat pools`.

use api::{NatPoolsView, NatVipsView};

use super::{
    port::{loss, or_none},
    style::{Style, Tone},
    table::{Cell, Table},
    units::{count, percent},
};

pub fn vips(view: &NatVipsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "VIP",
        "INTERFACE",
        "EXTERNAL",
        "MAPPED",
        "PROTO",
        "PORTS",
        "TO PORTS",
        ">HITS",
        ">LINE",
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
            vip.line.to_string().into(),
        ]);
    }
    or_none(table, "no virtual IPs are configured", style)
}

pub fn pools(view: &NatPoolsView, style: &Style) -> String {
    let mut table = Table::new(&[
        "POOL",
        "MODE",
        "ADDRESSES",
        "PORTS",
        "BLOCKS",
        ">OF",
        ">TCP",
        ">UDP",
        ">SCTP",
        ">ICMP",
        ">FULLEST",
        ">HOSTS",
        ">SESSIONS",
        ">EXHAUSTED",
        ">LINE",
    ]);
    for pool in &view.pools {
        let blocks = match pool.block_size {
            Some(size) => format!(
                "{} of {} ({size} ports, {} a host)",
                count(pool.blocks_used),
                count(pool.blocks_total),
                pool.blocks_per_host.map_or_else(|| "any".to_owned(), |n| n.to_string())
            ),
            None => String::new(),
        };
        let fullest = [pool.tcp_used, pool.udp_used, pool.sctp_used, pool.icmp_used];
        let fullest = fullest.into_iter().max().unwrap_or(0);
        let used = |n: u64| -> Cell {
            if pool.ports_total == 0 { Cell::default() } else { count(n).into() }
        };
        let mode =
            if pool.removed { format!("{} (removed)", pool.mode) } else { pool.mode.to_string() };
        table.row([
            Cell::new(Tone::Name, &pool.name),
            Cell::new(if pool.removed { Tone::Notice } else { Tone::Plain }, mode),
            pool.addresses.as_str().into(),
            pool.ports.as_str().into(),
            blocks.into(),
            used(pool.ports_total),
            used(pool.tcp_used),
            used(pool.udp_used),
            used(pool.sctp_used),
            used(pool.icmp_used),
            percent(fullest, pool.ports_total).into(),
            count(pool.hosts).into(),
            count(pool.sessions).into(),
            loss(pool.exhausted),
            if pool.line == 0 { String::new() } else { pool.line.to_string() }.into(),
        ]);
    }
    or_none(table, "no pools are configured, and no interface address is in use as a source", style)
}
