"""Every example runs, on small settings."""

import gzip
import io
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from extras import package
from idx_files import write_cifar10_file, write_idx_files
from seeds import generator

pytestmark = pytest.mark.costly

Image = package("PIL.Image")
Figure = package("matplotlib.figure").Figure

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Change to a folder with small files of both sets, with the examples on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    write_idx_files(tmp_path)
    write_cifar10_file(60, tmp_path, monkeypatch)
    return tmp_path


def functions_of(name):
    return runpy.run_path(str(EXAMPLES / name))


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs an example as on the command line and returns what it prints."""

    def run(command):
        name, *options = command.split()
        monkeypatch.setattr(sys, "argv", [name, *options])
        with joblib.parallel_backend("threading"):  # which needs no processes to start
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_all_examples_are_tested():
    tested = Path(__file__).read_text()
    assert all(f'"{path.name}' in tested for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (
            "digits_grid_search.py --samples 200 --epochs 1",
            [
                "8 candidates",
                ".*net__norm1=BatchNorm",
                "best .* shuffled 5-fold accuracy",
                "confusion matrix",
            ],
        ),
        ("fashion_mnist.py --folder . --epochs 2", ["60 training images, 20 test images of", " +2 "]),
        ("cifar10.py --samples 40 --epochs 2", ["40 training images, 6 test images of", " +2 "]),
        (
            "cifar10_speedrun.py --samples 20 --epochs 2",
            ["20 training images", "epoch +2", r"test accuracy 0\.", r"with six views 0\."],
        ),
        (
            "fashion_mnist_recipe.py --folder . --samples 20 --epochs 2",
            ["20 training images", "epoch +2", r"test accuracy 0\.", r"with mirrored views 0\."],
        ),
    ],
)
def test_examples_print(run, command, lines):
    printed = run(command)
    assert not [line for line in lines if not re.search(f"^{line}", printed, re.MULTILINE)]


@pytest.mark.parametrize("name", ["cifar10_speedrun.py", "fashion_mnist_recipe.py"])
def test_recipes_take_a_seed(name):
    assert functions_of(name)["recipe"](random_state=7).random_state == 7


def test_fashion_mnist_falls_back_to_openml(monkeypatch):
    """Without the files the set is fetched: flat rows, labels as text, the first 60,000 to train."""
    X, y = np.zeros((60_100, 784), np.int16), np.array([str(i % 10) for i in range(60_100)])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: (X, y))
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: False)
    X_train, y_train, X_test, y_test = functions_of("fashion_mnist.py")["load_fashion_mnist"]()
    assert X_train.shape == (60_000, 28, 28) and X_test.shape == (100, 28, 28)
    assert X_train.dtype == y_train.dtype == np.uint8
    assert y_test[:3].tolist() == [0, 1, 2]


def test_what_is_no_idx_file_is_an_error():
    functions = functions_of("fashion_mnist.py")
    with pytest.raises(FileNotFoundError, match="missing"):
        functions["load_fashion_mnist"]("missing")
    with gzip.open("file.gz", "wb") as file:
        file.write(b"text")
    with pytest.raises(ValueError, match="not an IDX file"):
        functions["read_idx"]("file.gz")


def test_the_last_tenth_of_cifar10_is_to_test(folder, monkeypatch):
    X, y = write_cifar10_file(60, folder, monkeypatch)
    parts = functions_of("cifar10.py")["load_cifar10"]()
    for part, expected in zip(parts, (X[:54], y[:54], X[54:], y[54:]), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_cifar10_decodes_jpeg_files():
    """Plain colours, which JPEG keeps to a unit or two; grey files have three equal channels."""
    colors = np.array([[200, 30, 60], [10, 120, 240], [90, 90, 90]], np.uint8)
    files = []
    for color in colors:
        image = Image.fromarray(np.tile(color, (32, 32, 1)))
        file = io.BytesIO()
        (image.convert("L") if np.ptp(color) == 0 else image).save(file, "JPEG", quality=95, subsampling=0)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    np.savez("jpeg.npz", jpeg=np.concatenate(files), offsets=offsets, y=np.arange(3))
    X, y = functions_of("cifar10.py")["read_file"]("jpeg.npz")
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
    X_train, y_train, X_test, y_test = functions_of("cifar10.py")["load_cifar10"]()
    assert X_train.shape == (50_000, 32, 32, 3) and X_test.shape == (10_000, 32, 32, 3)
    assert X_test[0, 5, 9].tolist() == [0, 7, 0]
    assert y_train.dtype == np.int64 and y_test[:3].tolist() == [0, 1, 2]


# examples with figures, which share "gallery.py"


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
    assert np.mean(np.ptp(pixels, axis=-1) > 60) > 0.004


@pytest.fixture
def draw(run):
    """Return a function that runs an example, looks at its figure and returns what it printed."""

    def draw(command, check=assert_is_a_picture, **options):
        figure = f"{command.split('.')[0]}.png"
        printed = run(f"{command} --dpi 30")
        assert f"figure: {figure}" in printed
        check(figure, **options)
        return printed

    return draw


@pytest.mark.parametrize("missing", ["PIL", "matplotlib"])
def test_without_what_figures_take_the_extra_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[examples\]'"):
        functions_of("gallery.py")


def test_augmentation_draws_all_kinds(draw):
    assert "10 augmentations, 4 draws each" in draw("augmentation.py")


def test_convolution_by_hand_equals_scipy_and_a_layer(draw):
    printed = draw("convolution_by_hand.py --stride 8")
    assert "4 filters on a photograph of 54 x 80 pixels" in printed
    differences = [float(line.split(": ")[1]) for line in printed.splitlines() if "largest" in line]
    assert len(differences) == 2 and max(differences) < 1e-12


def test_feature_maps_of_a_photograph(draw):
    printed = draw("feature_maps_of_a_photograph.py --patches 100 --epochs 1 --maps 2")
    assert "100 patches of 24 parts of photographs" in printed
    assert "accuracy on 2000 other patches: 0." in printed


# examples that compare trainings, which share "comparing.py", too


def rows_of(printed):
    """Return loss, training and test accuracy by the names in the table that an example printed."""
    found = re.findall(r"^(\S.*?) +(\d+\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4}) +\d+\.\d$", printed, re.MULTILINE)
    return {name: [float(number) for number in numbers] for name, *numbers in found}


def test_records_are_those_of_training_by_hand():
    """Of classes that only the test images have, too."""
    X, y = generator(0).normal(size=(30, 4, 4)), np.append(np.arange(20) % 2, [2] * 10)
    functions = functions_of("comparing.py")
    record = functions["train"](functions["plain_network"](), (X[:20], y[:20], X[20:], y[20:]), 2)
    clf = functions["plain_network"]()
    for epoch in range(2):
        clf.partial_fit(X[:20], y[:20], classes=[0, 1, 2])
        assert record["loss"][epoch] == clf.loss_
        assert record["train_accuracy"][epoch] == np.mean(clf.predict(X[:20]) == y[:20])
        assert record["test_accuracy"][epoch] == np.mean(clf.predict(X[20:]) == y[20:])
    assert len(record["loss"]) == 2


def test_a_curve_of_one_epoch_is_a_point():
    axis, records = Figure().subplots(), {"a": {"loss": np.array([2.0])}, "b": {"loss": np.array([2.0, 1.0])}}
    functions_of("comparing.py")["draw_curves"](axis, records, "loss")
    one, two = axis.lines
    assert one.get_marker() == "o" and two.get_marker() == ""
    assert two.get_xydata().tolist() == [[1, 2], [2, 1]]
    assert one.get_color() != two.get_color()


@pytest.mark.parametrize(
    ("command", "rows"),
    [
        ("teaching_network.py", ["Fashion-MNIST", "CIFAR-10"]),
        ("teaching_network.py --data fashion_mnist", ["Fashion-MNIST"]),
        ("optimizers.py", ["SGD", "momentum", "RMSProp", "Adam"]),
        ("losses.py", ["softmax", "SVM", "squared SVM"]),
        (
            "activations_and_pooling.py",
            ["ReLU, maximum", "ReLU, average", "sigmoid, maximum", "sigmoid, average"],
        ),
    ],
)
def test_trainings_are_compared(draw, command, rows):
    printed = draw(f"{command} --folder . --epochs 3", assert_is_a_chart)
    found = rows_of(printed)
    assert list(found) == rows
    assert len({loss for loss, *_ in found.values()}) == len(rows)
    if command == "losses.py":  # a margin is positive where the prediction is right
        for name, (_, _, test_accuracy) in found.items():
            assert f"{name}: {test_accuracy:.4f} of the margins are positive" in printed


def test_overfitting_learns_noise_by_heart(draw):
    rows = rows_of(draw("overfitting.py --folder . --samples 20 --epochs 20", assert_is_a_chart))
    assert list(rows) == ["2 images", "20 images"]
    for loss, train_accuracy, _ in rows.values():
        assert loss < 0.1 and train_accuracy == 1


def test_overfitting_needs_two_images_for_the_smaller_part(run, capsys):
    with pytest.raises(SystemExit):
        run("overfitting.py --samples 19")
    assert "--samples must be 20 at least" in capsys.readouterr().err


def test_export_onnx_compares_models(run):
    package("onnx")
    package("onnxruntime")
    printed = run("export_onnx.py --folder . --epochs 2 --repeats 1 --output network.onnx")
    *_, header, saved, exported, quantized = printed.splitlines()
    assert header.endswith("ms for 20 images")
    accuracies = [line.split()[-3] for line in (saved, exported, quantized)]
    assert accuracies[0] == accuracies[1]
    assert quantized.startswith("ONNX, int8")
    assert Path("network_int8.onnx").stat().st_size < 0.4 * Path("network.onnx").stat().st_size


def test_multilabel_finds_digits(draw):
    printed = draw("multilabel.py --samples 300 --epochs 1", assert_is_a_chart)
    assert 0 < float(printed.split("mean average precision: ")[1].split()[0]) < 1


def test_grouped_validation_promises_less_than_random_scans(draw):
    printed = draw("grouped_validation.py --patients 40 --scans 8 --epochs 5", assert_is_a_chart)
    promised, found = zip(
        *(
            (float(line.split()[-6]), float(line.split()[-4]))
            for line in printed.splitlines()
            if line.endswith("of new patients")
        ),
        strict=True,
    )
    gaps = np.subtract(promised, found)
    assert gaps[0] > gaps[1]


def test_distillation_compares_what_small_networks_learn_from(draw):
    printed = draw("distillation.py --folder . --samples 20 --unlabelled 20 --epochs 1", assert_is_a_chart)
    assert printed.startswith("large network, 241770 weights: test accuracy ")
    assert printed.count("weights, from labels: ") == printed.count("weights, from large network: ") == 3


@pytest.mark.parametrize("missing", ["mapie.classification", "crepes"])
def test_without_what_conformal_sets_take_the_extra_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[examples,probabilities\]'"):
        functions_of("honest_probabilities.py")


def test_honest_probabilities_are_compared(draw, folder):
    package("mapie")
    package("crepes")
    pytest.importorskip("sklearn", minversion="1.8", reason="scikit-learn 1.8 brings temperature scaling")
    write_idx_files(folder, n_training=80)  # five of each class to calibrate with
    options = "--samples 30 --calibration 50 --epochs 1 --members 2"
    printed = draw(f"honest_probabilities.py --folder . {options}", assert_is_a_chart)
    tables = [[row.split("  ")[0] for row in table.splitlines()[1:]] for table in printed.split("\n\n")]
    assert tables[0][1:] == ["network", "temperature", "ensemble", "ensemble, temperature"]
    assert tables[1] == ["likeliest classes", "MAPIE, lac", "MAPIE, aps", "crepes, each class"]
    assert tables[2][:2] == ["largest probability", "largest of the ensemble"]
    assert len(tables[2]) == 6  # and the line about the figure


def test_calibration_error_and_likeliest_classes_by_hand():
    """Two images are 0.9 certain, one of them right; two are 0.55 certain, both right."""
    package("mapie")
    package("crepes")
    functions = functions_of("honest_probabilities.py")
    probabilities = np.array([[0.9, 0.06, 0.04], [0.9, 0.1, 0], [0.25, 0.55, 0.2], [0.02, 0.43, 0.55]])
    error = functions["calibration_error"](probabilities, np.array([0, 1, 1, 2]))
    assert error == pytest.approx((2 * (0.9 - 0.5) + 2 * (1 - 0.55)) / 4)
    classifier = SimpleNamespace(predict_proba=lambda X: probabilities)
    sets = functions["likeliest_sets"](classifier, calibration=None)(None)
    assert sets.tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_regression_predicts_angles_with_intervals(draw):
    printed = draw("regression.py --turns 1 --epochs 2", darkened=0.18)
    assert "400 test digits: mean absolute error" in printed
    assert "% of the angles are between" in printed


def test_fine_tuning_tries_each_recipe(draw):
    lines = draw("fine_tuning.py --folder . --samples 30 --epochs 1 --sizes 2 4 --draws 1", assert_is_a_chart)
    recipes = "from nothing all layers others slowly frozen convolutions output layer alone"
    header, *rows = lines.splitlines()[1:4]
    assert header.split() == f"images of each class {recipes}".split()
    assert [(row.split()[0], len(row.split())) for row in rows] == [("2", 6), ("4", 6)]


def test_few_images_of_each_class_are_drawn():
    y = np.repeat([3, 5, 9], 10)
    chosen = functions_of("fine_tuning.py")["few_of_each"](y, 4, generator(0))
    assert len(set(chosen)) == 12
    assert np.bincount(y[chosen]).tolist() == [0, 0, 0, 4, 0, 4, 0, 0, 0, 4]


def test_preprocessing_on_each_kind_of_pixels(draw):
    printed = draw("preprocessing.py --samples 20 --epochs 1 --seeds 2", darkened=0.25)
    names = ["raw", "/ 255", "mean", "mean and deviation", "local equalization", "grey"]
    assert list(rows_of(printed)) == names
    assert all(f"{name} 0." in printed.split("mean test accuracy: ")[1] for name in names)


def test_ways_to_prepare_pixels():
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


def test_filters_in_training_moves(draw):
    printed = draw("filters_in_training.py --samples 50 --epochs 4 --animation moving.gif", darkened=0.25)
    assert "test accuracy after 8 minibatches: 0." in printed
    assert "animation of 5 pictures: moving.gif" in printed
    with Image.open("moving.gif") as animation:
        assert animation.n_frames == 5
        first = np.asarray(animation.convert("RGB"), int)
        animation.seek(4)
        last = np.asarray(animation.convert("RGB"), int)
    assert np.abs(last - first).max() > 50


def test_filters_as_tiles():
    """Zero is grey, and the largest weight of each filter as far from it as it gets."""
    filters = np.full((2, 3, 3, 16), 1e-3)
    filters[..., 9] = 0
    filters[0, 0, 0, 9] = -5
    picture = functions_of("filters_in_training.py")["tiled"](filters)
    assert picture.shape == (2 * 2 + 1, 8 * 3 + 7, 3)
    assert np.all(picture[:2] == 1)
    assert picture[3, 4].tolist() == [0, 0.5, 0.5]
    assert np.all(picture[3:, 5:7] == 0.5) and np.all(picture[:, 7] == 1)


def test_displays_are_drawn_that_are_asked_for(run, folder, monkeypatch):
    write_cifar10_file(200, folder, monkeypatch)  # as many images as validation needs
    names = ["curves", "filters", "maps", "mistakes", "saliency"]
    printed = run(f"displays.py --epochs 2 --dpi 30 --figure looks.png --only {' '.join(names)}")
    assert "2 epochs, test accuracy 0." in printed
    assert sorted(path.stem for path in folder.glob("looks*")) == [f"looks_{name}" for name in names]
    assert_is_a_chart("looks_curves.png")
    for name in names[1:]:
        assert_is_a_picture(f"looks_{name}.png", darkened=0.25)


def test_displays_embeds_every_image():
    """Asked of the artists, for points are too small to be told from a legend in a small picture."""
    X, y = generator(0).normal(size=(30, 8, 8, 3)), np.array(["cat", "dog", "frog"])[np.arange(30) % 3]
    functions = functions_of("displays.py")
    classifier = functions["make_classifier"](1).set_params(early_stopping=False).fit(X, y)
    (axis,) = functions["DISPLAYS"]["embedding"](classifier, X, y).axes
    assert sum(len(points.get_offsets()) for points in axis.collections) == 30
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["cat", "dog", "frog"]


@pytest.fixture
def picture():
    """Return the name of a file with a wide picture, red in the middle square and blue beside it."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :, 2] = 255
    pixels[:, 20:60] = [255, 0, 0]
    Image.fromarray(pixels).save("picture.png")
    return "picture.png"


