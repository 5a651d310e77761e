"""Dashboard and alert rules against a broker that runs: every expression is evaluated by Prometheus over what it scraped.

Run by scripts/deploy-check. `BROKER` is the program; `prometheus` and `promtool` are in PATH. The broker is driven first, so that
every family a healthy broker has is there: an expression over a metric that does not exist is found, not taken for silence.
"""

import http.client
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "deploy" / "helm" / "files"
# What a healthy broker that was driven a little has no sample of.
SILENT = {"broker_telemetry_forgotten_total", "broker_degraded", "broker_failing", "broker_issuer_keys", "broker_secret_reads_total", "broker_secret_read_failures_total", "broker_policy_shadow_differences_total", "broker_approval_notifications_total"}
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print("FAIL  " + what)


def free_port():
    """Below those that the system gives to sockets that take any port: nobody else gets it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as free:
            if free.connect_ex(("127.0.0.1", port)) != 0:
                return port


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (OSError, ValueError):
            pass  # not there yet, or not ready to answer in JSON
        time.sleep(0.1)
    sys.exit(f"not within {seconds} s: {what}")


def drive(port, token):
    """A list, a call that is allowed, one that is refused, one without a token, one of a tool that is not there."""
    def call(method, params, authorization=f"Bearer {token}"):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25", "Authorization": authorization}
        return ask(port, "POST", "/mcp", body, headers)

    status, answer = call("tools/call", {"name": "auth.graph.operation.execute.v1", "arguments": {"operation": {"method": "GET", "path": "/v1.0/users"}}})
    check(status == 200 and '"simulated":true' in answer.replace(" ", "").replace("\\", ""), f"the call is answered: {status} {answer}")
    call("tools/list", {})
    call("tools/call", {"name": "get_confidential_info", "arguments": {}})
    call("tools/call", {"name": "no-such-tool", "arguments": {}})
    call("tools/list", {}, "Bearer nonsense")
    ask(port, "POST", "/token", "grant_type=client_credentials&client_id=nobody&client_secret=no", {"Content-Type": "application/x-www-form-urlencoded"})
    ask(port, "GET", "/authorize?client_id=nobody")
    ask(port, "GET", "/login")


def expressions():
    """Where each is from, and what Prometheus is asked."""
    rules = yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    board = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], shown(target["expr"])
    for note in board["annotations"]["list"]:
        yield note["name"], shown(note["expr"])


def shown(expr):
    """As Grafana asks where everything is chosen: also of a deployment without a namespace."""
    for name in ("namespace", "job", "instance"):
        expr = expr.replace(f"${name}", ".*")
    return expr.replace("$__rate_interval", "10s")


def apart(board):
    """Releases of one name in two namespaces have one job: every selector says which is meant."""
    texts = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    for expr in texts + [note["expr"] for note in board["annotations"]["list"]]:
        for selector in re.findall(r"(?:broker|process)_[a-z_]+(\{[^}]*\})?", expr):
            check(selector.startswith('{namespace=~"$namespace",job=~"$job"'), f"dashboard: {expr}: looks at other deployments, too")


def pages(rules):
    """Every alert has a section that says what to do."""
    page = (ROOT / "docs" / "runbook-alerts.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (\S+)$", page, re.MULTILINE)
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    check(sorted(titles) == sorted(alerts), f"docs/runbook-alerts.md has a section for each alert: {set(titles) ^ set(alerts)}")
    for group in rules["groups"]:
        for rule in group["rules"]:
            wanted = f"docs/runbook-alerts.md#{rule['alert'].lower()}"
            check(rule["annotations"]["runbook_url"] == wanted, f"{rule['alert']}: links to {wanted}")


def documented(page):
    """docs/metrics.md names what is served, and nothing else."""
    served = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    told = set(re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"), re.MULTILINE))
    check(served <= told, f"docs/metrics.md names every metric: {sorted(served - told)}")
    # A family without a sample is not on the page: the sources have its name.
    sources = "".join(file.read_text(encoding="utf-8") for file in [*(ROOT / "src" / "metrics").glob("*.rs"), ROOT / "src" / "app" / "scrape.rs"])
    unknown = [name for name in sorted(told - served) if f'"{name.removeprefix("broker_")}"' not in sources]
    check(not unknown, f"docs/metrics.md names what there is: {unknown}")


def evaluated(port, page):
    known = set(re.findall(r"^([a-z_]+)", page, re.MULTILINE)) | SILENT
    count = 0
    for where, expr in expressions():
        named = set(re.findall(r"\b(?:broker|process)_[a-z_]+", expr))
        check(named <= known, f"{where}: there is no {sorted(named - known)}")
        status, answer = ask(port, "GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
        answer = json.loads(answer)
        check(status == 200 and answer["status"] == "success", f"{where}: {expr}: {answer}")
        count += 1
        alert = where.startswith("Broker")
        if not alert and answer["status"] == "success" and not named & SILENT and where != "Policy reloads":
            check(answer["data"]["result"], f"{where}: {expr}: there is no sample")
    _, alerts = ask(port, "GET", "/api/v1/alerts")
    check(json.loads(alerts)["data"]["alerts"] == [], f"a healthy broker raises none: {alerts}")
    print(f"{count} expressions evaluated over a scraped sample")


def main():
    rules = FILES / "alerts.yaml"
    pages(yaml.safe_load(rules.read_text(encoding="utf-8")))
    apart(json.loads((FILES / "dashboard.json").read_text(encoding="utf-8")))
    for command in (["promtool", "check", "rules", str(rules)], ["promtool", "test", "rules", str(ROOT / "scripts" / "deploy" / "alerts.test.yaml")]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        broker, admin, port = free_port(), free_port(), free_port()
        (folder / "broker.toml").write_text(f'[server]\nlisten = "127.0.0.1:{broker}"\nadmin_listen = "127.0.0.1:{admin}"\ndrain_pause_ms = 0\n[telemetry]\nmetrics = true\n', encoding="utf-8")
        (folder / "prometheus.yml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "broker", "static_configs": [{"targets": [f"127.0.0.1:{admin}"]}]}],
        }), encoding="utf-8")
        run(folder, (broker, admin, port))
    sys.exit(1 if failures else 0)


def run(folder, ports):
    broker, admin, port = ports
    program, env = os.environ["BROKER"], {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("w", encoding="utf-8") as log, subprocess.Popen([program, "serve"], cwd=folder, env=env, stdout=log, stderr=log) as served:
        try:
            until("the broker is ready", lambda: ask(broker, "GET", "/ready")[0] == 200)
            minted = subprocess.run([program, "token", "mint", "--sub", "ada", "--client", "agent", "--scope", "graph:read", "public:read"], cwd=folder, env=env, capture_output=True, text=True, check=True)
            token = minted.stdout.splitlines()[0].removeprefix("Token: ")
            arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
            drive(broker, token)
            with subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=log) as prometheus:
                try:
                    up = lambda: json.loads(ask(port, "GET", "/api/v1/query?query=" + urllib.parse.quote("count_over_time(broker_ready[1m])"))[1])["data"]["result"]
                    until("the first scrapes", lambda: (found := up()) and int(found[0]["value"][1]) >= 2)
                    drive(broker, token)
                    until("two more", lambda: int(up()[0]["value"][1]) >= 5)
                    page = ask(admin, "GET", "/metrics")[1]
                    documented(page)
                    evaluated(port, page)
                finally:
                    prometheus.terminate()
            linted = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
            check(linted.returncode != 1, f"promtool check metrics: {linted.stdout}{linted.stderr}")
        finally:
            served.terminate()


if __name__ == "__main__":
    main()
