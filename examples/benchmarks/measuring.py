"""What the benchmarks share: child processes, interleaving, medians of ratios, tables.

Each measurement runs in a process of its own, ``python measuring.py module:function '{"argument": ...}'``,
which prints its result as JSON. Nothing but the standard library is imported here before that, so that time
and memory of an import belong to the side that needs it.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

README = Path(__file__).with_name("README.md")
THREAD_VARIABLES = ("SKCNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SGEMM_SIZE = 2048

QUIET = 0.05
"""Load of others, in cores, up to which a machine counts as quiet."""

# What others do on the machine


def busy_seconds():
    """Return for how long the cores have worked since the machine started; None where Linux does not say."""
    try:
        first, *_ = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    user, nice, system, _, _, interrupts, soft_interrupts, *_ = map(int, first.split()[1:])
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


class OtherLoad:
    """Measures in a with statement how many cores others keep busy, children of this process excepted.

    Attributes
    ----------
    cores : float or None
        Set at the end; None where it is unknown.
    """

    def __enter__(self):
        self._start = self._clocks()
        return self

    def __exit__(self, *exception):
        time_passed, busy, own = (
            None if after is None else after - before
            for after, before in zip(self._clocks(), self._start, strict=True)
        )
        self.cores = None if busy is None else max(0.0, (busy - own) / time_passed)

    def _clocks(self):
        """Return the time, what all cores have worked, and what this process and its children have."""
        busy = busy_seconds()
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return time.perf_counter(), busy, None if busy is None else own


def wait_until_quiet(patience):
    """Wait some seconds at most until others leave the machine alone; say on standard error if they do not.

    OpenMP, which PyTorch uses, suffers more from a core that others use than skcnn does.
    """
    deadline = time.perf_counter() + patience
    while patience:
        with OtherLoad() as load:
            time.sleep(1)
        if load.cores is None or load.cores <= QUIET:
            return
        if time.perf_counter() > deadline:
            print(f"others keep {load.cores:.2f} cores busy: the figures mean little", file=sys.stderr)
            return


# Child processes


def run_child(target, *, threads=None, timeout=1800, **arguments):
    """Call a function in a fresh Python process and return its result.

    A record gets the load of others meanwhile as "other_load".

    Parameters
    ----------
    target : str
        "module:function", of a module in this folder.
    threads : int, default=None
        Number of threads of skcnn, the BLAS and OpenMP; None: as the environment has it.
    timeout : float, default=1800
        Seconds after which the process is killed.
    **arguments
        Keyword arguments of the function, such as JSON can hold.

    Raises
    ------
    RuntimeError
        If the process fails; with what it printed.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    command = [sys.executable, __file__, target, json.dumps(arguments)]
    with OtherLoad() as load:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{target} failed:\n{done.stderr.strip()}")
    result = json.loads(done.stdout.splitlines()[-1])
    return result | {"other_load": load.cores} if isinstance(result, dict) else result


def import_torch():
    """Return PyTorch, set to the number of threads that :func:`run_child` was given."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("PyTorch is not installed: pip install skcnn[bench]") from error
    if THREAD_VARIABLES[0] in os.environ:
        torch.set_num_threads(int(os.environ[THREAD_VARIABLES[0]]))
    torch.manual_seed(0)
    return torch


def peak_memory():
    """Return the largest resident memory of this process so far, in MB; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def memory_record(baseline):
    """Return the peak memory of this process, and how much of it came after a baseline, in MB."""
    peak = peak_memory()
    return {"peak": peak, "above_imports": None if peak is None else peak - baseline}


def seconds_per_unit(run, seconds):
    """Return the time of a unit of work, from one call that lasts long enough.

    Parameters
    ----------
    run : callable
        ``run(n)`` does n units of work. ``run(1)`` is called first, to warm up and to choose n.
    seconds : float
        How long the timed call lasts at least.
    """

    def timed(n):
        start = time.perf_counter()
        run(n)
        return time.perf_counter() - start

    n, elapsed = 1, timed(1)
    while True:
        n = max(1, math.ceil(1.2 * n * seconds / elapsed))
        elapsed = timed(n)
        if elapsed >= seconds:
            return elapsed / n


def sgemm_rate(seconds):
    """Return the speed of large float32 matrix products of numpy, in multiply-adds per second."""
    import numpy as np

    left, right = np.random.default_rng(0).standard_normal((2, SGEMM_SIZE, SGEMM_SIZE), np.float32)
    product = np.empty_like(left)

    def run(n):
        for _ in range(n):
            np.matmul(left, right, out=product)

    return SGEMM_SIZE**3 / seconds_per_unit(run, seconds)


