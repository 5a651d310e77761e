"""Measures one authorization server, or prints the table of what was measured. Standard library only.

oauth.py run    NAME PID URL SECRET SECONDS RESULTS   appends one JSON line for each kind of request
oauth.py table  RESULTS                               Markdown
"""

import base64
import json
import os
import pathlib
import statistics
import subprocess
import sys
import urllib.error
import urllib.request

CONNECTIONS = 16
MANY = 256
SHARE = 0.8
HERE = pathlib.Path(__file__).parent


def post(url, form, authorization):
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, form.encode(), headers), timeout=10) as reply:
            return json.loads(reply.read())
    except urllib.error.HTTPError as refused:
        sys.exit(f"{url}: {refused.code} {refused.read().decode()}")


def basic(client, secret):
    return "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()


def requests(name, url, secret):
    """Each kind of request, tried once: what is measured must be answered rightly."""
    with urllib.request.urlopen(url + "/.well-known/openid-configuration", timeout=10) as reply:
        metadata = json.loads(reply.read())
    form = "grant_type=client_credentials&scope=graph%3Aread"
    own = basic("bench", secret)
    token = post(metadata["token_endpoint"], form, own)
    header = json.loads(base64.urlsafe_b64decode(token["access_token"].split(".")[0] + "=="))
    assert header["alg"] == "ES256", header
    # The peer introspects what lies in its store: an opaque token.
    asker = own if name == "broker" else basic("opaque", secret)
    asked = token if name == "broker" else post(metadata["token_endpoint"], form, asker)
    introspect = "token=" + asked["access_token"]
    answer = post(metadata["introspection_endpoint"], introspect, asker)
    assert answer["active"] is True, answer
    return {
        "client_credentials, ES256": ("POST", metadata["token_endpoint"], form, own),
        "introspection": ("POST", metadata["introspection_endpoint"], introspect, asker),
        "metadata": ("GET", url + "/.well-known/openid-configuration", "", ""),
        "key set": ("GET", metadata["jwks_uri"], "", ""),
    }


def processor(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def wrk(seconds, method, url, body, authorization, connections=CONNECTIONS, kind="application/x-www-form-urlencoded", pause="", bodies="", skip=0):
    environment = os.environ | {"BENCH_METHOD": method, "BENCH_BODY": body, "BENCH_AUTHORIZATION": authorization, "BENCH_TYPE": kind, "BENCH_PAUSE": str(pause)}
    environment |= {"BENCH_BODIES": str(bodies), "BENCH_SKIP": str(skip)}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "post.lua"), url]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result = json.loads(output.split("RESULT ", 1)[1].splitlines()[0])
    assert result["failed"] == 0, output
    return result


def at_most(share, request):
    """At a share of the highest rate that as many connections have, from connections that pause: what somebody waits who is not in
    a queue of the load's own making."""
    method, target, body, authorization = request
    unpaced = wrk(3, method, target, body, authorization, MANY)
    highest = unpaced["requests"] / unpaced["seconds"]
    period = MANY / (share * highest) * 1e6
    pause = period
    for seconds in [2, 2, 2, 6]:
        result = wrk(seconds, method, target, body, authorization, MANY, pause=round(max(pause, 1)))
        pause += period - MANY * result["seconds"] / result["requests"] * 1e6
    return result | {"share": result["requests"] / result["seconds"] / highest}


def run(name, pid, url, secret, seconds, results):
    with open(results, "a") as out:
        for kind, (method, target, body, authorization) in requests(name, url, secret).items():
            wrk(1, method, target, body, authorization)
            before = processor(pid)
            result = wrk(seconds, method, target, body, authorization)
            result |= {"name": name, "kind": kind, "cpu": processor(pid) - before, "mb": resident(pid)}
            out.write(json.dumps(result) + "\n")
            if name == "broker":
                paced = at_most(SHARE, (method, target, body, authorization))
                paced |= {"name": name, "paced": kind}
                out.write(json.dumps(paced) + "\n")


def table(results):
    rows = [json.loads(line) for line in open(results)]
    paced = [row for row in rows if "paced" in row]
    rows = [row for row in rows if "kind" in row]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows))
    of = lambda name, kind, value: statistics.median(value(row) for row in rows if (row["name"], row["kind"]) == (name, kind))
    rate = lambda row: row["requests"] / row["seconds"]
    print(f"{CONNECTIONS} connections, wrk with one thread on the same machine, median of the rounds\n")
    print("| request | server | requests/s | p50 ms | p99 ms | requests per CPU s | MB |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for kind in kinds:
        for name in names:
            cells = [of(name, kind, rate), of(name, kind, lambda row: row["p50_us"] / 1000)]
            cells += [of(name, kind, lambda row: row["p99_us"] / 1000)]
            cells += [of(name, kind, lambda row: row["requests"] / max(row["cpu"], 0.01)), of(name, kind, lambda row: row["mb"])]
            print("| {} | {} | {:,.0f} | {:.2f} | {:.2f} | {:,.0f} | {:.0f} |".format(kind, name, *cells))
    if paced:
        print(f"\n| broker, {MANY} connections that pause | requests/s | of their highest rate | p50 ms | p99 ms |\n|---|---:|---:|---:|---:|")
        for kind in dict.fromkeys(row["paced"] for row in paced):
            of_kind = lambda value: statistics.median(value(row) for row in paced if row["paced"] == kind)
            print("| {} | {:,.0f} | {:.2f} | {:.2f} | {:.2f} |".format(kind, of_kind(rate), of_kind(lambda row: row["share"]),
                of_kind(lambda row: row["p50_us"] / 1000), of_kind(lambda row: row["p99_us"] / 1000)))
    if len(names) == 2:
        print("\n| request | ratio |\n|---|---:|")
        for kind in kinds:
            print(f"| {kind} | {of(names[0], kind, rate) / of(names[1], kind, rate):.1f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", name, pid, url, secret, seconds, results]:
            run(name, int(pid), url, secret, int(seconds), results)
        case ["table", results]:
            table(results)
        case _:
            sys.exit(__doc__)
