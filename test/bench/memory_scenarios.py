"""The long-run scenarios: real and model programs watched from outside while they work.

The programs are in test/stress/scenarios.  Each stands for 30 minutes in the life of a process,
compressed into some seconds: the work is fixed, and what shrinks are the idle times (for db_bench,
which has none, the number of operations).  Allocators that wait some seconds of real time before
they give memory back gain nothing from that; --minutes 30 runs the scenarios uncompressed.

Resident and virtual size are read from /proc every 50 ms until the program ends.
"""

import dataclasses
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import bench_support as support

SCENARIOS_HERE = os.path.join(support.SOURCE_TOP, "test", "stress", "scenarios")
SAMPLE_SECONDS = 0.05
# For a machine that is busy with other things; a program that hangs is ended.
LIMIT_SECONDS = 300
LIMIT_FACTOR = 6
PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
C_LIBRARY = "/lib/*-linux-gnu*/libc.so.6"


@dataclasses.dataclass
class Result:
    """One scenario with one allocator."""

    samples: list  # (seconds since the start, resident KiB, virtual KiB)
    operations: int
    busy_seconds: float  # what the program says its work took
    cpu_seconds: float  # user and system time of the watched process

    def peak_kib(self):
        return max(resident for _, resident, _ in self.samples)

    def peak_virtual_kib(self):
        return max(virtual for _, _, virtual in self.samples)

    def final_kib(self):
        return self.samples[-1][1]

    def mean_kib(self):
        """Over time: under load the samples are not evenly spaced."""
        area = width = 0.0
        for (before, resident, _), (now, _, _) in zip(self.samples, self.samples[1:]):
            area += resident * (now - before)
            width += now - before
        return area / width if width > 0 else self.final_kib()

    def least_kib(self, start, end):
        length = self.samples[-1][0]
        found = [resident for seconds, resident, _ in self.samples
                 if start * length <= seconds <= end * length]
        return min(found) if found else self.final_kib()

    def growth(self):
        """The least size in the last quarter to that in the second: 1 if the process stays flat."""
        return self.least_kib(0.75, 1.0) / self.least_kib(0.25, 0.5)

    def operations_a_second(self):
        return self.operations / self.busy_seconds

    def operations_a_cpu_second(self):
        return self.operations / self.cpu_seconds


