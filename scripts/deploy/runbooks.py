"""Executes the commands of the runbooks: every `sh` block of a page that does not begin with `# not executed`, in order, in one folder.

    scripts/deploy/runbooks.py PAGE…

A line that is exactly `broker serve` starts a server, waits until it is ready and goes on; `stop-the-broker` stops it. A line that ends in
`# exit N` has to end so. 127.0.0.1:8080 and :8443 are other ports here, and `op` a program that answers every question alike. `EXAMPLES` is docs/examples.
"""

import concurrent.futures
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
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


def executed(page):
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    ours = [block for block in blocks if not block.startswith("# not executed")]
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, tls_port = one.getsockname()[1], other.getsockname()[1]
    script = PRELUDE + "\n".join(f"echo '-- block {number}'\n{translated(block)}" for number, block in enumerate(ours, 1))
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        (folder / "bin").mkdir()
        (folder / "bin" / "broker").symlink_to(os.environ["BROKER"])
        (folder / "work").mkdir(mode=0o700)
        op = folder / "bin" / "op"
        op.write_text("#!/bin/sh\nprintf stand-in-for-a-secret\n", encoding="utf-8")
        op.chmod(0o755)
        environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}:/usr/sbin", "HOME": str(folder), "EXAMPLES": str(ROOT / "docs" / "examples"), "LC_ALL": "C.UTF-8"}
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace(":8443", f":{tls_port}").replace("port_value: 8443", f"port_value: {tls_port}").replace("port_value: 8080", f"port_value: {port}").replace("/usr/local/bin/op", str(op))
        # In a group of its own, so that what a page leaves running is ended with it.
        with (folder / "out").open("w+", encoding="utf-8") as out:
            running = subprocess.Popen(["bash", "-c", script], cwd=folder / "work", env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code = running.wait(120)
            except subprocess.TimeoutExpired:
                code = "none after 120 s"
            try:
                os.killpg(running.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            running.wait()
            out.seek(0)
            printed = out.read()
    print(f"{page.relative_to(ROOT)}: {len(ours)} blocks executed, {len(blocks) - len(ours)} not")
    if code != 0:
        print(printed[-6000:], f"exit {code}", sep="\n")
    return code == 0


def main():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(executed, [pathlib.Path(page).resolve() for page in sys.argv[1:]]))
    sys.exit(0 if results and all(results) else 1)


main()