def import_seconds(module, before):
    """Return how long the import of a module takes after some others."""
    for name in before:
        importlib.import_module(name)
    start = time.perf_counter()
    importlib.import_module(module)
    return time.perf_counter() - start


# Sides that take turns


def interleaved(sides, arguments, label):
    """Let all sides measure in turn, in reverse order every other round, each on a quiet machine.

    Parameters
    ----------
    sides : dict of str to callable
        Name of each side, and the function that measures it once.
    arguments : Namespace
        With the number of rounds, ``pairs``, and the ``patience``.
    label : str
        What is measured, for the progress on standard error.

    Returns
    -------
    results : dict of str to list
        What each side returned, round by round.
    """
    results = {name: [] for name in sides}
    n_rounds = arguments.pairs
    for number in range(n_rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            print(f"{label}, round {number + 1} of {n_rounds}: {name}", file=sys.stderr, flush=True)
            wait_until_quiet(arguments.patience)
            results[name].append(sides[name]())
    return results


def ratios(numerators, denominators):
    """Return the ratio of each pair: its median, the smallest and the largest."""
    pairs = [over / under for over, under in zip(numerators, denominators, strict=True)]
    return statistics.median(pairs), min(pairs), max(pairs)


def largest_load(*sides):
    """Return the largest load of others in the records of some sides, to show; "-" where it is unknown."""
    loads = [record.get("other_load") for side in sides for record in side or ()]
    return "-" if None in loads or not loads else f"{max(loads):.2f}"


def median_of(results, key):
    """Return the median of an entry of some records; None if they lack it."""
    values = [result[key] for result in results]
    return None if None in values else statistics.median(values)


# Tables


def figure(value):
    """Return a number to three digits, whole from 100 up; "-" for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def memory_figure(results):
    """Return the median peak memory of some records and, in brackets, the part above the imports."""
    peak, above_imports = median_of(results, "peak"), median_of(results, "above_imports")
    return "-" if peak is None else f"{figure(peak)} ({figure(above_imports)})"


def format_table(header, rows):
    """Return an aligned Markdown table of strings, the first column to the left, all others to the right."""
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells):
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(map(line, [header, rule, *rows]))


def replace_block(text, name, content):
    """Return a text with other content between ``<!-- benchmark: name -->`` and ``<!-- end -->``.

    Raises
    ------
    ValueError
        If the text has no such pair of markers.
    """
    begin, end = f"<!-- benchmark: {name} -->", "<!-- end -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"no text between {begin} and {end}")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


# What the scripts have in common


def make_parser(description):
    """Return a parser of the options that all benchmarks have."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="how often each side is measured; medians are reported"
    )
    parser.add_argument("--threads", type=int, default=cores, help="number of threads of all sides")
    parser.add_argument(
        "--patience", type=float, default=600, help="seconds to wait for a quiet machine before each timing"
    )
    parser.add_argument("--skcnn-only", action="store_true", help="leave PyTorch and skorch out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single result to this file")
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=README,
        help="write the tables between the markers in this file, README.md of this folder if none is named",
    )
    return parser


def is_available(arguments, package):
    """Whether a package is to be measured and is installed; says on standard error if it is not."""
    if arguments.skcnn_only:
        return False
    if importlib.util.find_spec(package) is None:
        print(f"{package} is not installed (pip install skcnn[bench]): measured without it", file=sys.stderr)
        return False
    return True


def describe_machine():
    """Return what the figures depend on: versions, and the kernels that the BLAS chooses."""
    import numpy  # noqa: F401, which loads its BLAS
    from threadpoolctl import threadpool_info

    versions = []
    for package in ("numpy", "scikit-learn", "numba", "torch", "skorch"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    blas = {
        f"{library['internal_api']} for {library['architecture']}"
        for library in threadpool_info()
        if library["user_api"] == "blas" and "architecture" in library
    }
    python = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return ", ".join([python, *versions, *sorted(blas)])


def report(arguments, name, tables, results):
    """Print tables, and write them to README.md and the results to a file where that is asked for.

    Parameters
    ----------
    arguments : Namespace
        Of a parser from :func:`make_parser`.
    name : str
        Name of the block in README.md.
    tables : dict of str to (list of str, list of list of str)
        Header and rows of each table, by its caption.
    results : list or dict
        What JSON is to hold.
    """
    parts = [f"{caption}\n\n{format_table(*table)}" for caption, table in tables.items()]
    content = "\n\n".join([*parts, f"Measured with {describe_machine()}."])
    print(content)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "results": results}, indent=1))
    if arguments.readme:
        text = arguments.readme.read_text(encoding="utf-8")
        arguments.readme.write_text(replace_block(text, name, content), encoding="utf-8")


if __name__ == "__main__":
    module, function = sys.argv[1].split(":")
    print(json.dumps(getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))))
