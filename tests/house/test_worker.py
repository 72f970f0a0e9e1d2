import threading

from tracker_logging.worker import WorkerThread


def test_jobs_run_in_order_on_another_thread() -> None:
    done: list[tuple[int, str]] = []
    worker = WorkerThread(depth=5)
    for number in range(5):
        assert worker.submit(lambda n=number: done.append((n, threading.current_thread().name)))
    assert worker.close(timeout_s=10.0)
    assert [number for number, _ in done] == [0, 1, 2, 3, 4]
    assert threading.current_thread().name not in {name for _, name in done}


def test_an_error_ends_its_job_only_and_is_kept() -> None:
    done: list[str] = []
    worker = WorkerThread(depth=2)
    worker.submit(lambda: [][1])
    worker.submit(lambda: done.append("next"))
    assert worker.close(timeout_s=10.0)
    assert done == ["next"]
    assert [type(error) for error in worker.take_errors()] == [IndexError]
    assert worker.take_errors() == []


def test_a_full_queue_refuses_and_does_not_block() -> None:
    started, go_on = threading.Event(), threading.Event()
    worker = WorkerThread(depth=1)

    def hold() -> None:
        started.set()
        go_on.wait(10.0)

    assert worker.submit(hold)
    assert started.wait(10.0)
    assert worker.submit(lambda: None)
    assert not worker.submit(lambda: None)
    assert not worker.close(timeout_s=0.05)
    go_on.set()


def test_closing_a_thread_that_never_started_is_done_at_once() -> None:
    assert WorkerThread(depth=1).close(timeout_s=0.0)
