"""The habits of the house, checked: style, types, import rules, and what must never be in the tree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "vbq", "gateways", "workers", "services", "commands", "training")


def run(*command: str) -> str:
    """Run a tool of the environment; its output, with the exit status first where it failed."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"exit {done.returncode}\n{done.stdout}{done.stderr}"


def tracked(*patterns: str) -> list[Path]:
    """Files that git tracks; an export without git has none, and then these rules have nothing to say."""
    listing = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in listing.stdout.split() if (ROOT / name).is_file()]


def test_ruff_has_nothing_to_say() -> None:
    assert run("ruff", "check", ".") == ""
    assert run("ruff", "format", "--check", ".") == ""


@pytest.mark.timeout(600)
def test_types_are_strict() -> None:
    assert run("mypy") == ""


def test_imports_go_down_only() -> None:
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_at_run_time_imports_training() -> None:
    offenders = [
        path
        for folder in PACKAGES
        if folder != "training"
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(from|import) training\b", path.read_text(), re.MULTILINE)
    ]
    assert offenders == []


def test_no_module_is_longer_than_it_should_be() -> None:
    long = {
        str(path.relative_to(ROOT)): length
        for folder in PACKAGES
        for path in (ROOT / folder).rglob("*.py")
        if (length := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_path_of_a_machine_and_no_address_of_a_registry_is_in_the_tree() -> None:
    machine = re.compile(r"/(work|root|farm)/[a-z.]|--(extra-)?index-url|https?://[^ ]+\.(whl|tgz)\b")
    offenders = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in tracked()
        if path.suffix in {".py", ".md", ".toml", ".txt", ".in", ".yaml", ".json", ".html", ".tpl", ""}
        and path.name != "test_house_rules.py"
        and (found := machine.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert offenders == []


def test_locks_pin_every_package_by_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        pinned = re.findall(r"^[a-z0-9][^\s;=]*==", text, re.MULTILINE)
        blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)
        hashed = [block for block in blocks if "--hash=sha256:" in block]
        assert len(pinned) == len(hashed) > 50
        assert "://" not in text


def test_the_table_of_the_readme_names_files_that_exist() -> None:
    rows = re.findall(r"^\| .*\| `([^`]+)` .*\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10
    assert [name for name in rows if not (ROOT / name).exists()] == []


def test_ci_runs_what_the_readme_says() -> None:
    assert "./run test" in (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert "./run demo" in readme
    assert "./run test" in readme
