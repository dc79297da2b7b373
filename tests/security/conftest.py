"""Fixtures: see tests/support/harness.py."""
from harness import *  # noqa: F401,F403
