"""Measures a server behind the broker, or prints the table of what was measured. Standard library only.

upstream.py silent                                      takes every request and never answers; streams begin and never end
upstream.py calls  NAME URL TOKEN_FILE SECONDS RESULTS  requests a second over 16 connections, median at one
upstream.py registered BROKER URL FOLDER SERVER COUNT SECONDS RESULTS  calls of a server that was added by POST /api/servers: alone, while
                                                        that many more are added, and then
upstream.py beside URL FOLDER SECONDS RESULTS           p99 alone, then beside a dead and a silent server
upstream.py idle   PID URL TOKEN_FILE COUNT RESULTS     memory of that many open streams
upstream.py table  RESULTS SERVERS                      Markdown
"""

import asyncio
import concurrent.futures
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).parent
WIRE = "2026-07-28"
CONNECTIONS = 16
WAITING = 32
"""Callers that wait for the dead server, and as many for the silent one."""


def note(results, **row):
    with open(results, "a") as out:
        out.write(json.dumps(row) + "\n")


def answers(url, token):
    """That the server gives the tool's result: a refusal is much quicker."""
    meta = {"io.modelcontextprotocol/protocolVersion": WIRE, "io.modelcontextprotocol/clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_public_info", "arguments": {}, "_meta": meta}}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": WIRE,
               "Mcp-Method": "tools/call", "Mcp-Name": "get_public_info"}
    if token:
        headers["Authorization"] = "Bearer " + pathlib.Path(token).read_text().strip()
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=10) as reply:
        said = reply.read().decode()
    assert '"result"' in said, f"{url}: {said[:300]}"


def wrk(url, token, seconds, connections, failing=False, pause=None):
    env = os.environ | {"BENCH_WIRE": WIRE, "BENCH_TOKEN_FILE": token}
    if pause:
        env["BENCH_PAUSE"] = str(pause)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "call.lua"), url]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    row = json.loads(out.split("RESULT ", 1)[1].splitlines()[0])
    assert failing or row["failed"] == 0, f"{url}: {row['failed']} failed requests"
    return row


def calls(name, url, token, seconds, results):
    answers(url, token)
    wrk(url, token, 1, CONNECTIONS)
    many = wrk(url, token, seconds, CONNECTIONS)
    one = wrk(url, token, seconds, 1)
    note(results, part="calls", name=name, rps=many["requests"] / many["seconds"], p99_us=many["p99_us"], p50_us=one["p50_us"])


def beside(url, folder, seconds, results):
    # Callers that pause: on a machine that is full, p99 is that of whoever else wants its processors.
    healthy = lambda: wrk(f"{url}/servers/healthy/mcp", f"{folder}/token.healthy", seconds, 4, pause=5)
    answers(f"{url}/servers/healthy/mcp", f"{folder}/token.healthy")
    healthy()
    alone = healthy()
    waiting = []
    for name in ("dead", "silent"):
        env = os.environ | {"BENCH_WIRE": WIRE, "BENCH_TOKEN_FILE": f"{folder}/token.{name}"}
        # A dead server refuses at once: few callers, else their own load is what is measured.
        count = 1 if name == "dead" else WAITING
        command = ["wrk", "-t1", f"-c{count}", f"-d{seconds + 2}s", "--timeout", "60s"]
        if name == "dead":
            env["BENCH_PAUSE"] = "20"
        command += ["-s", str(HERE / "call.lua"), f"{url}/servers/{name}/mcp"]
        waiting.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL))
    try:
        among = healthy()
    finally:
        for one in waiting:
            one.terminate()
            one.wait()
    note(results, part="beside", alone_us=alone["p99_us"], among_us=among["p99_us"], alone_rps=alone["requests"] / alone["seconds"],
         among_rps=among["requests"] / among["seconds"])


