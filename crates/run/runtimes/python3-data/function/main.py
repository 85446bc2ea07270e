"""Means of a table's numbers by the values of one column."""

import strongroom


def transform(data, ctx):
    by = ctx.args["by"]
    table = strongroom.read().pandas()
    means = table.groupby(by).mean(numeric_only=True).round(ctx.args.get("digits", 1))
    strongroom.log("grouped", rows=len(table), groups=len(means))
    strongroom.write("means.csv", means.reset_index())
    return {column: means[column].dropna().to_dict() for column in means}
