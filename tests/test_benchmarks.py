"""The benchmarks run, on small settings and without PyTorch, and their helper functions are right."""

import importlib
import json
import math
import runpy
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark_scripts import (
    BENCHMARKS,
    SCRIPTS,
    assert_positive,
    functions_of,
    read_tables,
    run_benchmark,
)
from extras import package
from idx_files import write_cifar10_file, write_idx_files
from joblib import parallel_backend

from skcnn import ConvNetClassifier

pytestmark = pytest.mark.costly


def test_all_files_are_tested():
    assert {path.name for path in BENCHMARKS.glob("*.py")} == {*SCRIPTS, "measuring.py", "networks.py"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_describes_every_option(name):
    printed = run_benchmark(name, "--help")
    option = "--seeds SEEDS" if name == "accuracy.py" else "--pairs PAIRS"
    assert option in printed and f"(default: {3 if name == 'accuracy.py' else 5})" in printed


def measure_here(target, *, threads=None, timeout=None, **arguments):
    module, function = target.split(":")
    arguments = json.loads(json.dumps(arguments))
    return json.loads(json.dumps(getattr(importlib.import_module(module), function)(**arguments)))


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Return a function that runs a script and all that it measures in this process, which is quicker."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("measuring.run_child", measure_here)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with parallel_backend("threading"):
            runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
        return capsys.readouterr().out

    yield run
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)  # which have imported what is patched


def test_steps_without_pytorch(run_here, tmp_path):
    options = ["--networks", "W1", "--pairs", 1, "--patience", 0, "--seconds", 0.01, "--skcnn-only"]
    training, predicting = read_tables(run_here("steps.py", *options, "--json", tmp_path / "steps.json"))
    assert [row["network"] for row in training] == ["W1, 32", "W1, 200"]
    assert [row["network"] for row in predicting] == ["W1, 32", "W1, 200", "W1, 1024"]
    for row in training + predicting:
        assert_positive(row["skcnn"])
        assert_positive(row["skcnn of SGEMM"])
        assert row["PyTorch"] == row["ratio"] == "-"
    results = json.loads((tmp_path / "steps.json").read_text())["results"]
    assert [result["task"] for result in results] == ["train"] * 2 + ["predict"] * 3
    assert results[0]["skcnn"][0]["n_params"] == 160 + 4640 + 8256 + 650


def test_estimators_without_pytorch(run_here, tmp_path):
    write_idx_files(tmp_path)
    options = ["--folder", tmp_path, "--samples", 60, "--epochs", 1, "--batch-size", 20, "--skcnn-only"]
    options += ["--search-samples", 60, "--search-epochs", 1, "--pairs", 1, "--patience", 0]
    fits, searches, imports = read_tables(run_here("estimators.py", *options))
    assert [row["estimator"] for row in fits] == ["ConvNetClassifier", "MLPClassifier"]
    assert len(searches) == 2
    assert [row["module"] for row in imports] == [
        "sklearn.neural_network",
        "skcnn after sklearn.neural_network",
    ]
    assert [row["ratio"] for row in [fits[0], *searches]] == ["1", "1", "1"]
    for row in fits:
        assert_positive(row["s per epoch"])
    for row in searches + imports:
        assert_positive(row["s"])


