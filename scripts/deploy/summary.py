"""Every page is in docs/SUMMARY.md, the table of contents of the site. Decisions come into it by themselves (book_links.py)."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
text = (ROOT / "docs" / "SUMMARY.md").read_text(encoding="utf-8")
names = subprocess.run(["git", "ls-files", "docs/*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
pages = [name.removeprefix("docs/") for name in names if not name.startswith("docs/adr/0") and name != "docs/SUMMARY.md"]
missing = [page for page in pages if f"]({page})" not in text]
for page in missing:
    print(f"docs/{page} is not in docs/SUMMARY.md: say where it belongs")
sys.exit(1 if missing else 0)