class Watched:
    """A process under an allocator, and the samples of its size."""

    def __init__(self, command, library, folder, limit_seconds):
        self.shown = f"{os.path.basename(command[0])} with {library or 'the C library'}"
        self.library = library
        self.samples = []
        self.usage = None
        self.start = time.monotonic()
        self.limit = self.start + limit_seconds
        self.output_path = os.path.join(folder, "output")
        self.errors_path = os.path.join(folder, "errors")
        with open(self.output_path, "wb") as output, open(self.errors_path, "wb") as errors:
            self.process = subprocess.Popen(
                command, env=support.environment_for(library), cwd=folder,
                stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
            )

    def sample(self):
        try:
            with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
                virtual, resident = file.read().split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            return
        # A process that has ended and is not waited for has no memory.
        if int(resident) > 0:
            self.samples.append((time.monotonic() - self.start, int(resident) * PAGE_KIB,
                                 int(virtual) * PAGE_KIB))

    def has_ended(self):
        if self.usage is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.usage = usage
        return True

    def watch(self, until):
        """Sample until `until()` is true; the program must not take longer than the limit."""
        checked = False
        while not until():
            self.sample()
            if not checked and len(self.samples) * SAMPLE_SECONDS > 0.5:
                self.check_library()
                checked = True
            if time.monotonic() > self.limit:
                raise support.BenchError(f"{self.shown} took too long")
            time.sleep(SAMPLE_SECONDS)
        if not self.samples:
            raise support.BenchError(f"{self.shown} ended at once: {self.errors()}")

    def check_library(self):
        """A preload that fails is silently ignored by the loader."""
        try:
            with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as file:
                mapped = self.library is None or os.path.realpath(self.library) in file.read()
        except (FileNotFoundError, ProcessLookupError):
            return
        if not mapped:
            raise support.BenchError(f"{self.shown}: the library was not preloaded")

    def end(self):
        """End it if it runs, and wait for it; not by Popen, which would wait without wait4."""
        deadline = time.monotonic() + 10
        if not self.has_ended():
            os.kill(self.process.pid, signal.SIGTERM)
        while not self.has_ended():
            if time.monotonic() > deadline:
                os.kill(self.process.pid, signal.SIGKILL)
            time.sleep(SAMPLE_SECONDS)

    def output(self):
        with open(self.output_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return (file.read().strip() or self.output().strip())[-500:]

    def result(self, operations, busy_seconds):
        cpu_seconds = self.usage.ru_utime + self.usage.ru_stime
        return Result(self.samples, operations, max(busy_seconds, 1e-3), max(cpu_seconds, 1e-3))

    def require_success(self):
        if self.process.returncode != 0:
            raise support.BenchError(
                f"{self.shown} ended with {self.process.returncode}: {self.errors()}")


def last_line_figures(text, shown):
    """The two numbers that a scenario prints at the end."""
    lines = text.strip().splitlines()
    fields = lines[-1].split("\t") if lines else []
    if len(fields) != 2:
        raise support.BenchError(f"{shown} did not print its figures")
    return int(fields[0]), float(fields[1])


class Scenario:
    """What is common to all: prepared once, then run with each allocator in a folder of its own."""

    name = ""
    title = ""
    needs = ()  # (program, Debian package)

    def __init__(self, folder, seconds):
        self.folder = folder
        self.seconds = seconds
        self.limit_seconds = LIMIT_SECONDS + LIMIT_FACTOR * seconds

    def missing(self):
        return [package for program, package in self.needs if shutil.which(program) is None]

    def prepare(self):
        pass

    def command(self, folder):
        raise NotImplementedError

    def figures(self, watched):
        return last_line_figures(watched.output(), watched.shown)

    def run(self, library, folder):
        watched = Watched(self.command(folder), library, folder, self.limit_seconds)
        try:
            watched.watch(watched.has_ended)
        finally:
            watched.end()
        watched.require_success()
        return watched.result(*self.figures(watched))

    def run_once(self, command):
        """A step of the preparation, with the C library's allocator."""
        result = subprocess.run(command, cwd=self.folder, env=support.environment_for(None),
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise support.BenchError(f"{' '.join(command)}:\n{result.stderr}")


class CProgram(Scenario):
    def prepare(self):
        compiler = os.environ.get("CC", "cc").split()
        source = os.path.join(SCENARIOS_HERE, self.name.replace("-", "_") + ".c")
        self.run_once([*compiler, "-std=gnu11", "-O2", "-fno-builtin", "-pthread", source, "-o",
                       self.name])

    def command(self, folder):
        return [os.path.join(self.folder, self.name), str(self.seconds)]


class MailServer(CProgram):
    name = "mail-server"
    title = "Mail server: 300 threads, bursts, idle"


class TwoWaves(CProgram):
    name = "two-waves"
    title = "Two waves of 2 M objects, again and again"


class RailsServer(Scenario):
    name = "rails-server"
    title = "Rails-like server: Ruby, 12 threads"
    needs = (("ruby", "ruby"),)

    def command(self, folder):
        return [shutil.which("ruby"), os.path.join(SCENARIOS_HERE, "rails_server.rb"),
                str(self.seconds)]


class DirectBuffers(Scenario):
    name = "direct-buffers"
    title = "Java: direct buffers, short threads"
    needs = (("java", "openjdk-17-jdk-headless"), ("javac", "openjdk-17-jdk-headless"))
    # A small Java heap of fixed size, which is not malloc's; no shared file for performance data.
    options = ("-Xms48m", "-Xmx48m", "-XX:+UseSerialGC", "-XX:-UsePerfData",
               "-XX:MaxDirectMemorySize=2g")

    def prepare(self):
        source = os.path.join(SCENARIOS_HERE, "DirectBuffers.java")
        self.run_once([shutil.which("javac"), "-nowarn", "-d", self.folder, source])

    def command(self, folder):
        return [os.path.realpath(shutil.which("java")), *self.options, "-cp", self.folder,
                "DirectBuffers", str(self.seconds)]


class RocksDb(Scenario):
    name = "rocksdb"
    title = "RocksDB db_bench: churn in a 48 MiB cache"
    needs = (("db_bench", "rocksdb-tools"),)
    options = ("--seed=1", "--num=500000", "--key_size=16",
               "--value_size_distribution_type=uniform", "--value_size_min=20",
               "--value_size_max=800", "--compression_type=lz4", "--block_size=8192",
               "--write_buffer_size=8388608", "--target_file_size_base=8388608",
               "--max_background_jobs=2")
    reads_a_second = 6000  # of each thread in each benchmark: less than a second on two CPUs

    def prepare(self):
        self.run_once([shutil.which("db_bench"), f"--db={os.path.join(self.folder, 'filled')}",
                       *self.options, "--benchmarks=fillrandom,compact"])

    def command(self, folder):
        database = os.path.join(folder, "database")
        shutil.copytree(os.path.join(self.folder, "filled"), database)
        return [shutil.which("db_bench"), f"--db={database}", *self.options,
                "--use_existing_db=1", "--cache_size=50331648", "--threads=8",
                "--readwritepercent=90", f"--reads={int(self.reads_a_second * self.seconds)}",
                "--benchmarks=readrandom,readrandomwriterandom,seekrandom,readrandom"]

    def figures(self, watched):
        """`readrandom : 36.6 micros/op 210539 ops/sec 1.520 seconds 320000 operations; …`"""
        found = re.findall(r"([0-9.]+) seconds ([0-9]+) operations", watched.output())
        if len(found) != 4:
            raise support.BenchError(f"{watched.shown} did not print its figures")
        return sum(int(count) for _, count in found), sum(float(taken) for taken, _ in found)


class RedisRefill(Scenario):
    name = "redis-refill"
    title = "redis: half deleted, refilled, other sizes"
    needs = (("redis-server", "redis-server"),)

    def command(self, folder):
        return [shutil.which("redis-server"), "--port", "0", "--unixsocket", "redis.sock",
                "--dir", ".", "--save", "", "--appendonly", "no", "--daemonize", "no"]

    def run(self, library, folder):
        """The server is watched; a client outside does the work.

        Debian's redis is linked with jemalloc: for the C library's turn that is preloaded too.
        """
        watched = Watched(self.command(folder), library or glob.glob(C_LIBRARY)[0], folder,
                          self.limit_seconds)
        client = None
        socket_path = os.path.join(folder, "redis.sock")
        try:
            watched.watch(lambda: os.path.exists(socket_path) or watched.has_ended())
            with open(os.path.join(folder, "client"), "w+", encoding="utf-8") as output:
                client = subprocess.Popen(
                    [sys.executable, os.path.join(SCENARIOS_HERE, "redis_refill.py"),
                     "redis.sock", str(self.seconds)],
                    cwd=folder, stdin=subprocess.DEVNULL, stdout=output)
                watched.watch(lambda: client.poll() is not None or watched.has_ended())
                output.seek(0)
                text = output.read()
        finally:
            if client is not None and client.poll() is None:
                client.kill()
                client.wait()
            watched.end()
        watched.require_success()
        return watched.result(*last_line_figures(text, watched.shown))


SCENARIOS = (RailsServer, MailServer, TwoWaves, RocksDb, DirectBuffers, RedisRefill)


def run_one(scenario, allocators, results):
    """Fill `results` for a scenario; what fails is named on stderr and left out."""
    try:
        scenario.prepare()
    except support.BenchError as error:
        print(f"memory: {scenario.name} cannot be prepared: {error}", file=sys.stderr)
        return
    for name, library in allocators.items():
        with tempfile.TemporaryDirectory(dir=scenario.folder) as folder:
            print(f"memory: {scenario.name} with {name}", file=sys.stderr)
            try:
                results[scenario.name, name] = scenario.run(library, folder)
            except (support.BenchError, OSError) as error:
                print(f"memory: {scenario.name} with {name}: {error}", file=sys.stderr)


def run_scenarios(options, allocators, classes):
    """(scenario name, allocator) → Result, and the scenarios whose programs are installed."""
    results = {}
    tried = []
    for turn, scenario_class in enumerate(classes):
        with tempfile.TemporaryDirectory(prefix="xalloc-scenario-") as folder:
            scenario = scenario_class(folder, options.seconds)
            missing = scenario.missing()
            if missing:
                print(f"memory: {scenario.name} is left out: not installed (package "
                      f"{', '.join(sorted(set(missing)))})", file=sys.stderr)
                continue
            tried.append(scenario_class)
            order = support.rotated(allocators, turn)
            run_one(scenario, {name: allocators[name] for name in order}, results)
    return results, tried
