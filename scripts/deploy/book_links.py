"""A preprocessor of mdBook: what a page links to outside the book is named instead of linked, for the site has only the book.

mdBook calls it with `supports RENDERER`, or with the book on standard input, and reads the book from standard output.
"""

import json
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


def walk(item):
    if "Chapter" in item and item["Chapter"]["path"]:
        outside(item["Chapter"])


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    for item in book["items"]:
        walk(item)
    json.dump(book, sys.stdout)


main()
