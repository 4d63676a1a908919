//! The rows themselves, and the macro that makes an enum of each class.
//!
//! A row reads: number, variant, name, severity, sentence, remedy, word elsewhere. New rows go to
//! the end of their class; a number is never given again.

use core::fmt;

use crate::{Class, Reason, ReasonRow, Severity};

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
            const ROWS: &'static [ReasonRow] = &[$(ReasonRow {
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

registry! {
    /// Why a packet went no further.
    DropReason, Drop, 0x01;
    1 FrameTooShort "frame-too-short" Notice
        "The frame ends before its Ethernet header does."
        "Look for a broken driver or a capture cut short on that port."
        "ASA: invalid-ethertype";
    2 EthertypeUnsupported "ethertype-unsupported" Info
        "The frame carries neither IPv4, IPv6 nor ARP."
        "Nothing to do unless that protocol should cross the gateway; it routes IP only."
        "ASA: unsupported-ethertype";
    3 VlanUnknown "vlan-unknown" Notice
        "The frame carries a VLAN tag that no interface of the port has."
        "Add an interface with that vlan id, or take the VLAN off the switch port."
        "ASA: vlan-not-configured";
    4 NotForUs "not-for-us" Info
        "The frame is addressed to another station's MAC address."
        "Normal on a port in promiscuous mode; otherwise look for a switch that floods."
        "ASA: l2_acl";
    5 InterfaceDown "interface-down" Notice
        "The interface is administratively down."
        "Set `enabled = true` on the interface."
        "ASA: interface-down";
    6 SuperPacketInvalid "super-packet-invalid" Warning
        "The offload header of the frame describes segments or checksums outside the frame."
        "Look for a broken driver or guest; the frame was not forwarded."
        "Linux: virtio_net bad gso";
    7 Ipv4HeaderInvalid "ipv4-header-invalid" Notice
        "The IPv4 header is too short, too long or of another version."
        "Find the sender; it builds broken packets."
        "FortiOS: anomaly ip_header; Linux: IP_INHDR";
    8 Ipv4ChecksumInvalid "ipv4-checksum-invalid" Notice
        "The IPv4 header checksum is wrong."
        "Look for a bad link or a device that rewrites headers without updating the checksum."
        "Linux: IP_CSUM";
    9 Ipv6HeaderInvalid "ipv6-header-invalid" Notice
        "The IPv6 header is too short or of another version."
        "Find the sender; it builds broken packets."
        "Linux: IP_INHDR";
    10 Ipv6ExtensionInvalid "ipv6-extension-invalid" Notice
        "The chain of IPv6 extension headers is cut, too long or out of order."
        "Find the sender; the gateway follows at most eight extension headers."
        "ASA: ipv6-bad-eh";
    11 IpLengthMismatch "ip-length-mismatch" Notice
        "The IP length field says more than the frame holds."
        "Look for a link that truncates, or a sender that lies about lengths."
        "Linux: PKT_TOO_SMALL";
    12 IpSourceRoute "ip-source-route" Warning
        "The packet carries a source-route option or a type 0 routing header."
        "Source routing is refused; find out why a sender asks for it."
        "FortiOS: anomaly ip_src_session; ASA: bad-ip-options";
    13 IpSourceMartian "ip-source-martian" Warning
        "The source address can never be a sender (multicast, loopback, unspecified or broadcast)."
        "Find the sender on that segment."
        "Linux: IP_INVALID_SOURCE; ASA: invalid-ip-addr";
    14 IpDestinationMartian "ip-destination-martian" Warning
        "The destination address can never be a receiver here (loopback, unspecified or class E)."
        "Find the sender on that segment."
        "Linux: IP_INVALID_DEST";
    15 IpLinkLocalForward "ip-link-local-forward" Info
        "A link-local address may not cross a router (RFC 4291 §2.5.6, RFC 3927 §7)."
        "Use routable addresses."
        "";
    16 L4HeaderTruncated "l4-header-truncated" Notice
        "The transport header does not fit in the packet."
        "Find the sender; it builds broken packets."
        "ASA: tcp-bad-header";
    17 TcpHeaderInvalid "tcp-header-invalid" Notice
        "The TCP data offset or option lengths are wrong."
        "Find the sender; it builds broken packets."
        "ASA: bad-tcp-header";
    18 TcpChecksumInvalid "tcp-checksum-invalid" Notice
        "The TCP checksum is wrong."
        "Look for a bad link or a device that rewrites without updating the checksum."
        "ASA: bad-tcp-cksum";
    19 UdpHeaderInvalid "udp-header-invalid" Notice
        "The UDP length disagrees with the IP length."
        "Find the sender; it builds broken packets."
        "ASA: bad-udp";
    20 UdpChecksumInvalid "udp-checksum-invalid" Notice
        "The UDP checksum is wrong."
        "Look for a bad link or a device that rewrites without updating the checksum."
        "Linux: UDP_CSUM";
    21 IcmpHeaderInvalid "icmp-header-invalid" Notice
        "The ICMP message is too short for its type."
        "Find the sender; it builds broken packets."
        "ASA: inspect-icmp-bad-code";
    22 IcmpChecksumInvalid "icmp-checksum-invalid" Notice
        "The ICMP checksum is wrong."
        "Look for a bad link or a device that rewrites without updating the checksum."
        "Linux: ICMP_CSUM";
    23 SctpChecksumInvalid "sctp-checksum-invalid" Notice
        "The SCTP CRC-32c is wrong."
        "Look for a bad link or a device that rewrites without updating the checksum."
        "";
    24 ArpInvalid "arp-invalid" Notice
        "The ARP message is malformed or speaks for an impossible address."
        "Find the sender on that segment."
        "";
    25 NdInvalid "nd-invalid" Notice
        "The neighbour discovery message fails the checks of RFC 4861 §7.1."
        "Find the sender on that segment."
        "";
    26 FragmentOverlap "fragment-overlap" Warning
        "Fragments of one packet overlap; the whole packet is discarded (RFC 5722)."
        "Treat as an attack unless a broken middlebox is known."
        "FortiOS: anomaly; ASA: fragment overlap";
    27 FragmentTimeout "fragment-timeout" Notice
        "Not all fragments of the packet came in time."
        "Look for loss, or for a path that drops fragments."
        "Linux: FRAG_REASM_TIMEOUT";
    28 FragmentMemory "fragment-memory" Warning
        "The reassembly memory is full."
        "Raise `limits.reassembly-memory`, or find the source of the fragments with `show counters`."
        "";
    29 FragmentTooMany "fragment-too-many" Warning
        "One packet was cut into more fragments than allowed."
        "Raise `limits.fragments-per-packet` only for a known sender."
        "ASA: fragment chain";
    30 FragmentTooLarge "fragment-too-large" Warning
        "The fragments add up to more than an IP packet can hold."
        "Treat as an attack (ping of death)."
        "FortiOS: anomaly ping_death";
    31 FragmentMalformed "fragment-malformed" Warning
        "A fragment other than the last has a length that is no multiple of eight, or is too small for its header."
        "Treat as an attack unless a broken sender is known (RFC 1858, RFC 8200 §4.5)."
        "ASA: bad fragments";
    32 AnomalyLand "anomaly-land" Warning
        "Source and destination are the same (LAND attack)."
        "Find the sender on that segment."
        "FortiOS: anomaly land; ASA: loopback-ifc-found";
    33 AnomalyTcpFlags "anomaly-tcp-flags" Warning
        "The TCP flags make no sense together (none, SYN+FIN, SYN+RST, FIN without ACK, all)."
        "Somebody scans; look at the source with `show counters`."
        "FortiOS: anomaly tcp_null, xmas";
    34 AnomalySpoofed "anomaly-spoofed" Warning
        "The packet claims one of the gateway's own addresses as its source."
        "Find the sender on that segment."
        "ASA: sp-spoofed";
    35 AnomalySynFlood "anomaly-syn-flood" Warning
        "The source opens TCP connections faster than its threshold."
        "Raise `anomaly.syn` if the rate is legitimate, otherwise block the source."
        "FortiOS: anomaly tcp_syn_flood";
    36 AnomalyUdpFlood "anomaly-udp-flood" Warning
        "The source starts UDP sessions faster than its threshold."
        "Raise `anomaly.udp` if the rate is legitimate, otherwise block the source."
        "FortiOS: anomaly udp_flood";
    37 AnomalyIcmpFlood "anomaly-icmp-flood" Warning
        "The source starts ICMP sessions faster than its threshold."
        "Raise `anomaly.icmp` if the rate is legitimate, otherwise block the source."
        "FortiOS: anomaly icmp_flood";
    38 AnomalyPortScan "anomaly-port-scan" Warning
        "The source tries more different ports and hosts than its threshold."
        "Raise `anomaly.scan` if a scanner is allowed, otherwise block the source."
        "FortiOS: anomaly tcp_port_scan";
    39 RpfFailed "rpf-failed" Warning
        "The way back to the source does not lead through the interface the packet came in by."
        "Add the missing route, or set `rpf = loose` on the interface if paths are asymmetric."
        "FortiOS: reverse path check fail, drop; ASA: rpf-violated";
    40 NoRoute "no-route" Notice
        "No route leads to the destination."
        "Add a route; `show routes DEST` shows what exists."
        "ASA: no-route";
    41 RouteBlackhole "route-blackhole" Notice
        "The best route to the destination is a blackhole."
        "Remove the blackhole route or add a more specific one."
        "FortiOS: blackhole route";
    42 NeighbourUnresolved "neighbour-unresolved" Notice
        "The next hop did not answer ARP or neighbour discovery."
        "Check cabling, VLAN and address of the next hop with `show neighbours`."
        "ASA: no-adjacency; FortiOS: mac-unresolved";
    43 NeighbourQueueFull "neighbour-queue-full" Warning
        "Too many packets already wait for the next hop to be resolved."
        "The next hop is down or slow to answer; see `show neighbours`."
        "Linux: NEIGH_QUEUEFULL";
    44 NeighbourTableFull "neighbour-table-full" Warning
        "The neighbour table has no room for another next hop."
        "Raise `limits.neighbours`; a scan of a connected subnet can fill it."
        "FortiOS: arp table full";
    45 PolicyDeny "policy-deny" Info
        "A policy with action deny matched."
        "Change the policy the trace names, if the traffic should pass."
        "FortiOS: Denied by forward policy check; ASA: acl-drop";
    46 ImplicitDeny "implicit-deny" Info
        "No policy matched; what is not allowed is denied."
        "Add a policy; `policy lookup` shows which conditions failed."
        "FortiOS: Denied by forward policy check (policy 0)";
    47 LocalInDeny "local-in-deny" Info
        "No local-in rule allows this traffic to the gateway itself."
        "Add a local-in rule if the gateway should answer."
        "FortiOS: iprope_in_check() check failed on policy 0, drop";
    48 LocalInNoService "local-in-no-service" Info
        "The packet is allowed to the gateway, but nothing there serves it."
        "Nothing listens on that port; a closed port answers with RST or ICMP."
        "Linux: NO_SOCKET";
    49 LocalOutDeny "local-out-deny" Notice
        "A local-out rule forbids the packet that the gateway wanted to send."
        "Change the local-out rule the trace names."
        "";
    50 TcpNotSyn "tcp-not-syn" Info
        "The first packet of a TCP session is not a SYN."
        "The session began before the gateway, or ended; the client must connect again."
        "FortiOS: no session matched; ASA: tcp-not-syn";
    51 TcpOutOfWindow "tcp-out-of-window" Notice
        "The TCP sequence or acknowledgement lies outside the window."
        "Look for asymmetric paths or spoofing; sessions picked up midway are not accepted."
        "ASA: tcp-seq-past-win";
    52 TcpResetInvalid "tcp-reset-invalid" Warning
        "The TCP reset does not carry the exact expected sequence number (RFC 5961 §3)."
        "Treat as spoofing, unless a peer is known to reset loosely."
        "ASA: tcp-rst-syn-in-win";
    53 TcpHandshakeInvalid "tcp-handshake-invalid" Notice
        "The segment does not belong in this state of the three-way handshake."
        "Look for asymmetric paths or a scanner."
        "ASA: tcp-3whs-failed";
    54 TcpHalfOpenLimit "tcp-half-open-limit" Warning
        "Too many TCP sessions wait for their handshake to complete."
        "Look for a SYN flood with `show sessions state syn-sent`, or raise `limits.half-open`."
        "ASA: tcp-conn-limit";
    55 SessionClosed "session-closed" Info
        "The session is already closed and takes no more data."
        "Nothing to do; late segments after a close are normal."
        "";
    56 SessionTableFull "session-table-full" Error
        "The session table has no room."
        "Raise `limits.sessions`, shorten timeouts or find the source that opens so many."
        "FortiOS: session table full; ASA: unable-to-create-flow";
    57 IcmpErrorUnrelated "icmp-error-unrelated" Notice
        "The ICMP error quotes a packet of no session here."
        "Normal after a session has gone; otherwise treat as spoofing."
        "ASA: inspect-icmp-error-no-existing-conn";
    58 IcmpRedirectIgnored "icmp-redirect-ignored" Info
        "ICMP redirects are neither obeyed nor forwarded."
        "Fix the routing of the host or router that causes them."
        "";
    59 NatPoolExhausted "nat-pool-exhausted" Error
        "The IP pool has no free address and port left."
        "Add addresses to the pool; `show nat pools` shows its use."
        "FortiOS: NAT port is exhausted; ASA: nat-xlate-failed";
    60 NatPoolMissingFamily "nat-pool-missing-family" Warning
        "The policy translates, but its pool has no address of this IP version."
        "Add a pool of that IP version to the policy, or turn NAT off for it."
        "";
    61 NatBlockLimit "nat-block-limit" Warning
        "The source has used all the port blocks it may have."
        "Raise `blocks-per-host` or `block-size` of the pool."
        "FortiOS: port block exhausted";
    62 VipNoRealServer "vip-no-real-server" Warning
        "The virtual IP has no healthy real server."
        "Check the servers behind the VIP."
        "FortiOS: vip real server down";
    63 TtlExpired "ttl-expired" Info
        "The TTL or hop limit reached zero."
        "Normal for traceroute; otherwise look for a routing loop."
        "ASA: ttl-exceeded";
    64 MtuExceeded "mtu-exceeded" Info
        "The packet is larger than the outgoing MTU and may not be fragmented; the sender was told."
        "Let ICMP too-big reach the sender, or set `mss-clamp`."
        "ASA: fragmentation needed, DF set";
    65 BroadcastNotForwarded "broadcast-not-forwarded" Info
        "Broadcasts do not cross a router."
        "Nothing to do; use a relay for DHCP."
        "";
    66 MulticastNotForwarded "multicast-not-forwarded" Info
        "Multicast is not routed."
        "Nothing to do unless multicast should cross the gateway."
        "FortiOS: multicast";
    67 OffloadRequired "offload-required" Warning
        "The policy requires offload and the session cannot be offloaded."
        "`explain session` names what stands in the way; or set `offload = auto`."
        "strongSwan: hw_offload = yes";
    68 PuntRingFull "punt-ring-full" Warning
        "The ring from the fast path to the slow path was full."
        "The slow path is overloaded; `show engines` tells which cause floods it."
        "VPP: congestion drop";
    69 PuntRateLimited "punt-rate-limited" Warning
        "Packets of this punt cause came faster than its limit."
        "Raise `limits.punt` for the cause, or find the sender."
        "ASA: punt-rate-limit";
    70 TransmitRingFull "transmit-ring-full" Warning
        "The outgoing port took no more frames."
        "The link is saturated; shape the traffic or use a faster port."
        "FortiOS: tx tail-drop";
    71 PortDown "port-down" Warning
        "The outgoing port has no link or its device is gone."
        "Check the link with `show ports`."
        "";
    72 BuffersExhausted "buffers-exhausted" Error
        "The frame pool was empty."
        "Raise `limits.frames`; a queue that never drains shows in `show ports`."
        "ASA: punt-no-mem; Linux: NOMEM";
    73 LocalTcpState "local-tcp-state" Info
        "A TCP segment reached the gateway itself outside any connection."
        "Nothing to do."
        "";
    74 FragmentEndConflict "fragment-end-conflict" Warning
        "Two fragments of one packet disagree on where the packet ends."
        "Treat as an attack unless a broken middlebox is known."
        "FortiOS: anomaly; ASA: bad fragments";
    75 SctpHandshakeInvalid "sctp-handshake-invalid" Notice
        "The SCTP packet does not belong in this state of the association (RFC 9260 §4)."
        "The association began before the gateway, or is multi-homed; look for asymmetric paths."
        "Linux: nf_ct_sctp invalid";
    76 SctpTagInvalid "sctp-tag-invalid" Warning
        "The SCTP packet does not carry the verification tag of its association (RFC 9260 §8.5)."
        "Treat as spoofing, unless an endpoint is known to have restarted."
        "Linux: nf_ct_sctp verification tag failed";
    77 SessionKeyTaken "session-key-taken" Warning
        "Another session already has the addresses and ports that this one would have."
        "Look for overlapping VIPs, pools or static translations with `show sessions`."
        "Linux: nf_conntrack clash";
}

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
}