def add(url, token, server, numbers):
    """Registers a server for each number, one after the other over one connection. The seconds it took."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    began = time.monotonic()
    for number in numbers:
        body = json.dumps({"id": f"added-{number}", "url": server, "scope": "public:read", "proxy": {"era": "both"}})
        connection.request("POST", "/api/servers", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 201, f"added-{number}: {answer.status} {said[:300]}"
    took = time.monotonic() - began
    connection.close()
    return took


def await_served(url, number):
    """Until it is there: it asks for a token, and is no 404 any more."""
    deadline = time.monotonic() + 60
    while True:
        request = urllib.request.Request(f"{url}/servers/added-{number}/mcp", b"{}", {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).close()
            status = 200
        except urllib.error.HTTPError as refused:
            status = refused.code
        if status == 401:
            return
        assert time.monotonic() < deadline, f"added-{number} is answered {status}"
        time.sleep(0.1)


def registered(broker, url, folder, server, count, seconds, results):
    token = pathlib.Path(folder, "token.admin").read_text().strip()
    add(url, token, server, [0])
    await_served(url, 0)
    resource = f"{url}/servers/added-0/mcp"
    mint = [broker, "--config", f"{folder}/broker.toml", "token", "mint", "--sub", "bench", "--client", "bench"]
    minted = subprocess.run([*mint, "--resource", resource, "--scope", "public:read"], capture_output=True, text=True, check=True).stdout
    own = pathlib.Path(folder, "token.added")
    own.write_text(next(line.removeprefix("Token: ") for line in minted.splitlines() if line.startswith("Token: ")) + "\n")
    call = lambda: wrk(resource, str(own), seconds, CONNECTIONS)
    answers(resource, str(own))
    call()
    alone = call()
    during = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add, url, token, server, range(1, count + 1))
        while not during or not adding.done():
            during.append(call())
        took = adding.result()
    await_served(url, count)
    answers(resource, str(own))
    after = call()
    rps = lambda row: row["requests"] / row["seconds"]
    # While they are added, the worst of what was measured.
    note(results, part="registered", count=count, took_s=took, alone_rps=rps(alone), during_rps=min(map(rps, during)), after_rps=rps(after),
         alone_us=alone["p99_us"], during_us=max(row["p99_us"] for row in during), after_us=after["p99_us"])


def rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


ACKNOWLEDGED = {
    "jsonrpc": "2.0",
    "method": "notifications/subscriptions/acknowledged",
    "params": {"notifications": {"toolsListChanged": True}, "_meta": {"io.modelcontextprotocol/subscriptionId": 1}},
}


async def listen(url, token):
    """Opens one stream, and gives its ends once the server has acknowledged it."""
    parts = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=4096)
    meta = {"io.modelcontextprotocol/protocolVersion": WIRE, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"notifications": {"toolsListChanged": True}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {WIRE}\r\nMcp-Method: subscriptions/listen\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write((head + body).encode())
    answer = await asyncio.wait_for(reader.readuntil(b"acknowledged"), 60)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    return reader, writer


async def open_all(url, token, count):
    gate = asyncio.Semaphore(64)

    async def one():
        async with gate:
            return await listen(url, token)

    return await asyncio.gather(*(one() for _ in range(count)))


def idle(pid, url, token, count, results):
    token = pathlib.Path(token).read_text().strip()

    async def measured():
        first = await listen(url, token)
        before = rss_mb(pid)
        streams = await open_all(url, token, count)
        await asyncio.sleep(2)
        after = rss_mb(pid)
        ended = sum(reader.at_eof() for reader, _ in streams)
        assert ended == 0, f"{ended} streams ended"
        for _, writer in [first, *streams]:
            writer.transport.abort()
        return before, after

    before, after = asyncio.run(measured())
    note(results, part="idle", count=count, before_mb=before, after_mb=after)


async def silence():
    """A server as slow as can be."""

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                body = await reader.readexactly(length)
                if b"subscriptions/listen" not in body:
                    continue
                event = f"data: {json.dumps(ACKNOWLEDGED)}\n\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096, limit=8192)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def table(results, servers):
    rows = [json.loads(line) for line in pathlib.Path(results).read_text().splitlines()]
    machine = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")

    def mid(key, **where):
        found = [row[key] for row in rows if all(row.get(name) == value for name, value in where.items())]
        return statistics.median(found) if found else None

    print(f"`tools/call` of one text on {WIRE}, wrk with one thread on the same machine ({os.cpu_count()} × {machine}), medians.\n")
    titles = {"bare": "bare rmcp server", "broker": "through the broker", "one": "one server in the settings", "many": f"{servers} servers in the settings"}
    print("| | requests/s at 16 connections | p99 ms | p50 µs at one connection |\n|---|---:|---:|---:|")
    for name, title in titles.items():
        if mid("rps", part="calls", name=name):
            values = [mid(key, part="calls", name=name) for key in ("rps", "p99_us", "p50_us")]
            print(f"| {title} | {values[0]:,.0f} | {values[1] / 1000:.2f} | {values[2]:,.0f} |")
    bare, through = (mid("rps", part="calls", name=name) for name in ("bare", "broker"))
    if bare and through:
        added = mid("p50_us", part="calls", name="broker") - mid("p50_us", part="calls", name="bare")
        print(f"\nThrough the broker: {through / bare:.2f} of the bare server's requests a second; {added:,.0f} µs more at one connection.")
    one, many = (mid("rps", part="calls", name=name) for name in ("one", "many"))
    if one and many:
        print(f"\n{servers} servers in the settings: {many / one:.2f} of the requests a second with one.")
    if mid("took_s", part="registered"):
        count, took = mid("count", part="registered"), mid("took_s", part="registered")
        print(f"\n| {count:,.0f} servers added through the API in {took:.1f} s | requests/s at 16 connections | p99 ms |\n|---|---:|---:|")
        for name, title in {"alone": "before", "during": "meanwhile (the worst)", "after": "with all of them"}.items():
            rate, p99 = mid(f"{name}_rps", part="registered"), mid(f"{name}_us", part="registered")
            print(f"| {title} | {rate:,.0f} | {p99 / 1000:.2f} |")
    if mid("alone_us", part="beside"):
        alone, among = mid("alone_us", part="beside"), mid("among_us", part="beside")
        print(f"\np99 of a healthy server: {alone / 1000:.2f} ms alone, {among / 1000:.2f} ms beside a dead and a silent one ({among / alone:.2f}).")
    if mid("count", part="idle"):
        before, after = mid("before_mb", part="idle"), mid("after_mb", part="idle")
        count = mid("count", part="idle")
        print(f"\n{count:,.0f} idle streams: {after:.0f} MB, {before:.0f} MB before ({(after - before) * 1024 / count:.1f} KB each).")


def main():
    command, *rest = sys.argv[1:] or [""]
    if command == "silent":
        asyncio.run(silence())
    elif command == "calls":
        calls(rest[0], rest[1], rest[2], int(rest[3]), rest[4])
    elif command == "registered":
        registered(rest[0], rest[1], rest[2], rest[3], int(rest[4]), int(rest[5]), rest[6])
    elif command == "beside":
        beside(rest[0], rest[1], int(rest[2]), rest[3])
    elif command == "idle":
        idle(int(rest[0]), rest[1], rest[2], int(rest[3]), rest[4])
    elif command == "table":
        table(rest[0], rest[1])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
