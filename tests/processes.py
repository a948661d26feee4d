"""Scripts that run in a process of their own, and the small training that they share with their tests."""

import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
from seeds import generator
from small_classifiers import make_classifier
from threadpoolctl import threadpool_info

from skcnn import BatchNorm, Conv2D, MaxPool2D

X = generator(0).normal(size=(60, 12, 12, 3)).astype(np.float32)
Y = np.arange(60) % 3
TIMEOUT = 120


LAYERS = [Conv2D(16, activation="relu"), BatchNorm(), MaxPool2D(), Conv2D(16)]

make_net = partial(make_classifier, layers=LAYERS, batch_size=20)


def blas_limits():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def run_script(script, *arguments):
    """Run a script in a process of its own, and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=Path(__file__).parent,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def resources():
    """Return threads, open files and resident megabytes of this process."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    megabytes = pages * resource.getpagesize() / 2**20
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), megabytes
