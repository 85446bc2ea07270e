#!/bin/sh
# Inside a container: from the first start of a station to the result of a run
# that an owner approved, in the tier that is named.
set -eu
tier=$1
export HOME=/root XDG_CONFIG_HOME=/root/config
mkdir -p /root/home /root/config /root/work
cd /root/work
if [ "$tier" = reduced ]; then
    printf '[jail]\ntier = "reduced"\n' > /root/home/config.toml
fi

echo "--- doctor"
strongroom doctor --home /root/home || echo "doctor says $?"

echo "--- station"
strongroom serve --home /root/home > serve.log 2>&1 &
station=$!
tries=0
until grep -q Listening serve.log; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { cat serve.log; exit 1; }
    sleep 0.1
done
cat serve.log
strongroom login --home /root/home
secret=$(strongroom user add guest --json | grep -o 'srt_[A-Za-z0-9_-]*' | head -1)

printf 'species,mass\na,1\nb,2\n' > rows.csv
cat > mean.py <<'PY'
def transform(data, ctx):
    rows = list(data.rows())
    (ctx.out / "count.txt").write_text(str(len(rows)))
    return {"mean": sum(float(row["mass"]) for row in rows) / len(rows)}
PY
cat > nosy.py <<'PY'
import os
def tried(what, *arguments):
    try:
        what(*arguments)
        return "open"
    except OSError as error:
        return error.strerror
def transform(data, ctx):
    found = {path: tried(open, path) for path in ("/etc/shadow", "/root/home/config.toml", "/proc/1/environ")}
    assert "open" not in found.values(), found
    return found
PY
strongroom dataset push admin/rows rows.csv -m first
strongroom function push admin/mean mean.py
strongroom function push admin/nosy nosy.py

echo "--- runs"
STRONGROOM_URL=http://127.0.0.1:7878 STRONGROOM_TOKEN=$secret strongroom run admin/mean --on admin/rows --detach
request=$(strongroom request list --json | grep -o 'req-[a-z0-9]*' | head -1)
strongroom request approve "$request"
strongroom run admin/mean --on admin/rows --out results
cat results/count.txt
echo
strongroom run admin/nosy --on admin/rows
run=$(strongroom runs --json | grep -o 'run-[a-z0-9]*' | head -1)
strongroom status "$run"
strongroom status "$run" | grep -q "sandbox *$tier"

echo "--- end"
kill $station
wait $station || true
if [ "$tier" = reduced ]; then
    ls /tmp/strongroom-reduced-0
    [ -z "$(ls /tmp/strongroom-reduced-0 | grep station || true)" ]
fi
