"""Work of a known length, done in one of the ways that Python has for it; prints nanoseconds.

`python3 peers.py calibrate` prints how many rounds take 10 us, `python3 peers.py version MODULE` the version of a module,
`python3 peers.py WAY ITEMS ROUNDS` does the work. The bench `peers` calls it.
"""

import functools
import importlib.metadata
import os
import sys
import time


def work(rounds, seed):
    state = seed | 1
    for _ in range(rounds):
        state = ((state ^ (state >> 31)) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    return state


def run(way, call, items, cores):
    if way == "loop":
        return [call(item) for item in range(items)]
    if way == "joblib":
        from joblib import Parallel, delayed

        return Parallel(n_jobs=cores)(delayed(call)(item) for item in range(items))
    from amorsize import process_in_batches

    size = items // 10 if way == "amorsize, 10 batches" else None
    return process_in_batches(call, range(items), batch_size=size)


def main():
    if sys.argv[1] == "calibrate":
        rounds = 10_000
        best = min(timed(lambda: work(rounds, 1)) for _ in range(20))
        print(int(rounds * 10_000 / best))
        return
    if sys.argv[1] == "version":
        # A folder of that name would be imported too.
        if sys.argv[2] == "amorsize":
            from amorsize import process_in_batches  # noqa: F401
        else:
            import joblib  # noqa: F401
        print(importlib.metadata.version(sys.argv[2]))
        return
    way, items, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    call = functools.partial(work, rounds)
    # Starting processes that are kept, and learning what starting them costs, is no part of it.
    run(way, call, 100, cores)
    results = []
    nanos = timed(lambda: results.extend(run(way, call, items, cores)))
    assert results[:10] == [work(rounds, item) for item in range(10)] and len(results) == items
    print(nanos)


def timed(body):
    begun = time.perf_counter_ns()
    body()
    return time.perf_counter_ns() - begun


if __name__ == "__main__":
    # Processes find the function by the name of its module, and `__main__` is another one for them.
    import peers

    peers.main()
