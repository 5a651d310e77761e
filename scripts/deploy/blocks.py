"""What stands in code blocks of the pages is what it says it is: it parses, and settings have no key that the broker does not know.

    scripts/deploy/blocks.py PAGE…        `BROKER` is the program whose schema counts
"""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import jsonschema
import yaml

SCHEMA = json.loads(subprocess.run([os.environ["BROKER"], "config", "schema"], check=True, capture_output=True, text=True).stdout)
TABLES = set(SCHEMA["properties"])


def toml(text):
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # Lines of which one is to be chosen.
        for line in text.splitlines():
            tomllib.loads(line)
        return
    # Whole settings; not a piece of a table, a policy, or cases.
    if set(parsed) <= TABLES:
        jsonschema.validate(parsed, SCHEMA)


def shell(text):
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr)


def python(text):
    # A block may begin inside a function.
    ast.parse(text if not text.startswith((" ", "@")) else "if True:\n" + text if text.startswith(" ") else text)


READERS = {"toml": toml, "json": json.loads, "yaml": yaml.safe_load, "sh": shell, "python": python}


def main():
    failed, read = 0, 0
    for page in sys.argv[1:]:
        text = pathlib.Path(page).read_text(encoding="utf-8")
        for match in re.finditer(r"^( *)```(\w+)\n(.*?)^ *```", text, flags=re.M | re.S):
            language, block = match[2], re.sub(rf"^{match[1]}", "", match[3], flags=re.M)
            if language not in READERS:
                continue
            read += 1
            try:
                READERS[language](block)
            except Exception as error:  # noqa: BLE001: whatever a parser says
                failed += 1
                line = text[: match.start()].count("\n") + 1
                print(f"{page}:{line}: {language}: {str(error).splitlines()[0]}")
    print(f"{read} blocks read")
    sys.exit(1 if failed else 0)


main()