registry! {
    /// Why an engine did not take a flow that qualifies.
    RefusalReason, Refusal, 0x03;
    1 TableFull "table-full" Warning
        "The engine's flow table is full and the flow is not worth more than those in it."
        "Raise `limits.flows`; the flow is tried again when room appears."
        "FortiOS: npu session table full; OVS: ENOSPC";
    2 BucketFull "bucket-full" Notice
        "Both hash buckets of the flow are full."
        "Nothing to do; raise `limits.flows` if it happens often."
        "Cisco: collision";
    3 DuplicateFlow "duplicate-flow" Error
        "The engine already holds a flow with the same key."
        "This is a bug or a drift; `clear sessions` for the pair and report it."
        "";
    4 ProgramStale "program-stale" Info
        "Something the program was compiled from changed before it was installed."
        "Nothing to do; it is compiled again with the next packet."
        "";
    5 EngineStopped "engine-stopped" Warning
        "The engine is not running."
        "See `show engines` for the cause."
        "";
    6 AdjacencyTableFull "adjacency-table-full" Warning
        "The engine has no room for another next hop."
        "Raise `limits.neighbours`."
        "";
    7 TcpTableFull "tcp-table-full" Warning
        "No room to track another TCP window."
        "Raise `limits.sessions`."
        "";
}

