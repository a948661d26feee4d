"""Ctrl-C and SIGTERM during a fit, as they come from outside: at any moment, while threads compute."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from processes import TIMEOUT, X, Y, make_net, run_script
from small_trainings import default_handler

from skcnn import Conv2D, Dense, Layer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")


class Counting(Layer):
    """Passes images on, and counts the steps of training that began."""

    steps = 0

    def prepare(self, params, plan, *, training, memory):
        Counting.steps += training

    def forward(self, params, X, unit, *, training, out):
        np.copyto(out, X)
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


def make_counting_net(**params):
    """Return an estimator whose steps are its epochs, of two shards each, without an average of weights."""
    layers = [Counting(), Conv2D(32), Conv2D(64, strides=2), Dense(32)]
    endless = {"max_iter": 100_000, "n_iter_no_change": 100_000, "averaging": None}
    return make_net(layers=layers, batch_size=len(X), **endless, **params)


INTERRUPTED = """
    import os, signal, sys, threading, time, warnings
    from test_signals import Counting, X, Y, make_counting_net

    def interrupt(wait):
        while Counting.steps < 2:
            time.sleep(0.001)
        time.sleep(wait)
        steps_at.append(Counting.steps)
        os.kill(os.getpid(), signal.SIGINT)

    lengths, scores = [], []
    for attempt in range(int(sys.argv[1])):
        Counting.steps, steps_at = 0, []
        net = make_counting_net()
        thread = threading.Thread(target=interrupt, args=(0.00137 * attempt,))
        thread.start()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                net.fit(X, Y)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("the interrupt was lost")
        thread.join()
        messages = [str(entry.message).split(";")[0] for entry in caught]
        assert messages == ["Training was interrupted"], messages
        assert Counting.steps <= steps_at[0] + 1, (Counting.steps, steps_at)
        complete = net.t_ // len(X)
        assert complete in (Counting.steps - 1, Counting.steps) and net.n_iter_ in (complete - 1, complete)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        lengths.append(complete)
        scores.append(net.decision_function(X))
    for length, score in zip(lengths, scores):
        again = make_counting_net().set_params(max_iter=length).fit(X, Y)
        assert (again.decision_function(X) == score).all(), length
    print("done")
"""


@pytest.mark.costly
@pytest.mark.parametrize("n_attempts", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_an_interrupt_at_any_moment_ends_with_the_step_under_way(n_attempts):
    """No further step begins; weights, counts and records are those of as many complete steps, to the bit."""
    assert run_script(INTERRUPTED, n_attempts).strip() == "done"


FITTING = """
    from test_signals import X, Y, make_counting_net

    make_counting_net(verbose=True).fit(X, Y)
"""


def send_signal(number):
    """Send a signal to a process after the third step of a fit; return its exit code and complaints."""
    command = [sys.executable, "-u", "-c", textwrap.dedent(FITTING)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path(__file__).parent, **pipes) as process:
        try:
            for _ in range(3):
                assert process.stdout.readline().startswith("epoch")
            process.send_signal(number)
            _, complaints = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    return process.returncode, complaints


@pytest.mark.costly
def test_ctrl_c_ends_a_process_with_a_warning():
    code, complaints = send_signal(signal.SIGINT)
    assert code == -signal.SIGINT  # as Python ends on a KeyboardInterrupt that nobody catches
    assert "UserWarning: Training was interrupted" in complaints
    assert complaints.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.costly
def test_sigterm_ends_a_process_at_once_as_if_it_did_not_train():
    assert send_signal(signal.SIGTERM) == (-signal.SIGTERM, "")


class Terminating(Counting):
    """Passes images on, and sends SIGTERM in the middle of the fourth step."""

    calls = 0

    def backward(self, params, dY, unit, *, need_dX, out):
        Terminating.calls += 1
        if Terminating.calls == 4:
            signal.raise_signal(signal.SIGTERM)
        return dY


@pytest.fixture
def fit_with_handler():
    """Return a function that fits an estimator while a handler of SIGTERM is set."""
    before = signal.getsignal(signal.SIGTERM)

    def fit(net, handler):
        Terminating.calls = 0
        signal.signal(signal.SIGTERM, handler)
        return net.fit(X, Y)

    yield fit
    signal.signal(signal.SIGTERM, before)


def test_the_handler_of_sigterm_is_the_users(fit_with_handler):
    """If it returns, the fit goes on; what it raises ends it, and the estimator keeps its last model."""
    net, received = make_net(layers=[Conv2D(16), Terminating(), Dense(8)]), []
    expected = fit_with_handler(net, signal.SIG_IGN).network_.vector
    with default_handler():
        fit_with_handler(net, lambda number, frame: received.append(number))
    assert received == [signal.SIGTERM]
    assert_array_equal(net.network_.vector, expected)
    before, scores = dict(vars(net)), net.decision_function(X)

    def stop(number, frame):
        raise SystemExit("asked to stop")

    with pytest.raises(SystemExit, match="asked to stop"):
        fit_with_handler(net, stop)
    assert signal.getsignal(signal.SIGTERM) is stop
    assert vars(net) == before
    assert_array_equal(net.decision_function(X), scores)
