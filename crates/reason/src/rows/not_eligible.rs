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
        "Ask why with `explain sa`."
        "partial";
    28 SaRefused "sa-refused" Warning
        "The engine refused the SA that serves the direction."
        "Ask why with `explain sa`."
        "err=";
}
