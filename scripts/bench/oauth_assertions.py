"""What clients without a secret and people vouched for by assertions cost, beside a client secret. Standard library only.

oauth_assertions.py run   PID URL HOME SECRET KEY CONNECTIONS SECONDS RESULTS
oauth_assertions.py table RESULTS

HOME has `private_key_jwt.bodies`, `private_key_jwt_rs256.bodies` and `id_jag.bodies`, of which each line counts once; KEY is the API key of a server.
"""

import json
import pathlib
import statistics
import sys

from oauth import basic, post, processor, resident, wrk

# A server that is not behind the broker, and asks it about tokens.
ELSEWHERE = "&resource=http%3A%2F%2F127.0.0.1%3A9%2Fmcp"
FORM = "grant_type=client_credentials&scope=graph%3Aread"


def run(pid, url, home, secret, key, connections, seconds, results):
    home, token_url = pathlib.Path(home), url + "/token"
    first = {name: open(home / f"{name}.bodies").readline().strip() for name in ["private_key_jwt", "private_key_jwt_rs256", "id_jag"]}
    for name in ["private_key_jwt", "private_key_jwt_rs256"]:
        assert "access_token" in post(token_url, first[name], ""), name
    assert "access_token" in post(token_url, first["id_jag"], basic("agent", secret)), "ID-JAG"
    introspect = "token=" + post(token_url, FORM + ELSEWHERE, basic("bench", secret))["access_token"]
    assert post(url + "/introspect", introspect, "Bearer " + key)["active"], "introspection"
    used = dict.fromkeys(first, 1)

    def assertions(name, authorization=""):
        def measure(seconds):
            result = wrk(seconds, "POST", token_url, "", authorization, bodies=home / f"{name}.bodies", skip=used[name], connections=connections)
            # What was under way at the end was sent, too.
            used[name] += result["requests"] + 2 * connections
            return result
        return measure

    kinds = {
        "client_credentials, client secret": lambda seconds: wrk(seconds, "POST", token_url, FORM, basic("bench", secret), connections),
        "client_credentials, private_key_jwt with RS256": assertions("private_key_jwt_rs256"),
        "client_credentials, private_key_jwt with ES256": assertions("private_key_jwt"),
        "ID-JAG for an access token": assertions("id_jag", basic("agent", secret)),
        "introspection, API key": lambda seconds: wrk(seconds, "POST", url + "/introspect", introspect, "Bearer " + key, connections),
    }
    with open(results, "a") as out:
        for kind, measure in kinds.items():
            measure(1)
            before = processor(pid)
            result = measure(seconds)
            result |= {"kind": kind, "cpu": processor(pid) - before, "mb": resident(pid)}
            out.write(json.dumps(result) + "\n")


def table(results):
    rows = [json.loads(line) for line in open(results)]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    of = lambda kind, value: statistics.median(value(row) for row in rows if row["kind"] == kind)
    rate = lambda row: row["requests"] / row["seconds"]
    print("| request | requests/s | p50 ms | p99 ms | requests per CPU s | MB | of a client secret's rate |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in kinds:
        cells = [of(kind, rate), of(kind, lambda row: row["p50_us"] / 1000), of(kind, lambda row: row["p99_us"] / 1000)]
        cells += [of(kind, lambda row: row["requests"] / max(row["cpu"], 0.01)), of(kind, lambda row: row["mb"])]
        cells += [of(kind, rate) / of(kinds[0], rate)]
        print("| {} | {:,.0f} | {:.2f} | {:.2f} | {:,.0f} | {:.0f} | {:.2f} |".format(kind, *cells))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", pid, url, home, secret, key, connections, seconds, results]:
            run(int(pid), url, home, secret, key, int(connections), int(seconds), results)
        case ["table", results]:
            table(results)
        case _:
            sys.exit(__doc__)
