# Runs a PostgreSQL server of its own in a new directory, by commands that it reads, a line each:
# `start`, and `kill`, which is kill -9 of all its processes. It answers each with a line, the first
# `start` with the directory, where the server's socket is. When nobody can send commands any more, it
# stops the server and removes the directory.
#
# Parameters: the directory of PostgreSQL's programs, and settings of the server. With `SERVER_CRT`,
# `SERVER_KEY`, `ROOT_CRT` and `PG_HBA`, its directory gets files with these texts. `PGPORT` is its port.
bin=$1
shift
umask 077
dir=$(mktemp -d "${TMPDIR:-/tmp}/dormouse-postgres.XXXXXX") || exit 1
server=
trap '[ -z "$server" ] || kill -QUIT "$server"; wait; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 || {
  cat log >&2
  exit 1
}

if [ -n "$PG_HBA" ]; then
  printf '%s\n' "$SERVER_CRT" >data/server.crt
  printf '%s\n' "$SERVER_KEY" >data/server.key
  printf '%s\n' "$ROOT_CRT" >data/root.crt
  printf '%s\n' "$PG_HBA" >data/pg_hba.conf
fi

while read -r command; do
  case $command in
  start)
    "$bin/postgres" -D data -k "$dir" -c listen_addresses= "$@" >>log 2>&1 </dev/null &
    server=$!
    until "$bin/pg_isready" -q -h "$dir"; do
      kill -0 "$server" 2>/dev/null || { cat log >&2; exit 1; }
      sleep 0.05
    done
    echo "$dir"
    ;;
  kill)
    kill -STOP "$server"
    all=$(ps -o pid= --ppid "$server")
    kill -KILL "$server" $all 2>/dev/null
    wait "$server" 2>/dev/null
    server=
    # No server starts while one of them has its memory still. Where nobody collects the dead, there is
    # an end to waiting for them.
    tries=200
    for process in $all; do
      while [ $tries -gt 0 ] && kill -0 "$process" 2>/dev/null; do
        sleep 0.05
        tries=$((tries - 1))
      done
    done
    echo killed
    ;;
  esac
done
