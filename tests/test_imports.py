"""Tests of the imports: they go one way, as the design says, and to few other packages."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import skcnn
from skcnn import ConvNetClassifier, ConvNetFeatures, _sklearn

PACKAGE = Path(skcnn.__file__).parent

FLOORS = [
    {"_sklearn", "fitted_attributes", "kernels", "random_streams", "tensor_file", "user_warnings"},
    {"encoding"},
    {"layers", "augmentation", "versions"},
    {"data"},
    {"network"},
    {"architecture", "gradient_check", "training"},
    {"estimator"},
    {"classifier", "pipelines"},
    {"features", "inspection"},
    {"files"},
]
"""Rooms, folders or single files, from the ground up: each imports only from floors below its own."""

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "mlflow": "mlflow-skinny"}
"""Names to install of the packages that are imported by another one."""

EXTRAS = {
    "skcnn/inspection/plotting.py": "plot",
    "tests": "test",
    "tests/browser": "browser",
    "tests/files": "files",
    "tests/parity": "bench",
    "examples": "examples",
    "examples/benchmarks": "bench",
}
"""Files and folders that import more than the dependencies, and the extra that brings it to each.

A folder in another has the extra of that one, too.
"""


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_in(path, text=None):
    """Return the names of all modules that a file imports, wherever in the file.

    ``from package import name`` is the module ``package.name`` if there is one.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8") if text is None else text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import in line {node.lineno}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def ours(name):
    return {imported for imported in imports_in(MODULES[name]) if imported.split(".")[0] == "skcnn"}


def room_of(name):
    """Return the room that a module is in: itself, or its folder."""
    return name.split(".")[1]


def floor_of(room):
    return next(floor for floor, rooms in enumerate(FLOORS) if room in rooms)


def test_all_modules_of_the_package_are_seen():
    assert {"skcnn", "skcnn.layers.base", "skcnn.kernels.windows", "skcnn.training.loop"} <= set(MODULES)
    assert "skcnn.network.executor" in ours("skcnn.training.loop")
    assert ours("skcnn") > {"skcnn.classifier"}


def test_an_import_inside_a_function_is_seen():
    text = "def function():\n    from skcnn.training import loop\n    import scipy.special as special\n"
    assert imports_in(PACKAGE / "example.py", text) == {"skcnn.training.loop", "scipy.special"}


def test_every_room_has_a_floor():
    rooms = [room for floor in FLOORS for room in floor]
    assert sorted(rooms) == sorted({room_of(name) for name in MODULES if name != "skcnn"})


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"skcnn"}))
def test_imports_go_down(name):
    for imported in ours(name):
        assert imported != "skcnn", "the package itself is on top of everything"
        if room_of(imported) != room_of(name):
            assert floor_of(room_of(imported)) < floor_of(room_of(name)), f"{name} imports {imported}"


def test_the_protocol_of_layers_knows_no_layer():
    assert ours("skcnn.layers.base") == {"skcnn.encoding"}
    assert ours("skcnn.layers.naming") == {"skcnn.layers.base"}


def test_there_are_no_cycles():
    """Every module can be put after all that it imports."""
    waiting = {name: ours(name) - {name} for name in MODULES}
    while waiting:
        ready = {name for name, needed in waiting.items() if not needed & set(waiting)}
        assert ready, f"cycle among {sorted(waiting)}"
        waiting = {name: needed for name, needed in waiting.items() if name not in ready}


def declared(requirements):
    """Return the names of the packages that a list of requirements asks for, those of its extras included."""
    names = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement).groups()
        if name == PROJECT["name"]:
            for extra in extras.split(","):
                names |= declared(PROJECT["optional-dependencies"][extra])
        else:
            names.add(name)
    return names


def others_in(path):
    """Return the names to install of all that a file imports of other projects, or is skipped without."""
    local, top = {"skcnn"}, ROOT / path.relative_to(ROOT).parts[0]
    if top != PACKAGE:
        local |= {entry.stem for folder in (top, path.parent) for entry in folder.iterdir()}
    asked_for = re.findall(r'\b(?:importorskip|package)\("([\w.]+)"', path.read_text(encoding="utf-8"))
    names = {name.split(".")[0] for name in imports_in(path).union(asked_for)}
    names -= local | set(sys.stdlib_module_names)
    return {DISTRIBUTIONS.get(name, name) for name in names}


FILES = [path for folder in ("skcnn", "tests", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_what_is_declared_is_imported(path):
    name = path.relative_to(ROOT)
    extras = [EXTRAS[place] for place in map(str, (name, *name.parents)) if place in EXTRAS]
    requirements = PROJECT["dependencies"] + [f"skcnn[{extra}]" for extra in extras]
    assert others_in(path) <= declared(requirements)


def test_all_that_is_declared_is_imported():
    assert set.union(*map(others_in, MODULES.values())) == declared(PROJECT["dependencies"] + ["skcnn[plot]"])


def test_packages_of_extras_are_found():
    """Also by another name, where only functions import them, and where tests are skipped without them."""
    assert "pandas" in others_in(ROOT / "tests" / "extras.py")
    assert {"matplotlib", "pillow", "joblib"} <= others_in(ROOT / "examples" / "own_picture.py")
    assert "skorch" in others_in(ROOT / "examples" / "benchmarks" / "estimators.py")
    assert declared(["skcnn[plot]"]) == {"matplotlib"}
    assert declared(["skcnn[test]"]) > declared(["skcnn[examples]"]) > {"matplotlib"}


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


PRIVATE_OF_BASES = {
    name
    for estimator in (ConvNetClassifier, ConvNetFeatures)
    for base in estimator.__mro__
    if base.__module__.startswith("sklearn.")
    for name in vars(base)
    if is_private(name)
}
"""Methods and attributes that estimators inherit from scikit-learn, and that are private to it."""


def private_names_of_sklearn(text):
    """Return the private names of scikit-learn that a file imports, or looks up in an object."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and node.attr in PRIVATE_OF_BASES:
            found.add(f"sklearn.{node.attr}")
    parts = {name: name.split(".") for name in found}
    return {name for name in found if parts[name][0] == "sklearn" and any(map(is_private, parts[name]))}


def test_private_names_of_scikit_learn_are_used_in_one_module():
    """And this scikit-learn has all of them."""
    assert all(getattr(_sklearn, name) is not None for name in _sklearn.__all__)
    texts = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    found = {name: private_names_of_sklearn(text) for name, text in texts.items()}
    assert "sklearn.base._fit_context" in found["skcnn._sklearn"]
    assert {"sklearn._validate_params", "sklearn._get_params_html"} <= found.pop("skcnn._sklearn")
    assert not any(found.values()), found


def test_importing_the_package_loads_nothing_that_is_optional():
    """Nothing but what scikit-learn loads by itself, which looks for pandas."""
    code = (
        "import sys, sklearn.base, sklearn.metrics, sklearn.model_selection\n"
        "before = set(sys.modules)\n"
        "import skcnn\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "heavy = names & {'matplotlib', 'pandas', 'torch', 'onnx', 'pytest', 'IPython'}\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_importing_the_package_changes_no_state_of_numpy_or_the_blas():
    code = (
        "import numpy as np, sklearn\n"
        "from threadpoolctl import threadpool_info\n"
        "def state():\n"
        "    limits = {library['filepath']: library['num_threads'] for library in threadpool_info()}\n"
        "    return np.geterr(), np.getbufsize(), np.random.get_state()[1].tolist(), limits\n"
        "before = state()\n"
        "import skcnn\n"
        "after = state()\n"
        "assert after[:3] == before[:3]\n"
        "assert all(after[3][path] == limit for path, limit in before[3].items())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
