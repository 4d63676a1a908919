#!/usr/bin/env python3
"""Vectors for tests/schedule.rs, from a derivation that shares no code with ours.

Run by hand with Python 3 and the package `cryptography`:
    python3 vectors.py schedule > data/schedule.txt
    python3 vectors.py modp > data/modp.txt
    python3 vectors.py signatures data/signatures
The last one makes new keys, certificates and signatures each time.
Everything is made from labels, so that the output is the same each time. The formulas are those of
RFC 7296 §2.13 to §2.18 and §3.14, RFC 5282, RFC 7634, RFC 8784 §3, RFC 9242 §3.3.2 and RFC 9370 §2.2.
"""

import datetime
import hashlib
import hmac
import pathlib
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


def label(text, length):
    out = b""
    while len(out) < length:
        out += hashlib.sha256(f"{text} {len(out)}".encode()).digest()
    return out[:length]


def prf(hash_name, key, data):
    return hmac.digest(key, data, hash_name)


def prf_plus(hash_name, key, seed, length):
    out, last, n = b"", b"", 1
    while len(out) < length:
        last = prf(hash_name, key, last + seed + bytes([n]))
        out, n = out + last, n + 1
    return out[:length]


HASHES = {"prfsha1": "sha1", "prfsha256": "sha256", "prfsha384": "sha384", "prfsha512": "sha512"}
# encryption: key and salt; integrity: hash, length of the check value
ENCRYPTION = {
    "aes128gcm16": 20,
    "aes256gcm16": 36,
    "chacha20poly1305": 36,
    "aes128": 16,
    "aes256": 32,
}
INTEGRITY = {"sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}
SUITES = [
    ("aes128gcm16", None, "prfsha256"),
    ("aes256gcm16", None, "prfsha384"),
    ("chacha20poly1305", None, "prfsha512"),
    ("aes128", "sha256", "prfsha256"),
    ("aes256", "sha384", "prfsha384"),
    ("aes256", "sha512", "prfsha512"),
    ("aes128", "sha1", "prfsha1"),
]
# length of a child's keys, one direction
CHILDREN = {"aes256gcm16": 36, "aes128-sha256": 48, "aes256-sha512": 96, "chacha20poly1305": 36}


def keys(suite, skeyseed, ni, nr, spis):
    encryption, integrity, prf_name = suite
    h = HASHES[prf_name]
    p = hashlib.new(h).digest_size
    a = hashlib.new(integrity).digest_size if integrity else 0
    e = ENCRYPTION[encryption]
    stream = prf_plus(h, skeyseed, ni + nr + spis, 3 * p + 2 * a + 2 * e)
    out, at = {}, 0
    for name, n in [("d", p), ("ai", a), ("ar", a), ("ei", e), ("er", e), ("pi", p), ("pr", p)]:
        out[name], at = stream[at : at + n], at + n
    return out


def seal(suite, e, a, iv, head, inner, padding):
    encryption, integrity, _ = suite
    text = inner + bytes(padding) + bytes([padding])
    if integrity is None:
        key, salt = e[:-4], e[-4:]
        cipher = ChaCha20Poly1305(key) if encryption == "chacha20poly1305" else AESGCM(key)
        return head + iv + cipher.encrypt(salt + iv, text, head)
    encryptor = Cipher(algorithms.AES(e), modes.CBC(iv)).encryptor()
    message = head + iv + encryptor.update(text) + encryptor.finalize()
    return message + hmac.digest(a, message, integrity)[: INTEGRITY[integrity]]


def show(case, **values):
    for name, value in values.items():
        print(f"{case}.{name} {value.hex()}")


def case(suite):
    encryption, integrity, prf_name = suite
    name = "-".join(x for x in suite if x)
    h = HASHES[prf_name]
    nonce = lambda who: label(f"{name} nonce {who}", 16 + len(name) * 3)
    ni, nr = nonce("i"), nonce("r")
    spis = label(f"{name} spis", 16)
    secret = label(f"{name} g^ir", 256)
    first = keys(suite, prf(h, ni + nr, secret), ni, nr, spis)
    show(name, ni=ni, nr=nr, spis=spis, secret=secret)
    show(name + ".initial", **first)

    second_secret = label(f"{name} SK(1)", 32)
    second = keys(suite, prf(h, first["d"], second_secret + ni + nr), ni, nr, spis)
    show(name, second_secret=second_secret)
    show(name + ".second", **second)

    ppk = label(f"{name} ppk", 40)
    mixed = {k: prf_plus(h, ppk, first[k], len(first[k])) for k in ("d", "pi", "pr")}
    show(name, ppk=ppk)
    show(name + ".ppk", **mixed)

    ni2, nr2 = nonce("i2"), nonce("r2")
    spis2 = label(f"{name} spis 2", 16)
    rekey_secret = label(f"{name} rekey", 64)
    # the new SA has the next suite of the list, so another pseudorandom function
    new = SUITES[(SUITES.index(suite) + 1) % len(SUITES)]
    plain = prf(h, first["d"], rekey_secret + ni2 + nr2)
    hybrid = prf(h, first["d"], rekey_secret + ni2 + nr2 + second_secret + secret)
    show(name, ni2=ni2, nr2=nr2, spis2=spis2, rekey_secret=rekey_secret)
    show(name + ".rekeyed", **keys(new, plain, ni2, nr2, spis2))
    show(name + ".hybrid", **keys(new, hybrid, ni2, nr2, spis2))

    for child, n in CHILDREN.items():
        plain = prf_plus(h, first["d"], ni + nr, 2 * n)
        pfs = prf_plus(h, first["d"], rekey_secret + ni2 + nr2, 2 * n)
        hybrid = prf_plus(h, first["d"], rekey_secret + ni2 + nr2 + second_secret, 2 * n)
        show(f"{name}.child.{child}", plain=plain, pfs=pfs, hybrid=hybrid)

    head = label(f"{name} head", 36)
    inner = label(f"{name} inner", 45)
    iv = label(f"{name} iv", 16 if integrity else 8)
    show(name, head=head, inner=inner)
    least = 2 if integrity else 0
    for how, padding in [("least", least), ("more", least + 16 * 15)]:
        sealed = seal(suite, first["er"], first["ar"], iv, head, inner, padding)
        show(f"{name}.sealed", **{how: sealed})
    short = seal(suite, first["er"], first["ar"], iv, head, b"", 15 if integrity else 0)
    show(f"{name}.sealed", empty=short)

    psk = label(f"{name} psk", 21)
    message, identity = label(f"{name} message", 300), b"\x02\0\0\0a.example"
    auth = lambda *parts: prf(h, prf(h, psk, b"Key Pad for IKEv2"), b"".join(parts))
    octets = [message, nr, prf(h, first["pi"], identity)]
    int_i = prf(h, second["pi"], prf(h, first["pi"], b"A1" + b"P1") + b"A2" + b"P2")
    int_r = prf(h, first["pr"], b"A3" + b"P3")
    int_auth = int_i + int_r + (2).to_bytes(4, "big")
    show(name, psk=psk, message=message, identity=identity)
    show(name + ".auth", plain=auth(*octets), intermediate=auth(*octets, int_auth))


def pi_bits(bits):
    """floor(pi * 2**bits), by Machin's formula with 64 bits more."""
    one = 1 << (bits + 64)

    def arctan_inverse(x):
        total = term = one // x
        n, sign = 3, -1
        while term:
            term //= x * x
            total, n, sign = total + sign * (term // n), n + 2, -sign
        return total

    return (4 * (4 * arctan_inverse(5) - arctan_inverse(239))) >> 64


def modp():
    # RFC 3526 §3: 2^2048 - 2^1984 - 1 + 2^64 * ([2^1918 pi] + 124476)
    p = 2**2048 - 2**1984 - 1 + 2**64 * (pi_bits(1918) + 124476)
    i, r = (int.from_bytes(label(f"modp {who}", 32), "big") for who in "ir")
    gi, gr = pow(2, i, p), pow(2, r, p)
    for name, value, length in [
        ("p", p, 256),
        ("i", i, 32),
        ("gi", gi, 256),
        ("r", r, 32),
        ("gr", gr, 256),
        ("secret", pow(gr, i, p), 256),
    ]:
        print(name, value.to_bytes(length, "big").hex())


def certificate(name, key):
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1)
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, None if name == "ed25519" else hashes.SHA256())
    )


