"""docs/dependencies.md names every crate that the manifests name, and no other."""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
named = set()
for manifest in ("Cargo.toml", "layer/Cargo.toml"):
    parsed = tomllib.loads((ROOT / manifest).read_text(encoding="utf-8"))
    named |= set(parsed["dependencies"]) | set(parsed["dev-dependencies"])
described = set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs/dependencies.md").read_text(encoding="utf-8"), flags=re.M))
page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
tools = set(re.findall(r"^([\w-]+)", (ROOT / "scripts/deploy/requirements.txt").read_text(encoding="utf-8"), flags=re.M))
described_tools = set(re.findall(r"^\| ([\w-]+)(?: \*)? \| ", page.split("## For checks")[1], flags=re.M)) - {"package", "---"}
if tools != described_tools:
    sys.exit(f"docs/dependencies.md and scripts/deploy/requirements.txt differ: {tools ^ described_tools}")
for crate in sorted(named - described):
    print(f"docs/dependencies.md does not say why {crate} is there")
for crate in sorted(described - named):
    print(f"docs/dependencies.md names {crate}, which is not there")
sys.exit(0 if named == described else 1)
