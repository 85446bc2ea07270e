"""Counts the rows of a table by the values of one column."""

from collections import Counter

import strongroom


def transform(data, ctx):
    by, least = ctx.args["by"], ctx.args.get("least", 1)
    counts = Counter(row[by] for row in strongroom.read().rows())
    kept = {value: count for value, count in sorted(counts.items()) if least <= count}
    strongroom.log("counted", rows=sum(counts.values()), values=len(kept))
    strongroom.write("counts.csv", ({by: value, "rows": count} for value, count in kept.items()))
    return kept
