"""The tests notice when a mechanism that a promise rests on is taken away.

Each mutant of `local.chaos.mutants` is a small patch of a copy of lambdas/; the test named here must fail on
it, and pass on the copy without the patch. The deployed fault suite takes them too:
`python -m local.chaos --mutant NAME`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.chaos.mutants import MUTANTS

PROJECT = Path(__file__).resolve().parents[2]
DELIVERY = "tests/integration/test_delivery.py"
RETRIES = f"{DELIVERY}::TestRetries"
REJECTIONS = f"{DELIVERY}::TestRejections"
KILLED_BY = {
    "confirm": f"{RETRIES}::test_a_create_without_an_answer_is_confirmed_before_it_is_repeated",
    "condition": f"{DELIVERY}::TestDuplicates::test_a_message_that_sqs_delivers_twice_is_sent_once",
    "unconfirmed": f"{RETRIES}::test_a_create_that_did_not_arrive_is_sent_after_confirming",
    "parked": f"{DELIVERY}::TestVisibility::test_a_failed_message_comes_back_after_a_growing_delay",
    "order": f"{DELIVERY}::TestOrder::test_after_a_failure_the_later_events_of_the_lead_go_back_untried",
    "dropped": f"{REJECTIONS}::test_what_the_api_rejects_is_parked_at_once_in_the_apis_own_words",
    "overtaking": f"{DELIVERY}::TestOrder::test_an_update_that_overtakes_its_create_waits_for_it",
    "breaker": f"{DELIVERY}::TestOutage::test_after_five_faults_the_rest_of_the_leads_is_deferred_untried",
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


def test_every_mutant_has_a_test_that_kills_it() -> None:
    """And no test is named for a mutant that is gone."""
    assert set(KILLED_BY) == set(MUTANTS)


@pytest.mark.parametrize("name", sorted(KILLED_BY))
def test_a_mutant_is_killed_by_its_test(tmp_path: Path, name: str) -> None:
    """The test fails on the broken build, and only on that."""
    shutil.copytree(PROJECT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    MUTANTS[name].patch_folder(tmp_path / "lambdas")
    broken = run_on_copy(tmp_path / "lambdas", KILLED_BY[name])
    assert broken.returncode == 1, broken.stdout
    assert "1 failed" in broken.stdout


def test_the_unbroken_copy_passes_all_of_these_tests(tmp_path: Path) -> None:
    """So that a mutant dies of its patch, not of being a copy."""
    shutil.copytree(PROJECT / "lambdas", tmp_path / "lambdas", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-o", f"pythonpath=. {tmp_path / 'lambdas'}", *KILLED_BY.values()]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout
