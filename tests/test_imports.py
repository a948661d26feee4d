"""Tests of the imports: they go one way, as the design says, and to few other packages."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from processes import run_script

import skcnn
from skcnn import ConvNetClassifier, ConvNetFeatures, _sklearn

PACKAGE = Path(skcnn.__file__).parent

FLOORS = [
    {"_sklearn", "batch_streams", "fitted_attributes", "random_streams", "tensor_file", "user_warnings"},
    {"encoding", "kernels"},
    {"layers", "augmentation", "versions"},
    {"data"},
    {"network"},
    {"architecture", "gradient_check", "training"},
    {"estimator"},
    {"classifier", "pipelines", "regressor"},
    {"features", "inspection"},
    {"files", "onnx"},
]
"""Rooms, folders or single files, from the ground up: each imports only from floors below its own."""

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "mlflow": "mlflow-skinny"}
"""Names to install of the packages that are imported by another one."""

EXTRAS = {
    "skcnn/data/image_files.py": "images",
    "skcnn/files/keras.py": "keras",
    "skcnn/inspection/plotting.py": "plot",
    "skcnn/kernels/compiled": "numba",
    "skcnn/onnx": "files",
    "tests": "test",
    "tests/browser": "browser",
    "tests/data": "datasets",
    "tests/files": "files",
    "tests/parity": "parity",
    "tests/parity/test_onnx.py": "files",
    "tests/test_examples.py": "files,probabilities",
    "tests/test_honest_probabilities.py": "probabilities",
    "tests/test_onnx.py": "files",
    "examples": "examples",
    "examples/export_onnx.py": "files",
    "examples/honest_probabilities.py": "probabilities",
    "examples/benchmarks": "bench",
    "examples/benchmarks/reading.py": "images",
}
"""What imports more than the dependencies, and the extras that bring it, beside those of its folders."""


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_in(path, text=None):
    """Return the names of all modules that a file imports; of ``from a import b``, a.b if it is one."""
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


def test_all_modules_and_imports_are_seen():
    """Also those inside a function."""
    assert {"skcnn", "skcnn.layers.base", "skcnn.kernels.windows", "skcnn.training.loop"} <= set(MODULES)
    assert "skcnn.network.executor" in ours("skcnn.training.loop")
    assert ours("skcnn") > {"skcnn.classifier"}
    text = "def function():\n    from skcnn.training import loop\n    import scipy.special as special\n"
    assert imports_in(PACKAGE / "example.py", text) == {"skcnn.training.loop", "scipy.special"}


def test_every_room_has_a_floor():
    rooms = [room for floor in FLOORS for room in floor]
    assert sorted(rooms) == sorted({room_of(name) for name in MODULES if name != "skcnn"})


def test_imports_go_down():
    for name in set(MODULES) - {"skcnn"}:
        for imported in ours(name):
            assert imported != "skcnn", f"{name} imports the package itself, which is on top of everything"
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
    local = {"skcnn"}
    if not path.is_relative_to(PACKAGE):  # which may be installed elsewhere
        top = ROOT / path.relative_to(ROOT).parts[0]
        local |= {entry.stem for folder in (top, path.parent) for entry in folder.iterdir()}
    asked_for = re.findall(r'\b(?:importorskip|package)\("([\w.]+)"', path.read_text(encoding="utf-8"))
    names = {name.split(".")[0] for name in imports_in(path).union(asked_for)}
    names -= local | set(sys.stdlib_module_names)
    return {DISTRIBUTIONS.get(name, name) for name in names}


@pytest.mark.parametrize("folder", ["skcnn", "tests", "examples"])
def test_only_what_is_declared_is_imported(folder):
    for path in (ROOT / folder).rglob("*.py"):
        name = path.relative_to(ROOT)
        extras = [EXTRAS[place] for place in map(str, (name, *name.parents)) if place in EXTRAS]
        requirements = PROJECT["dependencies"] + [f"skcnn[{extra}]" for extra in extras]
        assert others_in(path) <= declared(requirements), name


def test_all_that_is_declared_is_imported():
    """Onnxruntime checks an export where it is there, and whoever registers with skl2onnx has it."""
    expected = declared(
        [*PROJECT["dependencies"], "skcnn[plot,images,keras,onnx,numba]", "onnxruntime", "skl2onnx"]
    )
    assert set.union(*map(others_in, MODULES.values())) == expected


def test_packages_of_extras_are_found():
    """Also where only functions import them, and where tests are skipped without them."""
    assert "pandas" in others_in(ROOT / "tests" / "extras.py")
    assert {"matplotlib", "pillow", "joblib"} <= others_in(ROOT / "examples" / "own_picture.py")
    assert declared(["skcnn[test]"]) > declared(["skcnn[examples]"]) > declared(["skcnn[plot]"])


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


IMPORTING = """
    import sys
    import numpy as np, sklearn.base, sklearn.metrics, sklearn.model_selection
    from threadpoolctl import threadpool_info

    def state():
        limits = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
        return np.geterr(), np.getbufsize(), np.random.get_state()[1].tolist(), limits

    modules, before = set(sys.modules), state()
    import skcnn
    after = state()
    assert after[:3] == before[:3]
    assert all(after[3][path] == limit for path, limit in before[3].items())
    print(*{name.split(".")[0] for name in set(sys.modules) - modules})
"""


def test_importing_the_package_loads_nothing_that_is_optional_and_changes_no_state():
    """Nothing but what scikit-learn loads by itself, which looks for pandas."""
    loaded = set(run_script(IMPORTING).split())
    assert "skcnn" in loaded
    assert not loaded & {"matplotlib", "pandas", "torch", "onnx", "h5py", "pytest", "IPython"}
