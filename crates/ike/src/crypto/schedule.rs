//! The key schedule: SKEYSEED and the SK_* keys (RFC 7296 §2.14), their rekeying (§2.18), keys of
//! child SAs (§2.17), preshared keys against quantum computers (RFC 8784 §3) and additional key
//! exchanges (RFC 9370 §2.2.2, §2.2.4).

use std::fmt;

use esp::KeyMaterial;

use super::{Nonces, Opener, Sealer, Secret, SharedSecret, Suite, protect::MessageKeys};
use crate::algorithm::Prf;

/// Type of a PPK identity whose data is fixed and opaque (RFC 8784 §5.1): the only one we use.
pub const PPK_ID_FIXED: u8 = 2;

/// Which side began the IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It sent the first message.
    Initiator,
    /// It answered.
    Responder,
}

impl Role {
    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// The SPIs of an IKE SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spis {
    /// Of the side that began it.
    pub initiator: u64,
    /// Of the other side.
    pub responder: u64,
}

/// A postquantum preshared key (RFC 8784).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ppk(pub Secret);

/// The keys of an IKE SA: SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi and SK_pr.
#[derive(Clone)]
pub struct IkeKeys {
    d: Secret,
    messages: MessageKeys,
    p: [Secret; 2],
}

/// The keys of the two ESP SAs of a child, each in the order [`esp::KeyMaterial`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildKeys {
    /// Of the SA that carries traffic from the initiator of the exchange to its responder.
    pub from_initiator: KeyMaterial,
    /// Of the SA the other way.
    pub from_responder: KeyMaterial,
}

impl IkeKeys {
    /// The keys of a new IKE SA, after IKE_SA_INIT (RFC 7296 §2.14).
    pub fn initial(suite: Suite, exchange: &SharedSecret, nonces: Nonces<'_>, spis: Spis) -> Self {
        let key = [nonces.initiator.as_bytes(), nonces.responder.as_bytes()].concat();
        let seed = suite.prf().compute(&key, &[exchange.0.expose()]);
        Self::from_seed(suite, &seed, nonces, spis)
    }

    /// The keys after one more key exchange in IKE_INTERMEDIATE, with the nonces of IKE_SA_INIT
    /// (RFC 9370 §2.2.2).
    pub fn after_exchange(&self, exchange: &SharedSecret, nonces: Nonces<'_>, spis: Spis) -> Self {
        self.next(self.suite(), std::slice::from_ref(exchange), nonces, spis)
    }

    /// The keys of the IKE SA that replaces this one (RFC 7296 §2.18). `exchanges` are the one of
    /// CREATE_CHILD_SA and those of IKE_FOLLOWUP_KE, in their order (RFC 9370 §2.2.4).
    ///
    /// SKEYSEED comes from the pseudorandom function of this SA, the rest from that of the new one.
    pub fn rekeyed(
        &self,
        suite: Suite,
        exchanges: &[SharedSecret],
        nonces: Nonces<'_>,
        spis: Spis,
    ) -> Self {
        self.next(suite, exchanges, nonces, spis)
    }

    /// The keys with a postquantum preshared key mixed in, for use from IKE_AUTH on (RFC 8784 §3).
    /// Those that protect messages stay the same.
    pub fn with_ppk(&self, ppk: &Ppk) -> Self {
        let prf = self.suite().prf();
        let mix = |key: &Secret| prf.expand(ppk.0.expose(), &[key.expose()], prf.output_len());
        Self { d: mix(&self.d), messages: self.messages.clone(), p: self.p.each_ref().map(mix) }
    }

