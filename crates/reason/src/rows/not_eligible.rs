//! Why a flow or an SA does not qualify for an engine. One row each; `rows.rs` says how a row reads.

use core::fmt;

use crate::{Class, Reason, ReasonRow, Severity};

registry! {
    /// Why a flow does not qualify for an engine.
    NotEligible, NotEligible, 0x02;
    1 NotEstablished "not-established" Info
        "The TCP handshake is not complete yet."
        "Wait for the handshake; if it never completes look at the server."
        "FortiOS: not-established";
    2 AwaitingReply "awaiting-reply" Info
        "No packet has come back yet."
        "Wait for the reply; one-way traffic is promoted after `offload.one-way-packets` packets."
        "";
    3 BelowPacketThreshold "below-packet-threshold" Info
        "The session has sent fewer packets than the promotion threshold."
        "Lower `offload.after-packets` if short sessions should be promoted too."
        "FortiOS: delay-tcp-npu-session";
    4 TcpClosing "tcp-closing" Info
        "The session is closing."
        "Nothing to do."
        "";
    5 NeighbourUnresolved "neighbour-unresolved" Info
        "The next hop of this direction is not resolved."
        "Resolve or pin the neighbour; promotion is tried again when it resolves."
        "FortiOS: mac-unresolved";
    6 LocalDestination "local-destination" Info
        "The session ends on the gateway itself."
        "Nothing to do; the gateway's own traffic stays on the slow path."
        "FortiOS: local-traffic, local; Cisco: to-the-box";
    7 LocalOrigin "local-origin" Info
        "The gateway itself started the session."
        "Nothing to do; the gateway's own traffic stays on the slow path."
        "FortiOS: local-traffic, local";
    8 Multicast "multicast" Info
        "The destination is a multicast group."
        "Nothing to do."
        "FortiOS: multicast; Cisco: multicast";
    9 Broadcast "broadcast" Info
        "The destination is a broadcast address."
        "Nothing to do."
        "";
    10 DisabledGlobally "disabled-globally" Info
        "Offload is switched off for the whole gateway."
        "Set `offload.mode = auto`."
        "";
    11 DisabledByVirtualRouter "disabled-by-virtual-router" Info
        "Offload is switched off for the virtual router."
        "Set `offload = auto` on the virtual router."
        "FortiOS: auto-asic-offload disable (VDOM)";
    12 DisabledByPolicy "disabled-by-policy" Info
        "Offload is switched off in the policy."
        "Set `offload = auto` on the policy."
        "FortiOS: disabled-by-policy";
    13 InspectionFlow "inspection-flow" Info
        "Flow-based inspection must see every packet."
        "Use an inspection profile that releases sessions, or none."
        "FortiOS: redir-to-ips; Cisco: Snort inspection";
    14 InspectionProxy "inspection-proxy" Info
        "A proxy terminates the session to inspect it."
        "Use flow-based inspection, or none."
        "FortiOS: redir-to-av; Cisco: TCP intercept";
    15 HelperActive "helper-active" Info
        "A protocol helper still reads the session's control channel."
        "Nothing to do; the data sessions it announces can be promoted."
        "FortiOS: helper; Linux: helper";
    16 ShaperSoftware "shaper-software" Info
        "A queueing shaper of the policy needs every packet."
        "Use an interface limit or a policer instead."
        "FortiOS: shaping";
    17 InterfaceWithoutEngine "interface-without-engine" Info
        "One of the session's interfaces is not attached to the engine."
        "Set `fast-path = true` on the interface, or move the traffic."
        "FortiOS: non-npu-intf";
    18 InterfacesOnDifferentEngines "interfaces-on-different-engines" Info
        "The two interfaces belong to different engines."
        "Put both interfaces on ports of one engine."
        "FortiOS: intf-not-same-npu";
    19 ProtocolUnsupported "protocol-unsupported" Info
        "The engine does not handle this IP protocol."
        "Nothing to do with this engine."
        "FortiOS: asic-unsupported; Cisco: other than TCP/UDP/GRE";
    20 AddressFamilyUnsupported "address-family-unsupported" Info
        "The engine does not handle this IP version."
        "Nothing to do with this engine."
        "Cisco: non-IPv4";
    21 NatUnsupported "nat-unsupported" Info
        "The engine cannot do this kind of address translation."
        "Nothing to do with this engine."
        "";
    22 Fragment "fragment" Info
        "The session's packets arrive as fragments."
        "Lower the sender's MTU or clamp MSS; the session is tried again when whole packets come."
        "FortiOS: frag";
    23 IpOptions "ip-options" Info
        "The session's packets carry IP options or extension headers."
        "Nothing to do; options are handled on the slow path."
        "Cisco: IP options";
    24 TcpWindowUnchecked "tcp-window-unchecked" Warning
        "The engine would not check TCP windows, and weakening that check is not allowed."
        "Allow `offload.weaken = [tcp-window]`, or use an engine that checks."
        "";
    25 HaConfig "ha-config" Info
        "The state of the cluster keeps sessions off the engine."
        "Nothing to do."
        "FortiOS: ha-config";
    26 DisabledByTunnel "disabled-by-tunnel" Info
        "Offload is switched off for the tunnel."
        "Remove `offload = \"off\"` from the tunnel."
        "npu-offload disable";
    27 SaNotInstalled "sa-not-installed" Notice
        "The SA that serves the direction is not on the engine."
        "Ask why with `explain sa`, or `explain dtls` of a client's."
        "partial";
    28 SaRefused "sa-refused" Warning
        "The engine refused the SA that serves the direction."
        "Ask why with `explain sa`, or `explain dtls` of a client's."
        "err=";
    29 SaNotEligible "sa-not-eligible" Notice
        "The SA that serves the direction does not qualify for the engine."
        "Ask why with `explain sa`, or `explain dtls` of a client's."
        "FortiOS: npu_flag=20";
    30 CipherUnsupported "cipher-unsupported" Notice
        "The engine does not have the cipher of the SA."
        "Set `algorithm` of `in` and `out`, here and at the peer, to one whose cipher `plan --profile list` names for the engine."
        "FortiOS: reason_code=3, npu_flag=20; mlx5e: Only AES-GCM-ICV16 xfrm state may be offloaded";
    31 IntegrityUnsupported "integrity-unsupported" Notice
        "The engine does not have the integrity algorithm of the SA."
        "Set `algorithm` of `in` and `out`, here and at the peer, to a suite whose integrity the engine has."
        "FortiOS: npu_flag=20 (HMAC); mlx5e: Cannot offload authenticated xfrm states";
    32 KeyLength "key-length" Notice
        "The engine does not take a cipher key of this length."
        "Set `algorithm` of `in` and `out`, here and at the peer, to a suite with another length of key."
        "mlx5e: AEAD key length other than 128/256 bit";
    33 IcvLength "icv-length" Notice
        "The engine does not take an integrity check value of this length."
        "Set `algorithm` of `in` and `out`, here and at the peer, to a suite with an ICV that the engine takes."
        "mlx5e: AEAD ICV length other than 128bit";
    34 ReplayWindowSize "replay-window-size" Notice
        "The engine has no anti-replay window of this size."
        "Set `replay-window` of the tunnel to a size that the evidence names as supported."
        "Cisco: anti-replay window size other than 64; mlx5e: Unsupported replay window size";
    35 ReplayNeedsEsn "replay-needs-esn" Warning
        "The engine checks replays only with extended sequence numbers; without them it would take every replay."
        "Set `esn = true` on the tunnel, at both ends."
        "FreeBSD mlx5: non-ESN but replay-protect SA offload is not supported";
    36 EsnUnsupported "esn-unsupported" Notice
        "The engine does not count in extended sequence numbers."
        "Set `esn = false` on the tunnel, at both ends."
        "mlx5e: Cannot offload ESN xfrm states";
    37 TunnelMode "tunnel-mode" Notice
        "The engine serves SAs of transport mode only."
        "Set `mode = \"transport\"` where the ends protect their own packets; else use another engine."
        "ixgbe: Unsupported mode for ipsec offload";
    38 TransportMode "transport-mode" Notice
        "The engine serves SAs of tunnel mode only."
        "Set `mode = \"tunnel\"` on the tunnel, at both ends."
        "Cisco: Transport Mode";
    39 Compression "compression" Notice
        "The engine does not do IP compression."
        "Set `compression = false` on the tunnel, at both ends."
        "Cisco: Compression; mlx5e: Cannot offload compressed xfrm states";
    40 NatTraversal "nat-traversal" Notice
        "The engine does not wrap ESP of this mode in UDP."
        "Set `udp-encapsulation = false` on the tunnel where no NAT is on the way."
        "mlx5e: Encapsulation is not supported";
    41 TfcPadding "tfc-padding" Notice
        "The engine does not pad packets to hide their length."
        "Remove `pad-to` from the tunnel."
        "mlx5e: Cannot offload xfrm states with tfc padding";
    42 SelectorTooSpecific "selector-too-specific" Notice
        "A selector names a protocol that the engine cannot match."
        "Remove `protocol` from the tunnel's `selectors`, and let policies decide."
        "mlx5e: Device does not support upper protocol other than TCP/UDP";
    43 PostFragmentation "post-fragmentation" Notice
        "The SA's packets may be cut after encryption, which the engine does not do."
        "Set `fragmentation = \"before\"` on the tunnel."
        "Cisco: Post-fragmentation";
    44 Ikev1 "ikev1" Notice
        "The SA was negotiated with IKEv1."
        "Use IKEv2 at both ends."
        "Cisco: IKEv1";
    45 TunnelledFilter "tunnelled-filter" Notice
        "The tunnel filters what is inside it by selectors, which the engine does not do."
        "Remove `selectors` from the tunnel that routes steer, and let policies decide; or set `steering = \"selectors\"`."
        "Cisco: Firewall-filters for tunneled traffic";
    46 MultiContext "multi-context" Notice
        "The gateway has more virtual routers than the engine."
        "Use one virtual router, or another engine."
        "Cisco: Multi-context";
    47 VolumeLifetime "volume-lifetime" Notice
        "The engine does not end SAs by their bytes."
        "Remove `bytes` from `soft-lifetime` and `hard-lifetime` of the tunnel."
        "Cisco: volume-based rekeying";
    48 LifetimeOrder "lifetime-order" Notice
        "The engine wants a soft lifetime below each hard one in bytes or packets."
        "Set `soft-lifetime` of the tunnel below `hard-lifetime`, in the same unit."
        "mlx5e: Hard byte limit must be greater than soft one";
    49 TunnelledFlow "tunnelled-flow" Info
        "The engine serves the SA, but leaves what is inside the tunnel to the slow path."
        "Nothing to do with this engine."
        "Cisco: the system software handles the inner flow";
    50 EgressOptimisationOff "egress-optimisation-off" Info
        "The tunnel's outgoing SA stays on the slow path, as configured."
        "Set `egress-optimisation = true` on the tunnel or in `[offload]`."
        "Cisco: no flow-offload-ipsec egress-optimization";
    51 GreNotOffloaded "gre-not-offloaded" Info
        "The session goes through a GRE tunnel, which the engine does not encapsulate."
        "Use an IPsec tunnel in tunnel mode where the fast path matters; GRE stays on the slow path."
        "";
    52 VxlanNotOffloaded "vxlan-not-offloaded" Info
        "The session goes through a VXLAN tunnel, which the engine does not encapsulate."
        "Use an IPsec tunnel in tunnel mode where the fast path matters; VXLAN stays on the slow path."
        "";
    53 DtlsVersionUnsupported "dtls-version-unsupported" Notice
        "The engine does not serve this version of DTLS."
        "Use DTLS 1.2 at the client."
        "Cisco: DTLS 1.0";
    54 DtlsCompression "dtls-compression" Notice
        "The client compresses what its DTLS records carry, which the engine does not undo."
        "Switch compression off at the client."
        "Cisco: compression";
    55 DtlsNotOffloaded "dtls-not-offloaded" Info
        "The engine does not serve DTLS."
        "Nothing to do with this engine; see `plan --profiles`."
        "";
    56 RemoteAccessNotOffloaded "remote-access-not-offloaded" Info
        "The packets of the client that the session goes to or comes from are in TLS (CSTP), which the engine does not carry."
        "Let UDP pass to the gateway, so that the client's packets go by DTLS; `show remote-access` tells."
        "Cisco: TLS";
}
