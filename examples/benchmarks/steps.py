"""Time minibatches of four networks, trained and predicted by skcnn, with numpy and Numba, and by PyTorch.

Training is the whole ``fit`` of a ConvNetClassifier with explicit layers, from the call to its return,
divided by the number of minibatches; PyTorch trains the same network by a plain loop over the same images
in memory. Predicting is the whole ``predict``, divided by the number of images. Both sides have the same
threads, float32, Adam, and standardized images; each side is measured in a process of its own, warmed up
first, and takes turns with the others.

PyTorch is eager, with its fused Adam, in both memory formats, the faster of which counts, and predicts under
``inference_mode`` with the minibatch of the table, while skcnn chooses its own. Ratios are the time of
PyTorch divided by that of skcnn, pair by pair: above 1, skcnn is faster. "of SGEMM" is the share of the
speed of a large float32 matrix product of numpy, measured in between, with the multiply-adds of direct
convolution: forward, and three times forward in training. Memory is the peak of the process, in brackets
the part that came after the imports, images included.

Run it with ``python examples/benchmarks/steps.py``; it takes about half an hour.
"""

from dataclasses import asdict

from measuring import (
    figure,
    import_torch,
    interleaved,
    is_available,
    largest_load,
    make_parser,
    median_of,
    memory_figure,
    memory_record,
    peak_memory,
    ratios,
    report,
    run_child,
    seconds_per_unit,
)
from networks import N_CLASSES, NETWORKS, Network, multiply_adds, skcnn_classifier, torch_module

MEMORY_FORMATS = {"contiguous": False, "channels_last": True}
LARGE_BATCH_SIZE = 1024  # PyTorch predicts with this one, too

# What runs in child processes


