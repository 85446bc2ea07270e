#!/bin/sh
# Makes the program `main` of main.c.
set -eu
cd "$(dirname "$0")"
"${CC:-cc}" -static -O2 -Wall -o main main.c
