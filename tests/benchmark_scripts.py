"""Run the scripts of the benchmarks, and read what they print."""

import functools
import os
import runpy
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "examples" / "benchmarks"
SCRIPTS = ("steps.py", "estimators.py", "scaling.py", "accuracy.py", "reading.py")


@functools.cache
def functions_of(name):
    """Return the names of a module of the benchmarks that imports no other one."""
    return runpy.run_path(str(BENCHMARKS / name))


def run_benchmark(name, *arguments):
    """Run a script in a process of its own and return what it prints."""
    command = [sys.executable, str(BENCHMARKS / name), *map(str, arguments)]
    root = str(BENCHMARKS.parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_tables(printed):
    """Return the rows of each table as dicts by the names in its header."""
    tables, header = [], None
    for line in printed.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = cells
            tables.append([])
        elif not cells[0].startswith("---"):
            tables[-1].append(dict(zip(header, cells, strict=True)))
    return tables


def assert_positive(cell):
    assert float(cell.split()[0]) > 0
