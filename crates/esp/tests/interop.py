"""Seals and opens ESP packets with scapy, for the interoperability test beside this file.

Reads one job a line and answers each with one line of hexadecimal digits:

    seal|open SUITE KEY SPI SEQUENCE ESN MODE SOURCE DESTINATION PORT PACKET

SEQUENCE has 64 bits, ESN is 0 or 1, PORT is 0 without UDP encapsulation. What scapy has no code
for (AES-GMAC, and HMAC over extended sequence numbers) is computed here with the primitives of
the cryptography package.
"""

import hashlib
import hmac
import sys

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
except ImportError:
    sys.exit("install the Debian package python3-cryptography")
try:
    import logging

    logging.getLogger("scapy").setLevel(logging.CRITICAL)
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.ipsec import ESP, SecurityAssociation
except ImportError:
    sys.exit("install the Debian package python3-scapy")

# suite: encryption, key bytes with salt, integrity
SUITES = {
    "aes128gcm16": ("AES-GCM", 20, None),
    "aes256gcm16": ("AES-GCM", 36, None),
    "chacha20poly1305": ("CHACHA20-POLY1305", 36, None),
}
for bits, size in (("aes128", 16), ("aes256", 32), ("null", 0)):
    for name, algorithm in (
        ("sha1", "HMAC-SHA1-96"),
        ("sha256", "SHA2-256-128"),
        ("sha384", "SHA2-384-192"),
        ("sha512", "SHA2-512-256"),
    ):
        cipher = "AES-CBC" if size else "NULL"
        SUITES[f"{bits}-{name}"] = (cipher, size, algorithm)

ICV = {"sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}


def parse(packet):
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def association(suite, key, spi, sequence, esn, mode, source, destination, port):
    crypt, size, auth = SUITES[suite]
    tunnel = None
    if mode == "tunnel":
        kind = IPv6 if ":" in source else IP
        tunnel = kind(src=source, dst=destination)
    return SecurityAssociation(
        ESP,
        spi=spi,
        seq_num=sequence & 0xFFFFFFFF,
        crypt_algo=crypt,
        crypt_key=key[:size] or None,
        auth_algo=auth,
        auth_key=key[size:] if auth else None,
        tunnel_header=tunnel,
        nat_t_header=UDP(sport=port, dport=port) if port else None,
        esn_en=esn,
        esn=sequence >> 32,
    )


def outer(source, destination, payload):
    if ":" in source:
        return bytes(IPv6(src=source, dst=destination, nh=50) / payload)
    return bytes(IP(src=source, dst=destination, proto=50) / payload)


def with_udp_length(packet, port):
    """scapy 2.5 leaves the UDP length at 8 when it encapsulates over IPv4."""
    if not port:
        return packet
    at = 20 if packet[0] >> 4 == 4 else 40
    return packet[: at + 4] + (len(packet) - at).to_bytes(2, "big") + packet[at + 6 :]


def without_udp(packet, port):
    """scapy 2.5 leaves the UDP header in transport mode over IPv6, so it gets none to see."""
    if not port or packet[0] >> 4 == 4:
        return packet
    length = len(packet) - 40 - 8
    return packet[:4] + length.to_bytes(2, "big") + b"\x32" + packet[7:40] + packet[48:]


def by_hand(job, suite, key, spi, sequence, esn, source, destination, packet):
    """Tunnel mode, no UDP."""
    high, low = (sequence >> 32).to_bytes(4, "big"), (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    spi = spi.to_bytes(4, "big")
    if not esn:
        high = b""
    if job == "seal":
        block = 16 if suite.startswith("aes") and "-" in suite else 4
        padding = -(len(packet) + 2) % block
        next_header = 4 if packet[0] >> 4 == 4 else 41
        text = packet + bytes(range(1, padding + 1)) + bytes([padding, next_header])
    else:
        esp = packet[40 if packet[0] >> 4 == 6 else 20 :]

    if suite.endswith("gmac"):
        key, salt = key[:-4], key[-4:]
        if job == "seal":
            iv = bytes(range(8))
            tag = AESGCM(key).encrypt(salt + iv, b"", spi + high + low + iv + text)
            return outer(source, destination, spi + low + iv + text + tag)
        iv, text, tag = esp[8:16], esp[16:-16], esp[-16:]
        AESGCM(key).decrypt(salt + iv, tag, spi + high + low + iv + text)
        return text[: len(text) - 2 - text[-2]]

    cipher, hash_name = suite.split("-")
    size = {"aes128": 16, "aes256": 32, "null": 0}[cipher]
    icv_size = ICV[hash_name]
    encryption, integrity = key[:size], key[size:]

    def icv(data):
        return hmac.new(integrity, data + high, getattr(hashlib, hash_name)).digest()[:icv_size]

    if job == "seal":
        iv = bytes(range(16)) if size else b""
        if size:
            encryptor = Cipher(algorithms.AES(encryption), modes.CBC(iv)).encryptor()
            text = encryptor.update(text) + encryptor.finalize()
        data = spi + low + iv + text
        return outer(source, destination, data + icv(data))
    data, tag = esp[:-icv_size], esp[-icv_size:]
    if icv(data) != tag:
        raise ValueError("wrong ICV")
    text = data[8:]
    if size:
        decryptor = Cipher(algorithms.AES(encryption), modes.CBC(text[:16])).decryptor()
        text = decryptor.update(text[16:]) + decryptor.finalize()
    return text[: len(text) - 2 - text[-2]]


for line in sys.stdin:
    job, suite, key, spi, sequence, esn, mode, source, destination, port, packet = line.split()
    key, packet = bytes.fromhex(key), bytes.fromhex(packet)
    spi, sequence, esn, port = int(spi), int(sequence), esn == "1", int(port)
    if suite.endswith("gmac") or (esn and "-" in suite):
        assert mode == "tunnel" and not port
        result = by_hand(job, suite, key, spi, sequence, esn, source, destination, packet)
    else:
        sa = association(suite, key, spi, sequence, esn, mode, source, destination, port)
        if job == "seal":
            result = with_udp_length(bytes(sa.encrypt(parse(packet))), port)
        else:
            result = bytes(sa.decrypt(parse(without_udp(packet, port))))
    print(result.hex(), flush=True)
