"""The sines of recordings as a table: a CSV file, and its first rows on the terminal."""

import csv
import io

import numpy as np

from dan.denoising.pieces import as_finite
from dan.denoising.sines import MOST_SINES, Sine, read_sines
from dan.errors import UserError
from dan.files import write_bytes
from dan.progress import track
from dan.signals.audio_files import map_array, open_audio, read_samples

MOST_SAMPLES = 2**16  # of a recording: the time that a fit takes grows with its length
MOST_PRINTED = 40  # rows on the terminal
COLUMNS = ["recording", "channel", "frequency_hz", "frequency_error_hz"]
COLUMNS += ["amplitude", "amplitude_error", "phase_rad", "phase_error_rad"]


def refuse_long(sources):
    """Raise UserError for a recording of more than MOST_SAMPLES."""
    for source in sources:
        try:
            samples, _ = read_rows(source, None)
        except (UserError, OSError):
            continue  # the reason is said when it is denoised
        if samples.shape[1] > MOST_SAMPLES:
            raise UserError(f"{source} is too long for --sines, which takes up to {MOST_SAMPLES:,} samples; cut it")


def write_sine_table(path, jobs, array_rate):
    """Write the sines of recordings, jobs being pairs (recorded, denoised), as CSV; print the first of them."""
    rows = []
    for source, target in track(jobs, desc="reading sines", unit="recording", delay=3, leave=False):
        mixed, rate = read_rows(source, array_rate)
        denoised, _ = read_rows(target, array_rate)
        length = min(mixed.shape[1], denoised.shape[1])  # some formats pad
        for channel, (before, after) in enumerate(zip(mixed, denoised, strict=True)):
            sines = read_sines(before[:length], after[:length], rate)
            rows += [(str(source), channel, *sine) for sine in sines]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))
    print_sines(rows)
    found = f"{len(rows):,} sine{'s' * (len(rows) != 1)}, at most {MOST_SINES} of a channel"
    print(f"wrote {path}: {found}; ± is the Cramér–Rao bound")


def print_sines(rows):
    """Print the first rows of a table of sines, recording by recording."""
    before = None
    for recording, channel, *values in rows[:MOST_PRINTED]:
        if (recording, channel) != before:
            print(f"{recording}, channel {channel}")
            print(f"  {'frequency in Hz':>24}{'amplitude':>24}{'phase in rad':>24}")
            before = recording, channel
        sine = Sine(*values)
        pairs = zip(sine[::2], sine[1::2], strict=True)
        print("  " + "".join(f"{with_error(value, error):>24}" for value, error in pairs))
    if len(rows) > MOST_PRINTED:
        print(f"  … and {len(rows) - MOST_PRINTED:,} more")


def with_error(value, error):
    """A value and its error, to two digits of the error: 12.345 ± 0.012."""
    digits = int(np.clip(1 - np.floor(np.log10(max(error, 1e-9))), 0, 9))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def read_rows(recording, array_rate):
    """(The first MOST_SAMPLES + 1 samples, float32 (channels, samples), the sample rate in Hz).

    array_rate: of .npy files. Raises UserError for a recording that cannot be read.
    """
    if recording.suffix.lower() == ".npy":
        rate, samples = array_rate, np.atleast_2d(map_array(recording))[:, : MOST_SAMPLES + 1]
    else:
        with open_audio(recording) as file:
            rate, samples = file.samplerate, read_samples(file, MOST_SAMPLES + 1).T
    return as_finite(samples)[0], rate