def old(folder):
    """A certificate and a revocation list of version 1, as OpenSSL makes them when nobody asks it for
    extensions."""
    new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    (folder / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\n")
    (folder / "index").touch()
    for line in [
        f"{new} -x509 -subj /CN=old-authority -days 36500 -keyout ca.key -out old.authority.pem",
        f"{new} -subj /CN=old -keyout old.key -out old.csr",
        "x509 -req -in old.csr -CA old.authority.pem -CAkey ca.key -days 36500 -out old.cert.pem",
        "ca -config ca.cnf -gencrl -crldays 36500 -keyfile ca.key -cert old.authority.pem"
        " -out old.crl.pem",
    ]:
        subprocess.run(["openssl", *line.split()], cwd=folder, check=True)
    for name in ["ca.cnf", "index", "ca.key", "old.key", "old.csr", "old.authority.srl"]:
        (folder / name).unlink(missing_ok=True)


def signatures(folder):
    """Keys in every form, a certificate of each, and AUTH payloads: method byte, then data."""
    folder.mkdir(exist_ok=True)
    octets = label("octets", 500)
    (folder / "octets").write_bytes(octets)
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    forms = serialization.PrivateFormat
    keys = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, key in keys.items():
        write = lambda form, text: (folder / f"{name}.{form}.pem").write_bytes(text)
        write("pkcs8", key.private_bytes(pem, forms.PKCS8, none))
        if name != "ed25519":
            write("traditional", key.private_bytes(pem, forms.TraditionalOpenSSL, none))
        write("cert", certificate(name, key).public_bytes(pem))
    secret = serialization.BestAvailableEncryption(b"secret")
    for form, name in [(forms.PKCS8, "pkcs8"), (forms.TraditionalOpenSSL, "traditional")]:
        text = keys["p256"].private_bytes(pem, form, secret)
        (folder / f"encrypted.{name}.pem").write_bytes(text)
    small = rsa.generate_private_key(65537, 1024)
    text = small.private_bytes(pem, forms.PKCS8, none)
    (folder / "small.pkcs8.pem").write_bytes(text)
    (folder / "small.cert.pem").write_bytes(certificate("small", small).public_bytes(pem))
    k1 = ec.generate_private_key(ec.SECP256K1()).private_bytes(pem, forms.PKCS8, none)
    (folder / "unknown.pkcs8.pem").write_bytes(k1)

    # AlgorithmIdentifiers as RFC 7427 appendix A has them
    rsa_id = lambda last: bytes.fromhex(f"300d06092a864886f70d0101{last}0500")
    ecdsa_id = lambda last: bytes.fromhex(f"300a06082a8648ce3d0403{last}")

    def pss_id(hash_last, salt):
        h = f"300d06096086480165030402{hash_last}0500"
        return bytes.fromhex(
            f"304606092a864886f70d01010a3039a00f{h}a11c301a06092a864886f70d010108{h}"
            f"a2030201{salt:02x}a303020101"
        )

    write = lambda name, method, data: (folder / f"{name}.auth").write_bytes(bytes([method]) + data)
    with_id = lambda identifier, sig: bytes([len(identifier)]) + identifier + sig
    key = keys["rsa"]
    for name, h, last in [("256", hashes.SHA256(), "01"), ("384", hashes.SHA384(), "02"), ("512", hashes.SHA512(), "03")]:
        sig = key.sign(octets, padding.PKCS1v15(), h)
        write(f"rsa.pkcs1-sha{name}", 14, with_id(rsa_id({"01": "0b", "02": "0c", "03": "0d"}[last]), sig))
        write(f"rsa.method1-sha{name}", 1, sig)
        sig = key.sign(octets, padding.PSS(padding.MGF1(h), h.digest_size), h)
        write(f"rsa.pss-sha{name}", 14, with_id(pss_id(last, h.digest_size), sig))
    write("rsa.method1-sha1", 1, key.sign(octets, padding.PKCS1v15(), hashes.SHA1()))
    write("rsa.pkcs1-sha1", 14, with_id(rsa_id("05"), key.sign(octets, padding.PKCS1v15(), hashes.SHA1())))
    for name, h, last, method, size in [
        ("p256", hashes.SHA256(), "02", 9, 32),
        ("p384", hashes.SHA384(), "03", 10, 48),
        ("p521", hashes.SHA512(), "04", 11, 66),
    ]:
        sig = keys[name].sign(octets, ec.ECDSA(h))
        write(f"{name}.digital", 14, with_id(ecdsa_id(last), sig))
        r, s = decode_dss_signature(sig)
        write(f"{name}.method{method}", method, r.to_bytes(size, "big") + s.to_bytes(size, "big"))
    sig = keys["p384"].sign(octets, ec.ECDSA(hashes.SHA256()))
    write("p384.digital-sha256", 14, with_id(ecdsa_id("02"), sig))
    identifier = bytes.fromhex("300506032b6570")
    write("ed25519.digital", 14, with_id(identifier, keys["ed25519"].sign(octets)))


if sys.argv[1:2] == ["signatures"]:
    signatures(pathlib.Path(sys.argv[2]))
    old(pathlib.Path(sys.argv[2]))
elif sys.argv[1:] == ["modp"]:
    print("# made by vectors.py")
    modp()
else:
    print("# made by vectors.py")
    for s in SUITES:
        case(s)
