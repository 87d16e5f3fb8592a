"""The tests notice when a mechanism that a promise rests on is taken away.

Each mutant of `sim.mutants` is a small patch of a copy of lambdas/; the test named here must fail on it, and
pass on the copy without the patch. The search finds what the others break (`tests/sim/test_explore.py`).
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.explore.mutant_worlds import MUTANT_WORLDS
from sim.mutants import MUTANTS

pytestmark = pytest.mark.simulation

PROJECT = Path(__file__).resolve().parents[2]
DELIVERY = "tests/integration/test_delivery.py"
CONSISTENCY = "tests/integration/test_lead_consistency.py"
REJECTIONS = f"{DELIVERY}::TestRejections"
CREATES, ORDER = f"{CONSISTENCY}::TestCreates", f"{CONSISTENCY}::TestOrder"
UNSETTLED = f"{ORDER}::test_nothing_is_sent_for_a_lead_while_an_unanswered_request_may_still_take_effect"
KILLED_BY = {
    "doubt": f"{DELIVERY}::TestRetries::test_a_create_without_an_answer_is_sent_again_as_an_update",
    "condition": UNSETTLED,
    "settling": UNSETTLED,
    "operation": f"{CONSISTENCY}::TestKeys::test_a_stop_with_the_creates_key_is_sent",
    "undone": f"{ORDER}::test_an_earlier_update_that_comes_later_leaves_the_later_ones_fields_alone",
    "unanswered": f"{CREATES}::test_no_server_error_is_taken_as_proof_that_a_create_left_nothing",
    "parked": f"{DELIVERY}::TestVisibility::test_a_failed_message_comes_back_after_a_growing_delay",
    "dropped": f"{REJECTIONS}::test_what_the_api_rejects_is_parked_at_once_in_the_apis_own_words",
    "breaker": f"{DELIVERY}::TestOutage::test_after_five_faults_the_rest_of_the_leads_is_deferred_untried",
    "overtaking": "tests/unit/test_after_call.py::TestALeadThat7TargetsDoesNotKnow",
    "stop-waits": f"{ORDER}::test_a_stop_does_not_wait_for_an_earlier_update_that_fails_alone",
    "order": f"{DELIVERY}::TestOrder::test_after_a_failure_the_later_events_of_the_lead_go_back_untried",
}


def run_on_copy(folder: Path, test: str) -> "subprocess.CompletedProcess[str]":
    """Runs a test against the package in `folder` instead of the project's."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        f"pythonpath=. {folder}",
        test,
    ]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603


def test_every_mutant_has_a_test_that_kills_it_or_a_world_that_shows_it() -> None:
    """And none is named for a mutant that is gone."""
    assert set(KILLED_BY) | set(MUTANT_WORLDS) == set(MUTANTS)


@pytest.mark.parametrize("name", sorted(KILLED_BY))
def test_a_mutant_is_killed_by_its_test(tmp_path: Path, name: str) -> None:
    """The test fails on the broken build, and only on that."""
    shutil.copytree(PROJECT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    MUTANTS[name].patch_folder(tmp_path / "lambdas")
    broken = run_on_copy(tmp_path / "lambdas", KILLED_BY[name])
    assert broken.returncode == 1, broken.stdout
    assert re.search(r"[1-9] failed", broken.stdout)


def test_the_unbroken_copy_passes_all_of_these_tests(tmp_path: Path) -> None:
    """A broken build must fail because of its patch, not because it is a copy."""
    shutil.copytree(PROJECT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-o", f"pythonpath=. {tmp_path / 'lambdas'}", *KILLED_BY.values()]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout
