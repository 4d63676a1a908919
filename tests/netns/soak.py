"""Load, disturbances and verdicts of soak.sh.

    soak.py echo                                          answers TCP and UDP on port 9000
    soak.py churn FILE                                    sessions one after the other, until SIGTERM; counts go to FILE
    soak.py run LOCKGATE WORK SECONDS [PICTURE]           all of it; one verdict a line: ok or bad, what, what was seen
"""
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

TUNNEL, NAT = "10.2.0.5", "10.4.0.5"
EVERY = 5  # seconds from one disturbance to the next
REST = 15  # seconds in which frames, and after clearing sessions and flows, are to be gone


async def echo():
    async def serve(reader, writer):
        try:
            writer.write(await reader.read(64))
            await writer.drain()
            await reader.read(1)
        except OSError:
            pass
        writer.close()

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            self.transport.sendto(data, addr)

    server = await asyncio.start_server(serve, "0.0.0.0", 9000, backlog=1024)
    # an address each, so that the answer comes from where the question went
    for address in (TUNNEL, NAT):
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=(address, 9000))
    await server.serve_forever()


async def churn(path):
    counts = {"tcp": 0, "tcp_failed": 0, "udp": 0, "udp_lost": 0, "errors": []}
    running = True

    def stop():
        nonlocal running
        running = False

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)

    async def connections(address):
        while running:
            question = os.urandom(64)
            try:
                async with asyncio.timeout(60):
                    reader, writer = await asyncio.open_connection(address, 9000)
                    writer.write(question)
                    answer = await reader.readexactly(64)
                    writer.close()
                    await writer.wait_closed()
                assert answer == question, "another answer"
                counts["tcp"] += 1
            except (OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError) as error:
                counts["tcp_failed"] += 1
                counts["errors"] = (counts["errors"] + [repr(error)])[:10]

    async def datagrams(address):
        while running:
            question = os.urandom(64)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.setblocking(False)
                s.connect((address, 9000))
                await loop.sock_sendall(s, question)
                try:
                    async with asyncio.timeout(2):
                        assert await loop.sock_recv(s, 100) == question
                    counts["udp"] += 1
                except (OSError, TimeoutError):
                    counts["udp_lost"] += 1

    ways = [work(address) for address in (TUNNEL, NAT) for work in (connections, datagrams) for _ in range(4)]
    await asyncio.gather(*ways)
    with open(path, "w") as f:
        json.dump(counts, f)


