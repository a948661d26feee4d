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


def run(*command, seed):
    """Run Python next to the tests with the variable set."""
    environment, options = os.environ | {VARIABLE: seed}, {"capture_output": True, "text": True}
    return subprocess.run([sys.executable, *command], env=environment, cwd=TESTS, check=False, **options)


@pytest.mark.costly
def test_the_variable_chooses_what_is_drawn():
    script = "from seeds import generator; print(generator(3).integers(2**63))"
    first, second = (int(run("-c", script, seed=seed).stdout) for seed in ("0", "99"))
    assert first != second
    assert run("-c", script, seed="100").returncode != 0
    assert seed_from({}) == 0
    assert [seed_from({VARIABLE: str(seed)}) for seed in range(N_SEEDS)] == list(range(N_SEEDS))


@pytest.mark.parametrize("text", ["-1", "100", "1.0", "", "01"])
def test_a_bad_seed_is_refused(text):
    with pytest.raises(ValueError, match=f"{VARIABLE} .*got '{text}'"):
        seed_from({VARIABLE: text})


def test_the_header_names_the_seed():
    header = run("-m", "pytest", "--collect-only", "test_seeds.py", seed="42").stdout
    assert f"\nseed: 42 (the environment variable {VARIABLE} chooses another)\n" in header


def test_the_same_key_gives_the_same_numbers_and_another_key_others():
    """Keys that differ by zeros at their end are different keys."""
    keys = [(), (0,), (0, 0), (0, 0, 0, 0, 0), (1,), (0, 1), (1, 0)]
    numbers, again = [
        {key: generator(*key).integers(2**63, size=4).tolist() for key in keys} for _ in range(2)
    ]
    assert numbers == again
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
