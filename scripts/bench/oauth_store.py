"""What the authorization server costs with little and with much in its store. Standard library only.

oauth_store.py seed     HOME COUNT                         COUNT clients, grants and live refresh tokens into HOME/data/broker.db
oauth_store.py refresh  NAME PID URL HOME SECONDS RESULTS  rotates refresh tokens on 16 connections, and asks for tokens
oauth_store.py rotation URL HOME SECONDS                 rotates alone; prints how long they wait, also at four fifths of that rate
oauth_store.py logins   PID URL SECRET LINK SECONDS RESULTS  token and MCP requests, first alone, then beside 50 log-ins
oauth_store.py table    RESULTS                            Markdown

The broker must not run while its store is seeded.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

from oauth import SHARE, basic, post, processor, resident, wrk

CONNECTIONS = 16
# A thread of wrk for each, so fewer than elsewhere.
PACED = 64
LOGINS = 50
HERE = pathlib.Path(__file__).parent
DAY = 86_400_000
SAMPLE = 64_000


def seed(home, count):
    store = sqlite3.connect(f"{home}/data/broker.db", isolation_level=None)
    (user,) = store.execute("SELECT id FROM users WHERE username = 'admin'").fetchone()
    resource = pathlib.Path(f"{home}/resource").read_text()
    now = int(time.time() * 1000)
    metadata = json.dumps({
        "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "client_name": "seeded",
    })
    digest = hashlib.sha256(metadata.encode()).digest()
    scopes = "graph:read offline_access"
    store.execute("PRAGMA synchronous = OFF")
    # In the order of their keys, so that each table grows at its end; rebuilt as one transaction.
    indexes = store.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
                            "AND tbl_name IN ('clients', 'grants', 'refresh_tokens')").fetchall()
    store.execute("BEGIN")
    for name, _ in indexes:
        store.execute(f"DROP INDEX {name}")
    client = lambda number: f"seeded-{number:07d}"
    grant = lambda number: str(uuid.UUID(int=(now << 80) | (7 << 76) | (2 << 62) | number))
    store.executemany(
        "INSERT INTO clients (id, kind, metadata, metadata_digest, created_at, last_used_at) VALUES (?, 'dynamic', ?, ?, ?, ?)",
        ((client(number), metadata, digest, now, now) for number in range(count)))
    store.executemany(
        "INSERT INTO grants (id, user_id, client_id, scopes, resource, auth_time, created_at, last_used_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((grant(number), user, client(number), scopes, resource, now, now, now, now + 180 * DAY) for number in range(count)))
    token = lambda number: base64.urlsafe_b64encode(hashlib.sha256(f"seed {number}".encode()).digest()).decode().rstrip("=")
    tokens = sorted((hashlib.sha256(token(number).encode()).digest(), number) for number in range(count))
    store.executemany(
        "INSERT INTO refresh_tokens (token, grant_id, client_id, scopes, expires_at, keep_until) VALUES (?, ?, ?, ?, ?, ?)",
        ((digest, grant(number), client(number), scopes, now + 30 * DAY, now + 180 * DAY) for digest, number in tokens))
    for _, sql in indexes:
        store.execute(sql)
    store.execute("COMMIT")
    store.execute("ANALYZE")
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    # Everywhere in the store, and never the same grant twice in a row.
    numbers = random.Random(7).sample(range(count), min(count, SAMPLE))
    with open(f"{home}/tokens", "w") as out:
        out.writelines(f"{token(number)} {client(number)}\n" for number in numbers)


def rotate(seconds, url, tokens, part=(0, SAMPLE), connections=CONNECTIONS, pause=""):
    environment = os.environ | {"BENCH_TOKENS": tokens, "BENCH_THREADS": str(connections), "BENCH_PAUSE": str(pause)}
    environment |= {"BENCH_FROM": str(part[0]), "BENCH_TO": str(part[1])}
    command = ["wrk", f"-t{connections}", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "refresh.lua"), url + "/token"]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result = json.loads(output.split("RESULT ", 1)[1].splitlines()[0])
    assert result["failed"] == 0, output
    return result


def paced(url, tokens, part):
    """At four fifths of the highest rate that as many connections have, from connections that pause. With that share."""
    at, end = part
    step = (end - at) // 8
    pause, highest, period = "", 0.0, 0.0
    for seconds in [4, 2, 2, 2, 10]:
        # Each token counts once.
        to = end if seconds == 10 else at + step
        result = rotate(seconds, url, tokens, (at, to), PACED, pause and round(max(pause, 1)))
        rate, at = result["requests"] / result["seconds"], to
        if not highest:
            highest = rate
            pause = period = PACED / (SHARE * highest) * 1e6
        else:
            pause += period - PACED / rate * 1e6
    return result, rate / highest


def refresh(name, pid, url, home, seconds, results):
    idle = resident(pid)
    secret = pathlib.Path(f"{home}/secret").read_text()
    form = "grant_type=client_credentials&scope=graph%3Aread"
    with open(results, "a") as out:
        for kind, measure in {
            "refresh rotation": lambda: rotate(seconds, url, f"{home}/tokens"),
            "client_credentials, ES256": lambda: wrk(seconds, "POST", url + "/token", form, basic("bench", secret)),
        }.items():
            before = processor(pid)
            result = measure()
            result |= {"name": name, "kind": kind, "cpu": processor(pid) - before, "idle_mb": idle, "mb": resident(pid)}
            out.write(json.dumps(result) + "\n")


def rotation(url, home, seconds):
    """What checkpoints of the log cost, and how long somebody waits who is not in a queue of the load's own making."""
    log, sizes, stop = pathlib.Path(f"{home}/data/broker.db-wal"), [0], threading.Event()

    def watch():
        while not stop.wait(0.02):
            sizes.append(log.stat().st_size if log.exists() else 0)

    watching = threading.Thread(target=watch)
    watching.start()
    tokens = f"{home}/tokens"
    count = len(pathlib.Path(tokens).read_text().splitlines())
    result = rotate(seconds, url, tokens, (0, count // 2))
    slower, share = paced(url, tokens, (count // 2, count))
    stop.set()
    watching.join()
    print("| connections | rotations/s | p50 ms | p99 ms | p99.9 ms | slowest ms |\n|---|---:|---:|---:|---:|---:|")
    for name, row in {CONNECTIONS: result, f"{PACED} that pause": slower}.items():
        print("| {} | {:,.0f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} |".format(
            name, row["requests"] / row["seconds"], *(row[part] / 1000 for part in ["p50_us", "p99_us", "p999_us", "max_us"])))
    print(f"\nThe log had {max(sizes) / 1e6:.0f} MB at most; those that pause had {share:.2f} of the highest rate of as many.")


class Browser:
    """Cookies, and forms as they are served."""

    def __init__(self, url):
        self.at = urllib.parse.urlsplit(url)
        self.cookies = {}

    def ask(self, method, path, fields=None):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if fields is not None:
            body = urllib.parse.urlencode(fields)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{self.at.scheme}://{self.at.netloc}"}
        connection = http.client.HTTPConnection(self.at.netloc, timeout=60)
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        for line in reply.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value
        text = reply.read().decode()
        connection.close()
        return reply.status, text

    def form(self, path):
        return re.search(r'name="form" value="([^"]*)"', self.ask("GET", path)[1])[1]


PASSWORD = "correct horse battery staple"


def log_in_until(stop, url, statuses):
    # They stand for people on other machines: what they take of this one is no cost of a log-in.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while not stop.is_set():
        browser = Browser(url)
        fields = {"form": browser.form("/login"), "request": "", "username": "admin", "password": PASSWORD}
        try:
            statuses.append(browser.ask("POST", "/login", fields)[0])
        except OSError:
            statuses.append(0)  # not answered in a minute


def logins(pid, url, secret, link, seconds, results):
    first, path = Browser(url), urllib.parse.urlsplit(link).path
    status, _ = first.ask("POST", path, {"form": first.form(path), "password": PASSWORD, "again": PASSWORD})
    assert status == 303, status
    form = "grant_type=client_credentials&scope=graph%3Aread"
    token = post(url + "/token", form, basic("bench", secret))["access_token"]
    listing = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
    kinds = {
        "client_credentials, 2 connections": lambda: wrk(seconds, "POST", url + "/token", form, basic("bench", secret), 2),
        "tools/list, 2 connections": lambda: wrk(seconds, "POST", url + "/mcp", listing, "Bearer " + token, 2, "application/json"),
    }
    with open(results, "a") as out:
        for name in ["alone", f"beside {LOGINS} log-ins"]:
            stop, statuses, threads = threading.Event(), [], []
            if name != "alone":
                threads = [threading.Thread(target=log_in_until, args=(stop, url, statuses)) for _ in range(LOGINS)]
                for thread in threads:
                    thread.start()
                time.sleep(2)  # until the queue is full
            for kind, measure in kinds.items():
                done, before, began = len(statuses), processor(pid), time.monotonic()
                result = measure()
                answered = statuses[done:]
                result |= {"name": name, "kind": kind, "cpu": processor(pid) - before, "mb": resident(pid), "idle_mb": 0}
                result |= {"log_ins": answered.count(303), "turned_away": len(answered) - answered.count(303),
                           "for": time.monotonic() - began}
                out.write(json.dumps(result) + "\n")
            stop.set()
            for thread in threads:
                thread.join()


def table(results):
    rows = [json.loads(line) for line in open(results)]
    print("| request | store or load | requests/s | p50 ms | p99 ms | requests per CPU s | idle MB | MB | log-ins/s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        log_ins = row["log_ins"] / row["for"] if row.get("log_ins") else 0
        print("| {kind} | {name} | {:,.0f} | {:.2f} | {:.2f} | {:,.0f} | {idle_mb} | {mb} | {:.1f} |".format(
            row["requests"] / row["seconds"], row["p50_us"] / 1000, row["p99_us"] / 1000,
            row["requests"] / max(row["cpu"], 0.01), log_ins, **row))
    rates = {}
    for row in rows:
        rates.setdefault(row["kind"], []).append((row["name"], row["requests"] / max(row["cpu"], 0.01), row["p99_us"]))
    print("\n| request | from | to | requests per CPU s | p99 |\n|---|---|---|---:|---:|")
    for kind, measured in rates.items():
        for (before, rate, late), (after, rate_after, late_after) in zip(measured, measured[1:]):
            print(f"| {kind} | {before} | {after} | {100 * rate_after / rate - 100:+.0f} % | {100 * late_after / late - 100:+.0f} % |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seed", home, count]:
            seed(home, int(count))
        case ["refresh", name, pid, url, home, seconds, results]:
            refresh(name, int(pid), url, home, int(seconds), results)
        case ["rotation", url, home, seconds]:
            rotation(url, home, int(seconds))
        case ["logins", pid, url, secret, link, seconds, results]:
            logins(int(pid), url, secret, link, int(seconds), results)
        case ["table", results]:
            table(results)
        case _:
            sys.exit(__doc__)