def test_own_picture_keeps_a_network_for_each_set(draw, picture):
    command = f"own_picture.py {picture} --folder . --samples 40 --epochs 1"
    trained = draw(command)
    assert "trained on 40 images, test accuracy 0." in trained and "network saved to" in trained
    loaded = draw(f"{command} --network own_picture_cifar10.joblib")
    assert "network from" in loaded and "trained" not in loaded
    predicted = re.findall(r"^(\w+): (0\.\d{3})$", trained, re.MULTILINE)
    assert predicted == re.findall(r"^(\w+): (0\.\d{3})$", loaded, re.MULTILINE)
    assert len(predicted) == 3
    assert {name for name, _ in predicted} <= set(functions_of("cifar10.py")["CLASS_NAMES"])
    grey = draw(f"{command} --data fashion_mnist --invert")
    assert "network saved to own_picture_fashion_mnist.joblib" in grey


def test_own_picture_is_cut_to_its_middle(picture):
    functions = functions_of("own_picture.py")
    square = functions["read_square"](picture, invert=False)
    sample = functions["as_sample"](square, (8, 8, 3))
    assert sample.shape == (1, 8, 8, 3) and sample.dtype == np.uint8
    assert np.all(sample == [255, 0, 0])
    inverted = functions["read_square"](picture, invert=True)
    assert np.all(functions["as_sample"](inverted, (8, 8, 3)) == [0, 255, 255])
    assert functions["as_sample"](square, (8, 4, 1)).shape == (1, 8, 4, 1)
