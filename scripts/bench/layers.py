"""Measures one layer, or prints the table of all. Standard library only.

layers.py run NAME PID URL CREDENTIALS STATUS SECONDS RESULTS   appends one JSON line
layers.py table RESULTS                                         Markdown
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from measure import CONNECTIONS, HERE, cpu_seconds  # noqa: E402

TITLES = {
    "off": "bare rmcp, no guard", "verify": "+ verification (the token layer)", "policy": "+ policy, limits and the events of audit, thrown away",
    "audit": "+ audit to a file: the broker as it is", "chain": "the same, chained", "durable": "the same, chained and durable",
    "rules": "the same with 100 rules, conditions, and limits on",
    "metrics": "the broker, counting for Prometheus", "traces": "the broker, sending traces and its log",
    "first": "the broker, each token seen for the first time", "forged": "the broker, a forged token: 401",
    "malformed": "the broker, no JWT at all: 401", "none": "the broker, no token: 401",
}


def wrk(url, credentials, status, seconds):
    env = os.environ | {"BENCH_CREDENTIALS": credentials, "BENCH_STATUS": status}
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "layers.lua"), url]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return json.loads(out.split("RESULT ", 1)[1].splitlines()[0])


def run(name, pid, url, credentials, status, seconds, results):
    if not credentials.startswith("each:"):
        wrk(url, credentials, status, 1)
    before, load = cpu_seconds(pid), os.getloadavg()[0]
    got = wrk(url, credentials, status, seconds)
    cpu = cpu_seconds(pid) - before
    assert got["failed"] == 0, f"{name}: {got['failed']} answers of {got['requests']} were not {status}"
    row = got | {"name": name, "rps": got["requests"] / got["seconds"], "cpu_us": cpu * 1e6 / max(got["requests"], 1), "load": load}
    with open(results, "a") as out:
        out.write(json.dumps(row) + "\n")


def table(results):
    rows = [json.loads(line) for line in pathlib.Path(results).read_text().splitlines()]
    mid = lambda name, key: statistics.median(row[key] for row in rows if row["name"] == name)
    known = [name for name in TITLES if any(row["name"] == name for row in rows)]
    print(f"`tools/call` of one text (2026-07-28), {CONNECTIONS} connections, median of {sum(row['name'] == known[0] for row in rows)} round(s);")
    print(f"load average when one began: {min(r['load'] for r in rows):.1f} to {max(r['load'] for r in rows):.1f}.\n")
    print("| | requests/s | p50 ms | p99 ms | CPU µs a request | more than the line before |")
    print("|---|---:|---:|---:|---:|---:|")
    before = None
    for name in known:
        cpu = mid(name, "cpu_us")
        step = f"{cpu - before:+.1f}" if before is not None and name in ("verify", "policy", "audit", "chain", "durable") else ""
        before = cpu
        print(f"| {TITLES[name]} | {mid(name, 'rps'):,.0f} | {mid(name, 'p50_us') / 1000:.2f} | {mid(name, 'p99_us') / 1000:.2f} | {cpu:.1f} | {step} |")


command, *rest = sys.argv[1:] or [""]
if command == "run":
    run(*rest)
elif command == "table":
    table(rest[0])
else:
    sys.exit(__doc__)
