//! `show address-pools`.

use api::AddressPoolsView;

use super::{
    port::or_none,
    style::{Style, Tone},
    table::{Cell, Table},
    units::count,
};

pub fn pools(view: &AddressPoolsView, style: &Style) -> String {
    let mut table =
        Table::new(&["POOL", "ADDRESSES", ">SIZE", ">HELD", ">REMEMBERED", ">FREE", ">LINE"]);
    for pool in &view.pools {
        let free = pool.size.saturating_sub(pool.held);
        let tone = if free == 0 { Tone::Bad } else { Tone::Plain };
        table.row([
            Cell::new(Tone::Name, &pool.name),
            pool.addresses.join(", ").into(),
            count(pool.size).into(),
            count(pool.held).into(),
            count(pool.remembered).into(),
            Cell::new(tone, count(free)),
            pool.line.to_string().into(),
        ]);
    }
    or_none(table, "no address pools are configured", style)
}
