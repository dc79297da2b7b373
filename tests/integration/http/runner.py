"""Runs a test file's functions without pytest, so that the machine needs nothing but Python."""
import sys
import time


def main(module):
    """Runs the tests of a module (its globals), those named on the command line or all; answers the exit status."""
    names = [a for a in sys.argv[1:] if a != "-v"]
    tests = {n: f for n, f in module.items() if n.startswith("test_")}
    chosen = [n for n in tests if not names or n in names]
    failed = 0
    for name in chosen:
        start = time.monotonic()
        try:
            tests[name]()
            if "-v" in sys.argv:
                print(f"ok {name} {time.monotonic() - start:.2f}")
        except Exception as e:      # noqa: BLE001 - a failed test must not stop the others
            failed += 1
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
    try:
        module["teardown_module"]()
    except AssertionError:
        failed += 1
        print("FAIL the shared server did not end cleanly")
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0
