//! SAs become pairs, and pairs get their selectors.
//!
//! An SA goes out or comes in: `offload … dir`, `dir` and the policies say so, or the address of this
//! host does. The two SAs of a pair are joined by their policies, else by `reqid`, else in the order
//! of the text.

use core::net::IpAddr;

use super::{
    policy::Policy,
    read::{Dir, Fault, Sel},
    state::Sa,
};

/// What becomes a tunnel.
#[derive(Debug)]
pub struct Pair {
    /// What we send by.
    pub outbound: Sa,
    /// What we receive by.
    pub inbound: Sa,
    /// What may pass, seen from our side; everything when empty.
    pub selectors: Vec<Sel>,
    /// Lines of the policies it has its selectors from.
    pub policies: Vec<u32>,
}

/// Pairs in the order of their outgoing SAs, and what was left out.
pub struct Pairs {
    /// The pairs.
    pub pairs: Vec<Pair>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Makes pairs of all SAs. `locals` are the addresses of this host; found out when empty.
pub fn pairs(sas: Vec<Sa>, policies: Vec<Policy>, locals: &[IpAddr]) -> Result<Pairs, Vec<Fault>> {
    let mut notes = Vec::new();
    let mut faults = Vec::new();
    let given = !locals.is_empty();
    let locals = if given { locals.to_vec() } else { local_addresses(&sas, &policies) };
    let is_local = |address: &IpAddr| locals.contains(address);
    let (mut out, mut inn): (Vec<Sa>, Vec<Sa>) = Default::default();
    for sa in sas {
        let way = match (is_local(&sa.src), is_local(&sa.dst)) {
            (true, false) => Dir::Out,
            (false, true) => Dir::In,
            _ => {
                faults.push(undirected(&sa, given));
                continue;
            }
        };
        if given && sa.dir.is_some_and(|dir| dir != way) {
            notes.push(format!("line {}: an SA as the far end has it; left out", sa.line));
            continue;
        }
        let side = if way == Dir::Out { &mut out } else { &mut inn };
        match side.iter().find(|other| (other.spi, other.dst) == (sa.spi, sa.dst)) {
            None => side.push(sa),
            Some(twin) if is_same(twin, &sa) => {
                notes.push(format!("line {}: the SA of line {} again", sa.line, twin.line));
            }
            Some(twin) => faults.push(
                Fault::new(sa.line, "duplicate-spi", "two SAs have the same SPI and address")
                    .found(format!("{:#x} to {}, as on line {}", sa.spi, sa.dst, twin.line))
                    .expected("an SPI of its own")
                    .help("leave the old one out"),
            ),
        }
    }
    let (ours, theirs): (Vec<_>, Vec<_>) =
        policies.into_iter().partition(|policy| !given || fits(policy, &is_local));
    for policy in &theirs {
        notes.push(format!("line {}: a policy as the far end has it; left out", policy.line));
    }
    let used: Vec<Vec<&Policy>> = out.iter().map(|sa| of(&ours, sa, Dir::Out)).collect();
    let mut waiting: Vec<Option<Sa>> = inn.into_iter().map(Some).collect();
    let mut partners: Vec<Option<Sa>> = out.iter().map(|_| None).collect();
    for how in [By::Policy, By::Reqid, By::Order] {
        for ((sa, partner), policies) in out.iter().zip(&mut partners).zip(&used) {
            if partner.is_some() {
                continue;
            }
            let at = waiting.iter().position(|other| {
                other.as_ref().is_some_and(|other| belong(sa, other, how, policies, &ours))
            });
            *partner = at.and_then(|at| waiting.get_mut(at)).and_then(Option::take);
        }
    }
    let mut pairs = Vec::new();
    let mut selecting = Vec::new();
    for ((sa, partner), outgoing) in out.into_iter().zip(partners).zip(used) {
        let Some(inbound) = partner else {
            faults.push(half(&sa, "incoming"));
            continue;
        };
        let incoming: Vec<&Policy> = of(&ours, &inbound, Dir::In);
        selecting.extend(outgoing.iter().chain(&incoming).map(|policy| policy.line));
        if outgoing.is_empty() && !ours.is_empty() {
            notes.push(format!(
                "lines {} and {}: no policy brings packets into this pair of SAs; left out",
                sa.line, inbound.line
            ));
            continue;
        }
        match selected(&sa, &inbound, &outgoing, &incoming) {
            Ok(selectors) => {
                let mut lines: Vec<u32> =
                    outgoing.iter().chain(&incoming).map(|policy| policy.line).collect();
                lines.sort_unstable();
                pairs.push(Pair { outbound: sa, inbound, selectors, policies: lines });
            }
            Err(fault) => faults.push(fault),
        }
    }
    faults.extend(waiting.iter().flatten().map(|sa| half(sa, "outgoing")));
    for policy in ours.iter().filter(|policy| !selecting.contains(&policy.line)) {
        faults.push(
            Fault::new(policy.line, "missing-sa", "no SA fits the policy's template")
                .found(format!("`{}`", template(policy)))
                .expected("an SA with these ends, mode and reqid")
                .help("add its `ip xfrm state add …`, or leave the policy out"),
        );
    }
    if faults.is_empty() { Ok(Pairs { pairs, notes }) } else { Err(faults) }
}

/// Addresses of this host, as directions tell them.
fn local_addresses(sas: &[Sa], policies: &[Policy]) -> Vec<IpAddr> {
    let sas = sas.iter().filter_map(|sa| match sa.dir? {
        Dir::Out => Some(sa.src),
        Dir::In | Dir::Forward => Some(sa.dst),
    });
    let policies = policies.iter().filter_map(|policy| match policy.dir {
        Dir::Out => policy.tmpl.ends.0,
        Dir::In | Dir::Forward => policy.tmpl.ends.1,
    });
    let mut all: Vec<IpAddr> = sas.chain(policies).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn undirected(sa: &Sa, given: bool) -> Fault {
    let ends = format!("{} -> {}", sa.src, sa.dst);
    let fault = Fault::new(sa.line, "no-direction", "whether the SA goes out or comes in is open")
        .found(ends)
        .expected("one end that is this host's, and one that is not");
    match given {
        true => fault.help("give every address of this host with --local, and none of the far end"),
        false => fault.help(format!(
            "say which end is this host with --local {} or --local {}",
            sa.src, sa.dst
        )),
    }
}

fn half(sa: &Sa, missing: &str) -> Fault {
    Fault::new(sa.line, "half-a-pair", format!("the {missing} SA is missing"))
        .found(format!("SPI {:#x}, {} -> {} alone", sa.spi, sa.src, sa.dst))
        .expected(format!("an SA {} -> {} of the same mode and encapsulation", sa.dst, sa.src))
        .help("add its `ip xfrm state add …`")
}

fn is_same(a: &Sa, b: &Sa) -> bool {
    (a.src, a.tunnel, a.suite, &a.more) == (b.src, b.tunnel, b.suite, &b.more) && a.key == b.key
}

/// Whether a policy is one of this host's.
fn fits(policy: &Policy, is_local: &impl Fn(&IpAddr) -> bool) -> bool {
    let end = match policy.dir {
        Dir::Out => policy.tmpl.ends.0,
        Dir::In | Dir::Forward => policy.tmpl.ends.1,
    };
    end.or_else(|| match policy.dir {
        Dir::Out => policy.sel.src.map(|net| net.addr()),
        Dir::In | Dir::Forward => policy.sel.dst.map(|net| net.addr()),
    })
    .is_none_or(|end| is_local(&end))
}

/// Policies whose template an SA fits.
fn of<'p>(policies: &'p [Policy], sa: &Sa, dir: Dir) -> Vec<&'p Policy> {
    let wanted = |policy: &&Policy| {
        let tmpl = &policy.tmpl;
        (policy.dir == Dir::Out) == (dir == Dir::Out)
            && tmpl.tunnel == sa.tunnel
            && tmpl.ends.0.is_none_or(|end| end == sa.src)
            && tmpl.ends.1.is_none_or(|end| end == sa.dst)
            && (tmpl.reqid == 0 || tmpl.reqid == sa.reqid)
            && (tmpl.spi == 0 || tmpl.spi == sa.spi)
    };
    policies.iter().filter(wanted).collect()
}

