"""The test cluster's own tests; they start clusters of their own."""

import sys

from conftest import ROOT
from kube import run


def test_the_test_cluster_is_what_tests_rely_on():
    done = run([sys.executable, ROOT / "tools/testcluster/selftest.py"], timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
