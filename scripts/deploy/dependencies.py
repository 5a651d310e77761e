"""docs/dependencies.md names every crate that the manifests name, and no other; and each folder with a list of packages is looked after once a month."""

import pathlib
import re
import subprocess
import sys
import tomllib

import yaml

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
updated = set()
for update in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))["updates"]:
    updated |= {(update["package-ecosystem"], folder) for folder in update.get("directories", [update.get("directory")])}
lists = {"Cargo.lock": "cargo", "package-lock.json": "npm", "requirements.txt": "pip", "Dockerfile": "docker"}
kept = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
there = {(lists[file.name], f"/{file.parent}".rstrip(".")) for file in map(pathlib.PurePosixPath, kept) if file.name in lists}
missing = there - updated
for kind, folder in sorted(missing):
    print(f".github/dependabot.yml leaves out {folder} ({kind})")
sys.exit(0 if named == described and not missing else 1)
