"""Tests of the model: one object with all that prediction needs, whose state is plain."""

import copy
import pickle
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from small_classifiers import STACKS, fitted_classifier, make_images

from skcnn.layers.base import Block

X, Y = make_images()


def leaves_of(value):
    """Return what a state is made of, containers left out; keys of dicts must be strings."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [leaf for entry in value for leaf in leaves_of(entry)]
    return [value]


@pytest.mark.parametrize("params", [{}, {"loss": "focal", "input_scaling": None}], ids=str)
def test_the_state_is_plain_but_for_the_layers(params):
    model = fitted_classifier(STACKS["residual"], **params).model_
    state = model.__getstate__()
    assert all(isinstance(name, str) and isinstance(layer, Block) for name, layer in state.pop("layers"))
    plain = (np.ndarray, str, bool, int, float, type(None))
    assert {type(leaf) for leaf in leaves_of(state)} <= set(plain)


@pytest.mark.parametrize("send", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("kind", ["residual", "parallel"])
def test_a_copy_predicts_the_same_bits_and_shares_nothing(kind, send):
    model = fitted_classifier(STACKS[kind]).model_
    other, expected = send(model), model.scores(X)
    assert_array_equal(other.scores(X), expected)
    assert (other.seed, other.made_with, vars(other.loss)) == (model.seed, model.made_with, vars(model.loss))
    assert [node.name for node in other.network.nodes] == [node.name for node in model.network.nodes]
    other.network.vector[:] = 0
    assert_array_equal(model.scores(X), expected)


def test_a_model_with_other_parts_keeps_the_rest():
    model = fitted_classifier().model_
    network = model.network.copy()
    other = model.replace(network=network)
    assert other.network is network
    assert vars(other) | {"network": None} == vars(model) | {"network": None}


def test_whoever_predicts_while_another_thread_refits_has_a_whole_model():
    """The fits are for images of other shapes, with other labels, so parts of two models would not fit."""
    names = np.array(["a", "b", "c"])[Y]
    images = {"integers": (X, Y), "names": (X[:, ::2, ::2], names)}
    classifier, is_over, found = fitted_classifier(), threading.Event(), []
    expected = {kind: set(labels.tolist()) for kind, (_, labels) in images.items()}

    def refit():
        for kind in ["names", "integers"] * 4:
            classifier.fit(*images[kind])
        is_over.set()

    thread = threading.Thread(target=refit)
    thread.start()
    while not is_over.is_set():
        model = classifier.model_
        kind = "integers" if model.classes.dtype.kind == "i" else "names"
        labels = model.classes[model.scores(images[kind][0]).argmax(axis=1)]
        found.append(set(labels.tolist()) <= expected[kind])
        try:
            found.append(set(classifier.predict(X).tolist()) <= expected["integers"])
        except ValueError as error:
            assert "is expecting" in str(error)
    thread.join()
    assert all(found)