def make_images(network, batch_size):
    """Return whole minibatches of random images, of zero mean and unit deviation, and their labels."""
    import numpy as np

    n_samples = max(1, network.n_samples // batch_size) * batch_size
    images = np.random.default_rng(0).standard_normal((n_samples, *network.image_shape), np.float32)
    return images, np.arange(n_samples) % N_CLASSES


def train_skcnn(network, batch_size, seconds, backend):
    """Return the seconds of a minibatch in ``fit``, the number of weights, and the memory."""
    network = Network(**network)
    clf = skcnn_classifier(network, 1, batch_size, backend)
    baseline = peak_memory()
    X, y = make_images(network, batch_size)

    def run(n_epochs):
        clf.set_params(max_iter=n_epochs, n_iter_no_change=n_epochs).fit(X, y)
        assert clf.n_iter_ == n_epochs

    per_epoch = seconds_per_unit(run, seconds)
    return {
        "seconds": per_epoch / (len(X) // batch_size),
        "n_params": clf.n_params_,
        **memory_record(baseline),
    }


def predict_skcnn(network, seconds, backend):
    """Return the seconds of an image in ``predict``, the number of weights, and the memory."""
    network = Network(**network)
    clf = skcnn_classifier(network, 1, N_CLASSES, backend)
    baseline = peak_memory()
    X, y = make_images(network, N_CLASSES)
    clf.fit(X[:N_CLASSES], y[:N_CLASSES])

    def run(n_calls):
        for _ in range(n_calls):
            clf.predict(X)

    per_call = seconds_per_unit(run, seconds)
    return {"seconds": per_call / len(X), "n_params": clf.n_params_, **memory_record(baseline)}


class TorchSide:
    """The network in PyTorch, and its images as a tensor in the memory format asked for.

    Parameters
    ----------
    network : dict
        Fields of a Network.
    batch_size : int
    channels_last : bool
        Memory format of images and weights.
    """

    def __init__(self, network, batch_size, channels_last):
        self.torch, self.channels_last = import_torch(), channels_last
        self.baseline = peak_memory()
        X, y = make_images(Network(**network), batch_size)
        images = X if channels_last else X.transpose(0, 3, 1, 2).copy()
        self.images, self.labels = self.torch.from_numpy(images), self.torch.from_numpy(y)
        self.module = torch_module(Network(**network))
        if channels_last:
            self.module.to(memory_format=self.torch.channels_last)

    def turned(self, images):
        """Return images as (n, channels, height, width); no data are copied."""
        return images.permute(0, 3, 1, 2) if self.channels_last else images

    def record(self, seconds):
        """Return the result of the process."""
        n_params = sum(parameter.numel() for parameter in self.module.parameters())
        return {"seconds": seconds, "n_params": n_params, **memory_record(self.baseline)}


def train_torch(network, batch_size, seconds, channels_last):
    """Return the seconds of a minibatch in a plain training loop, the number of weights, and the memory."""
    side = TorchSide(network, batch_size, channels_last)
    torch = side.torch
    loss_function = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(side.module.parameters(), lr=1e-3, fused=True)

    def run(n_epochs):
        side.module.train()
        for _ in range(n_epochs):
            for rows in torch.randperm(len(side.images)).split(batch_size):
                scores = side.module(side.turned(side.images.index_select(0, rows)))
                optimizer.zero_grad(set_to_none=True)
                loss_function(scores, side.labels.index_select(0, rows)).backward()
                optimizer.step()

    return side.record(seconds_per_unit(run, seconds) / (len(side.images) // batch_size))


def predict_torch(network, batch_size, seconds, channels_last):
    """Return the seconds of an image in a plain loop, the number of weights, and the memory."""
    side = TorchSide(network, N_CLASSES, channels_last)
    side.module.eval()

    def run(n_calls):
        with side.torch.inference_mode():
            for _ in range(n_calls):
                parts = [side.module(side.turned(images)) for images in side.images.split(batch_size)]
                side.torch.cat(parts).argmax(dim=1).numpy()

    return side.record(seconds_per_unit(run, seconds) / len(side.images))


# What the script does with them


def make_sides(task, network, batch_size, arguments, *, with_numba, with_torch):
    """Return the functions that measure each side once, by its name."""

    def child(target, **options):
        return lambda: run_child(target, threads=arguments.threads, seconds=arguments.seconds, **options)

    described = asdict(network)
    training = {"batch_size": batch_size} if task == "train" else {}
    sides = {
        "SGEMM": child("measuring:sgemm_rate"),
        "skcnn": child(f"steps:{task}_skcnn", network=described, backend="numpy", **training),
    }
    if with_numba:
        sides["numba"] = child(f"steps:{task}_skcnn", network=described, backend="numba", **training)
    if with_torch:
        for name, channels_last in MEMORY_FORMATS.items():
            options = {"network": described, "batch_size": batch_size, "channels_last": channels_last}
            sides[name] = child(f"steps:{task}_torch", **options)
    return sides


def measure(task, name, network, batch_size, arguments, *, with_numba, with_torch):
    """Measure all sides in turn.

    Parameters
    ----------
    task : {"train", "predict"}
    name : str
        Name of the network.
    network : Network
    batch_size : int
        Of both sides in training, of PyTorch in prediction.
    arguments : Namespace
        With ``threads``, ``seconds``, ``pairs`` and ``patience``.
    with_numba, with_torch : bool

    Returns
    -------
    result : dict
        ``rounds`` holds what every process returned; those of the sides of the table are also in ``skcnn``,
        ``numba`` and ``torch``, its best form, None where it is not measured.
    """
    sides = make_sides(task, network, batch_size, arguments, with_numba=with_numba, with_torch=with_torch)
    rounds = interleaved(sides, arguments, f"{task} {name} {batch_size}")
    forms = [side for side in rounds if side in MEMORY_FORMATS]
    for form in forms:
        assert rounds[form][0]["n_params"] == rounds["skcnn"][0]["n_params"], "the networks differ"
    best = min(forms, key=lambda form: median_of(rounds[form], "seconds"), default=None)
    images = batch_size if task == "train" else 1
    return {
        "task": task,
        "network": name,
        "batch_size": batch_size,
        "multiply_adds": multiply_adds(network) * images * (3 if task == "train" else 1),
        "skcnn": rounds["skcnn"],
        "numba": rounds.get("numba"),
        "torch": rounds.get(best),
        "torch_form": best,
        "rounds": rounds,
    }


SIDES = {"skcnn": "skcnn", "numba": "skcnn, Numba", "torch": "PyTorch"}
"""Sides of the table, and what it calls them."""

UNITS = {"train": "ms per minibatch", "predict": "µs per image"}


def seconds_of(records):
    """Return the seconds of some records."""
    return [record["seconds"] for record in records]


def speed_cells(result):
    """Return what a table says about times: all sides, ratios to PyTorch, and shares of the SGEMM limit."""
    scale, cells = 1e3 if result["task"] == "train" else 1e6, []
    for side in SIDES:
        cells.append(figure(scale * median_of(result[side], "seconds")) if result[side] else "-")
    for side in ("skcnn", "numba"):
        if not result["torch"] or not result[side]:
            cells.append("-")
            continue
        median, *bounds = ratios(seconds_of(result["torch"]), seconds_of(result[side]))
        cells.append(f"{figure(median)} ({' to '.join(map(figure, bounds))})")
    for side in SIDES:
        rates = [result["multiply_adds"] / elapsed for elapsed in seconds_of(result[side] or ())]
        cells.append(figure(ratios(rates, result["rounds"]["SGEMM"])[0]) if rates else "-")
    return cells


SPEED_HEADER = [
    *SIDES.values(),
    *["ratio", "ratio, Numba"],
    *(f"{title} of SGEMM" for title in SIDES.values()),
]


def make_table(results):
    """Return header and rows of the results of one task."""
    header = ["network", *SPEED_HEADER, *(f"{title} MB" for title in SIDES.values())]
    header += ["best form of PyTorch", "other load"]
    rows = []
    for result in results:
        named = f"{result['network']}, {result['batch_size']}"
        memory = [memory_figure(result[side]) if result[side] else "-" for side in SIDES]
        load = largest_load(*(result[side] for side in SIDES))
        rows.append([named, *speed_cells(result), *memory, result["torch_form"] or "-", load])
    return header, rows


def batch_sizes_of(network, task):
    """Return the minibatches with which a network is measured."""
    return network.batch_sizes if task == "train" else (*network.batch_sizes, LARGE_BATCH_SIZE)


def main():
    """Measure what the options ask for."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="which ones")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each timing lasts at least")
    parser.add_argument("--train", action="store_true", help="only train, unless --predict is given, too")
    parser.add_argument("--predict", action="store_true", help="only predict, unless --train is given, too")
    arguments = parser.parse_args()
    available = {f"with_{package}": is_available(arguments, package) for package in ("numba", "torch")}

    tables, results = {}, []
    for task, caption in (("train", "Training"), ("predict", "Predicting")):
        if (arguments.train or arguments.predict) and not getattr(arguments, task):
            continue
        measured = [
            measure(task, name, NETWORKS[name], batch_size, arguments, **available)
            for name in arguments.networks
            for batch_size in batch_sizes_of(NETWORKS[name], task)
        ]
        tables[f"{caption}, {UNITS[task]} (threads: {arguments.threads}):"] = make_table(measured)
        results += measured
    report(arguments, "steps", tables, results)


if __name__ == "__main__":
    main()
