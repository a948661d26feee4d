"""Options of the test suite, the seed that it draws from, and how many cases Hypothesis draws.

By default these are the same ones each time. With ``--hypothesis-profile=exhaustive`` there are thousands,
drawn afresh each time; those that fail are kept in .hypothesis/ and run first until they pass.
"""

from contextlib import suppress

from seeds import SEED, VARIABLE

with suppress(ImportError):  # what draws with it says that it is missing
    from hypothesis import HealthCheck, settings

    common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile(
        "deterministic", max_examples=200, derandomize=True, database=None, print_blob=False, **common
    )
    settings.register_profile("exhaustive", max_examples=3000, print_blob=True, **common)
    settings.load_profile("deterministic")


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="run the exhaustive tests, too")
    parser.addoption("--run-browser", action="store_true", help="run the tests in a headless Chromium, too")


def pytest_report_header():
    return f"seed: {SEED} (the environment variable {VARIABLE} chooses another)"


def pytest_collection_modifyitems(config, items):
    for kind in ("slow", "browser"):
        if not config.getoption(f"--run-{kind}"):
            config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(kind)])
            items[:] = [item for item in items if not item.get_closest_marker(kind)]
