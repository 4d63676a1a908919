#!/usr/bin/env python3
"""Judges `show sa --json`. Usage: sas.py FILE carried|engine TUNNEL..."""
import json
import sys

path, what, *tunnels = sys.argv[1:]
sas = [s for s in json.load(open(path))["sas"] if s["tunnel"] in tunnels]


def wrong(sa):
    if what == "engine":
        return sa["fast"]["packets"] == 0
    return sa["fast"]["packets"] + sa["slow"]["packets"] == 0 or sa["errors"]


bad = [(s["tunnel"], s["direction"], s["status"], s["fast"], s["slow"], s["errors"]) for s in sas if wrong(s)]
print(len(sas), "SAs of", len(tunnels), "tunnels; not right:", bad)
sys.exit(bool(bad) or not tunnels or len(sas) != 2 * len(tunnels))
