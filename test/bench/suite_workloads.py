"""The workloads of the suite that are programs of workloads/, and what a run of one comes to."""

import dataclasses
import os

import bench_support as support

PROCESSORS = os.cpu_count() or 2
LIMIT_SECONDS = 120
# What is left of the work in the quick suite.
QUICK_PERCENT = 30


@dataclasses.dataclass
class Sample:
    """One run of a workload.  The fields are also the columns of runs.tsv."""

    ns: float  # an operation; of whole programs, the whole
    cpu_ns: float  # of all threads or processes
    faults: int  # minor page faults
    peak_kib: int


@dataclasses.dataclass(frozen=True)
class Workload:
    """A case of a program of workloads/, with its parameter."""

    name: str
    title: str
    program: str
    case: str
    parameter: int
    is_quick: bool = True

    def missing(self):
        """Why it cannot be run, or None."""
        return None

    def prepare(self, programs, is_quick):
        """Something to be called with the library to preload, which returns a sample."""
        path = programs.build_workload(self.program)
        percent = QUICK_PERCENT if is_quick else 100
        command = [path, self.case, str(self.parameter), str(percent)]

        def run(library):
            ns, cpu_ns, faults, peak_kib = support.run_line(command, library, LIMIT_SECONDS)
            return Sample(float(ns), float(cpu_ns), int(faults), int(peak_kib))

        return run


def pairs():
    """Sizes on both sides of where allocators change their ways."""
    for name, size, case, is_quick in (
        ("16", 16, "head", True),
        ("64", 64, "head", True),
        ("1k", 1024, "head", True),
        ("8k", 8192, "head", True),
        ("24k", 24576, "head", True),
        ("64k", 65536, "touched", True),
        ("1.4m", 1468006, "touched", True),
        ("7m", 7340032, "touched", False),
        ("32m", 33554432, "touched", False),
    ):
        written = "a word of each page" if case == "touched" else "16 bytes"
        yield Workload(f"pair-{name}", f"malloc, {written} written, free", "pair", case, size,
                       is_quick)


def handovers():
    for case, pair_count, is_quick in (
        ("small", 1, True), ("large", 1, True), ("mixed", 1, True), ("mixed", 2, False),
        ("mixed", 4, True), ("mixed", 8, False), ("small", 4, False), ("small", 8, False),
    ):
        bytes_text = {"small": "64 B", "large": "4 KiB", "mixed": "64 B to 4 KiB"}[case]
        yield Workload(f"handover-{case}-{pair_count}",
                       f"{pair_count} producers, {pair_count} consumers, {bytes_text}", "handover",
                       case, pair_count, is_quick)


WORKLOADS = (
    *pairs(),
    Workload("batch-fifo", "1,000 objects, freed in order", "batch", "fifo", 1000),
    Workload("batch-lifo", "1,000 objects, freed in reverse", "batch", "lifo", 1000),
    Workload("batch-100k", "100,000 objects, freed in order", "batch", "fifo", 100000),
    Workload("churn-50m", "50 MB live, replaced at random", "churn", "random", 50),
    Workload("churn-1g", "1 GB live, replaced at random", "churn", "random", 1000, False),
    Workload("bleeding", "100 threads pass objects on and die", "bleeding", "server", 100),
    *handovers(),
    Workload("pareto-1", "sizes of a Pareto distribution, 1 thread", "pareto", "mix", 1),
    Workload("pareto-n", "the same, a thread for each processor, at least 2", "pareto", "mix",
             max(min(PROCESSORS, 128), 2)),
    Workload("phases", "rise and fall, survivors of gone threads", "phases", "generations", 4),
    Workload("sharing-active", "false sharing: own objects", "sharing", "active",
             max(min(PROCESSORS, 16), 2)),
    Workload("sharing-passive", "false sharing: objects given away", "sharing", "passive",
             max(min(PROCESSORS, 16), 2)),
    Workload("structure-build", "list of 300,000 nodes with texts: built", "structure", "build",
             300),
    Workload("structure-walk", "the same: walked", "structure", "walk", 300),
    Workload("structure-aged", "the same: walked, built in a heap of holes", "structure", "aged",
             300),
    Workload("grow-vector", "one vector doubled to 4 KiB", "grow", "vector", 4096),
    Workload("grow-vectors", "1,000 vectors doubled in turns to 16 KiB", "grow", "vectors", 1000),
    Workload("grow-buffer", "one buffer by 1.5x to 512 MiB", "grow", "buffer", 512),
    Workload("calloc-fresh", "calloc of memory never used", "zeroed", "fresh", 50),
    Workload("calloc-recycled", "calloc of memory used before", "zeroed", "recycled", 1000),
    Workload("aligned-lines", "aligned to 16 to 128", "aligned", "lines", 10000),
    Workload("aligned-pages", "aligned to pages", "aligned", "pages", 1000),
    Workload("threads-sequence", "threads start and end, one at a time", "threads", "sequence", 50),
    Workload("threads-waves", "threads start and end, 32 at a time", "threads", "waves", 50),
    Workload("fork", "fork with 256 MB and 8 threads", "forking", "heap", 256, False),
    Workload("fork-small", "fork with 4 MB and 8 threads", "forking", "heap", 4),
    Workload("start", "processes start and end", "start", "process", 50),
    Workload("containers", "C++ containers", "containers", "mix", 1),
)
