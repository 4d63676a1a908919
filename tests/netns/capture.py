#!/usr/bin/env python3
"""Holds a capture of an SA against tshark, which decrypts its ESP packets with the exported keys.

Usage: capture.py CAPTURE KEYS out|in: every ICV must be good, and what tshark finds inside must be, byte for byte
and in order, what the gateway captured before it sealed (out) or after it opened (in).
"""
import collections
import os
import struct
import subprocess
import sys


def packets(path):
    """Interface name, comment and bytes of each packet of a pcapng file of this machine's byte order."""
    data, names, found = open(path, "rb").read(), [], []

    def options(block):
        at = 0
        while at + 4 <= len(block):
            code, length = struct.unpack_from("=HH", block, at)
            if code == 0:
                break
            yield code, block[at + 4 : at + 4 + length]
            at += 4 + (length + 3) // 4 * 4

    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        body = data[at + 8 : at + length - 4]
        if kind == 1:
            names.append(dict(options(body[8:]))[2].decode())
        elif kind == 6:
            interface, _, _, kept, _ = struct.unpack_from("=5I", body)
            rest = body[20 + (kept + 3) // 4 * 4 :]
            found.append((names[interface], dict(options(rest))[1].decode(), body[20 : 20 + kept]))
        at += length
    return found


def inside(decrypted):
    """The IP packet before padding and trailer."""
    if decrypted[0] >> 4 == 6:
        return decrypted[: 40 + struct.unpack_from("!H", decrypted, 4)[0]]
    return decrypted[: struct.unpack_from("!H", decrypted, 2)[0]]


def main():
    capture, keys, way = sys.argv[1:]
    outer, inner = {"out": ("wan:tx", "vpn-plain:encap"), "in": ("wan:rx", "vpn-plain:decap")}[way]
    ours = [data for name, _, data in packets(capture) if name == inner]
    tshark = subprocess.run(
        ["tshark", "-r", capture, "-Y", f'esp && frame.interface_name == "{outer}"', "-T", "fields"]
        + ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
        + ["-e", "esp.icv_good", "-e", "esp.icv_bad", "-e", "esp.decrypted_data"],
        env={**os.environ, "WIRESHARK_CONFIG_DIR": keys},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in tshark.stdout.splitlines()]
    bad = [row[:2] for row in rows if row[:2] != ["1", "0"]]
    theirs = [inside(bytes.fromhex(row[2])) for row in rows]
    tiers = collections.Counter(c.split("tier=")[1].split()[0] for n, c, _ in packets(capture) if n == inner)
    print(f"{way}: {len(rows)} ESP packets, {len(ours)} inside, {dict(tiers)}, ICVs not good: {bad}")
    if len(rows) < 20 or bad or tiers["fast"] < 10:
        sys.exit("too few packets, or not all of them good, or none on the fast path")
    if ours != theirs:
        first = next((i for i, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), "the end")
        sys.exit(f"what was captured inside is not what tshark decrypted, from packet {first} on")


main()
