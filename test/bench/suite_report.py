"""What comes out of the suite: ratios with their spread, tables, files and a verdict."""

import dataclasses
import os
import statistics

import bench_support as support
from suite_workloads import Sample

# What xalloc promises (--check).
TIME_TO_FASTEST_MAX = 0.92
TIME_TO_BEST_MAX = 1.00
WORKLOAD_TIME_MAX = 1.10
PEAK_TO_SMALLEST_MAX = 1.00

FIGURES = [field.name for field in dataclasses.fields(Sample)]


def wall_time(sample):
    return sample.ns


def processor_time(sample):
    return max(sample.cpu_ns, 1e-3)


def peak_of(sample):
    return sample.peak_kib


def time_text(ns):
    for unit, divisor in (("ns", 1), ("µs", 1e3), ("ms", 1e6)):
        if ns < 1000 * divisor:
            return f"{ns / divisor:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def ratio_text(ratio):
    return "" if ratio is None else f"{ratio:.2f}"


class Comparison:
    """The subject, which is xalloc or else the first allocator, against the others.

    `results` has a list of samples for each (workload name, allocator), one a round.  A pair that
    failed is not in it, and then counts nowhere.  `time_of` is the figure of a sample that is
    compared as its time: wall_time or processor_time.
    """

    def __init__(self, results, workloads, allocators, time_of):
        self.results = results
        self.time_of = time_of
        self.workloads = [workload for workload in workloads
                          if any((workload.name, name) in results for name in allocators)]
        self.subject = "xalloc" if "xalloc" in allocators else next(iter(allocators))
        self.peers = [name for name in allocators if name != self.subject]

    def samples(self, workload, name):
        return self.results.get((workload.name, name))

    def median(self, workload, name, figure):
        samples = self.samples(workload, name)
        return statistics.median(map(figure, samples)) if samples else None

    def best_peer(self, workload, figure):
        """Of those with which the workload ran, by the median of the figure."""
        found = [(self.median(workload, name, figure), name) for name in self.peers
                 if self.samples(workload, name)]
        return min(found)[1] if found else None

    def round_ratios(self, workload, base, figure):
        """Subject ÷ base of each round: the two runs share the state of the machine."""
        own, other = self.samples(workload, self.subject), base and self.samples(workload, base)
        if not own or not other:
            return None
        return [figure(a) / figure(b) for a, b in zip(own, other)]

    def ratio(self, workload, base, figure):
        found = self.round_ratios(workload, base, figure)
        return statistics.median(found) if found else None

    def ratios_to(self, base, figure):
        """Workload → ratio to `base`; of each workload to its best peer if that is None."""
        found = {workload: self.ratio(workload, base or self.best_peer(workload, figure), figure)
                 for workload in self.workloads}
        return {workload: ratio for workload, ratio in found.items() if ratio is not None}

    def mean_ratio(self, base, figure):
        return support.geometric_mean(self.ratios_to(base, figure).values())

    def mean_spread(self, base, figure):
        """Quartiles, over the rounds, of the geometric mean over the workloads."""
        rows = [self.round_ratios(workload, base or self.best_peer(workload, figure), figure)
                for workload in self.workloads]
        means = [support.geometric_mean(ratios) for ratios in zip(*(row for row in rows if row))]
        return support.quartiles(means) if means else None


def workload_headings(comparison, base):
    base_headings = (f"/ {base}",) if base else ("best peer", "/ best")
    return ("workload", comparison.subject, *comparison.peers, *base_headings, "quartiles", "MiB",
            "least of peers", "/ least")


