"""Time a sample of fit and predict with growing minibatches, images, filters and threads.

The network is W2, conv 32, pool, conv 64, pool, dense 128, on grey images of 28x28 pixels in minibatches of
128; one of these numbers varies at a time ("filters" are those of the first convolution, the second has
twice as many). Times and sides are those of ``steps.py``, which says how they are measured.

Run it with ``python examples/benchmarks/scaling.py --skcnn-only``; without the option PyTorch is measured,
too.
"""

import argparse

from measuring import figure, is_available, largest_load, make_parser, median_of, ratios, report
from networks import Network, conv, dense, pool
from steps import SIDES, measure, seconds_of

BASE = {"batch_size": 128, "image_size": 28, "filters": 32}
VALUES = {
    "batch_size": [16, 32, 64, 128, 256, 512],
    "image_size": [8, 16, 28, 32, 64],
    "filters": [4, 8, 16, 32, 64],
    "threads": [1, 2, 4, 8],
}
N_PIXELS = 4096 * 28 * 28
COLUMNS = (*SIDES.values(), "ratio", "ratio, Numba")


def make_network(batch_size, image_size, filters):
    """Return the network, with about as many pixels of images whatever their size."""
    n_samples = max(4 * batch_size, min(8192, N_PIXELS // image_size**2))
    layers = [conv(filters), pool(), conv(2 * filters), pool(), dense(128)]
    return Network((image_size, image_size, 1), layers, (batch_size,), n_samples)


def microseconds(result, side):
    """Return the median time of a sample of one side; None where it was not measured."""
    images = result["batch_size"] if result["task"] == "train" else 1
    return None if result[side] is None else 1e6 * median_of(result[side], "seconds") / images


def values_of(name, arguments):
    """Return the values to measure, of threads no more than are allowed."""
    if arguments.values:
        return arguments.values
    return [value for value in VALUES[name] if name != "threads" or value <= arguments.threads]


def measure_point(name, value, arguments, **available):
    """Return a value and the results of training and predicting with it."""
    point = {**BASE, "threads": arguments.threads, name: value}
    options = argparse.Namespace(**{**vars(arguments), "threads": point.pop("threads")})
    network, label = make_network(**point), f"{name} {value}, minibatch"
    return value, [
        measure(task, label, network, point["batch_size"], options, **available)
        for task in ("train", "predict")
    ]


def make_row(value, results):
    """Return a value and, for training and predicting, the times of all sides and their ratios to PyTorch."""
    cells = [str(value)]
    for result in results:
        cells += [figure(microseconds(result, side)) for side in SIDES]
        for side in ("skcnn", "numba"):
            if result["torch"] is None or result[side] is None:
                cells.append("-")
            else:
                cells.append(figure(ratios(seconds_of(result["torch"]), seconds_of(result[side]))[0]))
    return [*cells, largest_load(*(result[side] for result in results for side in SIDES))]


def main():
    """Measure what the options ask for."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--vary", nargs="+", choices=VALUES, default=list(VALUES), help="what to vary")
    parser.add_argument("--values", type=int, nargs="+", help="its values, for a single one (default: some)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each timing lasts at least")
    arguments = parser.parse_args()
    if arguments.values and len(arguments.vary) > 1:
        parser.error("--values is for a single --vary")
    available = {f"with_{package}": is_available(arguments, package) for package in ("numba", "torch")}

    tables, results = {}, []
    for name in arguments.vary:
        measured = [
            measure_point(name, value, arguments, **available) for value in values_of(name, arguments)
        ]
        header = [name, *(f"{part} {column}" for part in ("fit", "predict") for column in COLUMNS)]
        header.append("other load")
        rows = [make_row(value, pair) for value, pair in measured]
        threads = "" if name == "threads" else f" (threads: {arguments.threads})"
        tables[f"Microseconds per image, by {name}{threads}:"] = header, rows
        results += [result for _, pair in measured for result in pair]
    report(arguments, "scaling", tables, results)


if __name__ == "__main__":
    main()
