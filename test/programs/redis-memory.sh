#!/bin/bash
#
# redis-memory.sh - what redis-server says about its memory, by jemalloc's controls.
#
# Debian's redis is linked to libjemalloc and asks it by mallctl.  INFO, MEMORY DOCTOR, MEMORY
# PURGE and MEMORY MALLOC-STATS must be right about each other, and about what the system says of
# the process.  Both allocators have to meet the same conditions, in the file prepared below.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/redis-server redis-server
need /usr/bin/redis-cli redis-tools
takes_place_of=libjemalloc.so.2

prepare()
{
    cat >memory.py <<'EOF'
"""memory.py PID - ask the server on redis.sock, and the system about its process."""
import pathlib
import subprocess
import sys
import time

MIB = 1 << 20
KEYS, VALUE_BYTES = 100000, 500
status = pathlib.Path("/proc", sys.argv[1], "status")


def ask(*words):
    return subprocess.run(("/usr/bin/redis-cli", "-s", "redis.sock") + words, check=True,
                          capture_output=True, text=True).stdout.strip()


def rss():
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def info():
    """Redis looks at the allocator ten times a second."""
    time.sleep(0.25)
    return dict(line.split(":", 1) for line in ask("info", "memory").splitlines() if ":" in line)


def number(figures, name):
    return float(figures[name])


def check(what, holds, *values):
    if not holds:
        sys.exit("%s: no, %s" % (what, values))
    print(what + ": yes")


def check_figures(when):
    """Each figure against the one that it has to be near, and Redis's ratios against 1."""
    figures = info()
    used, allocated, active, resident = (
        number(figures, name) for name in
        ("used_memory", "allocator_allocated", "allocator_active", "allocator_resident"))
    now = rss()
    check(when + ", allocated is what is used", used <= allocated <= used + 4 * MIB, used,
          allocated)
    check(when + ", active holds allocated", allocated <= active, allocated, active)
    check(when + ", resident holds active", active <= resident, active, resident)
    check(when + ", RSS holds resident", resident <= now + MIB, resident, now)
    check(when + ", RSS is resident and the program", now < resident + 20 * MIB, resident, now)
    check(when + ", Redis agrees", abs(number(figures, "used_memory_rss") - now) < 2 * MIB, now)
    for name in ("allocator_frag_ratio", "allocator_rss_ratio"):
        check("%s, %s" % (when, name), number(figures, name) >= 1, figures[name])
    return figures


def main():
    print("allocator", ask("info", "memory").split("mem_allocator:")[1].split()[0])
    check_figures("at start")
    at_start = rss()

    ask("debug", "populate", str(KEYS), "key", str(VALUE_BYTES))
    full = check_figures("full")
    check("full, values are in it", number(full, "allocator_allocated") > KEYS * VALUE_BYTES)
    check("full, little is lost", number(full, "allocator_frag_ratio") < 1.1 and
          number(full, "mem_fragmentation_ratio") < 1.3, full)
    print("doctor:", ask("memory", "doctor").split(",")[1])

    # Nine of ten, evenly: nearly all of the memory is now free, and in use by the page.
    ask("eval", "for i = 0, %d do if i %% 10 ~= 0 then redis.call('del', 'key:' .. i) end end"
        % (KEYS - 1), "0")
    holed = check_figures("holed")
    check("holed, allocated is less", number(holed, "allocator_allocated") <
          number(full, "allocator_allocated") / 5, holed["allocator_allocated"])
    check("holed, the ratio tells", number(holed, "allocator_frag_ratio") > 3, holed)
    doctor = ask("memory", "doctor")
    print("doctor:", *[line.split(":")[0] for line in doctor.splitlines() if line.startswith(" *")
                       and "RSS overhead" not in line.split(":")[0]])
    before = rss()
    print("purge:", ask("memory", "purge"))
    check("holed, purge does not raise RSS", rss() < before + MIB, before, rss())
    check_figures("purged")

    ask("debug", "populate", str(KEYS), "key", str(VALUE_BYTES))
    # Not FLUSHALL, which purges by itself.
    ask("eval", "for i = 0, %d do redis.call('del', 'key:' .. i) end" % (KEYS - 1), "0")
    before = rss()
    print("purge:", ask("memory", "purge"))
    check("empty, purge lowers RSS", rss() < before - 25 * MIB, before, rss())
    check_figures("empty")
    check("empty, RSS is what it was", rss() < at_start + 12 * MIB, at_start, rss())

    print("background thread:", ask("config", "set", "jemalloc-bg-thread", "no"),
          ask("config", "set", "jemalloc-bg-thread", "yes"))
    ask("debug", "populate", "500", "key", "114600")
    check_figures("again")
    # Debian's is built without; a jemalloc with Redis's own changes would be needed.
    defragmentation = ask("config", "set", "activedefrag", "yes")
    print("active defragmentation:",
          "not built in" if "compiled with a modified Jemalloc" in defragmentation
          else defragmentation)


main()
EOF
}

# The report, given to the checks of those that processes leave at exit; and its figure for live
# objects against Redis's.
check_report()
{
    local report=$XA_PROGRAMS_FOLDER/statistics/malloc-stats.$session_name allocated used
    client memory malloc-stats >"$report"
    if grep -q '^___ Begin jemalloc statistics ___' "$report"; then
        rm "$report"
    elif [[ $XA_PROGRAMS_STATISTICS == files ]]; then
        allocated=$(awk '$1 == "allocated" { print $2; exit }' "$report")
        used=$(client info memory | tr -d '\r' | sed -n 's/^used_memory://p')
        ((allocated >= used - 200000 && allocated < used + 4000000)) ||
            echo "MALLOC-STATS has $allocated bytes live, Redis counts $used"
    fi
}

client()
{
    /usr/bin/redis-cli -s redis.sock "$@"
}

session()
{
    start redis.log /usr/bin/redis-server --port 0 --unixsocket ./redis.sock --dir . --save '' \
        --appendonly no --enable-debug-command local --daemonize no
    wait_for client ping
    prove_pid "$server_pid"
    /usr/bin/python3 -I "$XA_PROGRAMS_FOLDER/input/memory.py" "$server_pid"
    check_report
    stop "$server_pid" TERM
}

run_program
