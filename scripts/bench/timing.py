"""Whether the time of a refusal tells what was wrong (N57). Standard library only.

timing.py BROKER FOLDER SAMPLES LOGINS   starts a broker in FOLDER, measures, prints Markdown; 1 where a request was
                                         answered otherwise than the one it is compared with

Requests of both kinds are sent in turn over one connection each, so that whatever else the machine does falls on both.
The difference of the medians comes with an interval that 95 of 100 resamplings fall into: one that has 0 in it shows
nothing.
"""

import base64
import html.parser
import http.client
import json
import pathlib
import random
import re
import secrets
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

BROKER, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
SAMPLES, LOGINS = int(sys.argv[3]), int(sys.argv[4])
PEOPLE = 10
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
RESAMPLES = 400


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self):
        self.home = FOLDER / "timing"
        self.home.mkdir()
        self.port = free_port()
        self.secret = secrets.token_hex(32)
        # The proxy says from where each request comes: nobody is to meet the bound on guesses, which is measured elsewhere.
        (self.home / "broker.toml").write_text(f"""
[server]
listen = "127.0.0.1:{self.port}"
trusted_proxies = ["127.0.0.1"]
[store]
url = "sqlite:{self.home}/data/broker.db"
[[authorization_server.client]]
client_id = "configured"
secret = "{self.secret}"
grants = ["client_credentials"]
scopes = ["public:read"]
[[audit.sink]]
kind = "file"
path = "{self.home}/audit.jsonl"
""")
        self.process = subprocess.Popen([BROKER, "serve"], cwd=self.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if self.ask("GET", "/ready")[0] == 200:
                return
            time.sleep(0.05)
        sys.exit("the broker did not start")

    def run(self, *arguments):
        done = subprocess.run([BROKER, *arguments], cwd=self.home, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def ask(self, method, path, body="", headers=None):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read().decode(), reply.headers
        except OSError:
            return 0, "", {}


def address():
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


class Line:
    """One connection that stays open."""

    def __init__(self, broker):
        self.connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=30)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def takes(self, path, body, headers):
        """Nanoseconds, and what was answered as far as it may not differ."""
        headers = {**FORM, "X-Forwarded-For": address(), **headers}
        begun = time.perf_counter_ns()
        self.connection.request("POST", path, body, headers)
        reply = self.connection.getresponse()
        text = reply.read()
        took = time.perf_counter_ns() - begun
        # Pages have a form of their own each time.
        page = reply.headers.get_content_type() == "text/html"
        return took, (reply.status, b"" if page else text)


def interval(one, other):
    differences = []
    for _ in range(RESAMPLES):
        a, b = random.choices(one, k=len(one)), random.choices(other, k=len(other))
        differences.append(statistics.median(a) - statistics.median(b))
    differences.sort()
    return differences[int(RESAMPLES * 0.025)], differences[int(RESAMPLES * 0.975) - 1]


def compare(broker, name, samples, one, other):
    """`one` and `other` make a path, a body and headers. Whether both are answered alike."""
    lines = [Line(broker), Line(broker)]
    kinds, times, answers = [one, other], [[], []], [set(), set()]
    for n in range(samples + samples // 10):
        for at in random.sample([0, 1], 2):
            took, answer = lines[at].takes(*kinds[at]())
            answers[at].add(answer)
            if n >= samples // 10:  # the first tenth warms up
                times[at].append(took)
    low, high = interval(*times)
    medians = [statistics.median(each) / 1000 for each in times]
    alike = answers[0] == answers[1] and len(answers[0]) == 1
    told = "the same" if alike else "**not the same**: " + str(answers)[:300]
    print(f"| {name} | {medians[0]:,.1f} | {medians[1]:,.1f} | {low / 1000:+,.1f} to {high / 1000:+,.1f} | {told} |", flush=True)
    return alike


def wrong(text, first):
    """The same text with another character in it: the first one that counts, or the last."""
    at = first if first >= 0 else len(text) - 1
    other = "A" if text[at] != "A" else "B"
    return text[:at] + other + text[at + 1 :]


def form(**fields):
    return urllib.parse.urlencode(fields)


def basic(client, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def clients(broker):
    made = broker.run("client", "add", "Registered", "--grant", "client_credentials", "--json")
    client, secret = made["client"]["client_id"], made["client_secret"]
    body = form(grant_type="client_credentials")

    def known(client, secret):
        return lambda: ("/token", body, basic(client, secret))

    def unknown():
        return "/token", body, basic("c" + secrets.token_hex(8), secrets.token_hex(32))

    yield "unknown client, wrong secret of a registered one", unknown, known(client, wrong(secret, 0))
    yield "unknown client, wrong secret of one of the settings", unknown, known("configured", wrong(broker.secret, 0))
    yield "client secret, first and last byte", known(client, wrong(secret, 0)), known(client, wrong(secret, -1))


def keys(broker):
    broker.run("server", "add", "files", "https://files.example/mcp", "--json")
    key = broker.run("server", "key", "add", "files", "--json")["api_key"]
    prefix, mark = key.rsplit("_", 2)[0], len("mak_")

    def held(text):
        return lambda: ("/introspect", "token=x", {"Authorization": f"Bearer {text}"})

    yield "API key, another prefix and another secret", held(wrong(key, mark)), held(wrong(key, len(prefix) + 1))
    yield "API key, first and last byte of its secret", held(wrong(key, len(prefix) + 1)), held(wrong(key, key.rindex("_") - 1))


class Fields(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "input" and attributes.get("type") == "hidden":
            self.found[attributes["name"]] = attributes.get("value", "")


def cookies(headers):
    pairs = [value.split(";")[0] for name, value in headers.items() if name.lower() == "set-cookie"]
    return "; ".join(pairs)


def people(broker):
    """Names of people with a password."""
    names = []
    for n in range(PEOPLE):
        made = broker.run("user", "add", f"person{n}", "--json")
        link = urllib.parse.urlsplit(next(value for value in made.values() if isinstance(value, str) and "/login/link/" in value))
        status, page, headers = broker.ask("GET", link.path)
        fields = Fields(page).found
        action = re.search(r'action="([^"]+)"', page)[1]
        password = secrets.token_urlsafe(16)
        body = form(**fields, password=password, again=password)
        sent = {**FORM, "Cookie": cookies(headers), "Origin": f"http://127.0.0.1:{broker.port}"}
        status, page, _ = broker.ask("POST", action, body, sent)
        if status != 303:
            sys.exit(f"no password was set: {status} {page[:500]}")
        names.append(f"person{n}")
    for n in range(PEOPLE):
        broker.run("user", "add", f"silent{n}", "--json")
    return names


def logins(broker):
    names = people(broker)
    _, page, headers = broker.ask("GET", "/login")
    token, cookie = Fields(page).found["form"], cookies(headers)
    sent = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{broker.port}"}

    def named(choose):
        return lambda: ("/login", form(form=token, username=choose(), password="a wrong password"), sent)

    unknown = named(lambda: "nobody" + str(random.randrange(PEOPLE)))
    yield "unknown person, wrong password", unknown, named(lambda: random.choice(names))
    yield "unknown person, person without a password", unknown, named(lambda: f"silent{random.randrange(PEOPLE)}")


def main():
    broker = Broker()
    try:
        print("| compared | first, µs | second, µs | difference of the medians, 95 % | answers |")
        print("|---|---|---|---|---|")
        alike = True
        for kinds in (clients, keys):
            for name, one, other in kinds(broker):
                alike &= compare(broker, name, SAMPLES, one, other)
        for name, one, other in logins(broker):
            alike &= compare(broker, name, LOGINS, one, other)
    finally:
        broker.process.kill()
        broker.process.wait()
    sys.exit(0 if alike else 1)


if __name__ == "__main__":
    main()
