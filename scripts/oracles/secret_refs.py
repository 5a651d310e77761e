"""Compares our grammar of op:// references with the official SDK's validator (offline).

Every difference must be one of EXPECTED, and must be that we are the stricter one.
"""

import itertools
import json
import subprocess
import sys

from onepassword import Secrets

# What the SDK accepts and we refuse, and why.
EXPECTED = {
    "attribute": "?attribute=otp and ?ssh-format are not client secrets",
    "empty": "an empty segment can only fail later",
    "trim": "a segment that begins or ends in a space was not meant",
    "dots": "`.` and `..` segments would walk a path",
}


def reason(text):
    rest = text.removeprefix("op://")
    if "?" in rest:
        return "attribute"
    parts = rest.split("/")
    if "" in parts:
        return "empty"
    if any(part in (".", "..") for part in parts):
        return "dots"
    if any(part != part.strip() for part in parts):
        return "trim"
    return None


def cases():
    pieces = ["v", "my item", "a_b-c.d", "", " ", "..", ".", " x", "x ", "é", "a#b", "a%20b", "a:b", "a@b", "a+b",
              "a(b", "$V", "a\tb", "a\nb", "9" * 26, "?"]
    for count in (0, 1, 2, 3, 4, 5):
        for plain in itertools.product(["v", "my item", "a_b-c.d"], repeat=min(count, 3)):
            yield "op://" + "/".join(plain + ("x",) * (count - len(plain)))
    for count, odd in itertools.product((3, 4), pieces):
        for place in range(count):
            parts = ["v", "i", "s", "f"][-count:]
            parts[place] = odd
            yield "op://" + "/".join(parts)
    for scheme in ("OP://", "Op://", " op://", "op:/", "op:", "", "http://", "env:"):
        yield scheme + "v/i/f"
    for query in ("?attribute=otp", "?attribute=totp", "?ssh-format=openssh", "?attribute=OTP", "?attribute=value",
                  "?foo=bar", "?", "?attribute=otp&attribute=otp"):
        yield "op://v/i/f" + query


def sdk_accepts(text):
    try:
        Secrets.validate_secret_reference(text)
    except Exception:  # the SDK raises its own bare type
        return False
    return True


def main():
    texts = sorted(set(cases()))
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    ours = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True, check=True).stdout.split()
    assert len(ours) == len(texts)
    bad, seen = [], dict.fromkeys(EXPECTED, 0)
    accepted = 0
    for text, verdict in zip(texts, ours):
        we, they = verdict == "1" and text.startswith("op://"), sdk_accepts(text)
        accepted += we and they
        why = reason(text)
        if we == they:
            continue
        if they and not we and why in EXPECTED:
            seen[why] += 1
        else:
            bad.append(f"{text!r}: ours {we}, SDK {they}")
    for why, count in seen.items():
        print(f"stricter in {count:3} cases: {EXPECTED[why]}")
    print(f"{len(texts)} references, {accepted} accepted by both, {len(bad)} unexplained")
    if bad or not accepted:
        sys.exit("\n".join(bad) or "nothing was accepted: the comparison is broken")


main()
