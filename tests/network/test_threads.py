"""Tests of the threads: how many, what holds the BLAS meanwhile, and how work is handed out."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import joblib
import numpy as np
import pytest
from cuts import FINE
from joblib.externals.loky import get_reusable_executor
from processes import blas_limits, run_script
from threadpoolctl import OpenBLASController, threadpool_limits

from skcnn.network.cut import Cut
from skcnn.network.threads import (
    LIMIT_VARIABLES,
    THREADS_VARIABLE,
    BlasGuard,
    WorkerPool,
    current_numpy_state,
    thread_count,
    worker_pool,
    working_numpy_state,
)

TIMEOUT = 30  # seconds, for what takes milliseconds unless it hangs


def blas_threads():
    return set(blas_limits())


def set_blas_threads(number):
    """Set the limit of the BLAS, and leave it to any thread to change it.

    Since its version 3.8, threadpoolctl ignores what other threads ask for while the thread that first
    set a limit of an OpenBLAS holds it.
    """
    release = getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)
    release(force=True)
    threadpool_limits(number, user_api="blas")
    release(force=True)
    assert blas_threads() == {number}


@pytest.fixture
def two_blas_threads():
    """Set the limit of the BLAS to two, so that holding it at one shows."""
    before = max(blas_threads())
    set_blas_threads(2)
    yield
    set_blas_threads(before)


@pytest.fixture
def no_variables(monkeypatch):
    for variable in (THREADS_VARIABLE, *LIMIT_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.fixture
def users_state():
    """Set another state of numpy than that of computing, and return it."""
    with np.errstate(over="raise", divide="warn", invalid="print"):
        before = np.setbufsize(4096)
        yield state_of_numpy()
        np.setbufsize(before)


def state_of_numpy():
    return np.getbufsize(), tuple(np.geterr().values())


WORKING = (1024, ("ignore",) * 4)


# --- the guard ---


def test_the_guard_holds_the_blas_at_one_and_restores_the_limit(two_blas_threads):
    """After an exception, too; within another entry the limit is that from before the first."""
    guard = BlasGuard()
    with pytest.raises(KeyError), guard as outer:
        with guard as inner:
            assert inner == outer == 2
        assert blas_threads() == {1}
        raise KeyError
    assert blas_threads() == {2}


def test_a_guard_can_be_used_again_and_reads_the_limit_anew(two_blas_threads):
    guard = BlasGuard()
    for number in (2, 1, 2):
        with threadpool_limits(number, user_api="blas"), guard as limit:
            assert limit == number
            assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_the_last_of_several_threads_restores_the_limit(two_blas_threads):
    """The first to enter leaves first and lives on; the limit stays until the other leaves, too."""
    guard, first_entered, second_entered = BlasGuard(), threading.Event(), threading.Event()

    def first():
        with guard as limit:
            first_entered.set()
            assert second_entered.wait(TIMEOUT)
        return limit

    with ThreadPoolExecutor(1) as pool:
        entry = pool.submit(first)
        assert first_entered.wait(TIMEOUT)
        with guard as limit:
            second_entered.set()
            assert entry.result(TIMEOUT) == limit == 2
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def in_thread(function):
    """Return what a function returns in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(TIMEOUT)


def test_the_guard_and_limits_that_other_threads_set_leave_each_other_alone(two_blas_threads):
    """As where joblib's threads fit models inside ``with threadpool_limits(2)``."""

    def guarded():
        with BlasGuard() as limit:
            return limit, blas_threads()

    def limited():
        with threadpool_limits(1, user_api="blas"):
            return blas_threads()

    with threadpool_limits(2, user_api="blas"):
        assert in_thread(guarded) == (2, {1})
        assert blas_threads() == {2}
    assert guarded() == (2, {1})
    assert in_thread(limited) == {1}
    assert blas_threads() == {2}


def test_many_threads_in_and_out_leave_the_limit_as_it_was(two_blas_threads):
    guard = BlasGuard()

    def enter(_):
        with guard as limit:
            return limit, blas_threads()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(enter, range(80))) == [(2, {1})] * 80
    assert blas_threads() == {2}


FORK = """
    import os, sys, threading
    from concurrent.futures import ThreadPoolExecutor
    import numpy as np
    from processes import blas_limits
    from threadpoolctl import threadpool_limits
    from skcnn.network.threads import blas_guard, worker_pool

    def child():
        assert set(blas_limits()) == {2}, blas_limits()
        assert (np.ones((200, 200)) @ np.ones((200, 200)) == 200).all()
        with worker_pool() as pool:
            assert set(blas_limits()) == {1}
            done = []
            pool.run(done.append, list(range(5)))
            assert sorted(done) == list(range(5))
        assert set(blas_limits()) == {2}

    def fork():
        process = os.fork()
        if process == 0:
            try:
                child()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    # by a thread that is gone, so that nobody holds the limit
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threadpool_limits, 2, user_api="blas")
    assert fork() == 0, "before the first entry"

    entered, leave = threading.Event(), threading.Event()

    def stay():
        with blas_guard:
            entered.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(stay)
        entered.wait()
        assert fork() == 0, "while another thread is inside"
        assert set(blas_limits()) == {1}
        leave.set()

    with blas_guard:
        assert fork() == 0, "inside"
        assert set(blas_limits()) == {1}
    assert fork() == 0, "after"
    with blas_guard._lock:
        assert fork() == 0, "while another thread is entering"
    assert set(blas_limits()) == {2}
"""


