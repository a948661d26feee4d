"""Every example runs, on small settings."""

import gzip
import io
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from extras import package
from idx_files import write_idx_files
from seeds import generator

pytestmark = pytest.mark.costly

Image = package("PIL.Image")
Figure = package("matplotlib.figure").Figure

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run_example(monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def idx_folder(tmp_path):
    """Return a folder of IDX files with 60 training and 20 test images."""
    write_idx_files(tmp_path)
    return tmp_path


def test_all_examples_are_tested():
    tested = Path(__file__).read_text()
    assert all(f'"{path.name}"' in tested for path in EXAMPLES.glob("*.py"))


def test_digits_grid_search(run_example):
    printed = run_example("digits_grid_search.py", "--samples", 300, "--epochs", 2)
    assert "8 candidates" in printed
    assert "net__norm1=BatchNorm()" in printed
    assert "shuffled 5-fold accuracy" in printed
    assert "confusion matrix" in printed


def test_fashion_mnist_reads_idx_files(run_example, idx_folder):
    printed = run_example("fashion_mnist.py", "--folder", idx_folder, "--epochs", 2)
    assert "60 training images, 20 test images of shape (28, 28)" in printed
    assert printed.strip().splitlines()[-1].split()[0] == "2"


def test_fashion_mnist_falls_back_to_openml(monkeypatch):
    """Without the files the set is fetched: 70,000 flat rows, labels as text, the last 10,000 to test."""
    X, y = np.zeros((70_000, 784), np.int64), np.array([str(i % 10) for i in range(70_000)])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: (X, y))
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: False)
    example = runpy.run_path(str(EXAMPLES / "fashion_mnist.py"))
    X_train, y_train, X_test, y_test = example["load_fashion_mnist"]()
    assert X_train.shape == (60_000, 28, 28) and X_test.shape == (10_000, 28, 28)
    assert X_train.dtype == y_train.dtype == np.uint8
    assert y_test[:3].tolist() == [0, 1, 2]


def test_a_mistyped_folder_is_an_error(tmp_path):
    example = runpy.run_path(str(EXAMPLES / "fashion_mnist.py"))
    with pytest.raises(FileNotFoundError, match="missing"):
        example["load_fashion_mnist"](tmp_path / "missing")


def test_idx_reader_refuses_other_files(tmp_path):
    path = tmp_path / "file.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"text")
    example = runpy.run_path(str(EXAMPLES / "fashion_mnist.py"))
    with pytest.raises(ValueError, match="not an IDX file"):
        example["read_idx"](path)


# CIFAR-10


def cifar10_functions():
    return runpy.run_path(str(EXAMPLES / "cifar10.py"))


@pytest.fixture
def cifar10_file(tmp_path, monkeypatch):
    """Return images and labels, and name a file of them by the environment variable."""
    return write_cifar10_file(60, tmp_path, monkeypatch)


def write_cifar10_file(n_images, folder, monkeypatch):
    X = generator(0).integers(0, 256, (n_images, 32, 32, 3)).astype(np.uint8)
    y = np.arange(n_images) % 10
    np.savez(folder / "cifar10.npz", X=X, y=y)
    monkeypatch.setenv("CIFAR10_FILE", str(folder / "cifar10.npz"))
    return X, y


def test_cifar10_trains_and_tests_on_the_last_tenth(run_example, cifar10_file):
    printed = run_example("cifar10.py", "--epochs", 2, "--samples", 40)
    assert "40 training images, 6 test images of shape (32, 32, 3)" in printed
    assert printed.strip().splitlines()[-1].split()[0] == "2"
    X, y = cifar10_file
    parts = cifar10_functions()["load_cifar10"]()
    for part, expected in zip(parts, (X[:54], y[:54], X[54:], y[54:]), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_cifar10_decodes_jpeg_files(tmp_path, monkeypatch):
    """Plain colours, which JPEG keeps to a unit or two; grey files have three equal channels."""
    colors = np.array([[200, 30, 60], [10, 120, 240], [90, 90, 90]], np.uint8)
    files = []
    for color in colors:
        image = Image.fromarray(np.tile(color, (32, 32, 1)))
        file = io.BytesIO()
        (image.convert("L") if np.ptp(color) == 0 else image).save(file, "JPEG", quality=95, subsampling=0)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(tmp_path / "jpeg.npz", jpeg=np.concatenate(files), offsets=offsets, y=np.arange(3))
    X, y = cifar10_functions()["read_file"](tmp_path / "jpeg.npz")
    assert X.shape == (3, 32, 32, 3) and X.dtype == np.uint8
    assert np.abs(X.astype(int) - colors[:, None, None]).max() <= 3
    assert y.tolist() == [0, 1, 2]


def test_cifar10_falls_back_to_openml(monkeypatch):
    """Flat rows of 3 x 32 x 32 numbers, labels as text, the last 10,000 to test."""
    monkeypatch.delenv("CIFAR10_FILE", raising=False)
    X = np.zeros((60_000, 3072), np.uint8)
    X[:, 1024:2048] = 7  # the second channel
    y = np.array([str(i % 10) for i in range(60_000)])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: (X, y))
    X_train, y_train, X_test, y_test = cifar10_functions()["load_cifar10"]()
    assert X_train.shape == (50_000, 32, 32, 3) and X_test.shape == (10_000, 32, 32, 3)
    assert X_test[0, 5, 9].tolist() == [0, 7, 0]
    assert y_train.dtype == np.int64 and y_test[:3].tolist() == [0, 1, 2]


