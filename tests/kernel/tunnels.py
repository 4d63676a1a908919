#!/usr/bin/env python3
"""Judges `show tunnels --json`. Usage: tunnels.py FILE TUNNEL..."""
import json
import sys

path, *names = sys.argv[1:]
tunnels = [t for t in json.load(open(path))["tunnels"] if t["name"] in names]
bad = [t for t in tunnels if t["state"] != "up" or t["errors"] or not t["sent"]["packets"] or not t["received"]["packets"]]
print(len(tunnels), "tunnels; not right:", bad)
sys.exit(bool(bad) or len(tunnels) != len(names))
