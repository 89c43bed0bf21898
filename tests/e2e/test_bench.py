"""The benchmark, run small: it measures everything it promises. What it measures is no test's business."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.growth import CONSENTS
from bench.plan import (
    APPEND_BAR,
    AUTHORIZE_BAR,
    CHECK_BAR,
    FORWARD_GOAL,
    GROWN_CHECK_BAR,
    PROOF_GOAL_MS,
    QUICK,
    QUICK_GROWTH,
    GrowthPlan,
    Plan,
)
from bench.seeded import is_seeded, load_marks, seconds_between
from services.ctl.stack import ROOT, environment

KEYS = ("uniform", "zipf", "revocations")
BARS = {f"check_{keys}": CHECK_BAR for keys in KEYS} | {f"authorize_{keys}": AUTHORIZE_BAR for keys in KEYS}
LONE = {"check_lone", "authorize_lone"}
FORWARDS = ("forward", "forward_large")
PROOFS = ("proof", "proof_consistency")
AT_LEAST, AT_MOST = "at least", "at most"
ENTRIES_A_PATIENT = 5


def quick_results(folder: Path, name: str, *flags: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", "--quick", "--folder", str(folder), *flags]
    ended = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results: dict[str, Any] = json.loads((folder / name).read_text())
    return results


def judged(results: dict[str, Any]) -> dict[str, tuple[str, str, float]]:
    """What each figure was judged by; every verdict is that of its own figure's measure."""
    for item in results["bars"]:
        assert item["value"] == results["figures"][item["figure"]][item["measure"]]
        above, below = item["value"] >= item["bar"], item["value"] <= item["bar"]
        assert item["passed"] == {AT_LEAST: above, AT_MOST: below}[item["direction"]]
    return {item["figure"]: (item["measure"], item["direction"], item["bar"]) for item in results["bars"]}


@pytest.mark.timeout(120)
def test_a_quick_run_measures_every_figure_and_judges_each_by_its_bar(tmp_path: Path) -> None:
    results = quick_results(tmp_path, "results.json")
    figures = results["figures"]
    assert set(figures) == BARS.keys() | LONE | set(FORWARDS) | set(PROOFS)
    assert all(item["ratio"] > 0 for name, item in figures.items() if name not in PROOFS)
    assert all(figures[name]["rps"] > 0 and figures[name]["echo_rps"] > 0 for name in BARS)
    assert [figures[name]["calls"] for name in LONE] == [QUICK.lone_calls] * len(LONE)
    assert [(figures[name]["bytes"], figures[name]["count"]) for name in FORWARDS] == list(QUICK.forwards)
    assert [figures[name]["count"] for name in PROOFS] == [QUICK.proofs] * len(PROOFS)
    assert all(0 < figures[name]["p50_ms"] <= figures[name]["p99_ms"] for name in PROOFS)
    assert all(figures[name]["entries"] >= ENTRIES_A_PATIENT * QUICK.patients for name in PROOFS)
    # Where no consent changes meanwhile nothing is refused: the bars speak of permitted exchanges.
    assert not any(item.get("refused") for name, item in figures.items() if not name.endswith("revocations"))
    ratios = {name: ("ratio", AT_LEAST, bar) for name, bar in (BARS | {"forward": FORWARD_GOAL}).items()}
    assert judged(results) == ratios | {"proof": ("p50_ms", AT_MOST, PROOF_GOAL_MS)}
    assert {"cores", "python", "grpcio", "sqlite"} <= set(results["machine"])


def test_the_standard_ledger_holds_a_million_entries() -> None:
    assert ENTRIES_A_PATIENT * Plan().patients >= 1_000_000
    assert CONSENTS * GrowthPlan().many == GrowthPlan().entries == 1_000_000
    assert CONSENTS * GrowthPlan().few == 10_000


@pytest.mark.timeout(120)
def test_a_quick_large_run_compares_two_ledgers_and_keeps_them_with_their_times(tmp_path: Path) -> None:
    results = quick_results(tmp_path, "large.json", "--large")
    check, append = results["figures"]["check"], results["figures"]["append"]
    assert (check["consents"], check["few_consents"]) == (CONSENTS * QUICK_GROWTH.many, CONSENTS * QUICK_GROWTH.few)
    assert len(check["ratios"]) == QUICK_GROWTH.rounds
    assert check["calls"] > 0 == check["refused"]
    assert append["ratio"] == pytest.approx(append["last_s"] / append["first_s"], rel=0.1)
    assert judged(results) == {
        "check": ("ratio", AT_LEAST, GROWN_CHECK_BAR),
        "append": ("ratio", AT_MOST, APPEND_BAR),
    }
    folder = tmp_path / f"ledger-{QUICK_GROWTH.many}"
    assert is_seeded(folder, QUICK_GROWTH.many)
    assert not is_seeded(folder, QUICK_GROWTH.few)
    assert round(seconds_between(load_marks(folder), 0, QUICK_GROWTH.stretch), 2) == append["first_s"]


def test_the_time_of_a_stretch_is_taken_from_the_transactions_that_it_crosses_in_proportion() -> None:
    marks = [(0, 0.0), (100, 1.0), (200, 3.0)]
    assert seconds_between(marks, 0, 100) == 1.0
    assert seconds_between(marks, 50, 150) == 1.5
    assert seconds_between(marks, 100, 200) == 2.0
    with pytest.raises(ValueError, match="201"):
        seconds_between(marks, 0, 201)
