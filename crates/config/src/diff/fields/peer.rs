//! IKE peers as named fields. Keys are compared and never shown.

use std::path::PathBuf;

use ike::{RequestAddresses, auth::RsaPadding, crypto::Secret};

use super::{Fields, Item, joined, named};
use crate::{
    model::{Config, LocalAuth, Peer, RemoteAuth},
    values::show_duration,
};

pub(super) fn item(config: &Config, of: &Peer) -> Item {
    let Peer {
        name,
        line,
        local,
        remote,
        vr,
        local_id,
        remote_id,
        proposals,
        auth,
        remote_auth,
        rekey,
        dpd,
        dpd_action,
        tries,
        start,
        fragmentation,
        ppk,
        request_addresses: RequestAddresses { v4, v6 },
        address_pool,
        force_encapsulation,
        nat_keepalive,
    } = of;
    let asks = [(*v4, "ipv4"), (*v6, "ipv6")];
    let asks = asks.into_iter().filter_map(|(asks, version)| asks.then_some(version));
    let fields = vec![
        ("local", local.to_string()),
        ("remote", remote.map_or_else(|| "any".to_owned(), |ip| ip.to_string())),
        ("virtual-router", config.virtual_router_name(*vr).to_owned()),
        ("local-id", local_id.to_string()),
        ("remote-id", remote_id.to_string()),
        ("proposals", joined(proposals)),
        ("rekey", show_duration(*rekey)),
        ("dpd", show_duration(*dpd)),
        ("dpd-action", dpd_action.to_string()),
        ("tries", tries.to_string()),
        ("start", start.to_string()),
        ("fragmentation", fragmentation.to_string()),
        ("force-encapsulation", force_encapsulation.to_string()),
        ("nat-keepalive", show_duration(*nat_keepalive)),
        ("request-address", joined(asks)),
        ("address-pool", address_pool.map_or("", |id| config.address_pool_name(id)).to_owned()),
        ("ppk-id", ppk.as_ref().map_or_else(String::new, |ppk| ppk.id.clone())),
        ("ppk-required", ppk.as_ref().map_or_else(String::new, |ppk| ppk.required.to_string())),
    ];
    let (proof, psk) = proof_fields(auth, remote_auth);
    let material =
        |key: Option<&Secret>| esp::KeyMaterial::from_bytes(key.map_or(&[], |key| key.expose()));
    let secrets = vec![("psk", material(psk)), ("ppk", material(ppk.as_ref().map(|ppk| &ppk.key)))];
    let fields = fields.into_iter().chain(proof).collect();
    Item { secrets, ..named(name, *line, fields) }
}

/// How both ends prove themselves, and the key where one of them has it. Files are told by what is in
/// them too, for that is what matters.
fn proof_fields<'a>(
    auth: &'a LocalAuth,
    remote_auth: &'a RemoteAuth,
) -> (Fields, Option<&'a Secret>) {
    let paths = |files: &[PathBuf]| joined(files.iter().map(|file| file.display()));
    let (word, certificate, key, padding, of_ours) = match auth {
        LocalAuth::Psk(psk) => ("psk", String::new(), String::new(), String::new(), Some(psk)),
        LocalAuth::Certificate { own, padding } => {
            let certificates = joined(own.iter().map(|own| own.file.display()));
            let padding = match padding {
                RsaPadding::Pkcs1 => "pkcs1",
                RsaPadding::Pss => "pss",
            };
            (
                "certificate",
                format!("{certificates}: {auth}"),
                joined(own.iter().map(|own| own.key_file.display())),
                padding.to_owned(),
                None,
            )
        }
    };
    let (remote_word, ca, crl, of_theirs) = match remote_auth {
        RemoteAuth::Psk(psk) => ("psk", String::new(), String::new(), Some(psk)),
        RemoteAuth::Certificate { ca, crl, trust } => {
            let certificates =
                trust.authorities().map(|ca| format!("{}, serial {}", ca.name(), ca.serial()));
            let lists = match crl.as_slice() {
                [] => String::new(),
                files => format!("{}: {}", paths(files), joined(trust.revocation_lists())),
            };
            ("certificate", format!("{}: {}", paths(ca), joined(certificates)), lists, None)
        }
    };
    let fields = vec![
        ("auth", word.to_owned()),
        ("certificate", certificate),
        ("private-key", key),
        ("rsa-padding", padding),
        ("remote-auth", remote_word.to_owned()),
        ("ca", ca),
        ("crl", crl),
    ];
    (fields, of_ours.or(of_theirs))
}
