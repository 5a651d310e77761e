"""Every page is in docs/SUMMARY.md, the table of contents of the site.

    scripts/deploy/summary.py [--write]    --write adds the decisions that are missing, which go by their number
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUMMARY = ROOT / "docs" / "SUMMARY.md"


def main():
    text = SUMMARY.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--write"]:
        decisions = []
        for page in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
            title = page.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ").strip()
            decisions.append(f"  - [{title}](adr/{page.name})\n")
        text = re.sub(r"(?:  - \[[^\n]*\]\(adr/\d[^\n]*\n)+", lambda _: "".join(decisions), text)
        SUMMARY.write_text(text, encoding="utf-8")
    names = subprocess.run(["git", "ls-files", "docs/*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    missing = [name for name in names if name != "docs/SUMMARY.md" and f"]({name.removeprefix('docs/')})" not in text]
    for name in missing:
        print(f"{name} is not in docs/SUMMARY.md" + (": scripts/deploy/summary.py --write" if "/adr/" in name else ": say where it belongs"))
    sys.exit(1 if missing else 0)


main()
