//! What tests of a node between two links have in common: a gateway with source NAT, and who is where.

use wire::Mac;

pub const CONFIG: &str = r#"
[[port]]
name = "lan"
kind = "memory"
mac = "02:00:00:00:00:01"

[[port]]
name = "wan"
kind = "memory"
mac = "02:00:00:00:00:02"

[[interface]]
name = "lan"
port = "lan"
address = "10.1.0.1/24"
zone = "inside"

[[interface]]
name = "wan"
port = "wan"
address = "203.0.113.1/24"
zone = "outside"

[[policy]]
id = 12
name = "lan-out"
from = "inside"
to = "outside"
action = "allow"
nat = "interface"
"#;

pub const CLIENT: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
pub const SERVER: Mac = Mac([2, 0, 0, 0, 0, 0x22]);
pub const LAN: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub const WAN: Mac = Mac([2, 0, 0, 0, 0, 2]);
