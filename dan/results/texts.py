"""Filling the numbers of the records into README.md and docs/.

A table stands between `<!-- table: PART/NAME -->` and `<!-- end -->`. A number in a sentence is followed by where it
comes from, such as 11.2<!-- sines/methods/dan/output SNR -->: a path in docs/results/sines.json, below "values". It
keeps as many decimals as stand there; the path of a number with an interval may end with /low or /high.
"""

import re

from config import REPOSITORY
from dan.errors import UserError
from dan.results import records
from dan.results.tables import number

TABLE = re.compile(r"(<!-- table: (\w+)/([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
REFERENCE = re.compile(r"([−+]?)[\d,]*\d(\.\d+)?(<!-- ([^<>:]+/[^<>:]+) -->)")


def texts():
    """The paths of the texts that hold numbers of records."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def filled(text, tables):
    """A text with the numbers of the records; tables: {part: {name: function(values, records)}}.

    Raises UserError for a table or a number that is in no record.
    """
    known = {part: record for part in tables if (record := records.read(part))}

    def table(match):
        begin, part, name, end = match.groups()
        if part not in known or name not in tables[part]:
            raise UserError(f"there is no table {part}/{name}; python results.py {part} makes those of that part")
        try:
            made = tables[part][name](known[part]["values"], known)
        except KeyError as missing:
            raise UserError(
                f"table {part}/{name} needs {missing} as well; run python results.py with its part"
            ) from None
        return f"{begin}{made}\n\n{origin(part, known[part])}\n{end}"

    def reference(match):
        sign, decimals, comment, path = match.groups()
        value = look_up(known, path)
        plus = "+" if sign == "+" and value > 0 else ""
        return plus + number(value, len(decimals or ".") - 1) + comment

    return REFERENCE.sub(reference, TABLE.sub(table, text))


def look_up(known, path):
    """The number at a path; raises UserError if there is none."""
    part, *keys = path.split("/")
    value = known.get(part, {}).get("values")
    try:
        for key in keys:
            value = value[int(key) if isinstance(value, list) else key]
        return float(value["value"] if isinstance(value, dict) else value)
    except (KeyError, IndexError, TypeError, ValueError):
        raise UserError(f"docs/results has no number {path}") from None


def origin(part, record):
    """A line that says how a table was made, and whether its code has changed since."""
    made = record["made"]
    threads = f"{made['threads']} thread{'s' * (made['threads'] > 1)}"
    line = f"<sub>`make results ONLY={part}`: {made['date']}, commit {made['commit']}, {made['processor']}, {threads}"
    if changed := records.changed_since(record):
        shown = ", ".join(f"`{path}`" for path in changed[:3]) + (" and others" if len(changed) > 3 else "")
        line += f"; before the last change of {shown}"
    return line + ".</sub>"


def fill(tables):
    """Bring every text up to date; returns the paths of those that changed."""
    changed = []
    for path in texts():
        before = path.read_text(encoding="utf-8")
        after = filled(before, tables)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed
