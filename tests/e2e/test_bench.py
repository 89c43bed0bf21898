"""The benchmark, run small: it measures everything it promises. What it measures is no test's business."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.plan import AUTHORIZE_BAR, CHECK_BAR, FORWARD_GOAL, QUICK
from services.ctl.stack import ROOT, environment

KEYS = ("uniform", "zipf", "revocations")
BARS = {f"check_{keys}": CHECK_BAR for keys in KEYS} | {f"authorize_{keys}": AUTHORIZE_BAR for keys in KEYS}
LONE = {"check_lone", "authorize_lone"}
FORWARDS = ("forward", "forward_large")


def quick_results(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", "--quick", "--folder", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


@pytest.mark.timeout(120)
def test_a_quick_run_measures_every_figure_and_judges_each_by_its_bar(tmp_path: Path) -> None:
    results = quick_results(tmp_path)
    figures = results["figures"]
    assert set(figures) == BARS.keys() | LONE | set(FORWARDS)
    assert all(item["ratio"] > 0 for item in figures.values())
    assert all(figures[name]["rps"] > 0 and figures[name]["echo_rps"] > 0 for name in BARS)
    assert [figures[name]["calls"] for name in LONE] == [QUICK.lone_calls] * len(LONE)
    assert [(figures[name]["bytes"], figures[name]["count"]) for name in FORWARDS] == list(QUICK.forwards)
    # Where no consent changes meanwhile nothing is refused: the bars speak of permitted exchanges.
    assert not any(item.get("refused") for name, item in figures.items() if not name.endswith("revocations"))
    assert {item["figure"]: item["bar"] for item in results["bars"]} == BARS | {"forward": FORWARD_GOAL}
    for item in results["bars"]:
        assert item["ratio"] == figures[item["figure"]]["ratio"]
        assert item["passed"] == (item["ratio"] >= item["bar"])
    assert {"cores", "python", "grpcio", "sqlite"} <= set(results["machine"])
