# Shared by the scripts beside it: where things are kept, how servers are started and ended.
# Sourced, never run. Every server binds port 0 and prints its address, so nothing collides.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${OUTSIDE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcp-auth-broker-tests}
work=$(mktemp -d)
started=()

finish() {
  local status=$? pid
  trap - EXIT
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() { echo "error: $*" >&2; exit 1; }

# install_modules FOLDER: the npm packages of scripts/FOLDER, beside its programs; sets $modules and $node.
install_modules() {
  local from=$root/scripts/$1 key
  key=$(cat "$from/package.json" "$from/package-lock.json" | sha256sum | cut -c1-16)
  modules=$cache/$1-$key
  node=$modules/node_modules/.bin/node
  if [ ! -e "$modules/.complete" ]; then
    mkdir -p "$modules"
    cp "$from/"{package.json,package-lock.json,.npmrc} "$modules/"
    (cd "$modules" && npm ci --no-progress >&2) || die "npm ci failed in $modules"
    touch "$modules/.complete"
  fi
  find "$from" -maxdepth 1 -name "*.mjs" -exec cp -t "$modules/" {} +
}

# start NAME COMMAND…: in the background, output in $work/NAME.{out,err}; sets $pid.
start() {
  local name=$1
  shift
  : >"$work/$name.out"
  : >"$work/$name.err"
  # Explicit, because bash gives a background command /dev/null otherwise.
  "$@" <&0 >"$work/$name.out" 2>"$work/$name.err" &
  pid=$!
  started+=("$pid")
}

# stop PID: ends one server and waits for it.
stop() {
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# address NAME: the first loopback address the server printed (stdout or stderr), without its path.
address() {
  local name=$1 tries found
  for tries in $(seq 600); do
    found=$(grep -hoE 'http://(127\.0\.0\.1|localhost):[0-9]+' "$work/$name.out" "$work/$name.err" | head -n 1) || true
    if [ -n "$found" ]; then echo "$found"; return; fi
    sleep 0.05
  done
  cat "$work/$name.err" >&2
  die "$name printed no address in 30 s"
}

# free_port: a loopback port that was free a moment ago, for a server that must know its own address
# before it listens (the broker's issuer and audience come from it). Below those that the system gives to sockets
# that take any port, so nobody else gets it before the server does.
free_port() {
  "$node" -e 'const attempt = () => { const s = require("node:net").createServer().on("error", attempt).listen(20000 + Math.floor(Math.random() * 12000), "127.0.0.1", () => { console.log(s.address().port); s.close(); }); }; attempt()'
}

# await_ready URL NAME: until URL answers 200; NAME's errors are shown when it does not.
await_ready() {
  local tries
  for tries in $(seq 600); do
    kill -0 "$pid" 2>/dev/null || break
    "$node" -e 'fetch(process.argv[1]).then((r) => process.exit(r.status === 200 ? 0 : 1), () => process.exit(1))' "$1" && return
    sleep 0.05
  done
  cat "$work/$2.err" >&2
  die "$2 did not become ready"
}

# The packages of scripts/node, in a folder named by their lock file, so that a changed lock is a new
# folder; sets $node_dir and $node (22 or newer, which the suite needs).
install_node() {
  local key
  key=$(cat "$root/scripts/node/package.json" "$root/scripts/node/package-lock.json" | sha256sum | cut -c1-16)
  node_dir=$cache/node-$key
  node=$node_dir/node_modules/.bin/node
  if [ ! -e "$node_dir/.complete" ]; then
    mkdir -p "$node_dir"
    cp "$root/scripts/node/"{package.json,package-lock.json,.npmrc} "$node_dir/"
    (cd "$node_dir" && npm ci --no-progress >&2) || die "npm ci failed in $node_dir"
    touch "$node_dir/.complete"
  fi
  # Modules resolve from the file that imports them: run them from beside node_modules.
  cp "$root/scripts/node/"*.mjs "$node_dir/"
}
