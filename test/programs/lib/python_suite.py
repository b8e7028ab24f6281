"""python_suite.py - one share of a module of Python's own test suite, results one a line.

    python_suite.py MODULE SHARE SHARES

Runs the test classes of MODULE whose position, modulo SHARES, is SHARE; most of these tests
wait for something, so several shares at once end sooner.  Prints `NAME ok`, `NAME skipped` or
`NAME failed` for each test, sorted; times and messages of the tests go to standard error.
Status 1 if a test failed or there was none.
"""

import importlib
import os
import sys
import traceback
import unittest


class Results(unittest.TestResult):
    """Keeps the outcome of each test, the worst one if there are several."""

    RANK = {"ok": 0, "skipped": 1, "failed": 2}

    def __init__(self):
        super().__init__()
        self.outcomes = {}

    def record(self, name, outcome):
        known = self.outcomes.get(name, "ok")
        self.outcomes[name] = max(known, outcome, key=self.RANK.get)

    def record_failure(self, test, error):
        self.record(test.id(), "failed")
        sys.stderr.write("failed: %s\n%s\n" % (
            test.id(), "".join(traceback.format_exception(*error))))

    def addSuccess(self, test):
        self.record(test.id(), "ok")

    def addSkip(self, test, reason):
        self.record(test.id(), "skipped")

    def addExpectedFailure(self, test, error):
        self.record(test.id(), "ok")

    def addUnexpectedSuccess(self, test):
        self.record(test.id(), "failed")

    def addError(self, test, error):
        self.record_failure(test, error)

    def addFailure(self, test, error):
        self.record_failure(test, error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.record_failure(test, error)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main():
    module_name, share, shares = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # Tests print progress on standard output; what is compared goes to a copy of it.
    results_fd = os.dup(1)
    os.dup2(2, 1)
    module = importlib.import_module(module_name)
    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    classes = sorted({type(test).__qualname__ for test in tests})
    chosen = set(classes[share::shares])
    results = Results()
    unittest.TestSuite(
        test for test in tests if type(test).__qualname__ in chosen).run(results)
    lines = ["%s %s\n" % item for item in sorted(results.outcomes.items())]
    os.write(results_fd, "".join(lines).encode())
    failed = sorted(name for name, what in results.outcomes.items() if what == "failed")
    # Last, so that the end of a log names them.
    sys.stderr.write("failed tests: %s\n" % (", ".join(failed) or "none"))
    return 1 if failed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
