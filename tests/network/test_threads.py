"""Tests of the threads: how many, what holds the BLAS meanwhile, and how work is handed out."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import joblib
import numpy as np
import pytest
from cuts import FINE
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import OpenBLASController, threadpool_info, threadpool_limits

from skcnn.network.cut import Cut
from skcnn.network.threads import (
    LIMIT_VARIABLES,
    THREADS_VARIABLE,
    BlasGuard,
    WorkerPool,
    blas_guard,
    current_numpy_state,
    thread_count,
    worker_pool,
    working_numpy_state,
)

TIMEOUT = 30  # seconds, for what takes milliseconds unless it hangs


def blas_threads():
    """Return the limits in force of the BLAS libraries, as threadpoolctl sees them."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


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


# --- the guard ---


def test_the_guard_holds_the_blas_at_one_and_restores_the_limit(two_blas_threads):
    with BlasGuard() as limit:
        assert limit == 2
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_the_guard_restores_the_limit_after_an_exception(two_blas_threads):
    with pytest.raises(KeyError), BlasGuard():
        raise KeyError
    assert blas_threads() == {2}


def test_nested_entries_see_the_limit_from_before_the_first(two_blas_threads):
    guard = BlasGuard()
    with guard as outer:
        with guard as inner:
            assert inner == outer == 2
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_a_guard_can_be_used_again_and_reads_the_limit_anew(two_blas_threads):
    guard = BlasGuard()
    with guard as limit:
        assert limit == 2
    with threadpool_limits(1, user_api="blas"):
        with guard as limit:
            assert limit == 1
        assert blas_threads() == {1}
    with guard as limit:
        assert limit == 2
    assert blas_threads() == {2}


def test_the_last_of_several_threads_restores_the_limit(two_blas_threads):
    """The first to enter leaves first and lives on; the limit stays until the other leaves, too."""
    guard, limits = BlasGuard(), []
    first_entered, second_entered, first_left, end = (threading.Event() for _ in range(4))

    def first():
        with guard as limit:
            limits.append(limit)
            first_entered.set()
            assert second_entered.wait(TIMEOUT)
        first_left.set()
        assert end.wait(TIMEOUT)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_entered.wait(TIMEOUT)
    with guard as limit:
        limits.append(limit)
        second_entered.set()
        assert first_left.wait(TIMEOUT)
        assert blas_threads() == {1}
    restored = blas_threads()
    end.set()
    thread.join(TIMEOUT)
    assert restored == {2}
    assert limits == [2, 2]


def in_thread(function):
    """Return what a function returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(TIMEOUT)
    (result,) = results
    return result


def test_the_guard_works_in_a_thread_while_another_one_holds_a_limit(two_blas_threads):
    """As where joblib's threads fit models inside ``with threadpool_limits(2)``."""

    def inside():
        with BlasGuard() as limit:
            return limit, blas_threads()

    with threadpool_limits(2, user_api="blas"):
        assert in_thread(inside) == (2, {1})
        assert blas_threads() == {2}
    assert blas_threads() == {2}


def test_the_guard_leaves_other_threads_free_to_set_limits(two_blas_threads):
    with BlasGuard():
        pass

    def limited():
        with threadpool_limits(1, user_api="blas"):
            return blas_threads()

    assert in_thread(limited) == {1}
    assert blas_threads() == {2}


def test_many_threads_in_and_out_leave_the_limit_as_it_was(two_blas_threads):
    guard, wrong = BlasGuard(), []

    def work():
        for _ in range(20):
            with guard as limit:
                if limit != 2 or blas_threads() != {1}:
                    wrong.append(limit)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(TIMEOUT)
    assert wrong == []
    assert blas_threads() == {2}


