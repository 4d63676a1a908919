//! What is signed (RFC 7296 §2.15, RFC 9242 §3.3.2), and AUTH by a preshared key.

use crate::{
    algorithm::Prf,
    crypto::{IkeKeys, Nonce, Role, Secret},
    message::Identification,
};

/// The method of AUTH by a preshared key (RFC 7296 §3.8).
pub const METHOD_SHARED_KEY: u8 = 2;

/// A preshared key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresharedKey(pub Secret);

/// What was said in IKE_INTERMEDIATE, so that AUTH covers it.
#[derive(Clone, Debug, Default)]
pub struct Intermediate([Option<Secret>; 2]);

impl Intermediate {
    /// Adds a message that `role` sent (RFC 9242 §3.3.2).
    ///
    /// `keys` are those the message was protected with. `head` is the message up to the generic
    /// header of its SK payload, unfragmented, with lengths that count the payloads inside as if
    /// they were not encrypted; `inner` are these payloads.
    pub fn add(&mut self, keys: &IkeKeys, role: Role, head: &[u8], inner: &[u8]) {
        let so_far = self.0[role as usize].take();
        let so_far = so_far.as_ref().map_or(&[][..], Secret::expose);
        let code = keys.suite().prf().compute(keys.p(role).expose(), &[so_far, head, inner]);
        self.0[role as usize] = Some(code);
    }

    /// What AUTH covers of it: nothing when there was no such exchange. `auth_message_id` is that of
    /// the first message of IKE_AUTH.
    fn octets(&self, auth_message_id: u32) -> Vec<u8> {
        match &self.0 {
            [Some(initiator), Some(responder)] => {
                [initiator.expose(), responder.expose(), &auth_message_id.to_be_bytes()].concat()
            }
            _ => Vec::new(),
        }
    }
}

/// What AUTH of one side covers.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The side that proves itself.
    pub role: Role,
    /// Its first message of IKE_SA_INIT as it was on the wire, from the IKE header on. Of several,
    /// as after a cookie, the last.
    pub message: &'a [u8],
    /// The nonce of the **other** side.
    pub peer_nonce: &'a Nonce,
    /// Its identity, as it sends it.
    pub identity: &'a Identification,
    /// What was said between IKE_SA_INIT and IKE_AUTH.
    pub intermediate: &'a Intermediate,
    /// Message ID of the first message of IKE_AUTH.
    pub auth_message_id: u32,
}

impl Signed<'_> {
    /// The octets to sign or to verify. `keys` are those of IKE_AUTH, so after the last additional
    /// key exchange; with a postquantum preshared key, those with it mixed in, and for NO_PPK_AUTH
    /// those without (RFC 8784 §3).
    pub fn octets(&self, keys: &IkeKeys) -> Vec<u8> {
        let prf = keys.suite().prf();
        let code = prf.compute(keys.p(self.role).expose(), &[&self.identity.body()]);
        let intermediate = self.intermediate.octets(self.auth_message_id);
        [self.message, self.peer_nonce.as_bytes(), code.expose(), &intermediate].concat()
    }
}

impl PresharedKey {
    /// The data of an AUTH payload over `octets` (RFC 7296 §2.15).
    pub fn sign(&self, prf: Prf, octets: &[u8]) -> Vec<u8> {
        self.code(prf, octets).expose().to_vec()
    }

    /// Whether a peer's AUTH payload is right. Takes the same time wherever it differs.
    pub fn verify(&self, prf: Prf, octets: &[u8], data: &[u8]) -> bool {
        self.code(prf, octets) == Secret::from_bytes(data)
    }

    fn code(&self, prf: Prf, octets: &[u8]) -> Secret {
        let key = prf.compute(self.0.expose(), &[b"Key Pad for IKEv2"]);
        prf.compute(key.expose(), &[octets])
    }
}
