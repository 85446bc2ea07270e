#!/bin/sh
# Tests of main.sh, inside the sandbox.
set -eu

export DATA=/tmp/data OUT=/tmp
mkdir -p "$DATA"
printf 'species,island\nAdelie,Dream\nGentoo,Biscoe\nAdelie,Biscoe\n' > "$DATA/birds.csv"

counts() {
    echo "$1" | sh main.sh 3> /tmp/value > /dev/null && cat /tmp/value
}

is() {
    [ "$2" = "$3" ] || { echo "$1: got $2, wanted $3"; exit 1; }
    echo "ok $1"
}

is "rows are counted by a column" "$(counts '{"by":"species"}')" '{"Adelie":2,"Gentoo":1}'
is "they are written as a table" "$(tail -n 1 /tmp/counts.csv)" Gentoo,1
is "what is rarer is left out" "$(counts '{"by":"species","least":2}')" '{"Adelie":2}'
is "a column that is not there is an error" "$(counts '{"by":"wing"}' 2>&1 || true)" "there is no column wing"
