"""The pages say what is there: README.md and those in the folders. Their code runs as doctests."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import skcnn
import skcnn.augmentation
import skcnn.inspection
import skcnn.layers

ROOT = Path(__file__).parent.parent
FRONT, HOUSE, GUIDE, TESTS = "README.md", "skcnn/README.md", "examples/README.md", "tests/README.md"
PATHS = [FRONT, HOUSE, GUIDE, "examples/benchmarks/README.md", TESTS]
PAGES = {path: (ROOT / path).read_text(encoding="utf-8") for path in PATHS}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAYERS = "Stacks of layers, and searching over them"


def section(page, heading):
    """Return the text below a heading of a page."""
    return PAGES[page].split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(page, heading):
    """Return the rows of the table below a heading that begin with code."""
    return [line for line in section(page, heading).splitlines() if line.startswith("| `")]


# Tables hold what the code does


def test_every_hyperparameter_has_a_row_with_its_default():
    rows = {}
    for row in table(GUIDE, "Hyperparameters"):
        names, defaults = (cell.strip() for cell in row.split("|")[1:3])
        names = re.findall(r"`(\w+)`", names)
        values = eval(f"({defaults},)") if len(names) > 1 else [eval(defaults)]
        rows.update(zip(names, values, strict=True))
    parameters = inspect.signature(skcnn.ConvNetClassifier).parameters
    assert rows == {name: parameter.default for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    ("page", "heading", "kinds"),
    [
        (FRONT, LAYERS, skcnn.layers.Block),
        (GUIDE, "Augmentation", (skcnn.augmentation.Augmentation, skcnn.augmentation.Mixing)),
    ],
)
def test_every_layer_and_augmentation_has_a_row_with_its_signature(page, heading, kinds):
    classes = dict(inspect.getmembers(skcnn, inspect.isclass))
    actual = {
        name: str(inspect.signature(kind)).strip("()").replace("'", '"')
        for name, kind in classes.items()
        if issubclass(kind, kinds) and not inspect.isabstract(kind)
    }
    rows = "\n".join(table(page, heading)).replace("1e-5", "1e-05").replace("1 / 6", str(1 / 6))
    assert dict(re.findall(r"`(\w+)\((.*?)\)`", rows)) == actual


def test_every_display_has_a_row():
    rows = re.findall(r"\| `(\w+)` \|", "\n".join(table(GUIDE, "Explaining predictions")))
    assert sorted(rows) == sorted(name for name in skcnn.inspection.__all__ if name.endswith("Display"))


def test_every_example_is_on_its_page():
    assert all(f"[`{path.name}`]({path.name})" in PAGES[GUIDE] for path in (ROOT / "examples").glob("*.py"))


def test_the_table_of_rooms_names_every_file():
    named = set()
    for row in table(HOUSE, "Rooms"):
        room, files = re.match(r"\| `([\w/.]+)`[^|]*\|(.+)", row).groups()
        folder = room if room.endswith("/") else ""
        named |= {folder + name for name in re.findall(r"`(\w+\.py)`", files if folder else row)}
    package = ROOT / "skcnn"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert named == {path for path in files if not path.endswith("__init__.py")}


@pytest.mark.parametrize(("page", "heading"), [(HOUSE, "Where does my line go?"), (TESTS, "Layout")])
def test_files_and_folders_that_are_named_are_there(page, heading):
    paths = re.findall(r"`([\w/.]+(?:/|\.py))`", section(page, heading))
    folders = ROOT / Path(page).parent, ROOT
    assert len(paths) > 20
    assert not [path for path in paths if not any((folder / path).exists() for folder in folders)]


# The front page


def test_commands_are_marked_and_run_by_ci():
    for marker in ("main job", "tests"):
        assert re.search(rf"<!-- {marker} -->\n```sh\npython -m pip install .+\n```", PAGES[FRONT])
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()


def test_the_front_page_is_short_and_of_the_newest_version():
    assert len(PAGES[FRONT].splitlines()) <= 250
    assert f"### {skcnn.__version__}" in section(FRONT, "Changes")


def test_supported_versions_are_those_of_the_package():
    project = PYPROJECT["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["plot"]]
    oldest = {"Python": project["requires-python"].strip(">="), **dict(text.split(">=") for text in declared)}
    stated = dict(re.findall(r"([\w-]+) (\d+\.\d+) or later", section(FRONT, "Supported versions")))
    assert stated.keys() >= {"Python", "numpy", "scikit-learn", "scipy", "matplotlib"}
    assert not [name for name, version in stated.items() if oldest[name] != version]


# All pages


def slug(heading):
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PATHS)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)\s]*)\)", PAGES[page])
    for link in links:
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", PAGES[target.relative_to(ROOT).as_posix()], re.MULTILINE)
            assert anchor in map(slug, headings), link


def test_every_page_is_linked_to_from_the_front_page_and_its_code_tested():
    paths = [path for folder in ("skcnn", "tests", "examples") for path in (ROOT / folder).rglob("README.md")]
    assert {path.relative_to(ROOT).as_posix() for path in paths} == set(PATHS[1:])
    collected = PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
    assert not [page for page in PATHS if page not in collected and page.split("/")[0] not in collected]
    assert not [page for page in PATHS[1:] if f"]({page})" not in PAGES[FRONT]]


def test_top_level_holds_nothing_else():
    """But for what is built, and what examples write to where they are run."""
    expected = {"skcnn", "tests", "examples", "pyproject.toml", "README.md", "LICENSE"}
    built = {"build", "dist", "mutants", "skcnn.egg-info"}
    written = {
        path.name for kind in ("png", "gif", "joblib", "onnx", "skcnn") for path in ROOT.glob(f"*.{kind}")
    }
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - built - written == expected
