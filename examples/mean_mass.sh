#!/bin/sh
# /// script
# [tool.strongroom]
# description = "Mean body mass of penguins by species, in shell and awk"
#
# [tool.strongroom.limits]
# memory = "64 MiB"
# time = "10s"
# ///
#
# The arguments are one JSON document on stdin; this function takes none.
# The files of its only input lie in /data; what it writes to /out is its result.
set -eu

awk -F, '
  NR > 1 && $6 ~ /^[0-9]+$/ { sum[$1] += $6; count[$1] += 1 }
  END {
    for (group in sum)
      printf "%s,%d,%.1f\n", group, count[group], sum[group] / count[group]
  }' /data/penguins.csv | sort >/tmp/rows

{ echo species,penguins,mean_mass_g; cat /tmp/rows; } >/out/mean_mass.csv
echo "$(wc -l </tmp/rows) groups"