class Gateway:
    def __init__(self, lockgate, work, name):
        self.name, self.work, self.lockgate = name, work, lockgate
        self.config = open(f"{work}/{name}.toml").read()

    def ask(self, *words):
        command = ["ip", "netns", "exec", f"sg{self.name}", self.lockgate, "--socket", f"{self.work}/{self.name}.sock", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def show(self, *words):
        return json.loads(self.ask("show", *words, "--json").stdout)

    def reload(self, variant):
        more = '[[policy]]\nid = 9\nfrom = "in"\nto = "out"\nservice = "tcp/7777"\naction = "deny"\n'
        with open(f"{self.work}/{self.name}.toml", "w") as f:
            f.write(self.config + (more if variant else ""))
        return self.ask("reload")

    def tables(self):
        system = self.show("system")
        used = {t["name"]: t["used"] for t in system["tables"]}
        return {"rss": system["resident_bytes"], "generation": system["config"]["generation"], **used}

    def tunnel(self):
        return next(t for t in self.show("tunnels")["tunnels"] if t["name"] == "net")


def spawn(ns, *command):
    return subprocess.Popen(["ip", "netns", "exec", ns, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def verdict(good, what, seen):
    print("ok" if good else "bad", what, seen, sep="\t", flush=True)


def run(lockgate, work, seconds, picture=None):
    gateways = [Gateway(lockgate, work, name) for name in "ab"]
    a, b = gateways
    before = [g.tables() for g in gateways]
    load = [spawn("ska", "iperf3", "-J", "-i", "10", "--bidir", "-t", str(seconds), "-c", to, "-p", port) for to, port in ((TUNNEL, "5201"), (NAT, "5202"))]
    sessions = spawn("ska", sys.executable, "soak.py", "churn", f"{work}/churn")
    start, turn, samples = time.monotonic(), 0, []
    asked = {"reload": 0, "rekey tunnel": 0, "rekey ike": 0}
    refused = []
    while (at := time.monotonic() - start) < seconds - EVERY:
        if sys.stderr.isatty():
            print(f"\r{at:.0f} of {seconds} s ", end="", file=sys.stderr)
        who = gateways[turn % 2]
        done = {"reload": [g.reload(turn % 2 == 0) for g in gateways], "rekey tunnel": [who.ask("rekey", "tunnel", "net")]}
        if turn % 6 == 5:
            done["rekey ike"] = [who.ask("rekey", "ike", "peer")]
        for what, answers in done.items():
            asked[what] += len(answers)
            refused += [f"{what}: {r.stderr.strip()}" for r in answers if r.returncode]
        samples.append((at, [g.tables() for g in gateways]))
        turn += 1
        time.sleep(max(0, start + turn * EVERY - time.monotonic()))
    rates = []
    for way, process in zip(("ESP", "NAT"), load):
        report = json.loads(process.communicate(timeout=60)[0])
        ends = [report.get("end", {}).get(key, {}).get("bits_per_second", 0) / 1e9 for key in ("sum_received", "sum_received_bidir_reverse")]
        rates.append(f"{way} {ends[0]:.2f} and {ends[1]:.2f} Gbit/s")
        verdict(not report.get("error") and all(ends), f"TCP by {way} lasts both ways", report.get("error") or rates[-1])
    sessions.send_signal(signal.SIGTERM)
    told = sessions.communicate(timeout=120)[0]
    counts = json.load(open(f"{work}/churn")) if os.path.exists(f"{work}/churn") else {"tcp": 0, "tcp_failed": told, "udp": 0, "udp_lost": 0}
    verdict(counts["tcp"] > seconds and counts["tcp_failed"] == 0, "every short connection gets its own answer", counts)
    asked_by_udp = counts["udp"] + counts["udp_lost"]
    verdict(asked_by_udp > seconds and counts["udp_lost"] * 100 <= asked_by_udp, "so do 99 of 100 datagrams", f"{counts['udp_lost']} of {asked_by_udp} got none")
    verdict(not refused, "nobody refuses a reload or a rekey", refused[:3] or asked)
    for g, first in zip(gateways, before):
        reloads = g.tables()["generation"] - first["generation"]
        verdict(reloads >= asked["reload"] // 2, f"{g.name} has taken in every reload", reloads)

    rest = time.monotonic() + REST
    while True:
        after = [g.tables() for g in gateways]
        if all(t["frames"] == f["frames"] for t, f in zip(after, before)) or time.monotonic() > rest:
            break
        time.sleep(0.2)
    for index, (g, was, is_) in enumerate(zip(gateways, before, after)):
        peak = max(tables[index]["frames"] for _, tables in samples)
        verdict(is_["frames"] == was["frames"], f"{g.name} keeps no frame", f"{was['frames']} before, at most {peak} seen, {is_['frames']} after")
    for index, g in enumerate(gateways):
        rss = [tables[index]["rss"] for _, tables in samples]
        quarter = len(rss) // 4
        early, late = statistics.median(rss[quarter : 2 * quarter]), statistics.median(rss[-quarter:])
        verdict(late <= early * 1.03, f"memory of {g.name} is flat", f"median of the second quarter {early / 1e6:.1f} MB, of the last {late / 1e6:.1f} MB")
    # what went into the tunnel came out, but for what a full socket lost between them
    for near, far in ((a, b), (b, a)):
        sent, received = near.tunnel()["sent"]["packets"], far.tunnel()
        came = received["received"]["packets"]
        ports = [next(p for p in g.show("ports")["ports"] if p["name"] == "wan") for g in (near, far)]
        lost = ports[0]["tx"]["dropped"] + ports[1]["rx"]["dropped"] + received["errors"]
        seen = f"{sent} sent, {came} received, {lost} lost between"
        verdict(came > 0 and sent - came == lost, f"{far.name} received from the tunnel what {near.name} sent", seen)
    for g in gateways:
        g.ask("clear", "sessions", "--all")
    rest = time.monotonic() + REST
    while True:
        left = [{n: g.tables()[n] for n in ("sessions", "half-open", "flows")} for g in gateways]
        engines = [g.show("engines")["engines"][0] for g in gateways]
        none = all(one[n] <= first[n] for one, first in zip(left, before) for n in one)
        if none and all(e["installed"] == e["removed"] and not e["retiring"] for e in engines) or time.monotonic() > rest:
            break
        time.sleep(0.2)
    for g, one, first, e in zip(gateways, left, before, engines):
        # IKE keeps or begins a session of its own, and an SA has its place among the flows
        verdict(all(one[n] <= first[n] for n in one), f"no session of {g.name} is left when all are cleared", one)
        verdict(e["installed"] == e["removed"] > 0 and not e["retiring"], f"the engine of {g.name} gave up each flow it had", f"{e['installed']} installed, {e['removed']} removed, {e['retiring']} retiring")
        verdict(e["audit"]["passes"] > 0 and e["audit"]["found"] == 0, f"the ledger of {g.name} and its engine never differed", e["audit"])
        full = sum(p["ring_full"] for p in e["punts"])
        verdict(e["punt_depth"] == 0, f"no punt of {g.name} waits", f"{full} in all had no room in the ring")
    if picture:
        draw(picture, samples, seconds, rates, asked, counts)


def draw(path, samples, seconds, rates, asked, counts):
    """Memory, sessions and frames of both gateways over the run, each from 0 to its largest value."""
    width, height, left = 720, 110, 70
    rows = (("memory, MB", "rss", 1e-6), ("sessions", "sessions", 1), ("frames in use", "frames", 1))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + left + 20} {len(rows) * (height + 40) + 50}" font-family="sans-serif" font-size="12">']
    out.append('<rect width="100%" height="100%" fill="white"/>')
    for row, (title, key, unit) in enumerate(rows):
        top = 40 + row * (height + 40)
        largest = max(t[key] for _, tables in samples for t in tables) * unit or 1
        out.append(f'<text x="{left}" y="{top - 8}">{title}</text><text x="{left - 6}" y="{top + 10}" text-anchor="end">{largest:.0f}</text><text x="{left - 6}" y="{top + height}" text-anchor="end">0</text>')
        out.append(f'<path d="M{left} {top}V{top + height}H{left + width}" fill="none" stroke="#888"/>')
        for index, colour in enumerate(("#1b6ca8", "#c8553d")):
            line = " ".join(f"{left + at / seconds * width:.1f},{top + height - tables[index][key] * unit / largest * height:.1f}" for at, tables in samples)
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    out.append(f'<text x="{left}" y="16">{seconds} s; gateway a <tspan fill="#1b6ca8">blue</tspan>, b <tspan fill="#c8553d">red</tspan>; TCP both ways at once: {"; ".join(rates)}</text>')
    done = ", ".join(f"{n} × {what}" for what, n in asked.items())
    out.append(f'<text x="{left}" y="{len(rows) * (height + 40) + 40}">{done}; {counts["tcp"]} short connections, {counts["udp"]} UDP exchanges</text></svg>')
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["echo"]:
            asyncio.run(echo())
        case ["churn", path]:
            asyncio.run(churn(path))
        case ["run", lockgate, work, seconds, *picture]:
            run(lockgate, work, int(seconds), *picture)
        case _:
            sys.exit(__doc__)
