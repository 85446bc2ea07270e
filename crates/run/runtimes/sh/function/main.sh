#!/bin/sh
# Counts the rows of a table by the values of one column. The table is plain:
# no cell of it has a comma.
set -eu

args=$(cat)
by=$(printf '%s' "$args" | sed -n 's/.*"by":"\([^"\\]*\)".*/\1/p')
least=$(printf '%s' "$args" | sed -n 's/.*"least":\([0-9]*\).*/\1/p')
out=${OUT:-/out}

cat "${DATA:-/data}"/*.csv | tr -d '\r' > /tmp/table
head -n 1 /tmp/table | tr , '\n' | grep -qxF -e "$by" || { echo "there is no column $by" >&2; exit 1; }

awk -F, -v by="$by" -v least="${least:-1}" '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == by) column = i; next }
    { rows[$column]++ }
    END { for (value in rows) if (least <= rows[value]) print value "," rows[value] }
' /tmp/table | sort > /tmp/counts

echo "counted $(($(wc -l < /tmp/table) - 1)) rows"
{ echo "$by,rows"; cat /tmp/counts; } > "$out/counts.csv"
# Descriptor 3 takes the value, as JSON.
awk -F, 'BEGIN { printf "{" } { printf "%s\"%s\":%d", (NR == 1 ? "" : ","), $1, $2 } END { print "}" }' /tmp/counts >&3
