"""What suite, curve, footprint, instructions and memory share.

Finding the allocators, compiling the C and C++ programs beside this file and in workloads/, running
a program with a preload, printing tables and drawing.  Python's standard library only.
"""

import glob
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WORKLOADS = os.path.join(HERE, "workloads")
SOURCE_TOP = os.path.dirname(os.path.dirname(HERE))
LIBRARY = "libxalloc.so"

# Name, file patterns in order of preference, and the Debian package to ask for.
PEERS = (
    ("jemalloc", ("libjemalloc.so.2",), "libjemalloc2"),
    ("mimalloc", ("libmimalloc.so.2*",), "libmimalloc2.0"),
    ("tcmalloc", ("libtcmalloc_minimal.so.4*",), "libtcmalloc-minimal4"),
)
LIBRARY_DIRECTORIES = ("/usr/lib/*-linux-gnu*", "/usr/lib64", "/usr/lib", "/usr/local/lib")


class BenchError(Exception):
    """Something the user has to put right; the text says what."""


def fail(program, error):
    print(f"{program}: {error}", file=sys.stderr)
    return 2


def find_built_library():
    """The library of the build tree: $XALLOC_BUILD, the current directory, the source tree."""
    tried = []
    for directory in (os.environ.get("XALLOC_BUILD"), os.getcwd(), SOURCE_TOP):
        if not directory:
            continue
        for part in (".libs", "src/.libs", "."):
            path = os.path.join(directory, part, LIBRARY)
            if os.path.exists(path):
                return os.path.realpath(path)
            tried.append(path)
    raise BenchError(
        f"no {LIBRARY} found. Build first, run this from the build directory or set "
        "XALLOC_BUILD to it, or name a file: xalloc=PATH"
    )


def find_peer(patterns):
    for pattern in patterns:
        for directory in LIBRARY_DIRECTORIES:
            found = sorted(glob.glob(os.path.join(directory, pattern)))
            if found:
                return found[0]
    return None


def parse_allocators(arguments, only=None):
    """Name → path (None for the C library) in table order, from NAME=PATH arguments.

    Without `only` the list is xalloc, glibc and the peers that are installed; missing ones are
    named on stderr.  `only` is a list of names to keep, in that order.
    """
    given = {}
    for argument in arguments:
        name, separator, path = argument.partition("=")
        if not separator or not name or not os.path.exists(path):
            raise BenchError(f'"{argument}" is not NAME=PATH of a library that exists')
        given[name] = os.path.realpath(path)

    def wanted(name):
        return only is None or name in only

    allocators = {}
    if wanted("xalloc"):
        allocators["xalloc"] = given.pop("xalloc", None) or find_built_library()
    if wanted("glibc"):
        allocators["glibc"] = None
    for name, patterns, package in PEERS:
        if name in given or not wanted(name):
            continue
        path = find_peer(patterns)
        if path is None:
            print(f"{name} is left out: not installed (package {package})", file=sys.stderr)
        else:
            allocators[name] = path
    allocators.update(given)
    if only is None:
        return allocators
    unknown = [name for name in only if name not in allocators]
    if unknown:
        raise BenchError(f"no allocator called {', '.join(unknown)}; give it as NAME=PATH")
    return {name: allocators[name] for name in only}


class Programs:
    """Compiled programs, in a directory that goes away again."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="xalloc-bench-")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.directory, ignore_errors=True)

    def build(self, name):
        """Compile NAME.c beside this file."""
        return self._compile([os.path.join(HERE, name + ".c")], name)

    def build_workload(self, name):
        """Compile a program of workloads/ together with what they share."""
        common = os.path.join(self.directory, "workload.o")
        if not os.path.exists(common):
            self._compile(["-c", os.path.join(WORKLOADS, "workload.c")], "workload.o")
        source = os.path.join(WORKLOADS, name + ".c")
        if not os.path.exists(source):
            source = os.path.join(WORKLOADS, name + ".cc")
        return self._compile([source, common], name)

    def _compile(self, arguments, name):
        """Without built-ins, or the compiler drops pairs of malloc and free."""
        if arguments[0].endswith(".cc"):
            compiler = os.environ.get("CXX", "c++").split() + ["-std=c++17"]
        else:
            compiler = os.environ.get("CC", "cc").split() + ["-std=gnu11"]
        output = os.path.join(self.directory, name)
        libraries = [] if "-c" in arguments else ["-pthread", "-ldl", "-lm"]
        command = [*compiler, "-O2", "-fno-builtin", *arguments, "-o", output, *libraries]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise BenchError(f"{compiler[0]} is missing") from error
        if result.returncode != 0:
            raise BenchError(f"cannot compile {name}:\n{result.stderr}")
        return output


def environment_for(library):
    """The environment with exactly this preload, and no options meant for an allocator."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if key != "LD_PRELOAD" and not key.startswith(("MALLOC_", "MIMALLOC_", "TCMALLOC_"))
    }
    if library is not None:
        environment["LD_PRELOAD"] = library
    return environment


def run_line(command, library, limit_seconds=None):
    """Run a program that prints one TSV line whose last field is the file of its malloc."""
    shown = " ".join(command)
    try:
        result = subprocess.run(
            command, env=environment_for(library), capture_output=True, text=True, check=False,
            timeout=limit_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{shown} with {library or 'the C library'} took too long") from error
    if result.returncode != 0:
        raise BenchError(
            f"{shown} with {library or 'the C library'} ended with {result.returncode}: "
            f"{result.stderr.strip()}"
        )
    fields = result.stdout.rstrip("\n").split("\t")
    check_preload(fields[-1], library, shown)
    return fields[:-1]


def check_preload(file_of_malloc, library, shown):
    """A preload that fails is silently ignored by the loader; then every figure is glibc's."""
    if library is not None and os.path.realpath(file_of_malloc) != os.path.realpath(library):
        raise BenchError(f"{shown}: {library} was not used; malloc came from {file_of_malloc}")


def rotated(items, turn):
    """The items, beginning elsewhere in every round: nobody always runs first."""
    items = list(items)
    start = turn % len(items)
    return items[start:] + items[:start]


def quartiles(values):
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def geometric_mean(values):
    """None of nothing."""
    values = list(values)
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else None


def print_table(headings, rows, left_columns=1):
    """Columns as wide as they need to be; the first ones flush left, the rest flush right."""
    lines = [list(headings)] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(widths[i]) if i < left_columns else cell.rjust(widths[i])
            for i, cell in enumerate(line)
        ]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def write_tsv(path, headings, rows):
    with open(path, "w", encoding="utf-8") as file:
        for line in [headings, *rows]:
            file.write("\t".join(str(cell) for cell in line) + "\n")


def draw(program, script, arguments, picture_path):
    """A picture by a script that needs matplotlib; the system's Python may have it if ours has not.

    True if it was drawn; otherwise a line says how to have it drawn later.
    """
    command = [os.path.join(HERE, script), *arguments, picture_path]
    for python in (sys.executable, "/usr/bin/python3"):
        probe = subprocess.run([python, "-c", "import matplotlib"], capture_output=True,
                               check=False)
        if probe.returncode == 0:
            return subprocess.run([python, *command], check=False).returncode == 0
    print(f"{program}: nothing is drawn: no matplotlib (package python3-matplotlib); later: "
          f"test/bench/{script} {' '.join([*arguments, picture_path])}", file=sys.stderr)
    return False
