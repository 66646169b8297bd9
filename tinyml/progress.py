"""A progress line on stderr, silent when nobody is watching."""
import sys
import time


def progress(iterable, label, *, total=None):
    """Yield from `iterable`, and show a line such as ``train   12/40   3.1/s   9 s left``.

    Parameters
    ----------
    iterable : iterable
    label : str
    total : int or None, the number of items if ``len(iterable)`` does not tell

    The line is written to stderr, at most ten times a second, only if stderr is a terminal.
    """
    if not sys.stderr.isatty():
        yield from iterable
        return
    total = len(iterable) if total is None and hasattr(iterable, "__len__") else total
    start = shown = time.perf_counter()
    try:
        for count, item in enumerate(iterable, 1):
            yield item
            now = time.perf_counter()
            if now - shown > 0.1 or count == total:
                shown = now
                rate = count / max(now - start, 1e-9)
                left = f"   {(total - count) / rate:.0f} s left" if total else ""
                of = f"/{total}" if total else ""
                print(f"\r{label}   {count}{of}   {rate:.3g}/s{left}\033[K", end="",
                      file=sys.stderr, flush=True)
    finally:    # also when the loop is left early
        print("\r\033[K", end="", file=sys.stderr, flush=True)
