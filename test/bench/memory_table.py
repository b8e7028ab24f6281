"""The seven rows of the table: what processes keep that have given memory back.

A *run* is a process of memory_rows.c that does its work, says "ready" and then makes no call; it
is looked at from outside, through /proc, after some idle seconds.  A *row* is a figure made from
the runs of one round, with the figure that xalloc must reach and the one it aims at.
"""

import concurrent.futures
import dataclasses
import os
import select
import statistics
import subprocess
import sys
import time
from typing import Callable

import bench_support as support

READY_LIMIT_SECONDS = 300
# It takes milliseconds, and where the loader maps files moves it by some 100 KiB.
ONE_MALLOC_RUNS = 21


@dataclasses.dataclass(frozen=True)
class Reading:
    """What /proc says about an idle process, in KiB."""

    resident: int
    private_dirty: int
    virtual: int
    stacks: int  # the one mapping that holds the stacks of all the threads it started


@dataclasses.dataclass(frozen=True)
class Run:
    arguments: tuple
    idle_seconds: float


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    must: float
    goal: float
    runs: tuple  # the names of the runs it is made from
    value: Callable[..., float]  # of their readings
    above_glibc: bool = False  # must and goal are meant above what glibc has here


CLASS_THREADS = 16


def runs_by_name(object_bytes_max):
    return {
        "large": Run(("large", "400", "1"), 12),
        "threads-64": Run(("threads", "64", "3072", str(object_bytes_max)), 12),
        "threads-500": Run(("threads", "500", "1024", str(object_bytes_max)), 3),
        "waves": Run(("waves", "2000000", "100"), 12),
        "classes": Run(("classes", str(CLASS_THREADS)), 0),
        "no-threads": Run(("classes", "0"), 0),
        "one-malloc": Run((), 0),
    }


def resident_mib(reading):
    return reading.resident / 1024


ROWS = (
    Row("large", "400 blocks of 1 MiB freed, 12 s idle", "MiB", 8, 4, ("large",), resident_mib),
    Row("threads-64", "64 threads, 3 MiB each freed, 12 s idle", "MiB", 20, 8, ("threads-64",),
        resident_mib),
    Row("threads-500", "500 threads, 1 MiB each freed, 3 s idle", "MiB", 60, 25,
        ("threads-500",), resident_mib),
    Row("virtual-500", "the same: virtual, without stacks", "MiB", 150, 60, ("threads-500",),
        lambda reading: (reading.virtual - reading.stacks) / 1024),
    Row("waves", "second of two waves of 2 M x 100 bytes, 12 s idle", "MiB", 252, 246,
        ("waves",), resident_mib),
    Row("per-thread", "private dirty a thread, 64 sizes held", "KiB", 50, 30,
        ("classes", "no-threads"),
        lambda many, none: (many.private_dirty - none.private_dirty) / CLASS_THREADS),
    # 1,500 and 1,408 where glibc's was 1,408: most of it are pages of files, and how many of those
    # the kernel maps differs between machines.
    Row("one-malloc", "C program with one malloc, resident", "KiB", 92, 0, ("one-malloc",),
        lambda reading: reading.resident, above_glibc=True),
)


def labelled_kib(path, *labels):
    """The numbers behind labels such as "Rss:" in a file of /proc."""
    found = {}
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            label, _, rest = line.partition(":")
            if label in labels:
                found[label] = int(rest.split()[0])
    return [found[label] for label in labels]


def read_process(pid, stacks_kib):
    # smaps_rollup walks the page tables; the counters behind statm may lag by some pages a CPU.
    resident, private_dirty = labelled_kib(f"/proc/{pid}/smaps_rollup", "Rss", "Private_Dirty")
    (virtual,) = labelled_kib(f"/proc/{pid}/status", "VmSize")
    return Reading(resident, private_dirty, virtual, stacks_kib)


def ready_line(process, shown):
    if not select.select([process.stdout], [], [], READY_LIMIT_SECONDS)[0]:
        raise support.BenchError(f"{shown} was not ready after {READY_LIMIT_SECONDS} s")
    fields = process.stdout.readline().decode().split()
    if len(fields) != 3 or fields[0] != "ready":
        process.wait(READY_LIMIT_SECONDS)
        reason = process.stderr.read().decode(errors="replace").strip()
        raise support.BenchError(f"{shown} ended with {process.returncode}: {reason}")
    return int(fields[1]), fields[2]


def measure_idle(program, run, library):
    """Start a run, wait for it to be done, leave it alone, look at it."""
    shown = f"memory_rows {' '.join(run.arguments)} with {library or 'the C library'}"
    with subprocess.Popen(
        [program, *run.arguments], env=support.environment_for(library), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    ) as process:
        try:
            stacks_kib, file_of_malloc = ready_line(process, shown)
            support.check_preload(file_of_malloc, library, shown)
            time.sleep(run.idle_seconds)
            return read_process(process.pid, stacks_kib)
        finally:
            process.kill()