def workload_row(comparison, workload, base):
    def times():
        for name in (comparison.subject, *comparison.peers):
            ns = comparison.median(workload, name, comparison.time_of)
            yield "failed" if ns is None else time_text(ns)

    best = base or comparison.best_peer(workload, comparison.time_of)
    ratios = comparison.round_ratios(workload, best, comparison.time_of)
    low, middle, high = support.quartiles(ratios) if ratios else (None, None, None)
    smallest = comparison.best_peer(workload, peak_of)
    peaks = [comparison.median(workload, name, peak_of) if name else None
             for name in (comparison.subject, smallest)]
    own, least = ("" if kib is None else f"{kib / 1024:,.1f}" for kib in peaks)
    return (
        workload.name, *times(), *(() if base else (best or "",)), ratio_text(middle),
        f"{low:.2f}..{high:.2f}" if ratios else "", own,
        f"{smallest} {least}" if smallest else "",
        ratio_text(comparison.ratio(workload, smallest, peak_of)),
    )


MEAN_HEADINGS = ("geometric mean of", "workloads", "time", "quartiles", "peak resident")


def mean_rows(comparison):
    for base in (*comparison.peers, None):
        time_ratios = comparison.ratios_to(base, comparison.time_of)
        if not time_ratios:
            continue
        low, _, high = comparison.mean_spread(base, comparison.time_of)
        yield (f"{comparison.subject} / {base or 'best peer of each'}", len(time_ratios),
               f"{comparison.mean_ratio(base, comparison.time_of):.3f}", f"{low:.3f}..{high:.3f}",
               f"{comparison.mean_ratio(base, peak_of):.3f}")


def print_report(comparison, base):
    if comparison.workloads:
        support.print_table(workload_headings(comparison, base),
                            [workload_row(comparison, workload, base)
                             for workload in comparison.workloads])
    means = list(mean_rows(comparison))
    if means:
        print()
        support.print_table(MEAN_HEADINGS, means)


def write_files(comparison, directory):
    """runs.tsv, every run; summary.tsv, a row for each workload and allocator; returns its path."""
    names = (comparison.subject, *comparison.peers)
    support.write_tsv(
        os.path.join(directory, "runs.tsv"), ("workload", "allocator", "round", *FIGURES),
        ((workload, name, turn, *dataclasses.astuple(sample))
         for (workload, name), samples in comparison.results.items()
         for turn, sample in enumerate(samples, start=1)))
    summary_path = os.path.join(directory, "summary.tsv")
    support.write_tsv(
        summary_path, ("workload", "allocator", "ns", "peak_kib"),
        ((workload.name, name, f"{comparison.median(workload, name, comparison.time_of):.3f}",
          f"{comparison.median(workload, name, peak_of):.0f}")
         for workload in comparison.workloads for name in names
         if comparison.samples(workload, name)))
    return summary_path


def missed_means(comparison):
    means = {name: comparison.mean_ratio(name, comparison.time_of) for name in comparison.peers}
    fastest = max((mean, name) for name, mean in means.items() if mean is not None)
    if fastest[0] > TIME_TO_FASTEST_MAX:
        yield (f"geometric mean of time is {fastest[0]:.3f} of {fastest[1]}'s, the fastest peer; "
               f"must be at most {TIME_TO_FASTEST_MAX:.2f}")
    mean = comparison.mean_ratio(None, comparison.time_of)
    if mean > TIME_TO_BEST_MAX:
        yield (f"geometric mean of time is {mean:.3f} of the best peer of each workload; must be "
               f"at most {TIME_TO_BEST_MAX:.2f}")
    peaks = {name: comparison.mean_ratio(name, peak_of) for name in comparison.peers}
    smallest = max((mean, name) for name, mean in peaks.items() if mean is not None)
    if smallest[0] > PEAK_TO_SMALLEST_MAX:
        yield (f"geometric mean of peak resident size is {smallest[0]:.3f} of {smallest[1]}'s, the "
               f"smallest peer; must be at most {PEAK_TO_SMALLEST_MAX:.2f}")


def missed_workloads(comparison, base, limit):
    for workload in comparison.workloads:
        if not comparison.samples(workload, comparison.subject):
            yield f"{workload.name}: failed with {comparison.subject}"
            continue
        best = base or comparison.best_peer(workload, comparison.time_of)
        ratio = comparison.ratio(workload, best, comparison.time_of)
        if ratio is not None and ratio > limit:
            yield f"{workload.name}: time is {ratio:.2f} of {best}'s; must be at most {limit:.2f}"