registry! {
    /// Why a flow left an engine.
    DemotionReason, Demotion, 0x04;
    1 PolicyChanged "policy-changed" Info
        "A change of policy touched the session; it was evaluated again."
        "Nothing to do."
        "FortiOS: dirty";
    2 RouteChanged "route-changed" Info
        "A change of routes touched the session; it was evaluated again."
        "Nothing to do."
        "FortiOS: dirty";
    3 NatChanged "nat-changed" Info
        "A change of the NAT configuration touched the session."
        "Nothing to do."
        "FortiOS: dirty";
    4 InterfaceChanged "interface-changed" Info
        "An interface of the session changed."
        "Nothing to do."
        "FortiOS: dirty";
    5 OffloadSwitchChanged "offload-switch-changed" Info
        "An offload switch was changed."
        "Nothing to do."
        "";
    6 NeighbourChanged "neighbour-changed" Info
        "The next hop has another MAC address now."
        "Nothing to do, unless it happens often: look for an address conflict."
        "";
    7 NeighbourLost "neighbour-lost" Notice
        "The next hop stopped answering."
        "Check the next hop with `show neighbours`."
        "";
    8 LinkDown "link-down" Notice
        "The outgoing port lost its link."
        "Check the link with `show ports`."
        "";
    9 Idle "idle" Info
        "No packet came for the session's timeout."
        "Nothing to do."
        "FortiOS: session expire";
    10 TcpClose "tcp-close" Info
        "The TCP session closes or was reset."
        "Nothing to do."
        "FortiOS: tcp close";
    11 SessionCleared "session-cleared" Info
        "An operator cleared the session."
        "Nothing to do."
        "";
    12 TablePressure "table-pressure" Notice
        "Busier flows needed the room."
        "Raise `limits.flows`."
        "OVS: flow limit";
    13 EngineDown "engine-down" Error
        "The engine stopped."
        "See `show engines` for the cause."
        "";
    14 DriftRepaired "drift-repaired" Error
        "The engine and the ledger disagreed, and the ledger won."
        "Report it; the audit counted and repaired it."
        "FortiOS: sse-purge-drift";
    15 OperatorRequest "operator-request" Info
        "An operator asked for it."
        "Nothing to do."
        "";
    16 IngressMoved "ingress-moved" Notice
        "The session's packets come in by another interface now."
        "Look for a change of path."
        "";
}

