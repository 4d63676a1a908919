//! `show routes`, `show neighbours`.

use api::{NeighboursView, NextHopView, RoutesView};

use super::{
    port::or_none,
    style::{Style, Tone},
    table::{Cell, Table},
    units::{count, maybe_duration},
};

pub fn routes(view: &RoutesView, style: &Style) -> String {
    let mut table = Table::new(&[
        "VR",
        "DESTINATION",
        "ORIGIN",
        "VIA",
        "INTERFACE",
        "NEIGHBOUR",
        ">METRIC",
        ">WEIGHT",
        "STATE",
        ">LINE",
    ]);
    for route in &view.routes {
        let none = [NextHopView::default()];
        let hops = if route.next_hops.is_empty() { &none[..] } else { &route.next_hops };
        for (n, hop) in hops.iter().enumerate() {
            let first = |text: &str| if n == 0 { text.to_owned() } else { String::new() };
            table.row([
                first(&route.vr).into(),
                Cell::new(Tone::Name, first(&route.destination)),
                first(&route.origin).into(),
                hop.gateway.map(|g| g.to_string()).unwrap_or_default().into(),
                hop.interface.as_str().into(),
                neighbour_state(&hop.neighbour),
                first(&route.metric.to_string()).into(),
                if hops.len() > 1 { hop.weight.to_string() } else { String::new() }.into(),
                match (n, route.active) {
                    (0, true) => Cell::new(Tone::Good, "active"),
                    (0, false) => Cell::new(Tone::Dim, "inactive"),
                    _ => Cell::default(),
                },
                first(&if route.line == 0 { String::new() } else { route.line.to_string() }).into(),
            ]);
        }
    }
    let sentence = match view.lookup {
        Some(address) => format!("no route to {address}"),
        None => "no routes".to_owned(),
    };
    let mut out = or_none(table, &sentence, style);
    if view.next.is_some() {
        let shown = view.routes.len();
        out.push_str(&format!("{shown} of {} shown; --limit shows more\n", view.total));
    }
    out
}

pub fn neighbours(view: &NeighboursView, style: &Style) -> String {
    let mut table = Table::new(&[
        "INTERFACE",
        "ADDRESS",
        "MAC",
        "STATE",
        ">CONFIRMED",
        ">HELD",
        ">FLOWS",
        ">LINE",
    ]);
    for neighbour in &view.neighbours {
        table.row([
            neighbour.interface.as_str().into(),
            Cell::new(Tone::Name, neighbour.address.to_string()),
            neighbour.mac.clone().unwrap_or_else(|| "-".to_owned()).into(),
            neighbour_state(&neighbour.state),
            maybe_duration(neighbour.confirmed_ms).into(),
            count(u64::from(neighbour.held)).into(),
            count(neighbour.flows).into(),
            if neighbour.line == 0 { String::new() } else { neighbour.line.to_string() }.into(),
        ]);
    }
    let mut out = or_none(table, "no neighbours", style);
    let line = format!("{} of {} entries used", count(view.total), count(view.capacity));
    out.push_str(&style.paint(Tone::Dim, line));
    out.push('\n');
    out
}

fn neighbour_state(state: &str) -> Cell {
    let tone = match state {
        "reachable" | "static" => Tone::Good,
        "incomplete" | "failed" => Tone::Bad,
        _ => Tone::Plain,
    };
    Cell::new(tone, state)
}
