"""A preprocessor of mdBook: decisions become chapters, whoever wrote them, and what a page links to outside the book is named instead of
linked, for the site has only the book.

mdBook calls it with `supports RENDERER`, or with the book on standard input, and reads the book from standard output.
"""

import json
import pathlib
import posixpath
import re
import sys

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(((?!#)[^()\s]+)\)")


def outside(chapter):
    def named(match):
        text, target = match.groups()
        if re.match(r"[a-z][a-z+.-]*:", target):
            return match.group()
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(chapter["path"]), target.split("#")[0]))
        within = path.startswith("docs/") and re.search(r"\.(md|png|svg)$", path)
        if within:
            # The page of a folder is its index there.
            return match.group().replace("README.md", "index.md")
        return (text if text.strip("`") == path else f"{text} (`{path}`)")

    parts = re.split(r"(^```.*?^```)", chapter["content"], flags=re.M | re.S)
    chapter["content"] = "".join(part if part.startswith("```") else LINK.sub(named, part) for part in parts)
    for item in chapter["sub_items"]:
        walk(item)


def decisions(chapter):
    """docs/adr/0001-….md and so on, below the page that lists them."""
    for page in sorted(pathlib.Path("docs/adr").glob("[0-9]*.md")):
        content = page.read_text(encoding="utf-8")
        path = f"adr/{page.name}"
        title = content.split("\n", 1)[0].lstrip("# ").strip()
        chapter["sub_items"].append({"Chapter": {"name": title, "content": content, "number": None, "sub_items": [], "path": path, "source_path": path, "parent_names": [chapter["name"]]}})


def walk(item):
    if "Chapter" in item and item["Chapter"]["path"]:
        if item["Chapter"]["source_path"] == "adr/README.md":
            decisions(item["Chapter"])
        outside(item["Chapter"])


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    for item in book["items"]:
        walk(item)
    json.dump(book, sys.stdout)


main()