registry! {
    /// Why the fast path handed one packet to the slow path.
    PuntCause, Punt, 0x05;
    1 FlowMiss "flow-miss" Info
        "The flow table has no entry for the packet."
        "Normal for the first packets of a session."
        "VPP: nat44 slow path";
    2 NotIp "not-ip" Info
        "The frame is ARP or another protocol that only the slow path reads."
        "Normal."
        "";
    3 Malformed "malformed" Notice
        "The headers do not parse; the slow path names the fault."
        "See `show counters` for the drop reasons."
        "";
    4 Fragment "fragment" Info
        "The packet is a fragment."
        "Lower the sender's MTU or clamp MSS."
        "";
    5 IpOptions "ip-options" Info
        "The packet carries IP options or extension headers."
        "Normal for such traffic."
        "";
    6 TcpControl "tcp-control" Info
        "The segment opens, closes or resets its connection."
        "Normal."
        "";
    7 TcpWindow "tcp-window" Notice
        "The segment fails the window check; the slow path decides."
        "Look for asymmetric paths."
        "";
    8 TtlExpiring "ttl-expiring" Info
        "The packet's TTL or hop limit ends here."
        "Normal for traceroute."
        "";
    9 ExceedsMtu "exceeds-mtu" Notice
        "The packet is larger than the outgoing MTU."
        "Let ICMP too-big reach the sender, or set `mss-clamp`."
        "";
    10 StaleEpoch "stale-epoch" Info
        "Something the flow was compiled from has changed."
        "Normal after a change of configuration."
        "";
    11 IngressMoved "ingress-moved" Notice
        "The packet came in by another interface than the flow expects."
        "Look for a change of path."
        "";
    12 SuperPacketUnsupported "super-packet-unsupported" Info
        "The super-packet cannot be forwarded whole or cut on the fast path."
        "Normal for rare segment types."
        "";
    13 AdjacencyLost "adjacency-lost" Notice
        "The next hop is no longer resolved."
        "Check the next hop with `show neighbours`."
        "";
    14 NotForUs "not-for-us" Info
        "The frame is sent to a group, or to another station's MAC address."
        "Normal for broadcasts; otherwise look for a switch that floods."
        "";
    15 InterfaceUnknown "interface-unknown" Notice
        "No enabled interface of the port takes frames with that VLAN tag."
        "Add an interface with that vlan id, or set `enabled = true` on it."
        "";
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
