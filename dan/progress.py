"""Progress bars, drawn at a terminal alone, and by the first of several processes alone."""

from tqdm import tqdm

from dan.processes import is_first


def track(iterable=None, **options):
    """tqdm's bar, over an iterable or with a total, with tqdm's options."""
    return tqdm(iterable, disable=None if is_first() else True, **options)
