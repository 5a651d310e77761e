"""What each provider's resource takes, for the resources in deploy/terraform: written to provider_schemas.json.

    scripts/deploy/provider_schemas.py FOLDER…

Terraform itself asks the providers, which are programs from a registry of their own. The npm packages @cdktf/provider-*, generated from
the same schemas, say the same: FOLDER is one, unpacked. Run by hand when a resource or a provider's version is new.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "scripts" / "deploy" / "provider_schemas.json"
FIELD = re.compile(r"#(\w+) \w+#\w+\}\n(?:[^\n]*\n)*?\s*\*/\n\s*readonly (\w+)(\??): ([^;]+);")


def snake(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def interface(text, name):
    found = re.search(rf"^export interface {name}(?: extends [\w.]+)? \{{\n(.*?)^\}}", text, flags=re.M | re.S)
    if not found:
        return None
    fields = {}
    for comment, field, optional, kind in re.findall(r"(/\*\*(?:(?!\*/).)*\*/)\s*readonly (\w+)(\??): ([^;]+);", found.group(1), flags=re.S):
        anchor = re.findall(r"#(\w+) \w+#\w+\}", comment)
        fields[anchor[-1] if anchor else snake(field)] = (bool(optional), kind)
    return fields


def described(text, name):
    fields = interface(text, name)
    out = {}
    for field, (optional, kind) in fields.items():
        block = re.match(r"(?:\{\s*\[key: string\]: )?([A-Z]\w+?)(?:\[\])?(?: \||$)", kind)
        nested = described(text, block.group(1)) if block and interface(text, block.group(1)) is not None else None
        out[field] = {"required": not optional, **({"block": nested} if nested is not None else {})}
    return out


def main():
    used = set()
    for file in (ROOT / "deploy" / "terraform").rglob("*.tf"):
        used |= {(kind, name) for kind, name in re.findall(r'^(resource|data) "(\w+)"', file.read_text(encoding="utf-8"), flags=re.M)}
    schemas, versions = {}, {}
    for folder in map(pathlib.Path, sys.argv[1:]):
        package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        provider = package["cdktf"]["provider"]
        prefix = provider["name"].rsplit("/", 1)[-1]
        versions[prefix] = provider["version"]
        for kind, name in sorted(used):
            if not name.startswith(prefix + "_"):
                continue
            stem = ("data-" + name if kind == "data" else name[len(prefix) + 1:]).replace("_", "-")
            text = (folder / "lib" / stem / "index.d.ts").read_text(encoding="utf-8")
            title = re.search(r"^export interface (\w+)Config extends", text, flags=re.M).group(1)
            main_class = re.search(rf"^export declare class {title} (.*?)^\}}", text, flags=re.M | re.S).group(1)
            read = sorted({snake(each) for each in re.findall(r"^    get (\w+)\(\)", main_class, flags=re.M)} - {snake(e) for e in re.findall(r"^    get (\w+)Input\(\)", "")})
            schemas[f"{kind} {name}"] = {"takes": described(text, title + "Config"), "read": [e for e in read if not e.endswith("_input")]}
    OUT.write_text(json.dumps({"versions": versions, "schemas": schemas}, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")


main()