@pytest.mark.costly
def test_a_forked_child_has_the_old_limit_and_can_compute(no_variables):
    """Whatever the parent was doing: a child has none of the threads that had entered."""
    no_variables.setenv(THREADS_VARIABLE, "3")
    run_script(FORK)


# --- how many threads ---


@pytest.mark.parametrize(
    ("n_jobs", "variables", "limit", "expected"),
    [
        *((1, {}, limit, min(limit, 4)) for limit in (1, 2, 4, 64)),
        *((1, {variable: "64"}, 2, 2) for variable in LIMIT_VARIABLES),  # they have acted on the limit
        *((1, {THREADS_VARIABLE: "7"}, 1, 7), (1, {THREADS_VARIABLE: ""}, 1, 1)),
        *((2, {}, 3, 1), (2, {"OMP_NUM_THREADS": "3"}, 3, 3), (2, {THREADS_VARIABLE: "7"}, 1, 7)),
    ],
)
def test_the_number_of_threads(no_variables, n_jobs, variables, limit, expected):
    """The limit of the BLAS, at most the number of cores; one in a worker of joblib, but ours outweighs all.

    One job of joblib is no worker.
    """
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    for variable, value in variables.items():
        no_variables.setenv(variable, value)
    parallel = joblib.Parallel(n_jobs, backend="threading")
    assert parallel(joblib.delayed(thread_count)(limit) for _ in range(2)) == [expected] * 2


@pytest.mark.parametrize("n_rows", [1, 130])
def test_where_one_thread_has_all_rows_to_predict_no_cores_are_counted(no_variables, n_rows):
    """It would take as long as the prediction."""
    no_variables.setattr(joblib, "cpu_count", None)
    with worker_pool(n_predicted=n_rows) as pool:
        assert pool.n_threads == 1


def test_threads_predict_together_where_there_are_rows_for_them(no_variables, two_blas_threads):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    for n_predicted, cut in [(1000, None), (3, Cut(prediction_rows=2))]:
        with worker_pool(cut, n_predicted=n_predicted) as pool:
            assert pool.n_threads == 2


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", " 3"])
def test_our_variable_must_be_a_positive_integer(no_variables, two_blas_threads, users_state, value):
    """However little there is to do; a wrong one leaves everything as it was."""
    no_variables.setenv(THREADS_VARIABLE, value)
    with pytest.raises(ValueError, match=f"{THREADS_VARIABLE} .*'{value}'"), worker_pool(n_predicted=1):
        pass
    assert state_of_numpy() == users_state
    assert blas_threads() == {2}


@pytest.mark.costly
@pytest.mark.parametrize("inner", [1, 3])
def test_a_loky_worker_follows_its_limit(no_variables, inner):
    """Up to the number of cores that the process may use."""

    def in_worker():
        from skcnn.network.threads import worker_pool

        with worker_pool() as pool:
            return pool.n_threads

    try:
        with joblib.parallel_backend("loky", n_jobs=2, inner_max_num_threads=inner):
            counts = joblib.Parallel()(joblib.delayed(in_worker)() for _ in range(2))
    finally:
        get_reusable_executor().shutdown(wait=True)
    assert counts == [min(inner, joblib.cpu_count())] * 2


# --- the pool ---


@pytest.fixture
def pool_of():
    """Return a function that makes pools, which are closed at the end."""
    with ExitStack() as stack:
        yield lambda n_threads: stack.enter_context(closing(WorkerPool(n_threads)))


@pytest.mark.parametrize(("n_threads", "n_items"), [(1, 7), (3, 0), (2, 2), (8, 7), (3, 200)])
def test_every_item_is_taken_once(pool_of, n_threads, n_items):
    pool, taken = pool_of(n_threads), []
    for _ in range(3):
        taken.clear()
        assert pool.run(taken.append, list(range(n_items))) is None
        assert sorted(taken) == list(range(n_items))


@pytest.mark.parametrize("n_threads", [2, 8])
def test_that_many_threads_work_at_a_time_the_calling_one_among_them(pool_of, n_threads):
    """The barrier lets nobody through before all have come."""
    barrier, names = threading.Barrier(n_threads, timeout=TIMEOUT), []

    def work(item):
        barrier.wait()
        names.append(threading.get_ident())

    pool_of(n_threads).run(work, list(range(n_threads)))
    assert len(set(names)) == n_threads
    assert threading.get_ident() in names


