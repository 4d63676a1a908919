//! Why a packet went no further. One row each; `rows.rs` says how a row reads.

use core::fmt;

use crate::{Class, Reason, ReasonRow, Severity};

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
    78 EspSpiUnknown "esp-spi-unknown" Warning
        "An ESP packet came for an own address with an SPI that no SA has."
        "Compare the SPIs of both ends with `show sa`; the peer may still use an SA that is gone."
        "XfrmInNoStates";
    79 EspMalformed "esp-malformed" Warning
        "An ESP packet is too short for its SA, or its length does not fit the cipher."
        "Check that both ends use the same algorithms, and the path for damage."
        "XfrmInHdrError";
    80 EspReplayed "esp-replayed" Warning
        "The sequence number of an ESP packet was accepted before."
        "Look for a loop that doubles packets; otherwise somebody replays them."
        "XfrmInStateSeqError";
    81 EspTooOld "esp-too-old" Warning
        "The sequence number of an ESP packet lies below the replay window."
        "Give the SA a larger `replay-window`; queueing by priority on the path reorders."
        "XfrmInStateSeqError";
    82 EspIcvFailed "esp-icv-failed" Error
        "The integrity check value of an ESP packet is wrong."
        "Compare keys, algorithms and ESN of both ends; otherwise the packet was changed on its way."
        "XfrmInStateProtoError";
    83 EspPadMalformed "esp-pad-malformed" Error
        "The padding of an authenticated ESP packet is not what RFC 4303 §2.4 wants."
        "The peer builds wrong packets; report it there."
        "XfrmInStateProtoError";
    84 EspNextHeaderUnsupported "esp-next-header-unsupported" Warning
        "The next header of an authenticated ESP packet does not fit the mode of its SA."
        "Set the same `mode` (tunnel or transport) at both ends."
        "XfrmInStateModeError";
    85 EspSelectorMismatch "esp-selector-mismatch" Warning
        "The packet inside an SA, or for one, lies outside the selectors of its tunnel."
        "Compare the selectors of both ends with `show tunnels`."
        "XfrmInTmplMismatch";
    86 EspUnprotected "esp-unprotected" Warning
        "A packet came in clear that the selectors of a tunnel want protected."
        "Make the peer send it through the tunnel, or narrow the selectors."
        "XfrmInNoPols";
    87 EspSaMissing "esp-sa-missing" Warning
        "The tunnel has no outgoing SA."
        "Look at the tunnel with `show tunnels` and give it one."
        "XfrmOutNoStates";
    88 EspSaExpired "esp-sa-expired" Warning
        "The hard lifetime of the SA is over."
        "Replace the SA at both ends."
        "XfrmOutStateExpired";
    89 EspSequenceExhausted "esp-sequence-exhausted" Error
        "The SA has used its last sequence number."
        "Replace the SA at both ends, and use `esn = true`."
        "XfrmOutStateSeqError";
    90 EspTooBig "esp-too-big" Notice
        "No packet of that size can be encapsulated."
        "Lower the MTU of the sender or of the tunnel."
        "";
    91 TunnelLoop "tunnel-loop" Error
        "The route to the far end of a tunnel leads into the tunnel itself, or tunnels are nested too deep."
        "Add a more specific route to the far end by the interface below the tunnel."
        "";
    92 EspFragment "esp-fragment" Warning
        "ESP was to protect a fragment, or came in one; transport mode takes whole packets only."
        "Raise the path MTU or lower the sender's; use tunnel mode where fragments must pass."
        "";
    93 EcnInvalid "ecn-invalid" Warning
        "A tunnel marked congestion on a packet whose sender does not speak ECN (RFC 6040 §4.2)."
        "Find the router on the tunnel's path that marks packets without ECN."
        "Linux: IP_TUNNEL_ECN";
    94 GreTruncated "gre-truncated" Notice
        "A GRE packet ends before its header does."
        "Find the sender; it builds broken packets."
        "";
    95 GreVersionUnsupported "gre-version-unsupported" Notice
        "A GRE packet for a tunnel is of another version than 0."
        "Use plain GRE at the peer; version 1 is PPTP."
        "";
    96 GreRoutingPresent "gre-routing-present" Warning
        "A GRE packet for a tunnel has the routing bit of RFC 1701."
        "Find out why the peer asks for source routing; RFC 2784 §2.3 has it refused."
        "";
    97 GreFlagsUnsupported "gre-flags-unsupported" Notice
        "A GRE packet for a tunnel has flags that RFC 2784 §2.3 wants refused."
        "Find the sender; it speaks the older GRE of RFC 1701."
        "";
    98 GreKeyUnknown "gre-key-unknown" Warning
        "A GRE packet came from the far end of a tunnel with a key that no tunnel between the two has, or without one."
        "Set the same `key` at both ends."
        "";
    99 GreChecksumInvalid "gre-checksum-invalid" Warning
        "The checksum of a GRE packet is wrong."
        "Look for a bad link on the tunnel's path."
        "";
    100 GreProtocolUnsupported "gre-protocol-unsupported" Notice
        "A GRE packet for a tunnel carries neither IPv4 nor IPv6."
        "Switch off what else the peer sends into the tunnel, such as keepalives, Ethernet or MPLS."
        "";
    101 GreSequenceOld "gre-sequence-old" Notice
        "A GRE packet came without a sequence number, or behind one with a later number (RFC 2890 §2.2)."
        "Set `sequence` alike at both ends; where the path reorders, switch it off."
        "";
    102 VxlanTruncated "vxlan-truncated" Notice
        "A VXLAN packet ends before its header, or the Ethernet header inside, does."
        "Find the sender; it builds broken packets."
        "";
    103 VxlanVniInvalid "vxlan-vni-invalid" Notice
        "A VXLAN packet does not say that its VNI is valid (flag I of RFC 7348 §5)."
        "Find the sender; another protocol may use the port."
        "";
    104 VxlanVniUnknown "vxlan-vni-unknown" Warning
        "A VXLAN packet came from the far end of a tunnel with a VNI that no tunnel between the two has."
        "Set the same `vni` at both ends."
        "";
    105 VxlanInnerTag "vxlan-inner-tag" Notice
        "The Ethernet frame inside a VXLAN packet has an 802.1Q tag (RFC 7348 §6.1)."
        "Take the tag off at the peer; each VNI is one untagged segment."
        "";
    106 TunnelTooBig "tunnel-too-big" Notice
        "A packet for a GRE or VXLAN tunnel would be larger with the outer headers than a packet can be."
        "Lower the MTU of the sender or of the tunnel."
        "";
    107 NeedIke "need-ike" Notice
        "The tunnel has no SA for the packet, and it is for the peer to begin."
        "See `explain tunnel`; `start = \"traffic\"` lets packets begin."
        "XfrmOutNoStates";
    108 IkeWaitFull "ike-wait-full" Notice
        "IKE is negotiating an SA for the packet, and enough packets wait for it."
        "Normal for a moment; `show tunnels` tells how long it takes."
        "XfrmAcquireError";
    109 IkeFailed "ike-failed" Warning
        "The packet waited for an SA, and the negotiation failed or took too long."
        "`explain tunnel` tells what failed."
        "XfrmOutNoStates";
    110 DtlsMalformed "dtls-malformed" Notice
        "A DTLS datagram is not a whole record of DTLS 1.2 with something inside."
        "Find the sender; another program may use the port."
        "";
    111 DtlsReplayed "dtls-replayed" Warning
        "A DTLS record came a second time."
        "Look for duplication on the path; many of them may be an attack."
        "";
    112 DtlsTooOld "dtls-too-old" Notice
        "A DTLS record came after so many later ones that the replay window has passed it."
        "Look for reordering on the path."
        "";
    113 DtlsBadRecordMac "dtls-bad-record-mac" Warning
        "A DTLS record is not authentic."
        "Normal when a client connects anew; many of them may be an attack, or a broken path."
        "TLS: bad_record_mac";
    114 DtlsNumbersExhausted "dtls-numbers-exhausted" Warning
        "The DTLS association is over, or has no record number left to seal with."
        "The client makes a new one; see `show dtls`."
        "";
    115 DtlsTooBig "dtls-too-big" Notice
        "A packet is too large for a DTLS record, or its buffer has no room for one."
        "Lower the MTU that clients are given."
        "";
    116 DtlsContentUnsupported "dtls-content-unsupported" Notice
        "A DTLS record carries something that cannot be served where it came."
        "Find the sender; no client that speaks the protocol sends it."
        "";
    117 DtlsEpochUnknown "dtls-epoch-unknown" Notice
        "A DTLS record is of an epoch that the association does not have."
        "Find the sender; there is no renegotiation."
        "";
    118 UserGone "user-gone" Info
        "The packet is of a session of a user who is no longer behind its source address."
        "Normal after a logout; `events` tells who went."
        "";
    119 RemoteSourceForeign "remote-source-foreign" Warning
        "A client of remote access sent a packet from an address that is not its own."
        "Find out what the client routes into its tunnel; it may only send from the addresses it was given."
        "Cisco: rpf-violated";
    120 DtlsNoAssociation "dtls-no-association" Notice
        "A packet is for a client that has no DTLS association."
        "See `show dtls`; the client may have lost its connection."
        "";
    121 DtlsMessagesFull "dtls-messages-full" Warning
        "More messages of clients wait to be read than there is room for."
        "Look for a client that sends nothing but control messages."
        "";
    122 IkeRateLimited "ike-rate-limited" Warning
        "More first messages of IKE come than are looked at in a second."
        "Find the senders in a capture; peers that are up are not concerned, others get through by sending again."
        "";
    123 RemoteClientUnknown "remote-client-unknown" Info
        "The destination is an address for clients of remote access that no client has."
        "See `show remote-access` for who is there."
        "";
    124 RemoteClientAway "remote-client-away" Info
        "The client that has the destination has lost its connection, and may come again."
        "Normal for a moment; `show remote-access` tells until when it may."
        "";
    125 RemoteClientSlow "remote-client-slow" Notice
        "The client reads its TLS connection more slowly than packets come."
        "Let UDP pass to the gateway, so that packets go by DTLS."
        "";
}
