#!/usr/bin/env bash
# The whole walk by curl alone, as openapi.json describes it.
#
#   strongroom serve --home /tmp/station &
#   examples/walk.sh http://127.0.0.1:7878 "$(cat /tmp/station/admin.token)"
#
# Makes the users lab, devs and guest, so it works once per station. Needs
# curl, sha256sum and python3 (to read a field out of JSON).
set -euo pipefail
url=$1 admin=$2
here=$(cd "$(dirname "$0")" && pwd)

# call TOKEN METHOD PATH [curl arguments…]: prints the body, fails on an unexpected status.
call() {
  local token=$1 method=$2 path=$3
  shift 3
  curl -sS --fail-with-body -X "$method" -H "Authorization: Bearer $token" "$@" "$url$path"
}
field() { python3 -c 'import json,sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value[int(key)] if key.isdigit() else value[key]
print(value if isinstance(value, str) else json.dumps(value))' "$1"; }
json() { printf '%s' "$1"; }
expect() { # expect WHAT WANTED FOUND
  if [ "$2" != "$3" ]; then echo "expected $1 to be $2, found $3" >&2; exit 1; fi
  echo "ok: $1 is $3"
}

echo "== users"
user() {
  call "$admin" POST /v1/users --json "{\"name\":\"$1\"}" >/dev/null
  call "$admin" POST /v1/tokens --json "{\"user\":\"$1\",\"label\":\"walk\"}" | field secret
}
lab=$(user lab) devs=$(user devs) guest=$(user guest)
expect "the caller behind guest's token" guest "$(call "$guest" GET /v1/me | field user)"

echo "== lab pushes data, devs push a function"
csv=$here/penguins.csv
digest=sha256:$(sha256sum <"$csv" | cut -d' ' -f1)
size=$(wc -c <"$csv")
call "$lab" PUT "/v1/blobs/$digest" --data-binary "@$csv" >/dev/null
call "$lab" POST /v1/datasets/lab/penguins/versions --json \
  "{\"message\":\"344 penguins\",\"files\":{\"penguins.csv\":{\"digest\":\"$digest\",\"size_bytes\":$size}}}" >/dev/null
push_function() { # push_function SUFFIX: the example with a suffix appended
  python3 -c 'import json,sys
print(json.dumps({"files": {"mean_mass.py": open(sys.argv[1]).read() + sys.argv[2]}}))' "$here/mean_mass.py" "$1" |
    call "$devs" POST /v1/functions/devs/mean-mass/versions --json @- | field version
}
push_function "" >/dev/null
expect "what guest gets for the data itself" 404 "$(curl -s -o /dev/null -w '%{http_code}' \
  -H "Authorization: Bearer $guest" "$url/v1/datasets/lab/penguins/versions/latest/files/penguins.csv")"

echo "== guest asks, lab looks and approves, the run starts by itself"
ask='{"function":"devs/mean-mass","on":["lab/penguins"],"args":{"by":"species"},"purpose":"the walk"}'
answer=$(call "$guest" POST /v1/runs --json "$ask")
run=$(json "$answer" | field id) request=$(json "$answer" | field request)
expect "the run's state" waiting "$(json "$answer" | field state)"
expect "what lab reads" guest "$(call "$lab" GET "/v1/requests/$request" | field caller)"
expect "the request" approved "$(call "$lab" POST "/v1/requests/$request/approve" --json '{"uses":2}' | field state)"
ended=$(call "$guest" GET "/v1/runs/$run?wait=30s")
expect "the run's reason" succeeded "$(json "$ended" | field reason.code)"
path=$(json "$ended" | field files.0.path)
call "$guest" GET "/v1/runs/$run/files/$path" | sed 's/^/   /'

echo "== the same plan again, without asking; the third time the two uses are gone"
again=$(call "$guest" POST "/v1/runs?wait=30s" --json "$ask")
expect "the second run" succeeded "$(json "$again" | field reason.code)"
expect "the third run" waiting "$(call "$guest" POST /v1/runs --json "$ask" | field state)"

echo "== one byte changed asks again; a rejection ends it"
push_function $'\n' >/dev/null
changed=$(call "$guest" POST /v1/runs --json "$ask")
expect "the run of the changed function" waiting "$(json "$changed" | field state)"
call "$lab" POST "/v1/requests/$(json "$changed" | field request)/reject" --json '{"reason":"why?"}' >/dev/null
expect "its end" refused "$(call "$guest" GET "/v1/runs/$(json "$changed" | field id)" | field reason.code)"

echo "== a rule answers for lab from now on"
call "$lab" PUT /v1/rules --json \
  '{"text":"permit(principal == User::\"guest\", action == Action::\"run\", resource);"}' >/dev/null
ruled=$(call "$guest" POST "/v1/runs?wait=30s" --json "${ask/species/island}")
expect "the run under the rule" succeeded "$(json "$ruled" | field reason.code)"

echo "== the script API"
script='{"script_name":"main.py","client":"walk","code":["import sys","print(6 * 7)"]}'
expect "its stdout" $'42' "$(call "$guest" POST /run-json --json "$script" | field stdout)"
location=$(curl -sS -D - -o /dev/null -H "Authorization: Bearer $guest" -H 'Prefer: respond-async' \
  --json "$script" "$url/run-json" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
status=$(call "$guest" GET "$location")
expect "the script behind its Location" walk "$(json "$status" | field client)"
printf 'print("from a file")\n' >"${TMPDIR:-/tmp}/main.$$.py"
file=$(call "$guest" POST /run-file -F "files[]=@${TMPDIR:-/tmp}/main.$$.py;filename=main.py" -F client=walk)
rm -f "${TMPDIR:-/tmp}/main.$$.py"
expect "a file's stdout" "from a file" "$(json "$file" | field stdout)"
expect "its exit code" 0 "$(json "$file" | field exit_code)"
echo "the walk is done"
