"""Tables of documentation that a benchmark writes: between two comments with the table's name."""

from pathlib import Path

from rich.table import Table


def put_table(page: Path, name: str, table: Table) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->`. Raises ValueError where they are missing."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page.name} has no place for the table {name}; put {begin.strip()} and {end} there")
    page.write_text(before + begin + markdown(table) + end + after)


def markdown(table: Table) -> str:
    """The table as Markdown. Pure."""
    columns = [[str(column.header), *(str(cell) for cell in column.cells)] for column in table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    rows.insert(1, ["---"] * len(columns))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
