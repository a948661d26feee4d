"""What the benchmarks share: child processes, interleaving, medians of ratios, tables.

Each measurement runs in a process of its own, ``python measuring.py module:function '{"argument": ...}'``,
which prints its result as JSON. Nothing but the standard library is imported here before that, so that time
and memory of an import belong to the side that needs it.
"""

import argparse
import functools
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
BUSY_LOAD = 0.5

# Child processes


def run_child(target, *, threads=None, timeout=1800, **arguments):
    """Call a function in a fresh Python process and return its result.

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
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{target} failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


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


def interleaved(sides, n_rounds, label):
    """Let all sides measure in turn, in reverse order every other round.

    Parameters
    ----------
    sides : dict of str to callable
        Name of each side, and the function that measures it once.
    n_rounds : int
    label : str
        What is measured, for the progress on standard error.

    Returns
    -------
    results : dict of str to list
        What each side returned, round by round.
    """
    results = {name: [] for name in sides}
    for number in range(n_rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            print(f"{label}, round {number + 1} of {n_rounds}: {name}", file=sys.stderr, flush=True)
            results[name].append(sides[name]())
    return results


def ratios(numerators, denominators):
    """Return the ratio of each pair: its median, the smallest and the largest."""
    pairs = [over / under for over, under in zip(numerators, denominators, strict=True)]
    return statistics.median(pairs), min(pairs), max(pairs)


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
    parser.add_argument("--threads", type=int, default=cores, help="number of threads of both sides")
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


@functools.cache
def describe_machine():
    """Return the versions that the figures depend on, and how busy the machine was when first asked."""
    versions = []
    for package in ("numpy", "scikit-learn", "torch", "skorch"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    load = f", load average {os.getloadavg()[0]:.2g} before" if hasattr(os, "getloadavg") else ""
    python = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{python}, {', '.join(versions)}{load}"


def warn_if_busy():
    """Say on standard error that other work on the machine makes the figures worthless.

    OpenMP, which PyTorch uses, suffers more from a core that others use than skcnn does.
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY_LOAD:
        print(f"the machine is busy ({describe_machine()}): the figures mean little", file=sys.stderr)


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
