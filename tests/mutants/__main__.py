"""`python -m tests.mutants [PATH…]`: whether the unit tests notice each small change of the rules of the decision.

Works in copies of the tree, never in the tree itself; one process for each mutant, on every core. Prints each survivor and
ends with 1 where fewer than 95 % are killed, or where what is declared equivalent did not survive.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import Phase, settings

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.mutations import Mutant, mutants

REQUIRED = 0.95
LIMIT_S = 60
DECISION = tuple(
    f"tests/unit/consent/test_{name}.py"
    for name in ("rules", "rules_of_data", "refusals", "permit", "decision", "explain")
)
TESTS = {
    "services/consent/domain/decision.py": DECISION,
    "services/consent/domain/rules.py": DECISION,
    "services/consent/domain/facts.py": DECISION,
    "services/consent/domain/explain.py": DECISION[::-1],
    "services/consent/domain/terms.py": ("tests/unit/consent/test_terms.py",),
    "services/consent/domain/lifecycle.py": ("tests/unit/consent/test_lifecycle.py",),
    "services/formats/rights.py": ("tests/unit/formats/test_rights.py",),
}
"""What is mutated, and the tests that must notice it without any other's help."""
COPIED = ("pyproject.toml", "tests/support/decided.py")
ROOT = Path(__file__).parents[2]


def main(paths: Sequence[str]) -> int:
    """Mutates `paths`, or everything there is to mutate; the exit code."""
    started = monotonic()
    with tempfile.TemporaryDirectory(prefix="accord-mutants-") as folder:
        tree = _copy(Path(folder) / "unchanged")
        found = [item for path in paths for item in mutants(path, (tree / path).read_text())]
        failing = [path for path in paths if not _passes(tree, TESTS[path])]
        if failing:
            print(f"their tests fail without any mutant: {' '.join(failing)}")
            return 1
        with ProcessPoolExecutor(os.cpu_count(), get_context("fork"), _enter, (tree,)) as pool:
            survivors = [item for item, survives in zip(found, pool.map(_survives, found), strict=True) if survives]
    return _report(paths, found, survivors, monotonic() - started)


def _report(paths: Sequence[str], found: list[Mutant], survivors: list[Mutant], seconds: float) -> int:
    declared = {key for key in EQUIVALENT if key[0] in paths}
    for item in survivors:
        if item.key not in declared:
            print(f"survived: {item}")
    # What is declared for nothing would hide a real survivor some day.
    wrong = declared - {item.key for item in survivors}
    for path, before, after in sorted(wrong):
        print(f"declared equivalent, but no survivor: {path}\n  - {before}\n  + {after}")
    killed, equivalent = len(found) - len(survivors), sum(item.key in declared for item in survivors)
    score = killed / (len(found) - equivalent)
    print(f"{killed} of {len(found)} mutants killed, {equivalent} equivalent: {score:.1%} in {seconds:.0f} s")
    return 0 if score >= REQUIRED and not wrong else 1


def _copy(tree: Path) -> Path:
    shutil.copytree(ROOT / "services", tree / "services", ignore=shutil.ignore_patterns("__pycache__", "gen"))
    for name in {*COPIED, *(test for tests in TESTS.values() for test in tests)}:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    return tree


def _enter(tree: Path) -> None:
    # Of the copy whose tests passed: the tree itself may change meanwhile.
    os.chdir(shutil.copytree(tree, tree.with_name(str(os.getpid()))))


def _survives(mutant: Mutant) -> bool:
    path = Path(mutant.path)
    original = path.read_text()
    path.write_text(mutant.source)
    try:
        return _passes(Path.cwd(), TESTS[mutant.path])
    finally:
        path.write_text(original)


def _passes(tree: Path, tests: Sequence[str]) -> bool:
    child = os.fork()
    if child == 0:
        _test(tree, tests)
    return os.waitpid(child, 0)[1] == 0


def _test(tree: Path, tests: Sequence[str]) -> None:
    """Runs the tests on the tree's own modules, in a process that ends with it: a mutant may loop for ever."""
    signal.alarm(LIMIT_S)
    os.chdir(tree)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("services", "tests")]:
        del sys.modules[name]
    settings.register_profile("mutants", deadline=None, database=None, phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutants")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-x", "--noconftest", "--assert=plain", "-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0"]
    os._exit(int(pytest.main([*options, f"--rootdir={tree}", *tests])))


if __name__ == "__main__":
    # Loaded once, for every process to inherit; each then loads the mutated tree's own.
    from services.consent.domain import explain as explain

    raise SystemExit(main(sys.argv[1:] or [*TESTS]))
