#!/usr/bin/env python3
"""Draws what measured.md says of Lockgate against its peers: a bar for each row of a table that has a column `ratio`, on a logarithmic axis.

Usage: picture.py docs/src/measured.md > docs/src/peers.svg
"""
import html, math, re, sys

SECTIONS = {"Against peers on kernel ports", "Against DPDK"}


def rows(text):
    """(label, peer, ratio) of each row. The peer has a column of its own, with its figure, or is the column before `ratio`."""
    section, table = "", []
    for line in text.splitlines() + [""]:
        if line.startswith("#"):
            section = line.lstrip("# ").strip()
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if table and section in SECTIONS and "ratio" in table[0]:
            at = table[0].index("ratio")
            for cells in table[2:]:
                words = [c for c in cells[:2] if c and not re.fullmatch(r"[\d.]+( Gbit/s)?", c)]
                if "peer" in table[0]:
                    peer = re.sub(r" [\d.]+$", "", cells[table[0].index("peer")])
                else:
                    peer = table[0][at - 1]
                yield ", ".join(words), peer, float(cells[at])
        table = []


def picture(bars):
    left, width, step, low, high = 330, 470, 22, 0.5, 8.0
    place = lambda ratio: left + width * math.log(ratio / low) / math.log(high / low)
    height = step * len(bars) + 70
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 260} {height}" font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    out.append(f'<text x="{left}" y="16" font-weight="bold">Lockgate ÷ peer; to the right Lockgate is faster</text>')
    for tick in (0.5, 1, 2, 4, 8):
        x = place(tick)
        weight = 1.5 if tick == 1 else 0.5
        out.append(f'<line x1="{x:.1f}" y1="26" x2="{x:.1f}" y2="{height - 34}" stroke="#555" stroke-width="{weight}"/>')
        out.append(f'<text x="{x:.1f}" y="{height - 18}" text-anchor="middle">{tick}</text>')
    for number, (label, peer, ratio) in enumerate(bars):
        y = 32 + step * number
        a, b = sorted((place(1), place(ratio)))
        colour = "#2a7" if ratio >= 1 else "#c63"
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{html.escape(label)}</text>')
        out.append(f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 1):.1f}" height="{step - 8}" fill="{colour}"/>')
        out.append(f'<text x="{max(b, place(1)) + 6:.1f}" y="{y + 12}">{ratio:g} × {html.escape(peer)}</text>')
    return "\n".join(out) + "\n</svg>"


if __name__ == "__main__":
    bars = list(rows(open(sys.argv[1], encoding="utf-8").read()))
    if not bars:
        sys.exit(f"{sys.argv[1]} has no table of peers with a column `ratio`")
    print(picture(bars))
