"""Options of the test suite, and the seed that it draws from."""

from seeds import SEED, VARIABLE


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="run the exhaustive tests, too")


def pytest_report_header():
    return f"seed: {SEED} (the environment variable {VARIABLE} chooses another)"


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--run-slow"):
        slow = [item for item in items if "slow" in item.keywords]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if "slow" not in item.keywords]