def results_of(printed):
    """Return what a recipe printed but for seconds."""
    lines = [line.split() for line in printed.splitlines() if not line.startswith("trained in")]
    return [words[:4] for words in lines]


def assert_trained_and_tested(printed, n_epochs, *lines):
    """Assert that a recipe trained for so many epochs and printed lines that begin like these."""
    printed = printed.splitlines()
    assert sum(line.startswith("epoch") for line in printed) == n_epochs
    assert all(any(line.startswith(beginning) for line in printed) for beginning in lines)


def test_cifar10_speedrun(run_example, cifar10_file, monkeypatch):
    """Twice with one seed: the same losses, the same accuracies."""
    monkeypatch.syspath_prepend(EXAMPLES)
    printed = run_example("cifar10_speedrun.py", "--samples", 20, "--epochs", 2)
    assert_trained_and_tested(printed, 2, "20 training images", "test accuracy 0.", "with six views 0.")
    again = run_example("cifar10_speedrun.py", "--samples", 20, "--epochs", 2)
    assert results_of(again) == results_of(printed)


def test_fashion_mnist_recipe(run_example, idx_folder, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    options = ["--folder", idx_folder, "--epochs", 2]
    printed = run_example("fashion_mnist_recipe.py", *options)
    assert_trained_and_tested(printed, 2, "60 training images", "test accuracy 0.", "with mirrored views 0.")
    again = run_example("fashion_mnist_recipe.py", *options)
    assert results_of(again) == results_of(printed)


def assert_is_a_picture(path, *, darkened=0.4):
    """Assert that a file is a picture of many colours, of more than lettering and empty frames.

    Those of the figure of the augmentations darken 22 % of it; with the photographs it is 63 %.
    """
    with Image.open(path) as image:
        assert len(image.convert("RGB").getcolors(2**24)) > 10
        assert np.mean(np.asarray(image.convert("L")) < 250) > darkened


def assert_is_a_chart(path):
    """Assert that there are curves of colours on a picture; of a legend alone, 0.15 % of it have colours."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), int)
    assert np.mean(np.ptp(pixels, axis=-1) > 60) > 0.006


# examples with figures, which share "gallery.py"


@pytest.fixture
def run_with_figure(run_example, tmp_path, monkeypatch):
    """Return a function that runs an example, looks at its figure and returns what it printed."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name, *arguments, check=assert_is_a_picture, **options):
        printed = run_example(name, *arguments, "--dpi", 30, "--figure", tmp_path / "figure.png")
        assert f"figure: {tmp_path / 'figure.png'}" in printed
        check(tmp_path / "figure.png", **options)
        return printed

    return run


@pytest.mark.parametrize("missing", ["PIL", "matplotlib"])
def test_without_what_figures_take_the_extra_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[examples\]'"):
        runpy.run_path(str(EXAMPLES / "gallery.py"))


def test_augmentation_draws_all_kinds(run_with_figure):
    assert "10 augmentations, 4 draws each" in run_with_figure("augmentation.py")


def test_convolution_by_hand_equals_scipy_and_a_layer(run_with_figure):
    printed = run_with_figure("convolution_by_hand.py", "--stride", 8)
    assert "4 filters on a photograph of 54 x 80 pixels" in printed
    differences = [float(line.split(": ")[1]) for line in printed.splitlines() if "largest" in line]
    assert len(differences) == 2 and max(differences) < 1e-12


def test_feature_maps_of_a_photograph(run_with_figure):
    printed = run_with_figure("feature_maps_of_a_photograph.py", "--patches", 100, "--epochs", 1, "--maps", 2)
    assert "100 patches of 24 parts of photographs" in printed
    assert "accuracy on 2000 other patches: 0." in printed


# examples that compare trainings, which share "comparing.py", too


@pytest.fixture
def functions_of(monkeypatch):
    """Return a function that gives the names of an example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return lambda name: runpy.run_path(str(EXAMPLES / name))


def rows_of(printed):
    """Return loss, training and test accuracy by the names in the table that an example printed."""
    found = re.findall(r"^(\S.*?) +(\d+\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4}) +\d+\.\d$", printed, re.MULTILINE)
    return {name: [float(number) for number in numbers] for name, *numbers in found}


def test_records_are_those_of_training_by_hand(functions_of):
    rng = generator(0)
    X, y = rng.normal(size=(30, 4, 4)), np.arange(30) % 3
    functions = functions_of("comparing.py")
    record = functions["train"](functions["plain_network"](), (X[:20], y[:20], X[20:], y[20:]), 2)
    clf = functions["plain_network"]()
    for epoch in range(2):
        clf.partial_fit(X[:20], y[:20], classes=[0, 1, 2])
        assert record["loss"][epoch] == clf.loss_
        assert record["train_accuracy"][epoch] == np.mean(clf.predict(X[:20]) == y[:20])
        assert record["test_accuracy"][epoch] == np.mean(clf.predict(X[20:]) == y[20:])
    assert len(record["loss"]) == 2


def test_a_curve_of_one_epoch_is_a_point(functions_of):
    functions = functions_of("comparing.py")
    axis = Figure().subplots()
    functions["draw_curves"](
        axis, {"a": {"loss": np.array([2.0])}, "b": {"loss": np.array([2.0, 1.0])}}, "loss"
    )
    one, two = axis.lines
    assert one.get_marker() == "o" and two.get_marker() == ""
    assert two.get_xydata().tolist() == [[1, 2], [2, 1]]
    assert one.get_color() != two.get_color()


def test_overfitting_learns_noise_by_heart(run_with_figure, idx_folder):
    printed = run_with_figure(
        "overfitting.py", "--folder", idx_folder, "--samples", 20, "--epochs", 20, check=assert_is_a_chart
    )
    rows = rows_of(printed)
    assert list(rows) == ["2 images", "20 images"]
    for loss, train_accuracy, _ in rows.values():
        assert loss < 0.1 and train_accuracy == 1


def test_overfitting_needs_two_images_for_the_smaller_part(run_with_figure, capsys):
    with pytest.raises(SystemExit):
        run_with_figure("overfitting.py", "--samples", 19)
    assert "--samples must be 20 at least" in capsys.readouterr().err


def test_few_images_are_trained_on_for_all_classes(functions_of):
    X, y = generator(0).normal(size=(20, 4, 4)), np.arange(20) % 10
    functions = functions_of("comparing.py")
    clf = functions["plain_network"]()
    functions["train"](clf, (X[:4], y[:4], X[4:], y[4:]), 1)
    assert len(clf.classes_) == 10


def test_teaching_network_on_both_sets(run_with_figure, idx_folder, cifar10_file):
    options = ["--folder", idx_folder, "--samples", 30, "--epochs", 2]
    assert list(rows_of(run_with_figure("teaching_network.py", *options, check=assert_is_a_chart))) == [
        "Fashion-MNIST",
        "CIFAR-10",
    ]
    printed = run_with_figure(
        "teaching_network.py", *options, "--data", "fashion_mnist", check=assert_is_a_chart
    )
    assert list(rows_of(printed)) == ["Fashion-MNIST"]


def test_optimizers_start_at_the_same_place_and_part(run_example, run_with_figure, idx_folder, tmp_path):
    """One minibatch is an epoch here, so the loss of the first one is that of the initial weights."""
    options = ["optimizers.py", "--folder", idx_folder, "--epochs"]
    first = rows_of(run_example(*options, 1, "--figure", tmp_path / "points.png"))
    third = rows_of(run_with_figure(*options, 3, check=assert_is_a_chart))
    assert list(first) == list(third) == ["SGD", "momentum", "RMSProp", "Adam"]
    assert len({loss for loss, *_ in first.values()}) == 1
    assert len({loss for loss, *_ in third.values()}) == 4


def test_activations_and_pooling_are_combined(run_with_figure, idx_folder):
    rows = rows_of(
        run_with_figure(
            "activations_and_pooling.py", "--folder", idx_folder, "--epochs", 2, check=assert_is_a_chart
        )
    )
    assert list(rows) == ["ReLU, maximum", "ReLU, average", "sigmoid, maximum", "sigmoid, average"]
    assert len({loss for loss, *_ in rows.values()}) == 4


def test_losses_print_margins(run_with_figure, idx_folder):
    """A margin is positive where the prediction is right."""
    printed = run_with_figure("losses.py", "--folder", idx_folder, "--epochs", 2, check=assert_is_a_chart)
    rows = rows_of(printed)
    assert list(rows) == ["softmax", "SVM", "squared SVM"]
    for name, (_, _, test_accuracy) in rows.items():
        assert f"{name}: {test_accuracy:.4f} of the margins are positive" in printed


def test_margins_by_hand(functions_of):
    class Fitted:
        classes_ = np.array(["a", "b", "c"])

        @staticmethod
        def decision_function(X):
            return np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 0.0]])

    margins = functions_of("losses.py")["margins_of"](Fitted, None, np.array(["b", "c"]))
    assert margins.tolist() == [1, -5]


def test_preprocessing_on_each_kind_of_pixels(run_with_figure, cifar10_file):
    printed = run_with_figure("preprocessing.py", "--samples", 20, "--epochs", 1, "--seeds", 2, darkened=0.25)
    names = ["raw", "/ 255", "mean", "mean and deviation", "local equalization", "grey"]
    assert list(rows_of(printed)) == names
    assert all(f"{name} 0." in printed.split("mean test accuracy: ")[1] for name in names)


def test_ways_to_prepare_pixels(functions_of):
    """By the statistics of the training images, and local ranks by a loop over pixels."""
    functions = functions_of("preprocessing.py")
    rng = generator(1)
    X_train, X = (rng.integers(0, 256, (n, 12, 12, 3)).astype(np.uint8) for n in (20, 2))
    centered, standardized = functions["centered"], functions["standardized"]
    mean, deviation = X_train.mean(axis=(0, 1, 2)), X_train.std(axis=(0, 1, 2))
    np.testing.assert_allclose(centered(X, X_train), X - mean, atol=1e-4)
    np.testing.assert_allclose(standardized(X, X_train), (X - mean) / deviation, atol=1e-5)
    assert functions["divided"](X, X_train).max() <= 1
    brightness = functions["grey"](X_train, X_train)
    assert brightness.shape == (20, 12, 12, 1)
    np.testing.assert_allclose([brightness.mean(), brightness.std()], [0, 1], atol=1e-5)
    equalized = functions["locally_equalized"](X, X_train)
    padded = np.pad(X, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    for image, row, column, channel in [(0, 0, 0, 0), (1, 5, 7, 2), (1, 11, 11, 1)]:
        window = padded[image, row : row + 9, column : column + 9, channel]
        rank = np.mean(window <= X[image, row, column, channel])
        assert equalized[image, row, column, channel] == pytest.approx(rank, rel=1e-6)


def test_filters_in_training_moves(run_with_figure, cifar10_file, tmp_path):
    path = tmp_path / "filters.gif"
    printed = run_with_figure(
        "filters_in_training.py", "--samples", 50, "--epochs", 4, "--animation", path, darkened=0.25
    )
    assert "test accuracy after 8 minibatches: 0." in printed
    assert f"animation of 5 pictures: {path}" in printed
    with Image.open(path) as animation:
        assert animation.n_frames == 5
        first = np.asarray(animation.convert("RGB"), int)
        animation.seek(4)
        last = np.asarray(animation.convert("RGB"), int)
    assert np.abs(last - first).max() > 50


def test_filters_as_tiles(functions_of):
    """Zero is grey, and the largest weight of each filter as far from it as it gets."""
    filters = np.full((2, 3, 3, 16), 1e-3)
    filters[..., 9] = 0
    filters[0, 0, 0, 9] = -5
    picture = functions_of("filters_in_training.py")["tiled"](filters)
    assert picture.shape == (2 * 2 + 1, 8 * 3 + 7, 3)
    assert np.all(picture[:2] == 1)
    assert picture[3, 4].tolist() == [0, 0.5, 0.5]
    assert np.all(picture[3:, 5:7] == 0.5) and np.all(picture[:, 7] == 1)


@pytest.fixture
def run_displays(run_example, tmp_path, monkeypatch):
    """Return a function that runs the example on as many images as its validation needs."""
    monkeypatch.syspath_prepend(EXAMPLES)
    write_cifar10_file(200, tmp_path, monkeypatch)
    figure = ["--dpi", 30, "--figure", tmp_path / "looks.png"]
    return lambda *options: run_example("displays.py", *options, *figure)


def test_displays_are_all_drawn(run_displays, tmp_path):
    assert "2 epochs, test accuracy 0." in run_displays("--epochs", 2)
    pictures = ["filters", "maps", "mistakes", "saliency"]
    names = sorted(["curves", "embedding", *pictures])
    assert sorted(path.stem for path in tmp_path.glob("looks*")) == [f"looks_{name}" for name in names]
    assert_is_a_chart(tmp_path / "looks_curves.png")
    for name in pictures:
        assert_is_a_picture(tmp_path / f"looks_{name}.png", darkened=0.25)


def test_displays_embeds_every_image(functions_of):
    """Asked of the artists, for points are too small to be told from a legend in a small picture."""
    X, y = generator(0).normal(size=(30, 8, 8, 3)), np.array(["cat", "dog", "frog"])[np.arange(30) % 3]
    functions = functions_of("displays.py")
    figure = functions["draw_embedding"](
        functions["make_classifier"](1).set_params(early_stopping=False).fit(X, y), X, y
    )
    (axis,) = figure.axes
    assert sum(len(points.get_offsets()) for points in axis.collections) == 30
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["cat", "dog", "frog"]


def test_displays_draws_those_that_are_asked_for(run_displays, tmp_path):
    run_displays("--epochs", 1, "--only", "filters")
    assert [path.name for path in tmp_path.glob("looks*")] == ["looks_filters.png"]


@pytest.fixture
def picture_file(tmp_path):
    """Return the path of a wide picture, red in the middle square and blue beside it."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :, 2] = 255
    pixels[:, 20:60] = [255, 0, 0]
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_own_picture_trains_saves_and_loads(run_with_figure, picture_file, cifar10_file, tmp_path):
    options = [picture_file, "--network", tmp_path / "network.joblib", "--samples", 40, "--epochs", 1]
    trained = run_with_figure("own_picture.py", *options)
    assert "trained on 40 images, test accuracy 0." in trained
    assert "network saved to" in trained
    loaded = run_with_figure("own_picture.py", *options)
    assert "network from" in loaded and "trained" not in loaded
    predicted = [line for line in trained.splitlines() if re.fullmatch(r"\w+: 0\.\d{3}", line)]
    assert len(predicted) == 3 and "\n".join(predicted) in loaded
    assert {line.split(":")[0] for line in predicted} <= set(cifar10_functions()["CLASS_NAMES"])


def test_own_picture_keeps_a_network_for_each_set(
    run_with_figure, picture_file, cifar10_file, idx_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for data in ("cifar10", "fashion_mnist"):
        options = [picture_file, "--data", data, "--folder", idx_folder, "--samples", 40, "--epochs", 1]
        assert "trained on 40 images" in run_with_figure("own_picture.py", *options)
        assert (tmp_path / f"own_picture_{data}.joblib").exists()


def test_own_picture_on_grey_images(run_with_figure, picture_file, idx_folder, tmp_path):
    network = ["--network", tmp_path / "network.joblib", "--data", "fashion_mnist", "--folder", idx_folder]
    printed = run_with_figure("own_picture.py", picture_file, *network, "--epochs", 1, "--invert")
    assert "trained on 60 images" in printed


def test_own_picture_is_cut_to_its_middle(functions_of, picture_file):
    functions = functions_of("own_picture.py")
    square = functions["read_square"](picture_file, invert=False)
    sample = functions["as_sample"](square, (8, 8, 3))
    assert sample.shape == (1, 8, 8, 3) and sample.dtype == np.uint8
    assert np.all(sample == [255, 0, 0])
    inverted = functions["read_square"](picture_file, invert=True)
    assert np.all(functions["as_sample"](inverted, (8, 8, 3)) == [0, 255, 255])
    assert functions["as_sample"](square, (8, 4, 1)).shape == (1, 8, 4, 1)
