//! Lengths of the packets that a suite measures: one of them, or the usual mix.

use std::{fmt, str::FromStr};

/// What packets are long, in bytes of the IP packet, the inner one of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All the same.
    Bytes(usize),
    /// The simple IMIX: of twelve packets seven of 64, four of 576 and one of 1400 bytes.
    Imix,
}

impl Size {
    /// What a suite measures where nothing is asked for.
    pub const USUAL: [Self; 4] = [Self::Bytes(64), Self::Bytes(576), Self::Imix, Self::Bytes(1400)];

    /// Shortest and longest: what fills the shortest Ethernet frame, and what fits a tunnel over 1500 bytes.
    pub const BOUNDS: [usize; 2] = [46, 1400];

    /// Lengths that packets have in turn.
    pub fn lengths(self) -> Vec<usize> {
        match self {
            Self::Bytes(length) => vec![length],
            Self::Imix => vec![64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 64, 576],
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(length) => write!(f, "{length} B"),
            Self::Imix => f.write_str("imix"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [least, most] = Self::BOUNDS;
        match text.parse() {
            Ok(length) if (least..=most).contains(&length) => Ok(Self::Bytes(length)),
            Err(_) if text.eq_ignore_ascii_case("imix") => Ok(Self::Imix),
            Ok(_) | Err(_) => Err(format!("expected {least} to {most} bytes, or imix")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_others_refused() {
        assert_eq!("64".parse(), Ok(Size::Bytes(64)));
        assert_eq!("IMIX".parse(), Ok(Size::Imix));
        for bad in ["", "45", "1401", "-1", "64B", "mix"] {
            assert_eq!(bad.parse::<Size>(), Err("expected 46 to 1400 bytes, or imix".into()));
        }
    }

    #[test]
    fn the_mix_is_seven_to_four_to_one() {
        let lengths = Size::Imix.lengths();
        let count = |length| lengths.iter().filter(|l| **l == length).count();
        assert_eq!([count(64), count(576), count(1400)], [7, 4, 1]);
    }
}
