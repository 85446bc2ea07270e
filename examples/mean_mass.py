# /// script
# requires-python = ">=3.9"
# [tool.strongroom]
# description = "Mean body mass of penguins, by species, island, sex or year."
# [tool.strongroom.limits]
# memory = "128 MiB"
# time = "10s"
# [tool.strongroom.args]
# type = "object"
# required = ["by"]
# additionalProperties = false
# [tool.strongroom.args.properties.by]
# description = "The column to group by."
# enum = ["species", "island", "sex", "year"]
# ///
"""Mean body mass of penguins, by one of their columns."""

import csv
from collections import defaultdict


def transform(data, ctx):
    by = ctx.args["by"]
    masses = defaultdict(list)
    for row in data.rows():
        if row["body_mass_g"] != "NA":
            masses[row[by]].append(int(row["body_mass_g"]))
    means = {group: round(sum(found) / len(found), 1) for group, found in sorted(masses.items())}
    with open(ctx.out / "mean_mass.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([by, "penguins", "mean_body_mass_g"])
        for group, mean in means.items():
            out.writerow([group, len(masses[group]), mean])
    print(f"{sum(map(len, masses.values()))} penguins in {len(means)} groups")
    return means
