"""The workloads of the suite that are real programs, timed whole.

A program's work is in two sizes, for the suite and for the quick suite.  It is run in a folder of
its own, in memory if there is /dev/shm, so that no disk is timed.  workloads/launch.c measures;
of redis, which is driven by a client, the server's processor time and memory count.
"""

import dataclasses
import glob
import os
import shutil
import subprocess
import tempfile
import time

import bench_support as support
from suite_workloads import Sample

INPUTS = os.path.join(support.WORKLOADS, "inputs")
C_LIBRARY = "/lib/*-linux-gnu*/libc.so.6"
MEMORY_FOLDER = "/dev/shm"
LIMIT_SECONDS = 300
START_SECONDS = 20


def new_folder():
    in_memory = os.path.isdir(MEMORY_FOLDER) and os.access(MEMORY_FOLDER, os.W_OK)
    return tempfile.TemporaryDirectory(prefix="xalloc-bench-",
                                       dir=MEMORY_FOLDER if in_memory else None)


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def require_preload(errors, shown):
    """A preload that fails is only a line of the loader's."""
    if "cannot be preloaded" in errors:
        raise support.BenchError(f"{shown}: {errors.strip().splitlines()[0]}")


def launch(launcher, command, library, folder, variables):
    """Run a program to its end; what it prints is kept in files, and shown if it fails."""
    report_path = os.path.join(folder, "report")
    errors_path = os.path.join(folder, "errors")
    shown = f"{os.path.basename(command[0])} with {library or 'the C library'}"
    environment = {**support.environment_for(None), **variables, "TMPDIR": folder}
    report = os.open(report_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(errors_path, "wb") as errors:
            # By a shell, which puts the report where the launcher expects it.
            subprocess.run(
                ["/bin/sh", "-c", f'exec "$@" 3>&{report}', "sh", launcher, library or "-",
                 *command],
                env=environment, cwd=folder, pass_fds=(report,), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors, timeout=LIMIT_SECONDS, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise support.BenchError(f"{shown}: {error}") from error
    finally:
        os.close(report)
    errors = read_text(errors_path)
    require_preload(errors, shown)
    ns, cpu_ns, faults, peak_kib, status = read_text(report_path).split()
    if status != "0":
        raise support.BenchError(f"{shown} ended with {status}: {errors.strip()[-300:]}")
    return Sample(float(ns), float(cpu_ns), int(faults), int(peak_kib))


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is run to its end.

    `command` has {input} for the folder of the inputs, and {work} for the amount of work, which is
    one of `works`: of the suite, and of the quick suite.
    """

    name: str
    title: str
    command: tuple
    package: str
    works: tuple
    variables: tuple = ()
    is_quick: bool = True

    def missing(self):
        if shutil.which(self.command[0]) is None:
            return f"no {self.command[0]} (package {self.package})"
        return None

    def prepare(self, programs, is_quick):
        launcher = programs.build_workload("launch")
        command = [part.format(input=INPUTS, work=self.works[is_quick]) for part in self.command]
        command[0] = shutil.which(command[0])

        def run(library):
            with new_folder() as folder:
                self.make_input(folder, self.works[is_quick])
                return launch(launcher, command, library, folder, dict(self.variables))

        return run

    def make_input(self, folder, work):
        """Files that the program reads in the folder in which it runs."""


class Sqlite(Program):
    def make_input(self, folder, work):
        with open(os.path.join(folder, "tables.sql"), "w", encoding="utf-8") as file:
            file.write(read_text(os.path.join(INPUTS, "tables.sql")).replace("ROWS", str(work)))


class Z3(Program):
    """A search without an answer: n + 1 pigeons in n holes; and, if n > 8, a number is factored."""

    FACTORS = """
(reset)
(declare-const a (_ BitVec 48))
(declare-const b (_ BitVec 48))
(assert (= (bvmul a b) #x00000b2a1f57))
(assert (bvult #x000000000001 a))
(assert (bvule a b))
(assert (bvult b #x000000100000))
(check-sat)
"""

    def make_input(self, folder, work):
        holes = range(work)
        lines = [f"(declare-const p{pigeon}_{hole} Bool)"
                 for pigeon in range(work + 1) for hole in holes]
        for pigeon in range(work + 1):
            somewhere = " ".join(f"p{pigeon}_{hole}" for hole in holes)
            lines.append(f"(assert (or {somewhere}))")
            lines += [f"(assert (not (and p{pigeon}_{hole} p{other}_{hole})))"
                      for other in range(pigeon) for hole in holes]
        lines.append("(check-sat)")
        if work > 8:
            lines.append(self.FACTORS)
        with open(os.path.join(folder, "problem.smt2"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))


@dataclasses.dataclass(frozen=True)
class Redis:
    """A server under the allocator, and redis-benchmark, with pipelines, outside."""

    name: str
    title: str
    works: tuple
    is_quick: bool = True

    def missing(self):
        for program in ("redis-server", "redis-benchmark", "redis-cli"):
            if shutil.which(program) is None:
                return f"no {program} (package redis-server)"
        return None

    def prepare(self, _programs, is_quick):
        requests = str(self.works[is_quick])

        def run(library):
            with new_folder() as folder:
                # Debian's redis is linked with jemalloc: the C library has to be preloaded too.
                return self.serve(library or glob.glob(C_LIBRARY)[0], folder, requests)

        return run

    def serve(self, library, folder, requests):
        environment = support.environment_for(library)
        errors_path = os.path.join(folder, "errors")
        with open(errors_path, "wb") as errors:
            server = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
                 "--appendonly", "no", "--daemonize", "no"],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=errors)
        try:
            self.wait_for(server, os.path.join(folder, "redis.sock"))
            require_preload(read_text(errors_path), self.name)
            # redis-benchmark draws its keys with a fixed seed.
            self.drive(folder, ["-t", "set,get,lpush,lpop,hset,sadd,zadd,mset", "-n", requests,
                                "-P", "16", "-c", "20", "-r", "20000", "-d", "150"])
            return self.sample(server.pid)
        finally:
            server.terminate()
            server.wait()

    @staticmethod
    def wait_for(server, socket_path):
        deadline = time.monotonic() + START_SECONDS
        while not os.path.exists(socket_path):
            if server.poll() is not None or time.monotonic() > deadline:
                raise support.BenchError("redis-server does not start")
            time.sleep(0.005)

    @staticmethod
    def drive(folder, options):
        try:
            subprocess.run(
                ["redis-benchmark", "-s", "redis.sock", "-q", *options], cwd=folder, check=True,
                env=support.environment_for(None), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LIMIT_SECONDS)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            raise support.BenchError(f"redis-benchmark: {error}") from error

    @staticmethod
    def sample(pid):
        """Processor time: redis-benchmark itself ends only at multiples of 50 ms."""
        status = read_text(f"/proc/{pid}/status")
        # The fields after the name, which may have spaces in it.
        fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        peak_kib = int(status.partition("VmHWM:")[2].split()[0])
        # The clock of another process, as clock_getcpuclockid makes it.
        cpu_ns = time.clock_gettime_ns((~pid << 3) | 2)
        return Sample(float(cpu_ns), float(cpu_ns), int(fields[7]), peak_kib)


PROGRAMS = (
    Redis("redis", "redis-benchmark with pipelines", (200000, 40000)),
    Program("rocksdb", "db_bench fillrandom", (
        "db_bench", "--db=database", "--seed=1", "--num={work}", "--value_size=200",
        "--benchmarks=fillrandom", "--compression_type=none", "--write_buffer_size=8388608",
        "--max_background_jobs=2", "--disable_wal=1"), "rocksdb-tools", (500000, 100000)),
    Z3("z3", "Z3: pigeons, factors", ("z3", "problem.smt2"), "z3", (9, 8)),
    Program("ghostscript", "Ghostscript: pages to pixels", (
        "gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-r72",
        "-dSheets={work}", "-sOutputFile=/dev/null", "{input}/pages.ps"), "ghostscript", (12, 3)),
    Program("g++", "a C++ compile", ("g++", "-std=c++17", "{work}", "-S", "-o", "/dev/null",
                                     "{input}/templates.cc"), "g++", ("-O1", "-fsyntax-only")),
    Program("python", "Python: JSON, dictionaries; small objects by malloc", (
        "/usr/bin/python3", "{input}/objects.py", "{work}"), "python3", (30000, 6000),
        (("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1"))),
    Program("ruby", "Ruby: strings and hashes", ("ruby", "{input}/objects.rb", "{work}"), "ruby",
            (40000, 8000)),
    Sqlite("sqlite", "SQLite: tables in memory", (
        "sqlite3", "-batch", "-bail", ":memory:", ".read tables.sql"), "sqlite3", (100000, 20000)),
    Program("lua", "Lua: tables and strings", ("lua5.4", "{input}/objects.lua", "{work}"),
            "lua5.4", (30000, 6000)),
)
