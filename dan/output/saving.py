"""Figures without a window, saved as PNG; and which files the project may replace: its own."""

import io
import os
import warnings

from dan.errors import UserError
from dan.files import check_regular, write_bytes

# A backend of the environment (a notebook's, or one that is not here) would be looked up by the
# import already; figures without a window need none.
BACKEND = os.environ.pop("MPLBACKEND", None)
from matplotlib.figure import Figure  # noqa: E402

if BACKEND is not None:
    os.environ["MPLBACKEND"] = BACKEND

MARK = "Denoising Adversarial Network"  # in the header of every file that may be replaced
DPI = 110


def save(figure, path, source=""):
    """Write a figure as PNG, making its folder; `refuse_foreign` says which folders are ours."""
    write_bytes(path, as_png(figure, source))


def as_png(figure, source=""):
    """A figure as the bytes of a PNG file; source: what it was drawn from, kept in the file's header."""
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a file's name that the font lacks
        # Without the version of matplotlib in it, the same figure is the same file.
        figure.savefig(image, format="png", dpi=DPI, metadata={"Software": MARK, "Source": source})
    return image.getvalue()


def refuse_foreign(folder):
    """Raise UserError for a file in a folder, or below, that does not have MARK in its header.

    So what a run writes into the folder replaces nothing but the project's own.
    """
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir() and not path.name.startswith(".")):
        check_regular(path)
        with open(path, "rb") as file:
            if MARK.encode() not in file.read(256):
                raise UserError(f"{path} was not written by this version of the project; move it out of {folder}")


def new_figure(rows=1, columns=1, **options):
    """A figure without a window and its axes, one or an array, as pyplot.subplots makes them."""
    figure = Figure(figsize=options.pop("figsize"), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)
