//! Why the fast path handed one packet to the slow path. One row each; `rows.rs` says how a row reads.

use core::fmt;

use crate::{Class, Reason, ReasonRow, Severity};

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
    16 SaMiss "sa-miss" Info
        "The SA of an ESP packet, or of a flow, is not on the engine."
        "Ask why with `explain sa`."
        "";
    17 BufferFull "buffer-full" Info
        "The packet fills its buffer, and sealing it would need more."
        "Normal for packets of about 2000 bytes; keep the MTU of tunnels below or well above that."
        "";
    18 DtlsContent "dtls-content" Info
        "A DTLS record carries a handshake message or an alert."
        "Normal when clients come and go."
        "Cisco: control packets";
    19 DtlsEpoch "dtls-epoch" Info
        "A DTLS record is of an epoch that is not the association's: not protected yet, or of no handshake."
        "Normal when clients connect."
        "";
    20 DtlsClientHello "dtls-client-hello" Info
        "A client begins a new handshake from the address and port of an association."
        "Normal when clients connect anew."
        "";
    21 DtlsVersion "dtls-version" Notice
        "A DTLS record is of another version than 1.2."
        "Find the sender; another program may use the port."
        "";
    22 DtlsShort "dtls-short" Notice
        "A DTLS datagram is too short to carry a packet."
        "Find the sender; another program may use the port."
        "";
    23 DtlsSeveral "dtls-several" Info
        "A DTLS datagram is not one whole record."
        "Normal for rare clients that send several records at once."
        "";
    24 DtlsControl "dtls-control" Info
        "A DTLS record carries no packet but a message of the client's, such as dead peer detection."
        "Normal; each client sends one now and then."
        "Cisco: control packets";
}
