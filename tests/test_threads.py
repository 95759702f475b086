"""How threads wait: told before torch is imported, by what else computes, never over the user."""

import os
import subprocess
import sys

import pytest

from dan import threads
from dan.sections import REPOSITORY


@pytest.mark.parametrize(("others", "given", "policy"), [
    (0, {}, None), (8, {}, "PASSIVE"), (8, {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
    (8, {"GOMP_SPINCOUNT": "7"}, None),
])
def test_threads_sleep_only_where_others_compute(others, given, policy, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(threads, "others_at_work", lambda: others)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    threads.choose_waiting()
    assert os.environ.get("OMP_WAIT_POLICY") == policy


def test_the_others_are_counted_without_this_one():
    assert 0 <= threads.others_at_work() < 10_000


def test_the_training_script_tells_torch_before_it_is_imported():
    first = "import sys, train_gan; names = list(sys.modules); " \
            "print(names.index('dan.threads') < names.index('torch'))"
    result = subprocess.run([sys.executable, "-c", first], cwd=REPOSITORY, capture_output=True,
                            text=True, check=True)
    assert result.stdout == "True\n"
