"""Draws the dashboard: every expression of every panel, evaluated by Prometheus over a minute of a broker that is driven.

Run by scripts/pictures. It is our drawing and not Grafana's: the same panels in the same places with the same numbers, and nothing of
Grafana but its file. `BROKER` is the program; `prometheus` is in PATH. Writes docs/images/dashboard-*.svg.
"""

import html
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse

import metrics
import yaml

IMAGES = metrics.ROOT / "docs" / "images"
SECONDS = 60
CELL, ROW, GAP = 40, 26, 6
COLOURS = ["#1f77b4", "#e6842a", "#3d9140", "#c23b3b", "#7d5fb2", "#8c6d4f", "#d15fa8", "#5f6a72"]
UNITS = {
    "reqps": lambda value: f"{value:.3g} /s",
    "ops": lambda value: f"{value:.3g} /s",
    "percentunit": lambda value: f"{100 * value:.3g} %",
    "s": lambda value: f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s",
    "bytes": lambda value: f"{value / 2**20:.4g} MiB",
}


def shown(value, unit):
    return UNITS.get(unit, lambda value: f"{value:.3g}")(value)


def text(x, y, what, size=11, colour="#222", anchor="start", weight="normal"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(what)}</text>'


def values(port, expr, began, ended):
    query = {"query": expr.replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*"), "start": began, "end": ended, "step": 2}
    status, answer = metrics.ask(port, "GET", "/api/v1/query_range?" + urllib.parse.urlencode(query))
    if status != 200:
        sys.exit(f"{expr}: {answer}")
    for series in json.loads(answer)["data"]["result"]:
        points = [(float(at), float(value)) for at, value in series["values"]]
        yield series["metric"], [(at, value) for at, value in points if math.isfinite(value)]


def lines(port, panel, span):
    """Each series of a panel: what it is called, and its points."""
    found = []
    for target in panel["targets"]:
        for labels, points in values(port, target["expr"], *span):
            labels = {key: value for key, value in labels.items() if key != "__name__"}
            legend = target.get("legendFormat") or " ".join(labels.values())
            for key, value in labels.items():
                legend = legend.replace("{{" + key + "}}", value).replace("{{ " + key + " }}", value)
            if points:
                found.append((legend, points))
    return found


def stat(panel, series, unit, box):
    x, y, width, height = box
    value = shown(series[0][1][-1][1], unit) if series else "no data"
    return text(x + width / 2, y + height / 2 + 18, value, 24, "#1b6e3a" if series else "#888", "middle", "bold")


def graph(panel, series, unit, box, span):
    x, y, width, height = box
    left, top, right, bottom = x + 58, y + 26, x + width - 8, y + height - 20 - 13 * min(len(series), 4)
    if not series:
        return text(x + width / 2, y + height / 2 + 6, "no data", 12, "#888", "middle")
    top_value = max((value for _, points in series for _, value in points), default=0) or 1
    place = lambda at, value: (left + (right - left) * (at - span[0]) / (span[1] - span[0]), bottom - (bottom - top) * value / top_value)
    drawn = []
    for part in (0, 0.5, 1):
        _, level = place(span[0], top_value * part)
        drawn.append(f'<line x1="{left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}" stroke="#e3e3e3"/>')
        drawn.append(text(left - 5, level + 4, shown(top_value * part, unit), 9, "#666", "end"))
    for number, (legend, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*point) for point in points))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if number < 4:
            more = f" and {len(series) - 4} more" if number == 3 and len(series) > 4 else ""
            line = bottom + 22 + 13 * number
            drawn.append(f'<rect x="{x + 8}" y="{line - 7:.0f}" width="9" height="3" fill="{colour}"/>')
            drawn.append(text(x + 22, line - 3, (legend or panel["title"])[: int(width / 6)] + more, 9, "#444"))
    return "".join(drawn)


def picture(port, title, panels, span):
    top = min(panel["gridPos"]["y"] for panel in panels)
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) - top
    size = (24 * CELL, height * ROW + 26)
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" role="img"><title>{html.escape(title)}</title>', f'<rect width="{size[0]}" height="{size[1]}" fill="#f6f6f4"/>', text(8, 18, title, 14, "#222", weight="bold")]
    for panel in panels:
        at = panel["gridPos"]
        box = (at["x"] * CELL + GAP / 2, (at["y"] - top) * ROW + 26, at["w"] * CELL - GAP, at["h"] * ROW - GAP)
        drawn.append('<rect x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}" rx="3" fill="#fff" stroke="#d8d8d4"/>'.format(*box))
        drawn.append(text(box[0] + 8, box[1] + 16, panel["title"], 11, "#222", weight="bold"))
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        series = lines(port, panel, span)
        drawn.append(stat(panel, series, unit, box) if panel["type"] == "stat" else graph(panel, series, unit, box, span))
    return "\n".join([*drawn, "</svg>\n"])


def draw(port, span):
    board = json.loads((metrics.FILES / "dashboard.json").read_text(encoding="utf-8"))
    rows = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        else:
            rows[-1][1].append(panel)
    IMAGES.mkdir(exist_ok=True)
    for number, (title, panels) in enumerate(rows, 1):
        file = IMAGES / f"dashboard-{number}.svg"
        file.write_text(picture(port, title, panels, span), encoding="utf-8")
        print(file.relative_to(metrics.ROOT))


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        broker, admin, port = metrics.free_port(), metrics.free_port(), metrics.free_port()
        (folder / "broker.toml").write_text(f'[server]\nlisten = "127.0.0.1:{broker}"\nadmin_listen = "127.0.0.1:{admin}"\ndrain_pause_ms = 0\n[telemetry]\nmetrics = true\n', encoding="utf-8")
        scrape = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{"job_name": "broker", "static_configs": [{"targets": [f"127.0.0.1:{admin}"]}]}]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(scrape), encoding="utf-8")
        program, env = os.environ["BROKER"], {"PATH": os.environ["PATH"], "HOME": str(folder)}
        with (folder / "log").open("w", encoding="utf-8") as log, subprocess.Popen([program, "serve"], cwd=folder, env=env, stdout=log, stderr=log) as served:
            try:
                metrics.until("the broker is ready", lambda: metrics.ask(broker, "GET", "/ready")[0] == 200)
                minted = subprocess.run([program, "token", "mint", "--sub", "ada", "--client", "agent", "--scope", "graph:read", "public:read"], cwd=folder, env=env, capture_output=True, text=True, check=True)
                token = minted.stdout.splitlines()[0].removeprefix("Token: ")
                arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
                with subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=log) as prometheus:
                    try:
                        driven(broker, token)
                        ended = time.time()
                        draw(port, (ended - SECONDS, ended))
                    finally:
                        prometheus.terminate()
            finally:
                served.terminate()
    sys.exit(1 if metrics.failures else 0)


def driven(broker, token):
    """More and less, as a day has it."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < SECONDS + 10:
        metrics.drive(broker, token)
        time.sleep(0.25 + 0.2 * math.sin(passed / 8))


main()
