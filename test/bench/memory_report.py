"""What comes out of the long-run scenarios: a table of ratios, files, a picture, a verdict."""

import os

import bench_support as support
from memory_scenarios import Result, run_scenarios


class Comparison:
    """Ratios between allocators, scenario by scenario."""

    def __init__(self, results, scenarios, allocators):
        self.results = results
        self.scenarios = scenarios
        self.allocators = allocators

    def result(self, scenario, name):
        return self.results.get((scenario.name, name))

    def smallest_peer(self, scenario):
        """Of all but xalloc, by mean resident size."""
        peers = [(result.mean_kib(), name) for name in self.allocators
                 if name != "xalloc" and (result := self.result(scenario, name))]
        return min(peers)[1] if peers else None

    def ratio(self, scenario, name, base, figure):
        """figure(result of name) ÷ figure(result of base), or None."""
        own, other = self.result(scenario, name), self.result(scenario, base)
        return figure(own) / figure(other) if own and other else None

    def mean_ratios(self, name, base, figure):
        found = (self.ratio(scenario, name, base, figure) for scenario in self.scenarios)
        return support.geometric_mean(ratio for ratio in found if ratio is not None)


def mib(kib):
    return f"{kib / 1024:,.1f}"


def ratio_text(ratio):
    return "" if ratio is None else f"{ratio:.2f}"


HEADINGS = ("scenario", "allocator", "peak MiB", "mean", "final", "virtual", "mean / smallest peer",
            "/ jemalloc", "growth", "op/s", "op/CPU s", "/ jemalloc")


def table_lines(comparison):
    for scenario in comparison.scenarios:
        smallest = comparison.smallest_peer(scenario)
        for name in comparison.allocators:
            result = comparison.result(scenario, name)
            if result is None:
                yield (scenario.name, name, "failed", *[""] * (len(HEADINGS) - 3))
                continue
            yield (
                scenario.name, name, mib(result.peak_kib()), mib(result.mean_kib()),
                mib(result.final_kib()), mib(result.peak_virtual_kib()),
                ratio_text(comparison.ratio(scenario, name, smallest, Result.mean_kib)),
                ratio_text(comparison.ratio(scenario, name, "jemalloc", Result.mean_kib)),
                f"{result.growth():.2f}", f"{result.operations_a_second():,.0f}",
                f"{result.operations_a_cpu_second():,.0f}",
                ratio_text(comparison.ratio(scenario, name, "jemalloc",
                                            Result.operations_a_cpu_second)),
            )
    for name in comparison.allocators:
        yield (
            "geometric mean", name, "", "", "", "", "",
            ratio_text(comparison.mean_ratios(name, "jemalloc", Result.mean_kib)), "", "", "",
            ratio_text(comparison.mean_ratios(name, "jemalloc", Result.operations_a_cpu_second)),
        )


def missed_by_xalloc(comparison, options):
    """What part 2's promises about the long run come to; a sentence for each that is not kept."""
    for scenario in comparison.scenarios:
        smallest = comparison.smallest_peer(scenario)
        if comparison.result(scenario, "xalloc") is None:
            yield f"{scenario.name}: xalloc failed"
            continue
        ratio = comparison.ratio(scenario, "xalloc", smallest, Result.mean_kib)
        if ratio is not None and ratio > 1:
            yield f"{scenario.name}: mean size is {ratio:.3f} of {smallest}'s, must be at most 1"
        ratio = comparison.ratio(scenario, "xalloc", "jemalloc", Result.operations_a_cpu_second)
        if ratio is not None and ratio < 1 - options.throughput_slack:
            yield (f"{scenario.name}: throughput is {ratio:.3f} of jemalloc's, must be at least "
                   f"{1 - options.throughput_slack:.3f}")
    ratio = comparison.mean_ratios("xalloc", "jemalloc", Result.mean_kib)
    if ratio is not None and ratio > options.max_mean_ratio:
        yield (f"geometric mean of the mean sizes is {ratio:.3f} of jemalloc's, must be at most "
               f"{options.max_mean_ratio:.2f}")


def write_results(comparison, options):
    support.write_tsv(
        os.path.join(options.output, "scenarios.tsv"),
        ("scenario", "allocator", "peak_kib", "mean_kib", "final_kib", "peak_virtual_kib", "growth",
         "operations", "busy_seconds", "cpu_seconds"),
        ((scenario, name, result.peak_kib(), f"{result.mean_kib():.0f}", result.final_kib(),
          result.peak_virtual_kib(), f"{result.growth():.3f}", result.operations,
          f"{result.busy_seconds:.3f}", f"{result.cpu_seconds:.3f}")
         for (scenario, name), result in comparison.results.items()),
    )
    samples_path = os.path.join(options.output, "samples.tsv")
    support.write_tsv(
        samples_path, ("title", "allocator", "seconds", "resident_kib", "virtual_kib"),
        ((scenario.title, name, f"{seconds:.2f}", resident, virtual)
         for scenario in comparison.scenarios
         for name in comparison.allocators
         if (result := comparison.result(scenario, name))
         for seconds, resident, virtual in result.samples),
    )
    return samples_path


def run_long(options, allocators, classes):
    """Run, print, write and draw; returns what xalloc misses, a sentence each."""
    results, tried = run_scenarios(options, allocators, classes)
    if not results:
        return [f"{scenario.name}: failed" for scenario in tried]
    comparison = Comparison(results, tried, allocators)
    support.print_table(HEADINGS, list(table_lines(comparison)), 2)
    picture_path = os.path.join(options.output, "memory.svg")
    if support.draw("memory", "memory_plot", [write_results(comparison, options)], picture_path):
        print(f"resident size over time: {picture_path}")
    return list(missed_by_xalloc(comparison, options)) if "xalloc" in allocators else []
