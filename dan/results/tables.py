"""Tables in Markdown, and numbers as they stand in them."""


def markdown(titles, rows):
    """A table: titles, and rows of as many cells."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))


def number(value, digits):
    """A number with a true minus sign and commas."""
    return f"{value:,.{digits}f}".replace("-", "−")


def with_spread(leaf, digits, unit=""):
    """A number of a record, its seeds' range or its interval: 11.2 dB (11.0 to 11.4), 11.9 ± 0.2 dB."""
    value, low, high = (number(leaf[key], digits) for key in ("value", "low", "high"))
    if "seeds" in leaf:
        return f"{value}{unit} ({low} to {high})"
    return f"{value} ± {number(leaf['high'] - leaf['value'], digits)}{unit}"
