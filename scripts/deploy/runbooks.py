"""Executes the commands of the runbooks: every `sh` block of a page that does not begin with `# not executed`, in order, in one folder.

    scripts/deploy/runbooks.py PAGE…

A line that is exactly `broker serve` starts a server, waits until it is ready and goes on; `stop-the-broker` stops it. A line that ends in
`# exit N` has to end so. 127.0.0.1:8080 and :8443 are other ports here, and `op` a program that answers every question alike. `EXAMPLES` is docs/examples.

Where a page names them, `https://vault.internal:8200` is a real OpenBao (`BAO`, scripts/tools/openbao), `https://kubernetes.default.svc` answers its
TokenReviews, and the files /run/secrets/broker/store-url and new-store-url hold the URLs of two real PostgreSQLs (scripts/tools/postgres).

A block that is not executed and has a command of ours in it says why: `# not executed: REASON`.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
VAULT, KUBERNETES, SECRETS = "https://vault.internal:8200", "https://kubernetes.default.svc", "/run/secrets/"
PRELUDE = r"""
set -euo pipefail
serving=
stop-the-broker() { if [ -n "$serving" ]; then kill "$serving"; wait "$serving"; serving=; fi; }
start-the-broker() {
  command broker serve >serve.out 2>serve.err & serving=$!
  for _ in $(seq 200); do
    if command broker ready >/dev/null 2>&1; then return; fi
    kill -0 "$serving" 2>/dev/null || { cat serve.err; echo "the broker ended"; exit 1; }
    sleep 0.05
  done
  cat serve.err; echo "the broker is not ready"; exit 1
}
trap 'status=$?; if [ -n "$serving" ]; then kill "$serving" 2>/dev/null || true; fi; exit $status' EXIT
"""


def translated(block):
    lines = []
    for line in block.split("\n"):
        expected = re.fullmatch(r"(.*\S)\s+# exit (\d+)", line)
        if line.strip() == "broker serve":
            lines.append("start-the-broker")
        elif expected:
            lines.append(f"status=0; ( {expected[1]} ) || status=$?; [ $status = {expected[2]} ]")
        else:
            lines.append(line)
    return "\n".join(lines)


def shell_blocks(page):
    """Those that are executed, and those that are not."""
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    blocks = [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in blocks]
    return [block for block in blocks if not block.startswith("# not executed")], [block for block in blocks if block.startswith("# not executed")]


def without_reason(page):
    """Commands of ours that are not executed, and nobody says why."""
    silent = [block for block in shell_blocks(page)[1] if not re.match(r"# not executed: \S", block)]
    # At the beginning, or run in a container or by another program (`kubectl exec … -- broker check`).
    return [line for block in silent for line in block.splitlines() if re.search(r"(^|[|;&(] *| -- )broker ", line.split("#")[0])]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def part(claims):
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


class TokenReview(http.server.BaseHTTPRequestHandler):
    """What a cluster says of the one account that there is."""

    ACCOUNT = {"namespace": "broker", "serviceaccount": {"name": "broker-mcp-auth-broker", "uid": "0193a5e2-7c1b-7d40-9b62-2f4f0d6c1a90"}}
    TOKEN = ".".join([
        part({"alg": "RS256", "kid": "k"}),
        part({"aud": ["vault"], "iat": 1_700_000_000, "exp": 4_000_000_000, "iss": KUBERNETES, "kubernetes.io": ACCOUNT, "sub": "system:serviceaccount:broker:broker-mcp-auth-broker"}),
        part("no signature"),
    ])

    def do_POST(self):  # noqa: N802: the name that the library calls
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = asked["spec"]["token"] == self.TOKEN
        user = {"username": "system:serviceaccount:broker:broker-mcp-auth-broker", "uid": self.ACCOUNT["serviceaccount"]["uid"], "groups": ["system:serviceaccounts"]}
        answer = json.dumps(asked | {"status": {"authenticated": known, "audiences": ["vault"], "user": user}}).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def cluster():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenReview)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def authority():
    """A certificate: who asks a cluster wants to be given one."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=cluster", "-keyout", "/dev/null"]
    return subprocess.run(made, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def vault(folder):
    """A server in memory, whose administrator is `root`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "bin" / "bao").symlink_to(os.environ["BAO"])
    arguments = [os.environ["BAO"], "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{port}"]
    with (folder / "bao.log").open("w") as log:
        server = subprocess.Popen(arguments, env={"HOME": str(folder)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                # Mounted last.
                asked = urllib.request.Request(f"{url}/v1/secret/config", headers={"x-vault-token": "root"})
                urllib.request.urlopen(asked, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def postgres():
    tool = ROOT / "scripts" / "tools" / "postgres"
    subprocess.run([tool], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with subprocess.Popen([tool, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        yield f"postgres://broker:password@{server.stdout.readline().strip().replace('/', '%2F')}/postgres"
        server.stdin.close()


def surrounded(script, folder, stack):
    """What the page needs around it, and the script that says where it is."""
    environment = {}
    if VAULT in script:
        url = stack.enter_context(vault(folder))
        script = script.replace(VAULT, url).replace("vault.internal", "127.0.0.1")
        environment["BAO_TOKEN"] = "root"
    if KUBERNETES in script:
        script = script.replace(KUBERNETES, stack.enter_context(cluster()))
    files = {"cluster/ca.crt": authority, "vault/token": lambda: TokenReview.TOKEN, "broker/store-url": lambda: stack.enter_context(postgres()), "broker/new-store-url": lambda: stack.enter_context(postgres())}
    for name, content in files.items():
        if SECRETS + name in script:
            file = folder / "secrets" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content(), encoding="utf-8")
            file.chmod(0o600)
    return script.replace(SECRETS, f"{folder}/secrets/"), environment


def run(script, folder, environment):
    # In a group of its own, so that what a page leaves running is ended with it.
    with (folder / "out").open("w+", encoding="utf-8") as out:
        running = subprocess.Popen(["bash", "-c", script], cwd=folder / "work", env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = running.wait(180)
        except subprocess.TimeoutExpired:
            code = "none after 180 s"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        out.seek(0)
        return code, out.read()


def executed(page):
    ours, others = shell_blocks(page)
    port, tls_port = free_port(), free_port()
    script = PRELUDE + "\n".join(f"echo '-- block {number}'\n{translated(block)}" for number, block in enumerate(ours, 1))
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = pathlib.Path(scratch)
        (folder / "bin").mkdir()
        (folder / "bin" / "broker").symlink_to(os.environ["BROKER"])
        (folder / "work").mkdir(mode=0o700)
        op = folder / "bin" / "op"
        op.write_text("#!/bin/sh\nprintf stand-in-for-a-secret\n", encoding="utf-8")
        op.chmod(0o755)
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}:/usr/sbin", "HOME": str(folder), "EXAMPLES": str(ROOT / "docs" / "examples"), "LC_ALL": "C.UTF-8"}
        script, more = surrounded(script, folder, stack)
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace(":8443", f":{tls_port}").replace("port_value: 8443", f"port_value: {tls_port}").replace("port_value: 8080", f"port_value: {port}").replace("/usr/local/bin/op", str(op))
        code, printed = run(script, folder, environment | more)
    print(f"{page.relative_to(ROOT)}: {len(ours)} blocks executed, {len(others)} not")
    if code != 0:
        print(printed[-6000:], f"exit {code}", sep="\n")
    return code == 0


def main():
    silent = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for line in without_reason(page):
            silent += 1
            print(f"{page.relative_to(ROOT)}: not executed, and it does not say why (`# not executed: REASON`): {line}")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(executed, [pathlib.Path(page).resolve() for page in sys.argv[1:]]))
    sys.exit(0 if results and all(results) and not silent else 1)


main()
