# /// script
# requires-python = ">=3.9"
# [tool.strongroom]
# description = "Mean body mass of penguins, by species, island, sex or year"
#
# [tool.strongroom.args]
# type = "object"
# required = ["by"]
# additionalProperties = false
# properties.by = { enum = ["species", "island", "sex", "year"] }
#
# [tool.strongroom.limits]
# memory = "64 MiB"
# time = "10s"
# ///
"""Mean body mass by group: a table in /out, and the same as the returned value.

Penguins whose mass is not known are left out and counted.
"""

import csv
from collections import defaultdict


def transform(data, ctx):
    by = ctx.args["by"]
    masses, unknown = defaultdict(list), 0
    for row in data.rows():
        try:
            masses[row[by]].append(float(row["body_mass_g"]))
        except ValueError:
            unknown += 1
    print(f"{sum(map(len, masses.values()))} penguins weighed, {unknown} not")

    means = {group: round(sum(of) / len(of), 1) for group, of in sorted(masses.items())}
    with open(ctx.out / "mean_mass.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow([by, "penguins", "mean_mass_g"])
        table.writerows([group, len(masses[group]), mean] for group, mean in means.items())
    return {"by": by, "mean_mass_g": means}