FORK = """
    import os, sys, threading
    import numpy as np
    from threadpoolctl import threadpool_info, threadpool_limits
    from skcnn.network.threads import blas_guard, worker_pool

    def limits():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    def child():
        assert limits() == {2}, limits()
        square = np.ones((200, 200)) @ np.ones((200, 200))
        assert (square == 200).all()
        with worker_pool() as pool:
            assert limits() == {1}
            done = []
            pool.run(done.append, list(range(5)))
            assert sorted(done) == list(range(5))
        assert limits() == {2}

    def fork():
        process = os.fork()
        if process == 0:
            status = 1
            try:
                child()
                status = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def other_thread(function):
        thread = threading.Thread(target=function)
        thread.start()
        return thread

    # by a thread that is gone, so that nobody holds the limit
    other_thread(lambda: threadpool_limits(2, user_api="blas")).join()
    assert fork() == 0, "before the first entry"

    entered, leave = threading.Event(), threading.Event()

    def stay():
        with blas_guard:
            entered.set()
            leave.wait()

    thread = other_thread(stay)
    entered.wait()
    assert limits() == {1}
    assert fork() == 0, "while another thread is inside"
    leave.set()
    thread.join()
    assert limits() == {2}

    with blas_guard:
        assert fork() == 0, "inside"
        assert limits() == {1}
    assert limits() == {2}
    assert fork() == 0, "after"
    with blas_guard._lock:
        assert fork() == 0, "while another thread is entering"
    assert limits() == {2}
"""


@pytest.mark.costly
def test_a_forked_child_has_the_old_limit_and_can_compute():
    """Whatever the parent was doing: a child has none of the threads that had entered."""
    environment = {name: value for name, value in os.environ.items() if name not in LIMIT_VARIABLES}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK)],
        env=environment | {THREADS_VARIABLE: "3"},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
    )
    assert result.returncode == 0, result.stderr


# --- how many threads ---


def test_the_number_of_threads_is_the_limit_of_the_blas_up_to_the_number_of_cores(no_variables):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    assert [thread_count(limit) for limit in (1, 2, 4, 64)] == [1, 2, 4, 4]


@pytest.mark.parametrize("n_rows", [1, 8, 130])
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


def test_our_variable_is_read_whatever_there_is_to_do(no_variables):
    no_variables.setenv(THREADS_VARIABLE, "3")
    with worker_pool(n_predicted=1) as pool:
        assert pool.n_threads == 3
    no_variables.setenv(THREADS_VARIABLE, "two")
    with pytest.raises(ValueError, match=f"{THREADS_VARIABLE} must be a positive integer, got 'two'"):
        worker_pool(n_predicted=1).__enter__()


@pytest.mark.parametrize("variable", LIMIT_VARIABLES)
def test_variables_of_the_blas_do_not_raise_the_number(no_variables, variable):
    """They have acted on the limit already."""
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    no_variables.setenv(variable, "64")
    assert thread_count(2) == 2


def test_our_variable_outweighs_all(no_variables):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    no_variables.setenv(THREADS_VARIABLE, "7")
    assert thread_count(1) == 7
    assert joblib.Parallel(2, backend="threading")(joblib.delayed(thread_count)(1) for _ in range(2)) == [
        7,
        7,
    ]


def test_an_empty_variable_is_as_good_as_none(no_variables):
    no_variables.setenv(THREADS_VARIABLE, "")
    assert thread_count(1) == 1


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", " 3"])
def test_our_variable_must_be_a_positive_integer(no_variables, value):
    no_variables.setenv(THREADS_VARIABLE, value)
    with pytest.raises(ValueError, match=f"{THREADS_VARIABLE} must be a positive integer, got '{value}'"):
        thread_count(2)


def test_a_wrong_variable_leaves_everything_as_it_was(no_variables, two_blas_threads):
    no_variables.setenv(THREADS_VARIABLE, "two")
    before = np.getbufsize(), np.geterr()
    with pytest.raises(ValueError, match=THREADS_VARIABLE), worker_pool():
        pass
    assert (np.getbufsize(), np.geterr()) == before
    assert blas_threads() == {2}


def test_inside_a_threading_worker_of_joblib_there_is_one_thread(no_variables):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    parallel = joblib.Parallel(2, backend="threading")
    assert parallel(joblib.delayed(thread_count)(4) for _ in range(3)) == [1, 1, 1]
    assert thread_count(4) == 4


