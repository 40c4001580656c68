"""Every link from one page to another leads somewhere, and so does every file that a page names."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for folder in ("", "docs", "helm", "training", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.md") if folder else ROOT.glob("*.md"))
]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OUTSIDE = ("http://", "https://", "mailto:")
PACKAGES = "schemas|vbq|gateways|workers|services|commands|training|benchmarks|tests|helm|docs|requirements"
NAMED = re.compile(rf"`((?:{PACKAGES})/[\w./-]*[\w/])(?:::\w+)?[^`]*`")


@cache
def anchors(path: Path) -> set[str]:
    """The names that the headings of a page have as targets, made as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", FENCE.sub("", path.read_text()), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", LINK.sub(lambda link: link.group(0)[1:].partition("]")[0], heading).lower())
        name = words.replace(" ", "-")
        found.add(name if name not in found else f"{name}-1")
    return found


def targets(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    return [link for link in LINK.findall(text) if not link.startswith(OUTSIDE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in targets(page):
        name, _, anchor = link.partition("#")
        place = (page.parent / name).resolve() if name else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # it tells what was
    assert [name for name in NAMED.findall(page.read_text()) if not (ROOT / name).exists()] == []


def test_the_architecture_names_every_folder() -> None:
    """A newcomer finds each folder of code by its name in docs/architecture.md."""
    told = (ROOT / "docs" / "architecture.md").read_text()
    folders = {
        file.parent for name in ("gateways", "vbq", "schemas", "training") for file in ROOT.glob(f"{name}/**/*.py")
    }
    unnamed = {folder for folder in folders if f"`{folder.name}/`" not in told}
    assert {folder.name for folder in unnamed} <= {"versions", "migrations"}  # Alembic's own layout
