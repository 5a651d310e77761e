"""SECURITY.md names tests: each has to be a test, in the file it is said to be in."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
found = re.findall(r"\[`(\w+)`\]\(([\w/.]+\.rs)\)", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
missing = []
for name, path in found:
    file = ROOT / path
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if not re.search(rf"#\[(?:tokio::)?test[^\n]*\n(?:\s*#\[[^\n]*\n)*\s*(?:async )?fn {name}\(", text):
        missing.append(f"{path}: no test {name}")
print("\n".join(missing) or f"{len(found)} tests are where SECURITY.md says")
sys.exit(1 if missing or not found else 0)
