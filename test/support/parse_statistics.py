#!/usr/bin/env python3
"""Read statistics as strict readers do: parse_statistics.py probe | json FILE... | openmetrics FILE...

For JSON: no key twice in an object, whole numbers from 0 to below 2^63 (options may be negative),
the groups that belong there, and sums that hold in any process.  For OpenMetrics: the parser of
Debian's python3-prometheus-client, and what it does not look at.  The status tells; what is wrong
is said.  `probe` fails if something that this needs is missing.
"""
import json
import sys


def fail(text):
    sys.exit(f"parse_statistics.py: {text}")


def unique(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        fail(f"a key twice: {sorted(key for key in keys if keys.count(key) > 1)}")
    return dict(pairs)


def numbers(node, path=""):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from numbers(value, f"{path}[{index}]")
    elif not isinstance(node, (bool, str)):
        yield path, node


def check_json(text):
    # A file may hold several reports, one after another.
    decoder = json.JSONDecoder(object_pairs_hook=unique)
    end, count = 0, 0
    while end < len(text):
        node, end = decoder.raw_decode(text, end)
        while end < len(text) and text[end].isspace():
            end += 1
        check_tree(node)
        count += 1
    if count == 0:
        fail("no report at all")


def check_tree(tree):
    if list(tree) != ["xalloc", "jemalloc"]:
        fail(f"the groups are {list(tree)}")
    ours, theirs = tree["xalloc"], tree["jemalloc"]
    for path, value in numbers(tree):
        if isinstance(value, float):
            if not path.endswith("_ratio"):
                fail(f"{path} is {value}")
        elif not (0 <= value < 2**63 or ".opt." in path or path.endswith("_decay_ms")):
            fail(f"{path} is {value}")
    if "opt" in theirs and not isinstance(theirs["opt"]["narenas"], int):
        fail("opt.narenas is no number")
    places = {row["place"]: row for row in ours["places"]}
    if len(places) != len(ours["places"]):
        fail("a place twice")
    totals = ours["totals"]
    if "resident" in totals:
        resident = sum(row["resident"] for row in places.values())
        if resident != totals["resident"] + places["library"]["resident"]:
            fail(f"the places have {resident} bytes in memory, and all {totals['resident']}")
    if totals["allocated"] != theirs["stats"]["allocated"]:
        fail("two answers to what is allocated")
    if len(ours["measures"]) > 3:
        fail("too many measures")
    merged = theirs.get("stats.arenas", {}).get("merged", {})
    if "bins" in merged and "arenas" in theirs and len(merged["bins"]) != theirs["arenas"]["nbins"]:
        fail("bins are missing")


def check_openmetrics(text):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(text)}
    if not text.endswith("# EOF\n") or not families:
        fail("no end, or nothing before it")
    for name, family in families.items():
        if not name.startswith("xalloc"):
            fail(f"{name}: not ours")
        if family.unit and not name.endswith("_" + family.unit):
            fail(f"{name}: not in {family.unit}")
        if not family.documentation:
            fail(f"{name}: nobody knows what it is")
        for sample in family.samples:
            if family.type == "counter" and not sample.name.endswith("_total"):
                fail(f"{sample.name}: a counter without _total")
            if sample.value < 0:
                fail(f"{sample.name} is {sample.value}")
    memory = families["xalloc_place_mapped_bytes"].samples
    mapped = families["xalloc_mapped_bytes"].samples[0].value
    library = sum(s.value for s in memory if s.labels["place"] == "library")
    if abs(sum(s.value for s in memory) - library - mapped) > mapped * 0.02:
        fail("the places are not all that is mapped")


def main():
    form, files = sys.argv[1], sys.argv[2:]
    if form == "probe":
        import prometheus_client.openmetrics.parser  # noqa: F401
    for name in files:
        with open(name, encoding="ascii") as file:
            (check_json if form == "json" else check_openmetrics)(file.read())


main()
