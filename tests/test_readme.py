"""README.md says what is there; its code runs as doctests."""

import inspect
import re
from pathlib import Path

import pytest

import skcnn
import skcnn.inspection
import skcnn.layers

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def table(heading):
    """Return the rows of the table below a heading."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_every_hyperparameter_has_a_row_with_its_default():
    rows = {}
    for row in table("Hyperparameters"):
        names, defaults = (cell.strip() for cell in row.split("|")[1:3])
        names = re.findall(r"`(\w+)`", names)
        values = eval(f"({defaults},)") if len(names) > 1 else [eval(defaults)]
        rows.update(zip(names, values, strict=True))
    parameters = inspect.signature(skcnn.ConvNetClassifier).parameters
    assert rows == {name: parameter.default for name, parameter in parameters.items()}


def test_every_layer_is_in_the_table():
    named = set(re.findall(r"`(\w+)\(", "\n".join(table("Stacks of layers, and searching over them"))))
    layers = {
        name
        for name in skcnn.__all__
        if issubclass(getattr(skcnn, name), skcnn.layers.Block)
        and not inspect.isabstract(getattr(skcnn, name))
    }
    assert named == layers


def test_signatures_in_the_table_of_layers_are_true():
    for row in table("Stacks of layers, and searching over them"):
        for name, shown in re.findall(r"`(\w+)\((.*?)\)`", row):
            actual = str(inspect.signature(getattr(skcnn, name))).strip("()").replace("'", '"')
            assert shown.replace("1e-5", "1e-05").replace("1 / 6", str(1 / 6)) == actual


def test_every_display_has_a_row():
    rows = re.findall(r"\| `(\w+)` \|", "\n".join(table("Pictures and explanations")))
    assert sorted(rows) == sorted(name for name in skcnn.inspection.__all__ if name.endswith("Display"))


@pytest.mark.parametrize("marker", ["main job", "tests"])
def test_commands_are_marked_for_ci(marker):
    assert re.search(rf"<!-- {marker} -->\n```sh\npython -m pip install .+\n```", README)


def test_ci_runs_the_test_command_of_the_readme():
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()


def test_newest_change_is_the_version():
    assert f"### {skcnn.__version__}" in README.split("## Changes")[1]


def test_top_level_holds_nothing_else():
    """But for what is built, and what examples write to where they are run."""
    expected = {"skcnn", "tests", "examples", "pyproject.toml", "README.md", "LICENSE"}
    built = {"build", "dist", "mutants", "skcnn.egg-info"}
    written = {path.name for kind in ("png", "gif", "joblib") for path in ROOT.glob(f"*.{kind}")}
    assert {
        path.name for path in ROOT.iterdir() if not path.name.startswith(".")
    } - built - written == expected
