//! The reference page of the documentation, generated from the rows.

use core::fmt::Write as _;

use crate::{Class, DemotionReason, DropReason, NotEligible, PuntCause, Reason, RefusalReason};

/// The reference page as Markdown: one section a class, one entry a reason.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Reasons\n\nEvery cause the gateway can name. The page is generated from the registry; \
         the name is what the CLI prints, what a filter accepts after `reason`, and the `reason` \
         label of the metrics.\n",
    );
    section::<DropReason>(&mut page, "Why a packet went no further");
    section::<NotEligible>(&mut page, "Why a flow does not qualify for an engine");
    section::<RefusalReason>(&mut page, "Why an engine did not take a flow that qualifies");
    section::<DemotionReason>(&mut page, "Why a flow left an engine");
    section::<PuntCause>(&mut page, "Why the fast path handed one packet to the slow path");
    page
}

fn section<R: Reason>(page: &mut String, question: &str) {
    let class: Class = R::CLASS;
    let _ = write!(page, "\n## {class}\n\n{question}.\n");
    for reason in R::ALL {
        let row = reason.row();
        let _ = write!(
            page,
            "\n### `{}`\n\nid `{:#06x}`, {}. {}\n\n*Remedy:* {}\n",
            row.name, row.id, row.severity, row.sentence, row.remedy
        );
        if !row.vendor.is_empty() {
            let _ = write!(page, "\n*Elsewhere:* {}\n", row.vendor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_an_entry() {
        let page = reference_page();
        for name in DropReason::ALL.iter().map(|r| r.name()) {
            assert!(page.contains(&format!("### `{name}`")), "{name}");
        }
        for name in NotEligible::ALL.iter().map(|r| r.name()) {
            assert!(page.contains(&format!("### `{name}`")), "{name}");
        }
    }
}
