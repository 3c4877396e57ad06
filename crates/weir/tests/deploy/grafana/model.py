"""Reads dashboards into Grafana's own types and writes them again. Prints what was lost or changed by it, a line each: what
these types do not know, Grafana may not know either."""

import json
import re
import sys

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def main(files):
    plugins.register_default_plugins()
    for file in files:
        with open(file, encoding="utf-8") as text:
            before = json.load(text)
        after = json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(before)))
        for line in sorted({re.sub(r"\[\d+\]", "[]", line) for line in differences(before, after, "")}):
            print(line)


def differences(before, after, at):
    """What is in `before` and not the same in `after`. What is added are defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from differences(value, after[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for nth, (one, other) in enumerate(zip(before, after)):
            yield from differences(one, other, f"{at}[{nth}]")
    elif before != after:
        yield at


main(sys.argv[1:])
