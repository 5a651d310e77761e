"""Terraform, as far as it can be checked without providers: arguments and attributes against the providers' schemas
(provider_schemas.json), references, documented inputs and outputs, no secret in a value, the README's tables.

    scripts/deploy/terraform.py [--write]    --write rewrites the tables
"""

import json
import pathlib
import re
import sys

import hcl2

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "terraform"
SCHEMAS = json.loads((ROOT / "scripts/deploy/provider_schemas.json").read_text(encoding="utf-8"))["schemas"]
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "provisioner", "connection", "__is_block__", "__comments__"}
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print("FAIL  " + what)


def plain(text):
    return text.strip('"') if isinstance(text, str) else text


def blocks(parsed, kind):
    """(labels, body) of each block of a kind."""
    for entry in parsed.get(kind, []):
        labels = []
        while "__is_block__" not in entry:
            ((label, entry),) = [(key, value) for key, value in entry.items() if not key.startswith("__")]
            labels.append(plain(label))
        yield labels, entry


def arguments(body, takes, where):
    """Every argument exists, every required one is given."""
    given = {plain(key) for key in body} - META
    for entry in body.get("dynamic", []):
        for name, content in entry.items():
            given.add(plain(name))
            nested = takes.get(plain(name), {}).get("block")
            check(nested is not None, f"{where}: there is no block {plain(name)}")
            for inner in content["content"]:
                arguments(inner, nested or {}, f"{where}.{plain(name)}")
    given.discard("dynamic")
    for name in given:
        check(name in takes, f"{where}: there is no argument {name}")
    for name, field in takes.items():
        check(not field["required"] or name in given, f"{where}: {name} is missing")
    for name, value in body.items():
        nested = takes.get(plain(name), {}).get("block")
        if nested is not None and isinstance(value, list):
            for inner in value:
                if isinstance(inner, dict) and "__is_block__" in inner:
                    arguments(inner, nested, f"{where}.{plain(name)}")


def references(text, module, where):
    for name in re.findall(r"\bvar\.(\w+)", text):
        check(name in module["variable"], f"{where}: there is no variable {name}")
    for name in re.findall(r"\bmodule\.\w+\.(\w+)", text):
        outputs = {labels[0] for labels, _ in blocks(loaded(FOLDER / "entra"), "output")}
        check(name in outputs, f"{where}: the module has no output {name}")
    for data, kind, name, attribute in re.findall(r"(?<![\w.])(data\.)?((?:google|azurerm|azuread)_\w+)\.(\w+)(?:\.(\w+))?", text):
        key = ("data " if data else "resource ") + kind
        check((key, name) in module["resource"], f"{where}: there is no {key} {name}")
        check(not attribute or attribute in SCHEMAS[key]["read"], f"{where}: {kind} has no attribute {attribute}")


def loaded(folder):
    together = {}
    for file in sorted(folder.glob("*.tf")):
        with file.open(encoding="utf-8") as text:
            for kind, entries in hcl2.load(text).items():
                together.setdefault(kind, []).extend(entries)
    return together


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def unquoted(value):
    return [plain(each) for each in value] if isinstance(value, list) else plain(value)


def table(parsed):
    lines = ["| input | default | what |", "|---|---|---|"]
    for (name,), body in blocks(parsed, "variable"):
        default = f"`{json.dumps(unquoted(body['default']))}`" if "default" in body else "required"
        lines.append(f"| `{name}` | {cell(default)} | {cell(plain(body['description']))} |")
    lines += ["", "| output | what |", "|---|---|"]
    for (name,), body in blocks(parsed, "output"):
        lines.append(f"| `{name}` | {cell(plain(body['description']))} |")
    return "\n".join(lines)


def main():
    readme = FOLDER / "README.md"
    page = readme.read_text(encoding="utf-8")
    resources = 0
    for folder in sorted(path for path in FOLDER.iterdir() if path.is_dir()):
        parsed = loaded(folder)
        module = {
            "variable": {labels[0] for labels, _ in blocks(parsed, "variable")},
            "resource": {(f"{kind} {labels[0]}", labels[1]) for kind in ("resource", "data") for labels, _ in blocks(parsed, kind)},
        }
        for kind in ("resource", "data"):
            for (name, label), body in blocks(parsed, kind):
                resources += 1
                arguments(body, SCHEMAS[f"{kind} {name}"]["takes"], f"{folder.name}: {name}.{label}")
        for _, body in blocks(parsed, "module"):
            inputs = {name: {"required": "default" not in each} for (name,), each in blocks(loaded(FOLDER / "entra"), "variable")}
            check(plain(body["source"]) == "../entra", f"{folder.name}: a module that is here")
            arguments({key: value for key, value in body.items() if key != "source"}, inputs, f"{folder.name}: module")
        text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.tf")))
        references(text, module, folder.name)
        for (name,), body in blocks(parsed, "variable"):
            check("description" in body and "type" in body, f"{folder.name}: variable {name} is described and typed")
            check(f"var.{name}" in text, f"{folder.name}: variable {name} is used")
            check(not re.search("secret$|password|token", name), f"{folder.name}: variable {name} is no secret, which would be in the state")
        for (name,), body in blocks(parsed, "output"):
            check("description" in body, f"{folder.name}: output {name} is described")
        check("secret_version" not in text and "azurerm_key_vault_secret" not in text and "application_password" not in text, f"{folder.name}: no secret's value in the state")
        page = re.sub(rf"(<!-- {folder.name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{table(parsed)}\n{m[2]}", page, flags=re.S)
    if sys.argv[1:] == ["--write"]:
        readme.write_text(page, encoding="utf-8")
    check(page == readme.read_text(encoding="utf-8"), "the tables of deploy/terraform/README.md are current (scripts/deploy/terraform.py --write)")
    print(f"{resources} resources against the providers' schemas")
    sys.exit(1 if failures else 0)


main()