def test_inside_a_threading_worker_a_variable_is_followed(no_variables):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    no_variables.setenv("OMP_NUM_THREADS", "3")
    parallel = joblib.Parallel(2, backend="threading")
    assert parallel(joblib.delayed(thread_count)(3) for _ in range(2)) == [3, 3]


def test_one_job_of_joblib_is_no_worker(no_variables):
    no_variables.setattr(joblib, "cpu_count", lambda: 4)
    assert joblib.Parallel(1)(joblib.delayed(thread_count)(4) for _ in range(2)) == [4, 4]


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
    pools = []

    def make(n_threads):
        pools.append(WorkerPool(n_threads))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7, 200])
def test_every_item_is_taken_once(pool_of, n_threads, n_items):
    pool, taken = pool_of(n_threads), []
    for _ in range(3):
        taken.clear()
        assert pool.run(taken.append, list(range(n_items))) is None
        assert sorted(taken) == list(range(n_items))


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_that_many_threads_work_at_a_time_the_calling_one_among_them(pool_of, n_threads):
    """The barrier lets nobody through before all have come."""
    barrier, names = threading.Barrier(n_threads, timeout=TIMEOUT), []

    def work(item):
        barrier.wait()
        names.append(threading.get_ident())

    pool_of(n_threads).run(work, list(range(n_threads)))
    assert len(set(names)) == n_threads
    assert threading.get_ident() in names


@pytest.mark.parametrize(("n_threads", "n_items"), [(1, 5), (8, 1)])
def test_one_thread_or_one_item_needs_no_other_thread(pool_of, n_threads, n_items):
    before, names = threading.active_count(), []
    pool_of(n_threads).run(lambda item: names.append(threading.get_ident()), list(range(n_items)))
    assert set(names) == {threading.get_ident()}
    assert threading.active_count() == before


@pytest.mark.parametrize("n_threads", [1, 2, 8])
@pytest.mark.parametrize("position", [0, 3, 99])
def test_an_exception_surfaces_as_itself_and_stops_the_rest(pool_of, n_threads, position):
    pool, taken = pool_of(n_threads), []
    error = ZeroDivisionError("of the item")

    def work(item):
        if item == position:
            raise error
        taken.append(item)
        if item > position:
            time.sleep(0.01)  # the exception comes through meanwhile

    with pytest.raises(ZeroDivisionError) as caught:
        pool.run(work, list(range(100)))
    assert caught.value is error
    # nothing but what other threads had taken, one at a time, until the rest was dropped
    assert len([item for item in taken if item > position]) <= 2 * n_threads
    done = []
    pool.run(done.append, list(range(20)))
    assert sorted(done) == list(range(20))


def test_an_exception_of_a_worker_thread_surfaces_in_the_calling_one(pool_of):
    barrier, caller = threading.Barrier(2, timeout=TIMEOUT), threading.get_ident()

    def work(item):
        barrier.wait()
        if threading.get_ident() != caller:
            raise KeyError("of the worker")

    with pytest.raises(KeyError, match="of the worker"):
        pool_of(2).run(work, [0, 1])


def test_an_exception_is_raised_when_the_calls_under_way_are_over(pool_of):
    """Nobody writes into buffers any more once the caller goes on."""
    barrier, caller, finished = threading.Barrier(2, timeout=TIMEOUT), threading.get_ident(), []

    def work(item):
        barrier.wait()
        if threading.get_ident() == caller:
            raise KeyError
        time.sleep(0.05)
        finished.append(item)

    with pytest.raises(KeyError):
        pool_of(2).run(work, [0, 1])
    assert len(finished) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_are_no_errors_surface_too(pool_of, error):
    def work(item):
        raise error

    with pytest.raises(error):
        pool_of(3).run(work, list(range(10)))


def test_a_pool_may_be_used_inside_the_work_of_another(pool_of):
    outer, inner, total = pool_of(2), pool_of(2), []
    outer.run(lambda item: inner.run(total.append, [item] * 3), list(range(4)))
    assert sorted(total) == sorted(list(range(4)) * 3)


