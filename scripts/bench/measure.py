"""Measures one server, or prints the table of what was measured. Standard library only.

measure.py check   URL FOLDER        refuses to go on unless the server answers and, if guarded, refuses
measure.py startup URL STATE COMMAND ARG...   starts COMMAND five times, each without what it left in the folder STATE; median of the
                                     milliseconds until URL answers 200 to stdout
measure.py ready   URL PID           waits for 200 on URL
measure.py run     NAME PID URL FOLDER SECONDS RESULTS   appends one JSON line for each wire
measure.py table   RESULTS           Markdown
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

WIRES = ("2026-07-28", "2025-11-25")
CONNECTIONS = 16
HERE = pathlib.Path(__file__).parent


def call(url, wire, token):
    """One tools/call: the HTTP status and the body."""
    params = {"name": "get_public_info", "arguments": {}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": wire,
    }
    if wire == "2026-07-28":
        prefix = "io.modelcontextprotocol/"
        params["_meta"] = {prefix + "protocolVersion": wire, prefix + "clientCapabilities": {}}
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "get_public_info"}
    if token:
        headers["Authorization"] = "Bearer " + token
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def check(url, folder, guarded=True):
    """The server answers the text, and one that has a guard refuses what a guard must refuse."""
    text = (folder / "public.md").read_text()
    expect = json.dumps(text)[1:-1]
    token = lambda name: (folder / name).read_text()
    for wire in WIRES:
        status, body = call(url, wire, token("token") if guarded else None)
        assert status == 200 and expect in body, f"{wire}: expected the text, got {status} {body[:300]}"
        if not guarded:
            continue
        for name, bad in (("no token", None), ("a forged token", token("token.forged"))):
            status, body = call(url, wire, bad)
            assert status == 401 and expect not in body, f"{wire}: {name} was answered {status} {body[:300]}"
        status, body = call(url, wire, token("token.unscoped"))
        assert expect not in body, f"{wire}: a token without the scope was answered {status} {body[:300]}"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def wrk(url, wire, folder, seconds, guarded):
    env = os.environ | {"BENCH_WIRE": wire, "BENCH_TOKEN_FILE": str(folder / "token") if guarded else ""}
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "call.lua"), url]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return json.loads(out.split("RESULT ", 1)[1].splitlines()[0])


def run(name, pid, url, folder, seconds, results):
    guarded = name != "bare"
    idle = rss_mb(pid)
    check(url, folder, guarded)
    for wire in WIRES:
        wrk(url, wire, folder, 1, guarded)
        before = cpu_seconds(pid)
        load = os.getloadavg()[0]
        got = wrk(url, wire, folder, seconds, guarded)
        cpu = cpu_seconds(pid) - before
        assert got["failed"] == 0, f"{name} {wire}: {got['failed']} failed requests"
        row = got | {
            "name": name, "wire": wire, "rps": got["requests"] / got["seconds"], "cpu": cpu,
            "per_cpu": got["requests"] / max(cpu, 0.01), "idle_mb": idle, "loaded_mb": rss_mb(pid), "load": load,
        }
        with open(results, "a") as out:
            out.write(json.dumps(row) + "\n")
    check(url, folder, guarded)


def until_ready(url, alive):
    give_up = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if not alive() or time.monotonic() > give_up:
            sys.exit("the server did not become ready")
        time.sleep(0.002)


def startup(url, state, command):
    """From the start of the process: this one is running already, so its own start is not counted."""
    took = []
    for _ in range(5):
        shutil.rmtree(state, ignore_errors=True)
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            until_ready(url, lambda: server.poll() is None)
            took.append(time.perf_counter() - began)
            server.terminate()
    print(round(statistics.median(took) * 1000))


TITLES = {
    "bare": "bare rmcp, no guard", "broker": "MCP Auth Broker", "fastmcp": "FastMCP, JWTVerifier + require_scopes",
    "typescript": "TypeScript SDK v2, requireBearerAuth",
}


def table(results):
    rows = [json.loads(line) for line in pathlib.Path(results).read_text().splitlines()]
    rounds = max((sum(r["name"] == n and r["wire"] == WIRES[0] for r in rows) for n in TITLES), default=0)
    machine = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown CPU")
    print(f"`tools/call` of one text, {CONNECTIONS} connections, wrk with one thread on the same machine")
    print(f"({os.cpu_count()} × {machine}), median of {rounds} round(s) of {rows[0]['seconds']:.0f} s;")
    print(f"load average when a round began: {min(r['load'] for r in rows):.1f} to {max(r['load'] for r in rows):.1f}.\n")
    print("| server | wire | requests/s | p50 ms | p99 ms | CPU s | requests per CPU s | idle MB | loaded MB |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    rate = {}
    for name, title in TITLES.items():
        for wire in WIRES:
            mine = [r for r in rows if (r["name"], r["wire"]) == (name, wire)]
            if not mine:
                continue
            mid = lambda key: statistics.median(r[key] for r in mine)
            rate[name, wire] = (mid("rps"), mid("per_cpu"))
            print(f"| {title} | {wire} | {mid('rps'):,.0f} | {mid('p50_us') / 1000:.2f} | {mid('p99_us') / 1000:.2f} "
                  f"| {mid('cpu'):.1f} | {mid('per_cpu'):,.0f} | {mid('idle_mb'):.0f} | {mid('loaded_mb'):.0f} |")
    print("\n| ratio | wire | by requests/s | by requests per CPU s |\n|---|---|---:|---:|")
    ours = "broker" if ("broker", WIRES[0]) in rate else "bare"
    for name in TITLES:
        for wire in WIRES:
            if name != ours and (name, wire) in rate and (ours, wire) in rate:
                mine, other = rate[ours, wire], rate[name, wire]
                print(f"| {TITLES[ours]} / {TITLES[name]} | {wire} | {mine[0] / other[0]:.2f} | {mine[1] / other[1]:.2f} |")


def main():
    command, *rest = sys.argv[1:]
    if command == "check":
        check(rest[0], pathlib.Path(rest[1]))
    elif command == "ready":
        until_ready(rest[0], pathlib.Path(f"/proc/{rest[1]}").exists)
    elif command == "startup":
        startup(rest[0], rest[1], rest[2:])
    elif command == "run":
        name, pid, url, folder, seconds, results = rest
        run(name, int(pid), url, pathlib.Path(folder), int(seconds), results)
    elif command == "table":
        table(rest[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
