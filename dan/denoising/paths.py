"""The paths of a run: pairs of a source and a target, checked before anything is written."""

import os
from pathlib import Path

from dan.denoising.pipes import PIPE
from dan.errors import ConfigurationError, UserError
from dan.signals.audio_files import SUFFIXES, find_recordings

RESULT = ".denoised"  # ends the name of a result beside its recording


def plan(inputs, output, overwrite=False, skip=False):
    """The pairs (source, target) for files and folders; raises UserError where one cannot be.

    inputs: paths, or "-" alone, which stays as it is. output: a file or a folder; None puts the
    result of one recording beside it. skip: leave out pairs whose target exists.
    """
    inputs = [Path(path) for path in inputs]
    output = Path(output) if output else beside(inputs)
    if len(inputs) > 1 and output.suffix.lower() in SUFFIXES and not output.is_dir():
        raise UserError(f"{output} is the name of one recording; name a folder for several")
    pairs = []
    for given in inputs:
        if str(given) == PIPE:
            pairs.append((given, output))
        elif given.is_dir():
            pairs += [(path, output / path.relative_to(given)) for path in recordings_in(given, output)]
        elif not given.exists():
            raise UserError(f"{given} does not exist")
        elif len(inputs) == 1 and output.suffix and not output.is_dir():
            pairs.append((given, output))
        else:
            pairs.append((given, output / given.name))
    if not pairs:
        raise UserError(f"{', '.join(map(str, inputs))} has only recordings that were denoised before")
    check_targets(pairs, overwrite or skip)
    return [pair for pair in pairs if not (skip and os.path.lexists(pair[1]))]


def beside(inputs):
    """Where a single recording goes without -o: noisy.wav to noisy.denoised.wav, beside it."""
    if str(inputs[0]) == PIPE:
        raise ConfigurationError("name the result with -o: python denoise.py - -o clean.wav, or -o - for a pipe")
    if len(inputs) > 1 or inputs[0].is_dir():
        given = " ".join(map(str, inputs))
        raise ConfigurationError(f"name a folder for the results with -o: python denoise.py {given} -o cleaned")
    return inputs[0].with_stem(inputs[0].stem + RESULT)


def recordings_in(folder, output):
    """The recordings in a folder, without results of earlier runs."""
    found = find_recordings(folder)
    results = [path for path in found if path.stem.endswith(RESULT)]
    if results:
        print(f"left out {len(results)} that were denoised before, such as {results[0]}")
    if is_inside(output, folder):
        results += [path for path in found if is_inside(path, output)]
    return [path for path in found if path not in results]


def check_targets(pairs, may_exist):
    """Raise UserError for a target that is an input, is there already, or is that of two sources."""
    inputs, taken = {identity(source) for source, _ in pairs}, {}
    for source, target in pairs:
        place = identity(target)
        if place in inputs:
            raise UserError(f"{target} is an input, which is never replaced; choose another output")
        if place in taken:
            raise UserError(
                f"{source} and {taken[place]} would both become {target}; denoise them into different folders"
            )
        if os.path.lexists(target) and not may_exist:
            raise UserError(
                f"{target} exists; replace it with --overwrite, leave it with --skip, or choose another one"
            )
        if (source.suffix.lower() == ".npy") != (target.suffix.lower() == ".npy"):
            raise UserError(f"{source} cannot become {target}; .npy stays .npy, and audio audio")
        taken[place] = source


def check_pictures(pictures, pairs, overwrite):
    """Raise UserError unless figures and pages may be written beside the results of `pairs`."""
    taken = {identity(path) for pair in pairs for path in pair}
    for path in pictures:
        if identity(path) in taken:
            raise UserError(f"{path} is a recording, or named twice; choose another name")
        if os.path.lexists(path) and not overwrite:
            raise UserError(f"{path} exists; replace it with --overwrite, or choose another name")
        taken.add(identity(path))


def identity(path):
    """One value for all names of a file: its number, or, of a file to come, the path without links."""
    try:
        status = os.stat(path)
    except OSError:  # links in a circle, too
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def is_inside(path, folder):
    """Whether a path lies in a folder or in the folders in it."""
    return identity(folder) in map(identity, Path(os.path.realpath(path)).parents)
