//! The macro that makes an enum of each class; the rows of a class stand in its own file.
//!
//! A row reads: number, variant, name, severity, sentence, remedy, word elsewhere. New rows go to
//! the end of their class; a number is never given again.

use crate::{Class, ReasonRow};

macro_rules! registry {
    ($(#[$doc:meta])* $Enum:ident, $class:ident, $high:literal;
     $($num:literal $Variant:ident $name:literal $severity:ident $sentence:literal $remedy:literal $vendor:literal;)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $Enum {
            $(#[doc = $sentence] $Variant,)+
        }

        impl $Enum {
            pub(crate) const ROWS: &'static [ReasonRow] = &[$(ReasonRow {
                id: ($high << 8) | $num,
                class: Class::$class,
                name: $name,
                severity: Severity::$severity,
                sentence: $sentence,
                remedy: $remedy,
                vendor: $vendor,
            },)+];
        }

        impl Reason for $Enum {
            const ALL: &'static [Self] = &[$(Self::$Variant,)+];
            const CLASS: Class = Class::$class;

            fn index(self) -> usize {
                self as usize
            }

            fn row(self) -> &'static ReasonRow {
                &Self::ROWS[self as usize]
            }
        }

        impl fmt::Display for $Enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.row().name)
            }
        }
    };
}

mod demotion;
mod drop;
mod not_eligible;
mod punt;
mod refusal;

pub use demotion::DemotionReason;
pub use drop::DropReason;
pub use not_eligible::NotEligible;
pub use punt::PuntCause;
pub use refusal::RefusalReason;

/// Finds a row by class and name; names are unique within a class.
pub fn by_name(class: Class, name: &str) -> Option<&'static ReasonRow> {
    let rows = match class {
        Class::Drop => DropReason::ROWS,
        Class::NotEligible => NotEligible::ROWS,
        Class::Refusal => RefusalReason::ROWS,
        Class::Demotion => DemotionReason::ROWS,
        Class::Punt => PuntCause::ROWS,
    };
    rows.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_well_formed_and_ids_unique() {
        let all = [
            DropReason::ROWS,
            NotEligible::ROWS,
            RefusalReason::ROWS,
            DemotionReason::ROWS,
            PuntCause::ROWS,
        ];
        let mut ids = BTreeSet::new();
        for class in all {
            assert!(class.len() <= 128, "a ReasonSet is one u128");
            let mut names = BTreeSet::new();
            for row in class {
                assert!(ids.insert(row.id), "id {:#06x} is given twice", row.id);
                assert!(names.insert(row.name), "{} stands twice", row.name);
                assert!(
                    row.name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-')),
                    "{}",
                    row.name
                );
                assert!(row.sentence.ends_with('.') && row.remedy.ends_with('.'), "{}", row.name);
                assert!(
                    !["other", "unknown", "misc", "generic"].contains(&row.name),
                    "no catch-all"
                );
                assert_eq!(by_name(row.class, row.name).map(|r| r.id), Some(row.id));
            }
        }
    }
}