#[derive(Clone, Copy)]
enum By {
    Policy,
    Reqid,
    Order,
}

fn belong(out: &Sa, inn: &Sa, how: By, outgoing: &[&Policy], all: &[Policy]) -> bool {
    let turned = |ports: Option<(u16, u16)>| ports.map(|(sport, dport)| (dport, sport));
    (out.src, out.dst, out.tunnel) == (inn.dst, inn.src, inn.tunnel)
        && out.more.encap == turned(inn.more.encap)
        && match how {
            By::Policy => of(all, inn, Dir::In)
                .iter()
                .any(|back| outgoing.iter().any(|there| there.sel == back.sel.reversed())),
            By::Reqid => out.reqid != 0 && out.reqid == inn.reqid,
            By::Order => true,
        }
}

/// What may pass, seen from our side.
fn selected(
    out: &Sa,
    inn: &Sa,
    outgoing: &[&Policy],
    incoming: &[&Policy],
) -> Result<Vec<Sel>, Fault> {
    let limit = |sa: &Sa| sa.sel.clone().filter(|sel| !sel.is_any());
    let (there, back) = (limit(out), limit(inn).map(|sel| sel.reversed()));
    if there != back {
        return Err(different(inn.line, "the `sel` of the incoming SA", out.line));
    }
    let mut list: Vec<Sel> = Vec::new();
    for policy in outgoing {
        if !list.contains(&policy.sel) {
            list.push(policy.sel.clone());
        }
    }
    for policy in incoming {
        if !outgoing.iter().any(|out| out.sel == policy.sel.reversed()) {
            let line = outgoing.first().map_or(out.line, |policy| policy.line);
            return Err(different(policy.line, "the incoming policy", line));
        }
    }
    match (there, list.is_empty()) {
        (Some(sel), true) => Ok(vec![sel]),
        (None, true) if out.tunnel => {
            Err(Fault::new(out.line, "missing-selectors", "nothing says what goes into the tunnel")
                .found("no policy, and no `sel`")
                .expected("`ip xfrm policy add … dir out tmpl …`")
                .help("add the policies: `ip xfrm policy` prints them"))
        }
        (None, _) => Ok(list),
        (Some(sel), false) => match outgoing.iter().find(|policy| !sel.covers(&policy.sel)) {
            None => Ok(list),
            Some(policy) => Err(different(policy.line, "the policy", out.line)),
        },
    }
}

fn different(line: u32, what: &str, other: u32) -> Fault {
    Fault::new(line, "different-selectors", format!("{what} is about other packets"))
        .found(format!("other addresses, protocol or ports than on line {other}"))
        .expected("the same, with source and destination turned round for what comes in")
        .help("Lockgate has one list of selectors for both directions of a pair: make them agree")
}

fn template(policy: &Policy) -> String {
    let end = |end: Option<IpAddr>| end.map_or_else(|| "any".to_owned(), |end| end.to_string());
    let tmpl = &policy.tmpl;
    let mode = if tmpl.tunnel { "tunnel" } else { "transport" };
    let ends = format!("tmpl src {} dst {}", end(tmpl.ends.0), end(tmpl.ends.1));
    format!("{ends} reqid {:#x} mode {mode}", tmpl.reqid)
}
