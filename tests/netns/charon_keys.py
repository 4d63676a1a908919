"""Compares keys that a gateway exports with those in strongSwan's log (ike and chd at level 4): charon_keys.py LOG DIRECTORY.

DIRECTORY has Wireshark's tables: `esp_sa`, and `ikev2_decryption_table` where IKE is exported. Every key in them must stand in the log where
it belongs: those of ESP at their SPI and direction, those of IKE in one IKE SA.
"""

import csv
import pathlib
import re
import sys


def read(path):
    """The dumps of a log as (name, hexadecimal digits), and its other lines as (None, text)."""
    name, digits = None, ""
    for line in path.read_text(errors="replace").splitlines():
        text = re.sub(r"^\d+\[\w+\] ", "", line)
        dump = re.match(r" +\d+: ((?:[0-9A-F]{2} )+)", text)
        if name and dump:
            digits += dump.group(1).replace(" ", "").lower()
            continue
        if name:
            yield name, digits
        start = re.match(r"(.*) => \d+ bytes @", text)
        name, digits = (start.group(1).lower(), "") if start else (None, "")
        if not start:
            yield None, text


def logged(path):
    """Keys of ESP by SPI, each as (encryption, integrity), and of IKE as (SK_ei, SK_er, SK_ai, SK_ar)."""
    esp, ike, dumps, asks, direction = {}, set(), {}, None, None
    for name, text in read(path):
        if name:
            dumps[name] = text
            if name == "sk_er secret":
                ike.add(tuple(dumps.get(f"sk_{k} secret", "") for k in ("ei", "er", "ai", "ar")))
            continue
        exchange = re.match(r"(parsed|generating) (IKE_AUTH|CREATE_CHILD_SA) (request|response)", text)
        if exchange:
            # strongSwan asks when it generates requests and parses responses
            asks = (exchange.group(1) == "generating") == (exchange.group(3) == "request")
        direction = (re.match(r"adding (inbound|outbound) ESP SA", text) or [direction, direction])[1]
        spi = re.match(r"  SPI 0x([0-9a-f]{8}), src", text)
        if spi:
            role = "initiator" if asks == (direction == "outbound") else "responder"
            esp[spi.group(1)] = tuple(dumps.get(f"{kind} {role} key", "") for kind in ("encryption", "integrity"))
        if text.startswith("selected proposal"):
            dumps = {name: keys for name, keys in dumps.items() if name.startswith("sk_")}
    return esp, ike


def rows(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return list(csv.reader(lines))


esp, ike = logged(pathlib.Path(sys.argv[1]))
directory = pathlib.Path(sys.argv[2])
ours = {row[3].removeprefix("0x"): (row[5].removeprefix("0x"), row[7].removeprefix("0x")) for row in rows(directory / "esp_sa")}
assert ours, "no key of ESP is exported"
for spi, keys in ours.items():
    assert keys == esp.get(spi), f"SPI {spi}: the log has {'another key' if spi in esp else 'no such SA'}"
print(f"{len(ours)} keys of ESP are strongSwan's")
table = directory / "ikev2_decryption_table"
if table.exists():
    exported = [(row[2], row[3], row[5], row[6]) for row in rows(table)]
    assert exported and all(keys in ike for keys in exported), "IKE keys that the log does not have"
    print(f"{len(exported)} sets of keys of IKE are strongSwan's")