    /// The keys of a child SA (RFC 7296 §2.17). `nonces` are those of the exchange that makes it.
    /// `exchanges` is empty without perfect forward secrecy and for the child of IKE_AUTH; with it,
    /// the exchanges in their order (RFC 9370 §2.2.4).
    pub fn child(
        &self,
        suite: esp::Suite,
        exchanges: &[SharedSecret],
        nonces: Nonces<'_>,
    ) -> ChildKeys {
        let len = suite.key_len();
        let seed = exchange_seed(exchanges, nonces);
        let material = self.suite().prf().expand(self.d.expose(), &seed, len * 2);
        let (from_initiator, from_responder) = material.expose().split_at(len);
        ChildKeys {
            from_initiator: KeyMaterial::from_bytes(from_initiator),
            from_responder: KeyMaterial::from_bytes(from_responder),
        }
    }

    /// The algorithms the keys are for.
    pub fn suite(&self) -> Suite {
        self.messages.suite()
    }

    /// What `role` protects its messages with. **One only** for the life of SK_e, as it counts its
    /// initialization vectors: a second one would use them again. Mixing in a postquantum preshared
    /// key leaves SK_e as it is, so the sealer there is stays in use.
    pub fn sealer(&self, role: Role) -> Sealer {
        Sealer::new(self.messages.clone(), role)
    }

    /// What messages of `role` are opened with.
    pub fn opener(&self, role: Role) -> Opener {
        Opener::new(self.messages.clone(), role)
    }

    /// Wipes SK_pi and SK_pr: after IKE_AUTH nothing is proved with them any more (RFC 7296 §2.15).
    pub fn forget_proofs(&mut self) {
        self.p = [Secret::zeroed(0), Secret::zeroed(0)];
    }

    /// SK_pi or SK_pr, for AUTH payloads and IntAuth; empty once they are forgotten.
    pub fn p(&self, role: Role) -> &Secret {
        &self.p[role as usize]
    }

    /// SK_ei or SK_er, salt included: for the export of keys by somebody who asked for it.
    pub fn e(&self, role: Role) -> &[u8] {
        self.messages.e(role)
    }

    /// SK_ai or SK_ar; empty for combined modes.
    pub fn a(&self, role: Role) -> &[u8] {
        self.messages.a(role)
    }

    fn next(
        &self,
        suite: Suite,
        exchanges: &[SharedSecret],
        nonces: Nonces<'_>,
        spis: Spis,
    ) -> Self {
        let seed = exchange_seed(exchanges, nonces);
        let seed = self.suite().prf().compute(self.d.expose(), &seed);
        Self::from_seed(suite, &seed, nonces, spis)
    }

    fn from_seed(suite: Suite, seed: &Secret, nonces: Nonces<'_>, spis: Spis) -> Self {
        let prf: Prf = suite.prf();
        let (messages, p) = (MessageKeys::len(suite), prf.output_len());
        let parts = [
            nonces.initiator.as_bytes(),
            nonces.responder.as_bytes(),
            &spis.initiator.to_be_bytes(),
            &spis.responder.to_be_bytes(),
        ];
        let all = prf.expand(seed.expose(), &parts, p + messages + 2 * p);
        let mut rest = all.expose();
        let mut take = |len| {
            let (head, tail) = rest.split_at(len);
            rest = tail;
            head
        };
        Self {
            d: Secret::from_bytes(take(p)),
            messages: MessageKeys::new(suite, take(messages)),
            p: [take(p), take(p)].map(Secret::from_bytes),
        }
    }
}

/// `SK(0) | Ni | Nr | SK(1) | ... | SK(n)` (RFC 9370 §2.2.4), and `Ni | Nr` without an exchange.
fn exchange_seed<'a>(exchanges: &'a [SharedSecret], nonces: Nonces<'a>) -> Vec<&'a [u8]> {
    let mut secrets = exchanges.iter().map(|s| s.0.expose());
    let mut seed: Vec<&[u8]> = secrets.next().into_iter().collect();
    seed.extend([nonces.initiator.as_bytes(), nonces.responder.as_bytes()]);
    seed.extend(secrets);
    seed
}

/// Says the algorithms alone.
impl fmt::Debug for IkeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IkeKeys").field("suite", &self.suite()).finish_non_exhaustive()
    }
}
