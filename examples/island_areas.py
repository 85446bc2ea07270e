# /// script
# requires-python = ">=3.9"
# [tool.strongroom]
# description = "Penguins for each square kilometre of the islands that they were seen on"
#
# [tool.strongroom.download]
# hosts = ["islands.example.org:80"]
# ///
"""A function in three stages: which islands are asked for is all that leaves the data."""

import json
import urllib.request
from collections import Counter

SERVICE = "http://islands.example.org:80/areas"


def expose(data, ctx):
    """Sees the data and no network; what it returns, owners approve by name."""
    return sorted({row["island"] for row in data.rows()})


def download(ctx):
    """Reaches the hosts above and sees no data, only what was exposed."""
    with urllib.request.urlopen(f"{SERVICE}?of={','.join(ctx.expose)}") as answer:
        return json.load(answer)


def transform(data, ctx):
    """Sees the data and what was downloaded, and makes the result."""
    seen = Counter(row["island"] for row in data.rows())
    return {island: round(count / ctx.download[island], 2) for island, count in sorted(seen.items())}
