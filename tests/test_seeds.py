"""Tests of the seed that the other tests draw from."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from seeds import N_SEEDS, VARIABLE, generator, seed_from

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def draws(*key):
    return generator(*key).integers(2**63, size=4).tolist()


def run(*command, seed):
    """Run Python next to the tests with the variable set, or without it if the seed is None."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment |= {} if seed is None else {VARIABLE: seed}
    options = {"capture_output": True, "text": True, "check": False}
    return subprocess.run([sys.executable, *command], env=environment, cwd=TESTS, **options)


def test_the_variable_chooses_what_is_drawn():
    script = "from seeds import generator; print(generator(3).integers(2**63))"
    printed = {seed: run("-c", script, seed=seed).stdout for seed in (None, "0", "1", "99")}
    assert printed[None] == printed["0"]
    assert all(int(number) >= 0 for number in printed.values())
    assert len(set(printed.values())) == 3
    assert seed_from({}) == 0
    assert [seed_from({VARIABLE: str(seed)}) for seed in range(N_SEEDS)] == list(range(N_SEEDS))


@pytest.mark.parametrize("text", ["-1", "100", "1.0", "", " 1", "01", "1_0", "any", "²"])
def test_a_bad_seed_is_refused(text):
    with pytest.raises(ValueError, match=f"{VARIABLE} must be an integer from 0 to 99, got '{text}'"):
        seed_from({VARIABLE: text})


def test_a_bad_seed_stops_the_run():
    process = run("-m", "pytest", "test_seeds.py", seed="100")
    assert process.returncode != 0
    assert f"{VARIABLE} must be an integer from 0 to 99, got '100'" in process.stdout + process.stderr


def test_the_header_names_the_seed():
    header = run("-m", "pytest", "--collect-only", "test_seeds.py", seed="42").stdout
    assert f"\nseed: 42 (the environment variable {VARIABLE} chooses another)\n" in header


def test_the_same_key_gives_the_same_numbers_and_another_key_others():
    """Keys that differ by zeros at their end are different keys."""
    keys = [(), (0,), (0, 0), (0, 0, 0, 0, 0), (1,), (0, 1), (1, 0)]
    numbers = {key: draws(*key) for key in keys}
    assert numbers == {key: draws(*key) for key in keys}
    flat = [number for row in numbers.values() for number in row]
    assert len(set(flat)) == len(flat) == 4 * len(keys)


def test_the_command_of_the_page_runs_all_seeds():
    page = (ROOT / "tests" / "README.md").read_text()
    (command,) = re.findall(r"```sh\n(for seed in .+?)```", page, flags=re.DOTALL)
    assert command.startswith(f"for seed in $(seq 0 {N_SEEDS - 1}); do\n    {VARIABLE}=$seed python -m ")
    ignored = re.findall(r"--ignore (\S+)", command)
    assert ignored and all((ROOT / path).exists() for path in ignored)


def test_ci_runs_more_than_one_seed():
    seeds = re.findall(rf"{VARIABLE}=(\d+) python -m pytest", (ROOT / ".ci" / "run").read_text())
    assert {seed_from({VARIABLE: seed}) for seed in seeds} - {0}
