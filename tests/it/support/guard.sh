# Stops the servers of a test process that is gone, however it went, and removes its folder.
#
# $1 is the folder. Standard input is a pipe that only the test process can write to: the
# kernel closes it when that process ends, also by `kill -9`, and `cat` then returns.
# Each file in $1/pids holds one line, "<signal> <pid>": a process to stop, and how.
# The folder stays when $1/failed exists (a test panicked) or MTMIGRATE_KEEP is set.

trap '' INT TERM HUP QUIT
root=$1
cat >/dev/null

# From here on a process that is just being started cannot write its file, and gives up.
mv "$root/pids" "$root/pids.closed" 2>/dev/null || exit 0
sleep 0.1

# A zombie is dead: where nobody reaps orphans it stays in the table for good.
alive() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    case $stat in *') Z '*) return 1 ;; esac
}

for file in "$root"/pids.closed/*; do
    [ -f "$file" ] && read -r signal pid <"$file" && kill -s "$signal" "$pid" 2>/dev/null
done
for file in "$root"/pids.closed/*; do
    [ -f "$file" ] && read -r signal pid <"$file" || continue
    tries=0
    while alive "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -eq 50 ] && kill -s KILL "$pid" 2>/dev/null
        [ "$tries" -ge 100 ] && break
        sleep 0.1
    done
done

if [ -e "$root/failed" ] || [ -n "${MTMIGRATE_KEEP:-}" ]; then
    echo "kept: $root (databases, logs, fleets; '*/command' starts a server again)" >&2
    exit 0
fi
for _ in 1 2 3 4 5; do
    rm -rf "$root" 2>/dev/null && exit 0
    sleep 0.5
done
echo "cannot remove $root" >&2
