"""The seed that every test draws from, chosen by an environment variable."""

import os

import numpy as np

VARIABLE, N_SEEDS = "SKCNN_TESTS_GLOBAL_RANDOM_SEED", 100


def seed_from(environment):
    """Return the seed that the variable asks for, 0 without it."""
    text = environment.get(VARIABLE, "0")
    if text not in map(str, range(N_SEEDS)):
        raise ValueError(f"{VARIABLE} must be an integer from 0 to {N_SEEDS - 1}, got {text!r}")
    return int(text)


SEED = seed_from(os.environ)


def generator(*key):
    """Return a fresh generator for a key of integers: the same for the same seed and key."""
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=key))
