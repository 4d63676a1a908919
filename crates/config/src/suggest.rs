//! "Did you mean": the nearest of the known words by edit distance.

/// Words of other systems, and ours for them.
const SYNONYMS: &[(&str, &str)] = &[
    ("accept", "allow"),
    ("addr", "address"),
    ("addresses", "address"),
    ("block", "deny"),
    ("dest", "destination"),
    ("dev", "device"),
    ("drop", "deny"),
    ("dst", "destination"),
    ("dstaddr", "destination"),
    ("dstintf", "to"),
    ("firewall", "policy"),
    ("gateway", "via"),
    ("gw", "via"),
    ("ip", "address"),
    ("ippool", "pool"),
    ("masquerade", "interface"),
    ("neighbor", "neighbour"),
    ("nexthop", "via"),
    ("next-hop", "via"),
    ("pass", "allow"),
    ("permit", "allow"),
    ("policies", "policy"),
    ("prefix", "to"),
    ("rule", "policy"),
    ("services", "service"),
    ("src", "source"),
    ("srcaddr", "source"),
    ("srcintf", "from"),
    ("timeout", "timeouts"),
    ("vdom", "virtual-router"),
    ("vrf", "virtual-router"),
];

/// The known word nearest to `word`: ours for a word of another system, or the one that a slip of
/// the hand was meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let ours = SYNONYMS.iter().filter(|(theirs, _)| *theirs == word);
    ours.filter_map(|(_, ours)| known.iter().find(|known| *known == ours).copied())
        .next()
        .or_else(|| by_distance(word, known))
}

fn by_distance<'a>(word: &str, known: Vec<&'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let length = word.chars().count();
    let bound = (length / 3).clamp(1, 3).min(length.saturating_sub(1));
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// At most this many names are listed in a message.
const LISTED: usize = 8;

/// `a`, `b` and `c`; cut when there are too many.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let shown: Vec<String> = words.iter().take(LISTED).map(|w| format!("`{w}`")).collect();
    match (shown.len(), words.len() - shown.len()) {
        (0, _) => "none".to_owned(),
        (_, 0) => shown.join(", "),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Optimal string alignment: insert, delete, replace, or swap two neighbours. Long words are cut,
/// so the work is bounded.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["address", "zone", "mss-clamp", "mtu"];
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("mss_clamp", known), Some("mss-clamp"));
        assert_eq!(nearest("zoen", known), Some("zone"));
        assert_eq!(nearest("gateway", known), None);
        assert_eq!(nearest("gateway", ["to", "via"]), Some("via"));
    }
}
