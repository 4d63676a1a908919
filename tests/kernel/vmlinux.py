#!/usr/bin/env python3
"""Takes the ELF kernel out of a bzImage. Usage: vmlinux.py BZIMAGE VMLINUX

The setup header (Linux x86 boot protocol 2.08 and later) tells where the compressed payload lies. Knows the
compressions of Debian's kernels that Python can undo: xz and gzip.
"""
import lzma
import struct
import sys
import zlib

image = open(sys.argv[1], "rb").read()
if image[0x202:0x206] != b"HdrS" or struct.unpack_from("<H", image, 0x206)[0] < 0x208:
    sys.exit("not a bzImage of boot protocol 2.08 or later")
sectors = image[0x1F1] or 4
offset, length = struct.unpack_from("<II", image, 0x248)
start = (sectors + 1) * 512 + offset
payload = image[start : start + length]
# Behind the compressed stream follow four bytes with the size of what it holds.
if payload.startswith(b"\xfd7zXZ\0"):
    kernel = lzma.LZMADecompressor().decompress(payload)
elif payload.startswith(b"\x1f\x8b"):
    kernel = zlib.decompressobj(31).decompress(payload)
else:
    sys.exit("unknown compression " + payload[:6].hex())
if not kernel.startswith(b"\x7fELF"):
    sys.exit("the payload is no ELF file")
open(sys.argv[2], "wb").write(kernel)