@pytest.mark.parametrize(
    ("n_threads", "position", "kind"),
    [(1, 3, KeyError), (2, 0, KeyboardInterrupt), (2, 99, SystemExit), (8, 3, KeyError)],
)
def test_an_exception_surfaces_as_itself_and_stops_the_rest(pool_of, n_threads, position, kind):
    pool, taken, error = pool_of(n_threads), [], kind("of the item")

    def work(item):
        if item == position:
            raise error
        taken.append(item)
        if item > position:
            time.sleep(0.01)  # the exception comes through meanwhile

    with pytest.raises(kind) as caught:
        pool.run(work, list(range(100)))
    assert caught.value is error
    # nothing but what other threads had taken, one at a time, until the rest was dropped
    assert len([item for item in taken if item > position]) <= 2 * n_threads
    done = []
    pool.run(done.append, list(range(20)))
    assert sorted(done) == list(range(20))


@pytest.mark.parametrize("in_caller", [True, False])
def test_an_exception_is_raised_in_the_calling_thread_when_the_calls_under_way_are_over(pool_of, in_caller):
    """Nobody writes into buffers any more once the caller goes on."""
    barrier, caller, finished = threading.Barrier(2, timeout=TIMEOUT), threading.get_ident(), []

    def work(item):
        barrier.wait()
        if (threading.get_ident() == caller) == in_caller:
            raise KeyError("of one thread")
        time.sleep(0.05)
        finished.append(item)

    with pytest.raises(KeyError, match="of one thread"):
        pool_of(2).run(work, [0, 1])
    assert len(finished) == 1


def test_a_pool_may_be_used_inside_the_work_of_another(pool_of):
    outer, inner, total = pool_of(2), pool_of(2), []
    outer.run(lambda item: inner.run(total.append, [item] * 3), list(range(4)))
    assert sorted(total) == sorted(list(range(4)) * 3)


@pytest.mark.parametrize(
    ("n_threads", "n_items", "limit", "n_started"),
    [(10**9, 5, np.inf, 4), (10**9, 1, np.inf, 0), (1, 5, np.inf, 0), (4, 7, 0, 0), (4, 7, 2, 2)],
)
def test_no_more_threads_are_started_than_there_are_items_and_the_system_has(
    pool_of, monkeypatch, n_threads, n_items, limit, n_started
):
    """Which is none in Python that is compiled to WebAssembly; those at hand do the work."""
    pool, taken, started, start = pool_of(n_threads), [], [], threading.Thread.start

    def start_some(thread):
        if len(started) == limit:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    for _ in range(20):
        pool.run(taken.append, list(range(n_items)))
    assert sorted(taken) == sorted(20 * list(range(n_items)))
    assert len(started) == n_started
    assert pool.n_threads == min(n_threads, limit + 1)


def test_worker_pool_holds_the_blas_and_has_the_threads_it_would_have_used(no_variables, two_blas_threads):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    with worker_pool() as pool:
        assert pool.n_threads == 2
        assert blas_threads() == {1}
        with worker_pool() as inner:  # a scorer that predicts while training goes on
            assert inner.n_threads == 2
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_a_pool_cuts_work_as_is_asked_for_or_measured(cut_work):
    with worker_pool(FINE) as pool, worker_pool() as other:
        assert (pool.cut, other.cut) == (FINE, Cut())
    cut_work(FINE)
    with worker_pool() as pool:
        assert pool.cut == FINE


def test_worker_pool_restores_the_state_of_numpy(users_state):
    with pytest.raises(KeyError), worker_pool():
        assert state_of_numpy() == WORKING
        raise KeyError
    assert state_of_numpy() == users_state


def test_code_of_the_user_gets_the_users_state_of_numpy_while_others_compute(users_state):
    """Which it is given back within a pool, and may ask for the state of computing in turn."""
    set_users_state = current_numpy_state()
    with worker_pool():
        with set_users_state():
            assert state_of_numpy() == users_state
            with pytest.raises(KeyError), working_numpy_state():
                assert state_of_numpy() == WORKING
                raise KeyError
            assert state_of_numpy() == users_state
        assert state_of_numpy() == WORKING
    assert state_of_numpy() == users_state


def test_all_threads_compute_in_the_same_state_of_numpy_and_end_with_the_pool(monkeypatch):
    """The size of numpy's buffer decides on the order of sums, so it must not depend on the thread."""
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    before, states = threading.active_count(), []
    barrier = threading.Barrier(3, timeout=TIMEOUT)

    def work(item):
        barrier.wait()
        states.append(state_of_numpy())

    with pytest.raises(KeyError), worker_pool() as pool:
        pool.run(work, [0, 1, 2])
        raise KeyError
    assert states == [WORKING] * 3
    assert threading.active_count() == before
