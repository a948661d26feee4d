"""Options of the test suite, the seed that it draws from, and how many cases Hypothesis draws.

By default these are the same ones each time. With ``--hypothesis-profile=exhaustive`` there are thousands,
drawn afresh each time; those that fail are kept in .hypothesis/ and run first until they pass.

With ``--fast`` a run takes about a minute and goes through every room of the package: the first case of each
test, without those marked ``costly``, of which one case takes half a second or more, and without README.md.
"""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from seeds import SEED, VARIABLE

with suppress(ImportError):  # what draws with it says that it is missing
    from hypothesis import HealthCheck, settings

    common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile(
        "deterministic", max_examples=200, derandomize=True, database=None, print_blob=False, **common
    )
    settings.register_profile("exhaustive", max_examples=3000, print_blob=True, **common)
    settings.load_profile("deterministic")


@pytest.fixture
def cut_work(monkeypatch):
    """Return a function that sets how all work is cut until the test ends, that of whole fits, too.

    It takes a :class:`skcnn.network.cut.Cut`, such as those in cuts.py. Where a test makes its own pool,
    ``worker_pool(cut)`` takes one.
    """
    from skcnn.network.threads import WorkerPool

    return lambda cut: monkeypatch.setattr(WorkerPool, "default_cut", cut)


NEEDED_BY_DOCTESTS = {
    "Display.from_": "matplotlib",
    "distinct_colors": "matplotlib",
    "pandas": "pandas",
    "GraphBuilder": "onnx",
    "to_onnx": "onnx",
    "skl2onnx": "skl2onnx",
}
"""Words in examples, and the package of an extra that examples with them need."""


def pytest_addoption(parser):
    parser.addoption("--fast", action="store_true", help="run one case of each test that is not costly")
    parser.addoption("--run-slow", action="store_true", help="run the exhaustive tests, too")
    parser.addoption("--run-browser", action="store_true", help="run the tests in a headless Chromium, too")


def pytest_report_header():
    return f"seed: {SEED} (the environment variable {VARIABLE} chooses another)"


def skip_doctests_without_packages(items):
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            source = "".join(example.source for example in item.dtest.examples)
            for word, name in NEEDED_BY_DOCTESTS.items():
                if word in source and find_spec(name) is None:
                    item.add_marker(pytest.mark.skip(reason=f"{name} is not installed"))


TESTS = Path(__file__).parent


def rooms_without_tests(items):
    """Return the folders and modules of the package that no test is named after."""
    paths = [item.path.relative_to(TESTS) for item in items if item.path.is_relative_to(TESTS)]
    tested = {path.parts[0].removeprefix("test_").removesuffix(".py") for path in paths}
    entries = (TESTS.parent / "skcnn").iterdir()
    rooms = {path.stem for path in entries if path.is_dir() or path.suffix == ".py"}
    return sorted(room for room in rooms - tested if not room.startswith("_"))


def is_costly(item):
    """Whether --fast leaves a test out: it is marked, or all the code of a page."""
    return item.get_closest_marker("costly") is not None or item.path.suffix == ".md"


def one_case_of_each(items):
    """Return the first of the cases that a test is parametrized with, for each test."""
    cases = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], item)
    return list(cases.values())


def pytest_collection_modifyitems(config, items):
    skip_doctests_without_packages(items)
    unwanted = [kind for kind in ("slow", "browser") if not config.getoption(f"--run-{kind}")]
    kept = [item for item in items if not any(map(item.get_closest_marker, unwanted))]
    if config.getoption("--fast"):
        kept = one_case_of_each(item for item in kept if not is_costly(item))
        is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        if is_whole and (missing := rooms_without_tests(kept)):
            raise pytest.UsageError(f"--fast has no test of {', '.join(missing)}")
    wanted = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = kept
