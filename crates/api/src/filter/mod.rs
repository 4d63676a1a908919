//! The filter language: which sessions, packets or events a command is about.
//!
//! `show sessions`, `clear sessions` and `trace` take the same expression, with the words of
//! pcap-filter(7) where it has them:
//!
//! ```text
//! tcp dst port 443 and src net 10.0.0.0/8
//! policy 7 and not (state established or reason fragment)
//! port in 1000-2000,8080 and in lan0
//! ```
//!
//! | term | is about |
//! |---|---|
//! | `ip`, `ip6` | the IP version |
//! | `tcp` `udp` `icmp` `icmp6` `sctp` `gre` `esp`, `proto N` | the protocol |
//! | `[src\|dst] [host\|net] ADDRESS[/LENGTH]` | an end, before or after translation |
//! | `[src\|dst] port [in] N,A-B` | a port, before or after translation |
//! | `nat ADDRESS[/LENGTH]` | an address that translation put in |
//! | `policy [in] N,A-B` | the policy that let it pass |
//! | `state NAME`, `tier NAME`, `reason NAME` | where it stands, who serves it, why not a faster one |
//! | `interface I`, `in I`, `out I`, `zone Z`, `in zone Z`, `out zone Z`, `vr V` | the way it takes |
//! | `id X` | the session with that id |
//!
//! Terms are joined by `and` (or by nothing at all), `or` and `not` (also `&&`, `||`, `!`), with
//! parentheses. Unlike in pcap-filter `and` binds tighter than `or`. Names with other characters
//! than letters, digits and `-_.:/@+*` stand in double quotes. Nothing is case sensitive but names
//! of things that the configuration names.
//!
//! Limits: [`MAX_LENGTH`] bytes, [`MAX_TERMS`] terms, [`MAX_DEPTH`] levels of nesting, so that
//! reading and matching have a bounded cost.

mod error;
mod expr;
mod parse;
mod subject;
mod token;

#[cfg(test)]
mod tests;

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use error::FilterError;
pub use expr::{End, Expr, Prefix, Ranges, Side, Term, Version};
pub use subject::Subject;

/// Longest text that is read, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Most terms of one filter.
pub const MAX_TERMS: usize = 256;
/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 32;

/// A parsed filter expression. [`Display`](fmt::Display) gives its normal form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filter(Expr);

impl Filter {
    /// The filter that everything matches; its text is empty.
    pub fn everything() -> Self {
        Self(Expr::everything())
    }

    /// Reads a filter; a text of blanks matches everything.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(Self)
    }

    /// Whether it is the filter that everything matches.
    pub fn is_everything(&self) -> bool {
        self.0.is_everything()
    }

    /// The expression.
    pub fn expr(&self) -> &Expr {
        &self.0
    }

    /// Whether something matches.
    pub fn matches(&self, subject: &impl Subject) -> bool {
        self.0.matches(subject)
    }

    /// The one session it asks for, when an `id` stands at the top, alone or in an `and`: the
    /// caller can look it up instead of walking the table.
    pub fn wanted_id(&self) -> Option<u64> {
        let id = |expr: &Expr| match expr {
            Expr::Term(Term::Id(id)) => Some(*id),
            _ => None,
        };
        match &self.0 {
            Expr::All(parts) => parts.iter().find_map(id),
            expr => id(expr),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::everything()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Filter {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        Self::parse(&text)
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.to_string()
    }
}

impl From<Expr> for Filter {
    fn from(expr: Expr) -> Self {
        Self(expr)
    }
}