def test_scaling_writes_the_readme(run_here, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- benchmark: scaling -->\nold\n<!-- end -->\nafter\n")
    options = [
        "--vary",
        "image_size",
        "--values",
        8,
        "--seconds",
        0.01,
        "--pairs",
        1,
        "--patience",
        0,
        "--skcnn-only",
    ]
    printed = run_here("scaling.py", *options, "--readme", readme)
    ((row,),) = read_tables(printed)
    assert row["image_size"] == "8"
    assert_positive(row["fit skcnn"])
    assert_positive(row["predict skcnn"])
    text = readme.read_text()
    assert printed.strip() in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("<!-- end -->\nafter\n")


def test_reading_from_files_and_slow_sources(run_here, tmp_path, monkeypatch):
    package("PIL.Image")
    write_idx_files(tmp_path, n_test=30)
    monkeypatch.syspath_prepend(BENCHMARKS.parent)
    monkeypatch.setattr("fashion_mnist.DEBIAN_FOLDER", tmp_path)
    options = ["--images", 30, "--epochs", 1, "--slow-images", 40, "--pairs", 1, "--patience", 0]
    searches, epochs = read_tables(run_here("reading.py", *options))
    assert [row["images"] for row in searches] == ["array", "files", "files, cached"]
    assert len(epochs) == 5
    for row in searches + epochs:
        assert_positive(row["s"])
        assert_positive(row["throughput"])


# measuring.py and networks.py


def test_a_missing_package_is_named_with_the_extra(monkeypatch, capsys):
    measuring = functions_of("measuring.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arguments = measuring["make_parser"]("").parse_args([])
    assert not measuring["is_available"](arguments, "torch")
    assert "pip install skcnn[bench]" in capsys.readouterr().err


def test_a_child_is_a_process_that_says_why_it_fails():
    run_child = functions_of("measuring.py")["run_child"]
    assert 0 < run_child("measuring:import_seconds", threads=1, module="fractions", before=["math"]) < 60
    with pytest.raises(RuntimeError, match="No module named 'missing'"):
        run_child("missing:function")


def test_ratios_are_taken_pair_by_pair():
    ratios = functions_of("measuring.py")["ratios"]
    assert ratios([2, 9, 8], [1, 3, 16]) == (2, 0.5, 3)  # 2, 3 and 1/2; the ratio of the medians is 8/3
    with pytest.raises(ValueError, match="zip"):
        ratios([1, 2], [1])


def test_sides_take_turns_in_both_orders():
    calls = []
    sides = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    arguments = SimpleNamespace(pairs=3, patience=0)
    results = functions_of("measuring.py")["interleaved"](sides, arguments, "label")
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert results == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_the_load_of_others_is_measured():
    """A busy process that is no child is another's work; that of a child is not."""
    measuring = functions_of("measuring.py")
    if measuring["busy_seconds"]() is None:
        pytest.skip("the system does not tell how busy it is")
    work = "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass"
    with measuring["OtherLoad"]() as of_child:
        subprocess.run([sys.executable, "-c", work], check=True)
    with subprocess.Popen([sys.executable, "-c", work + "\ninput()"], stdin=subprocess.PIPE) as other:
        with measuring["OtherLoad"]() as of_other:  # it is not waited for, so that its time is not counted
            time.sleep(0.8)
        other.communicate(b"\n")
    assert of_other.cores > of_child.cores - 0.5
    assert of_other.cores > 0.4
    assert measuring["largest_load"]([{"other_load": 0.5}], None, [{"other_load": 0.25}]) == "0.50"
    assert measuring["largest_load"]([{"other_load": None}]) == measuring["largest_load"]() == "-"


def test_a_busy_machine_is_waited_for_and_named(monkeypatch, capsys):
    measuring = functions_of("measuring.py")
    loads = iter([1.5, 0.5, 0.0, 1.5])

    class Load:
        def __enter__(self):
            self.cores = next(loads)
            return self

        def __exit__(self, *exception):
            pass

    monkeypatch.setitem(measuring["wait_until_quiet"].__globals__, "OtherLoad", Load)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    measuring["wait_until_quiet"](60)
    assert not capsys.readouterr().err
    measuring["wait_until_quiet"](1e-9)
    assert "others keep 1.50 cores busy" in capsys.readouterr().err
    measuring["wait_until_quiet"](0)


def test_seconds_per_unit_warms_up_and_lasts_long_enough(monkeypatch):
    """The first unit takes 4 s, later ones 1 s; 10 s are wanted."""
    clock, calls = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def run(n):
        clock[0] += n + 3 * (not calls)
        calls.append(n)

    assert functions_of("measuring.py")["seconds_per_unit"](run, 10) == 1
    assert calls == [1, 3, 12]  # 1.2 * 10 / 4 took only 3 s; then 1.2 * 3 * 10 / 3


def test_medians_are_none_where_a_figure_is_missing():
    measuring = functions_of("measuring.py")
    assert measuring["median_of"]([{"a": 1}, {"a": 5}, {"a": 2}], "a") == 2
    assert measuring["median_of"]([{"a": None}], "a") is None
    assert measuring["memory_figure"]([{"peak": 123.4, "above_imports": 23.46}]) == "123 (23.5)"
    assert measuring["memory_figure"]([{"peak": None, "above_imports": None}]) == "-"


def test_figures_have_three_digits():
    figure = functions_of("measuring.py")["figure"]
    shown = [figure(value) for value in (None, 1234.5, 100, 23.456, 0.05678, 2)]
    assert shown == ["-", "1234", "100", "23.5", "0.0568", "2"]


def test_tables_are_aligned():
    table = functions_of("measuring.py")["format_table"](["net", "ms"], [["W1, 32", "0.5"], ["W3", "120"]])
    assert table.splitlines() == [
        "| net    |  ms |",
        "| ------ | --: |",
        "| W1, 32 | 0.5 |",
        "| W3     | 120 |",
    ]


def test_a_block_is_replaced_and_others_are_left():
    replace_block = functions_of("measuring.py")["replace_block"]
    before = "<!-- benchmark: a -->\n<!-- end -->\n<!-- benchmark: b -->\n"
    replaced = replace_block(f"{before}old\n<!-- end -->\nrest", "b", "new")
    assert replaced == f"{before}\nnew\n\n<!-- end -->\nrest"
    assert replace_block(replaced, "b", "new") == replaced
    for text in ("<!-- benchmark: a -->", "<!-- end --> <!-- benchmark: a -->"):
        with pytest.raises(ValueError, match="<!-- benchmark: a --> and <!-- end -->"):
            replace_block(text, "a", "new")


def test_the_page_beside_the_scripts_has_a_block_for_each():
    measuring = functions_of("measuring.py")
    assert measuring["README"] == BENCHMARKS / "README.md"
    text = measuring["README"].read_text(encoding="utf-8")
    for name in SCRIPTS:
        measuring["replace_block"](text, name.removesuffix(".py"), "")


def test_multiply_adds_of_lenet():
    """By hand: 28*28*6 * 25 + 10*10*16 * 25*6 + 400*120 + 120*84 + 84*10."""
    networks = functions_of("networks.py")
    assert networks["multiply_adds"](networks["NETWORKS"]["W4"]) == 117600 + 240000 + 48000 + 10080 + 840


@pytest.mark.parametrize("name", ["W3", "W4"])
def test_weights_of_skcnn_have_the_shapes_that_are_counted(name):
    networks = functions_of("networks.py")
    network = networks["NETWORKS"][name]
    counted = [
        numbers["kernel_size"] ** 2 * before[-1] * numbers["filters"]
        if kind == "conv"
        else math.prod(before) * numbers["units"]
        for kind, numbers, before, _ in networks["walk"](network)
        if kind != "pool"
    ]
    X = np.zeros((10, *network.image_shape), np.uint8)
    clf = ConvNetClassifier(networks["skcnn_layers"](network), max_iter=1).fit(X, range(10))
    params = clf.network_.params.values()
    assert [values["weight"].size for values in params if "weight" in values] == counted


# accuracy.py


def test_accuracy_compares_estimators_and_goes_on_from_a_file(run_here, tmp_path):
    """A second run of two of them with one more seed keeps what the first has measured."""
    names, path = ["ConvNetClassifier", "RandomForestClassifier", "SVC"], tmp_path / "accuracy.json"
    options = ["--data-sets", "digits", "--samples", 120, "--patience", 0, "--json", path, "--estimators"]
    run_here("accuracy.py", *options, *names, "--seeds", 1)
    before = json.loads(path.read_text())["results"]["digits"]
    plot = ["--plot", tmp_path / "accuracy.png"]
    printed = run_here("accuracy.py", *options, *names[1:], "--seeds", 2, *plot)
    package("matplotlib.pyplot").close("all")
    after = json.loads(path.read_text())["results"]["digits"]
    assert [len(after[name]) for name in names] == [1, 2, 2]
    assert {name: found[:1] for name, found in after.items()} == before
    assert min(record["score"] for found in after.values() for record in found) > 0.7
    rows, (of_forest, of_svc) = read_tables(printed)
    assert [row["estimator"] for row in rows] == names[1:] == [of_forest["estimator"], of_svc["estimator"]]
    for row in rows:
        scores = [record["score"] for record in after[row["estimator"]]]
        assert row["digits, 5-fold"].startswith(f"{np.mean(scores):.4f}")
        assert_positive(row["s"])
    assert of_svc["digits, 5-fold"] == "-"
    assert all(0 < float(measure) < 1.5 for measure in of_forest["digits, 5-fold"].split(" / "))
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000
    shown, _ = read_tables(run_here("accuracy.py", *options, *names[1:], "KNeighborsClassifier", "--show"))
    assert shown[:2] == rows
    assert (shown[2]["digits, 5-fold"], shown[2]["s"]) == ("-", "-")


def test_accuracy_gives_up_what_takes_too_long(tmp_path):
    """And does not try it again with another seed, now or in a second run."""
    options = ["--data-sets", "digits", "--estimators", "SVC", "--samples", 150, "--limit", 1e-4]
    options += ["--patience", 0]
    for _ in range(2):
        printed = run_benchmark("accuracy.py", *options, "--json", tmp_path / "accuracy.json")
        (row,) = read_tables(printed)[0]
        assert (row["digits, 5-fold"], row["s"]) == ("-", "> 0.006")
        results = json.loads((tmp_path / "accuracy.json").read_text())["results"]
        assert results == {"digits": {"SVC": [None]}}


def test_accuracy_reads_photographs(run_here, tmp_path, monkeypatch):
    write_cifar10_file(40, tmp_path, monkeypatch)
    options = ["--data-sets", "cifar10", "--estimators", "KNeighborsClassifier", "--samples", 30]
    options += ["--patience", 0]
    (row,) = read_tables(run_here("accuracy.py", *options))[0]
    assert 0 <= float(row["CIFAR-10"]) <= 1
