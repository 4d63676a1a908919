//! What decides for an engine: what it can do itself, and what the device it stands for can do.
//!
//! Both are asked and their findings joined, so a profile can only take away.

use offload::{Capabilities, DtlsFacts, FlowFacts, Profile, SaFacts};
use reason::{NotEligible, ReasonSet};

use crate::Gateway;

/// What an engine is held to.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    own: &'a Capabilities,
    profile: &'static Profile,
}

impl<'a> Rules<'a> {
    /// The rules of an engine under a profile.
    pub(crate) const fn new(own: &'a Capabilities, profile: &'static Profile) -> Self {
        Self { own, profile }
    }

    /// What stands against a flow.
    pub(crate) fn flow(self, facts: &FlowFacts) -> ReasonSet<NotEligible> {
        let [own, profile] = self.both().map(|c| c.evaluate(facts).against);
        own.union(profile)
    }

    /// The figures behind one of those reasons; empty where the gateway itself found it.
    pub(crate) fn flow_evidence(self, facts: &FlowFacts, reason: NotEligible) -> String {
        let [profile, own] = [&self.profile.capabilities, self.own];
        let said = profile.evidence(facts, reason);
        said.or_else(|| own.evidence(facts, reason)).unwrap_or_default()
    }

    /// What stands against an SA.
    pub(crate) fn sa(self, facts: &SaFacts) -> ReasonSet<NotEligible> {
        let [own, profile] = self.both().map(|c| c.evaluate_sa(facts).against);
        own.union(profile)
    }

    /// The figures behind one of those reasons; none where the gateway itself found it.
    pub(crate) fn sa_evidence(self, facts: &SaFacts, reason: NotEligible) -> Option<String> {
        let [own, profile] = self.both();
        profile.sa_evidence(facts, reason).or_else(|| own.sa_evidence(facts, reason))
    }

    /// What stands against a DTLS association.
    pub(crate) fn dtls(self, facts: &DtlsFacts) -> ReasonSet<NotEligible> {
        let [own, profile] = self.both().map(|c| c.evaluate_dtls(facts).against);
        own.union(profile)
    }

    /// The figures behind one of those reasons; none where the gateway itself found it.
    pub(crate) fn dtls_evidence(self, facts: &DtlsFacts, reason: NotEligible) -> Option<String> {
        let [own, profile] = self.both();
        profile.dtls_evidence(facts, reason).or_else(|| own.dtls_evidence(facts, reason))
    }

    /// Whether an IP protocol is forwarded.
    pub(crate) fn forwards(self, proto: u8) -> bool {
        self.both().iter().all(|c| c.protocols.has(&proto))
    }

    /// What both can do, by a property.
    pub(crate) fn can(self, what: impl Fn(&Capabilities) -> bool) -> bool {
        self.both().into_iter().all(what)
    }

    const fn both(self) -> [&'a Capabilities; 2] {
        [self.own, &self.profile.capabilities]
    }
}

impl Gateway {
    /// What decides for the engine now.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules::new(self.engine.capabilities(), self.config.engine.profile)
    }
}
