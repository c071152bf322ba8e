#!/usr/bin/env bash
# The README on a machine that has Node and npm and nothing else: an empty home, no Deno in PATH, an
# empty cache, a fresh clone. What npm has brought must be enough: the tests run with the network cut.
#
#     bash tests/fresh_machine.sh
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || kill -TERM -- "-$server" 2>/dev/null || true; server=; }
trap 'stop; rm -rf "$work"' EXIT
git clone -q . "$work/clone"
mkdir "$work/home" "$work/elsewhere" "$work/bin"
for tool in node npm npx sh bash env git; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
export HOME="$work/home" DENO_DIR="$work/home/deno" NO_COLOR=1 npm_config_update_notifier=false
export PATH="$work/bin:/usr/bin:/bin"
if [ -e /usr/bin/deno ]; then # a Deno that hides in a folder we need: leave that folder out
  for tool in /usr/bin/* /bin/*; do
    name=${tool##*/}
    case $name in deno | npx | npm | node) ;; *) ln -sf "$tool" "$work/bin/$name" ;; esac
  done
  PATH="$work/bin"
fi
if command -v deno; then echo "fresh_machine: there is a deno in PATH" >&2; exit 1; fi
cd "$work/clone"

# fetch URL: prints what is there, waiting for it for ten seconds at most.
fetch() {
  for _ in $(seq 100); do
    if node -e 'fetch(process.argv[1]).then((r) => r.text()).then(console.log, () => process.exit(1))' "$1"; then
      return
    fi
    sleep 0.1
  done
  return 1
}

echo "1. npx deno task serve shows the page"
setsid npx --yes deno@2.9.6 task serve > serve.log 2>&1 & # a process group of its own, to end all of it
server=$!
for _ in $(seq 600); do grep -q 'http://' serve.log && break; sleep 0.1; done
fetch "$(grep -o 'http://[^ ]*/' serve.log | head -n 1)" | grep -q 'It works'
stop

# tests COMMAND…: the README's test command, its last words or all of its complaints.
tests() { "$@" npx --yes deno@2.9.6 task test > test.log 2>&1 || { tail -n 40 test.log; exit 1; }; tail -n 3 test.log; }
cut_off() { unshare -n bash -c 'ip link set lo up 2>/dev/null; exec "$@"' bash "$@"; }

if cut_off true 2>/dev/null; then
  echo "2. npx deno task test passes, with the network cut"
  tests cut_off
else
  echo "2. npx deno task test passes (to cut the network, unshare -n needs more rights here)"
  tests env
fi

deno=$(npx --yes deno@2.9.6 eval 'console.log(Deno.execPath())')
cd "$work/elsewhere"
ln -s "$deno" "$work/bin/deno"
programs="http_server http_client udp_ping_server udp_pinger smtp_client"
echo "3. each program runs by absolute path from another folder, and by its shebang line"
for program in $programs; do
  deno run "$work/clone/$program.ts" --version
  "$work/clone/$program.ts" --version > /dev/null
done

echo "4. each way to install (deno task test:install says what it skips)"
(cd "$work/clone" && deno task test:install) > install.log 2>&1 || { cat install.log; exit 1; }
grep -E '^skipped|passed' install.log

echo "fresh_machine: all is well"