def measure_one_malloc(program, library):
    """one_malloc.c reads its own size with plain system calls, right after its only malloc."""
    lines = [
        [int(field) for field in support.run_line([program], library)]
        for _ in range(ONE_MALLOC_RUNS)
    ]
    resident, dirty, virtual, _ = (round(statistics.median(column)) for column in zip(*lines))
    return Reading(resident, dirty, virtual, 0)


class Measurements:
    """Runs every run of the wanted rows, several at a time: nearly all of their time is sleep."""

    def __init__(self, programs, allocators, rows, options):
        self.allocators = allocators
        self.rows = rows
        self.rounds = options.rounds
        self.jobs = options.jobs
        self.runs = {
            name: run
            for name, run in runs_by_name(options.largest_object).items()
            if any(name in row.runs for row in rows)
        }
        self.idle_program = programs.build("memory_rows")
        self.one_malloc_program = programs.build("one_malloc")

    def measure(self, run_name, allocator):
        """A Reading, or the reason why there is none."""
        library = self.allocators[allocator]
        try:
            if run_name == "one-malloc":
                return measure_one_malloc(self.one_malloc_program, library)
            return measure_idle(self.idle_program, self.runs[run_name], library)
        except (support.BenchError, OSError) as error:
            return str(error)

    def all_readings(self):
        """(turn, run, allocator) → Reading or reason.  The longest idle times begin first."""
        by_length = sorted(self.runs, key=lambda name: -self.runs[name].idle_seconds)
        keys = [
            (turn, name, allocator)
            for turn in range(self.rounds)
            for name in by_length
            for allocator in support.rotated(self.allocators, turn)
        ]
        with concurrent.futures.ThreadPoolExecutor(max_workers=self.jobs) as pool:
            return dict(zip(keys, pool.map(lambda key: self.measure(*key[1:]), keys)))

    def values(self):
        """(row name, allocator) → a value for each round; failed runs are named on stderr."""
        readings = self.all_readings()
        for reason in sorted({r for r in readings.values() if isinstance(r, str)}):
            print(f"memory: {reason}", file=sys.stderr)
        values = {(row.name, name): [] for row in self.rows for name in self.allocators}
        for row in self.rows:
            for turn in range(self.rounds):
                for name in self.allocators:
                    found = [readings[turn, run, name] for run in row.runs]
                    if not any(isinstance(reading, str) for reading in found):
                        values[row.name, name].append(row.value(*found))
        return values


def shown_figure(value):
    if value is None:
        return "failed"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def limits(row, medians):
    """What xalloc must reach and what it aims at, on this machine."""
    floor = 0
    if row.above_glibc:
        floor = medians.get((row.name, "glibc")) or 0
    return floor + row.must, floor + row.goal


def verdict(row, medians):
    value = medians[row.name, "xalloc"]
    must, goal = limits(row, medians)
    if value is None or value > must:
        return "MISS"
    return "goal" if value <= goal else "ok"


def judged_rows(rows, allocators):
    """Those that can be judged: one that is meant above glibc's needs glibc."""
    if "xalloc" not in allocators:
        return []
    return [row for row in rows if "glibc" in allocators or not row.above_glibc]


def print_medians(medians, allocators, rows):
    judged = judged_rows(rows, allocators)
    lines = []
    for row in rows:
        must, goal = limits(row, medians)
        lines.append([
            row.title, row.unit, *(shown_figure(medians[row.name, name]) for name in allocators),
            *((f"{must:,.0f}", f"{goal:,.0f}", verdict(row, medians)) if row in judged
              else ("", "", "")),
        ])
    support.print_table(["row", "unit", *allocators, "must", "goal", "verdict"], lines, 2)


def write_values(values, medians, allocators, rows, path):
    support.write_tsv(
        path,
        ("row", "unit", "allocator", "median", "least", "most", "rounds", "must", "goal"),
        (
            (row.name, row.unit, name, f"{medians[row.name, name]:.2f}", f"{min(found):.2f}",
             f"{max(found):.2f}", len(found), *limits(row, medians))
            for row in rows
            for name in allocators
            if (found := values[row.name, name])
        ),
    )


def missed_rows(medians, rows):
    for row in rows:
        if verdict(row, medians) == "MISS":
            yield (f"{row.title}: {shown_figure(medians[row.name, 'xalloc'])} {row.unit}, must be "
                   f"at most {limits(row, medians)[0]:,.0f}")


def run_table(options, allocators, rows):
    """Measure, print and write the table; returns what xalloc misses, a sentence each."""
    with support.Programs() as programs:
        values = Measurements(programs, allocators, rows, options).values()
    medians = {key: statistics.median(found) if found else None for key, found in values.items()}
    print_medians(medians, allocators, rows)
    write_values(values, medians, allocators, rows, os.path.join(options.output, "table.tsv"))
    return list(missed_rows(medians, judged_rows(rows, allocators)))