def test_closing_ends_the_threads():
    before = threading.active_count()
    pool = WorkerPool(4)
    barrier = threading.Barrier(4, timeout=TIMEOUT)
    pool.run(lambda item: barrier.wait(), list(range(4)))
    assert threading.active_count() == before + 3
    pool.close()
    assert threading.active_count() == before


@pytest.fixture
def started(monkeypatch):
    """Return a list of the threads that are started; after as many as its "limit", none is."""
    threads, start = Threads(), threading.Thread.start

    def count(thread):
        if len(threads) >= threads.limit:
            raise RuntimeError("can't start new thread")
        threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", count)
    return threads


class Threads(list):
    limit = float("inf")


@pytest.mark.parametrize("n_items", [1, 2, 5])
def test_no_more_threads_are_started_than_there_are_items(pool_of, started, n_items):
    pool, taken = pool_of(10**9), []
    for _ in range(50):
        pool.run(taken.append, list(range(n_items)))
    assert sorted(taken) == sorted(50 * list(range(n_items)))
    assert len(started) == n_items - 1


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_where_no_more_threads_can_be_started_those_at_hand_do_the_work(pool_of, started, limit):
    """None in Python that is compiled to WebAssembly."""
    started.limit = limit
    pool, taken = pool_of(4), []
    for _ in range(20):
        pool.run(taken.append, list(range(7)))
    assert sorted(taken) == sorted(20 * list(range(7)))
    assert len(started) == limit
    assert pool.n_threads == limit + 1


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


@pytest.mark.parametrize("fails", [False, True])
def test_worker_pool_restores_the_state_of_numpy(fails):
    with np.errstate(over="raise", divide="warn", invalid="print"):
        buffer_size = np.setbufsize(4096)
        try:
            before = np.geterr()
            try:
                with worker_pool():
                    assert set(np.geterr().values()) == {"ignore"}
                    assert np.getbufsize() != 4096
                    if fails:
                        raise KeyError
            except KeyError:
                assert fails
            assert np.geterr() == before
            assert np.getbufsize() == 4096
        finally:
            np.setbufsize(buffer_size)


def test_code_of_the_user_gets_the_users_state_of_numpy_while_others_compute():
    """Which it is given back within a pool, and may ask for the state of computing in turn."""

    def state():
        return np.geterr()["over"], np.getbufsize()

    with np.errstate(over="raise"):
        buffer_size = np.setbufsize(4096)
        try:
            users_state = current_numpy_state()
            with worker_pool():
                working = state()
                with users_state():
                    assert state() == ("raise", 4096)
                    with working_numpy_state():
                        assert state() == working == ("ignore", 1024)
                    assert state() == ("raise", 4096)
                assert state() == working
            with pytest.raises(KeyError), working_numpy_state():
                raise KeyError
            assert state() == ("raise", 4096)
        finally:
            np.setbufsize(buffer_size)


def test_all_threads_compute_in_the_same_state_of_numpy(monkeypatch):
    """The size of numpy's buffer decides on the order of sums, so it must not depend on the thread."""
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    barrier, states = threading.Barrier(3, timeout=TIMEOUT), []

    def work(item):
        barrier.wait()
        states.append((np.getbufsize(), tuple(np.geterr().items())))
        np.exp(np.float32(1000)) / np.float32(0)  # no warning

    with worker_pool() as pool:
        pool.run(work, [0, 1, 2])
    assert len(states) == 3
    assert len(set(states)) == 1


def test_worker_pool_closes_its_threads(monkeypatch):
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    before = threading.active_count()
    barrier = threading.Barrier(3, timeout=TIMEOUT)
    with pytest.raises(KeyError), worker_pool() as pool:
        pool.run(lambda item: barrier.wait(), [0, 1, 2])
        raise KeyError
    assert threading.active_count() == before


def test_the_guard_of_the_package_is_free_when_nothing_computes(two_blas_threads):
    with blas_guard as limit:
        assert limit == 2
