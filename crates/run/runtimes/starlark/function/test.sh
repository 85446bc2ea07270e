#!/bin/sh
# Tests the file in the sandbox; `strongroom` is on the PATH or $STRONGROOM.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
table=$folder/birds.csv
printf 'species,island\nAdelie,Dream\nGentoo,Biscoe\nAdelie,Biscoe\n' > "$table"

is() {
    wanted=$1
    shift
    got=$("${STRONGROOM:-strongroom}" run . --on "$table" "$@" 2> /dev/null | tr -d ' \n')
    [ "$got" = "$wanted" ] || { echo "$*: got $got, wanted $wanted"; exit 1; }
    echo "ok $*"
}

is '{"Adelie":2,"Gentoo":1}' --arg by=species
is '{"Adelie":2}' --arg by=species --arg least=2
is '' --arg by=wing
