"""A map file: which column is which, in which unit it is stated, and what its words mean.

columns:
Weight (lb):   {to: weight, unit: "[lb_av]"}
Fracture:      {to: event, values: {yes: 1, no: 0}}
T_L1_4:        t_score
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml
from pydantic import Field, ValidationError

from schemas.record import Record, problems_of
from vbq.clinical.units import factor, stated_units
from vbq.cohort.data.dictionary import known
from vbq.cohort.data.table import Table
from vbq.cohort.errors import UnusableCohort


class ColumnRule(Record):
    """What to do with one column."""

    to: str = Field(description="name after renaming")
    unit: str | None = Field(default=None, description="unit the file states it in; converted to the dictionary's")
    values: dict[str, float | str] | None = Field(default=None, description="words to numbers or other words")


class CohortMap(Record):
    """A whole map file."""

    columns: dict[str, ColumnRule]


def read_map(data: bytes, source: str) -> CohortMap:
    """YAML or JSON to rules. Raises UnusableCohort naming the place."""
    try:
        content = json.loads(data) if data.lstrip()[:1] == b"{" else yaml.safe_load(data)
    except (yaml.YAMLError, ValueError) as error:
        raise UnusableCohort(f"{source} is neither YAML nor JSON; see `vbq cohort check --help`") from error
    if isinstance(content, dict) and isinstance(content.get("columns"), dict):
        content = {**content, "columns": {str(name): _spelled_out(rule) for name, rule in content["columns"].items()}}
    try:
        return CohortMap.model_validate(content)
    except ValidationError as error:
        places = "; ".join(f"{path}: {text}" for path, text in problems_of(error)[:5])
        raise UnusableCohort(f"{source} is not a map of columns: {places}") from error


def _spelled_out(rule: object) -> object:
    """A bare name is short for {to: name}; YAML reads a bare yes as True, which is put back."""
    if isinstance(rule, str):
        return {"to": rule}
    if isinstance(rule, dict) and isinstance(rule.get("values"), dict):
        words = {{True: "yes", False: "no"}[k] if isinstance(k, bool) else str(k): v for k, v in rule["values"].items()}
        return {**rule, "values": words}
    return rule


def apply_map(table: Table, rules: CohortMap) -> tuple[Table, list[str]]:
    """The table with columns renamed and converted, and one sentence for each change."""
    import pyarrow as pa

    table.require(rules.columns)
    names = list(table.columns)
    arrays = {name: table.arrow.column(name) for name in names}
    done = []
    taken = set(names) - set(rules.columns)
    for old, rule in rules.columns.items():
        if rule.to in taken:
            raise UnusableCohort(f"the map renames '{old}' to '{rule.to}', which is already a column of {table.source}")
        taken.add(rule.to)
        if rule.values is not None:
            translated = _translated(table, old, rule.values)
            arrays[old] = pa.chunked_array([pa.array(translated)])
            table = Table(
                table.source,
                table.arrow.set_column(names.index(old), old, arrays[old]),
                table.lines,
                table.decimal,
                table.place,
            )
        if rule.unit is not None:
            by = _factor(rule)
            numbers = table.numbers(old) * by
            arrays[old] = pa.chunked_array([pa.array(numbers, mask=np.isnan(numbers))])
            done.append(f"{old}: times {by:g} ({rule.unit})")
        if rule.to != old:
            done.append(f"{old} is {rule.to}")
    renamed = [rules.columns[name].to if name in rules.columns else name for name in names]
    arrow: Any = pa.table([arrays[name] for name in names], names=renamed)
    return Table(table.source, arrow, table.lines, table.decimal, table.place), done


def _translated(table: Table, name: str, values: Mapping[str, float | str]) -> list[float | str | None]:
    words = {key.casefold(): value for key, value in values.items()}
    cells = table.text(name)
    unknown = [row for row, cell in enumerate(cells) if cell is not None and cell.casefold() not in words]
    if unknown:
        raise UnusableCohort(
            f"{table.source}, column '{name}', {table.where(unknown)}: a word that the map does not translate; add it"
        )
    found = [None if cell is None else words[cell.casefold()] for cell in cells]
    if any(isinstance(value, str) for value in words.values()):
        return [None if value is None else str(value) for value in found]
    return [None if value is None else float(value) for value in found]


def _factor(rule: ColumnRule) -> float:
    column = known(rule.to)
    if column is None or column.served is None:
        raise UnusableCohort(f"the map gives a unit for '{rule.to}', which the data dictionary does not know")
    by = factor(column.served, rule.unit)
    if by is None:
        choices = ", ".join(unit for unit in stated_units(column.served) if unit) or "no other unit"
        raise UnusableCohort(f"the map gives an unknown unit for '{rule.to}'; known are {choices}")
    return by
