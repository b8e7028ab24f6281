"""statistics.py - are the statistics that processes left at exit sane?

    statistics.py [--live some|none] FOLDER

FOLDER holds one file a process, written because XALLOC_CONF has stats_print and stats_file.
This is the only place of the program tests that knows what the text looks like:

    a first line that begins with HEADER,
    one line for each of the TOTALS, its name first and its bytes next,
    a line that begins with LAST_SECTION, without which the text was cut,
    no other line beginning with `xalloc: `, which would be an error report.

A file holds more than one report if a process number was used twice.  Each report must have all
totals, and they must agree: live objects lie in active pages, and what is mapped is the sum of
its parts.  With `--live some` (the default) at least one process must have had live objects.
Prints what is wrong, one line each; status 1 if anything is, or if no process left a report.
"""

import argparse
import pathlib
import re
import sys

HEADER = "xalloc: statistics"
LAST_SECTION = "Options that are not at their defaults"
TOTALS = ("allocated", "active", "metadata", "resident", "mapped", "retained", "dirty", "muzzy")
TOTAL_LINE = re.compile(r"\s+(%s)\s+(\S+)" % "|".join(TOTALS))


def split_reports(text):
    """The reports, each a list of lines; what comes before the first header is a report too."""
    reports = []
    for line in text.splitlines():
        if line.startswith(HEADER) or not reports:
            reports.append([])
        reports[-1].append(line)
    return reports


def read_totals(lines):
    """Bytes by the name of the total; the first line of a name counts, ValueError if no number."""
    totals = {}
    for line in lines:
        found = TOTAL_LINE.match(line)
        if found:
            totals.setdefault(found[1], int(found[2]))
    return totals


def check_totals(totals):
    missing = [name for name in TOTALS if name not in totals]
    if missing:
        return ["no total for " + ", ".join(missing)]
    wrong = []
    if totals["allocated"] > totals["active"]:
        wrong.append("allocated %(allocated)d is above active %(active)d" % totals)
    parts = sum(totals[name] for name in ("active", "dirty", "muzzy", "retained", "metadata"))
    if parts != totals["mapped"]:
        wrong.append("active + dirty + muzzy + retained + metadata is %d, mapped is %d" % (
            parts, totals["mapped"]))
    # A program that never asked for memory has touched nothing of what is mapped.
    if totals["resident"] > totals["mapped"] or totals["resident"] == 0 < totals["allocated"]:
        wrong.append("resident %(resident)d does not go with mapped %(mapped)d" % totals)
    return wrong


def check_report(lines):
    """What is wrong with one report, a list, and the bytes that were live."""
    wrong = []
    if not lines[0].startswith(HEADER):
        wrong.append("does not begin with `%s`: %s" % (HEADER, lines[0][:80]))
    wrong += ["error report: " + line for line in lines[1:] if line.startswith("xalloc: ")]
    if not any(line.startswith(LAST_SECTION) for line in lines):
        wrong.append("ends early, after: " + lines[-1][:80])
    try:
        totals = read_totals(lines)
    except ValueError as error:
        return wrong + ["a total is not a number: %s" % error], 0
    return wrong + check_totals(totals), totals.get("allocated", 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--live", choices=("some", "none"), default="some")
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    sane, report_count, live_max = True, 0, 0
    for file in sorted(arguments.folder.iterdir()):
        reports = split_reports(file.read_text(errors="replace"))
        if not reports:
            sane = False
            print("%s: the file is empty" % file.name)
        for lines in reports:
            wrong, live = check_report(lines)
            report_count += 1
            live_max = max(live_max, live)
            for what in wrong:
                sane = False
                print("%s: %s" % (file.name, what))
    if report_count == 0:
        sane = False
        print("no process left any")
    elif arguments.live == "some" and live_max == 0:
        sane = False
        print("no process of %d had live objects at exit" % report_count)
    return sane


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
