"""Clean recordings with a trained denoiser: files and folders, of any length and sample rate.

    python denoise.py noisy.wav -o clean.wav
    python denoise.py recordings more.flac -o cleaned --dry 0.1
    python denoise.py noisy.wav -o clean.wav --checkpoint my/best.pt --listen clean.html

The denoiser is the one that you trained last for recordings; if you have trained none, it is the
one for speech that comes with the project, pretrained/speech.pt. The same from Python:

    from denoise import Denoiser
    denoiser = Denoiser.load("pretrained/speech.pt")
    clean = denoiser(noisy, sample_rate)    # (..., samples) in and out, of any type of number
"""

import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from dan import figures, plots
from dan.command_line import parse_arguments
from dan.denoising import Denoiser, as_finite, as_type, is_transposed
from dan.errors import ConfigurationError, UserError, run
from dan.files import write_atomically, write_bytes
from dan.listening import Example, write_page
from dan.recordings import (
    FORMATS,
    SUFFIXES,
    are_far_apart,
    as_file_name,
    find_recordings,
    map_array,
    open_audio,
    read_pieces,
)
from dan.trained import PRETRAINED
from dan.training import choose_device

FIGURE_SECONDS = 20
MOST_EXAMPLES = 12  # on a listening page
RESULT = ".denoised"  # ends the name of what lies beside a recording
RECORDED_PRESETS = ("speech", "speech-own", "audio")
FULL_SCALE = 0.999
CLIPPED_SHARE = 1e-3


def main():
    config, options = parse_arguments(__doc__, add_options, default_preset="speech",
                                      takes_files=True)
    if not options.inputs:
        raise ConfigurationError("name what to denoise: python denoise.py noisy.wav -o clean.wav; "
                                 "see --help")
    if not options.output:
        options.output = beside(options.inputs)
    checkpoint = choose_checkpoint(options, config)
    if not 0 <= options.dry <= 1:
        raise ConfigurationError(f"--dry {options.dry} is impossible; it must be from 0 to 1")
    jobs = plan(options.inputs, options.output, options.overwrite)
    if options.figure and len(jobs) > 1:
        raise ConfigurationError(f"--figure shows one recording, and here are {len(jobs)}")
    if options.figure and options.listen and real(options.figure) == real(options.listen):
        raise ConfigurationError("--figure and --listen name one file; give them two")
    for path in filter(None, (options.figure, options.listen)):
        check_picture(Path(path), jobs, options.overwrite)
    device = choose_device(config.training.device)
    denoiser = Denoiser.load(checkpoint, device, narrow=options.narrow)
    print(f"denoiser: {checkpoint}, for {denoiser.sample_rate:,} samples per second")
    # An .npy array says nothing of its rate.
    array_rate = config.data.source_rate or denoiser.sample_rate
    failed, band_told, examples = 0, False, []
    with progress(sum(seconds_in(source, array_rate) for source, _ in jobs)) as bar:
        for source, target in jobs:
            try:
                rate = denoise_file(denoiser, source, target, options.dry, array_rate, bar)
            except UserError as error:
                if len(jobs) == 1:
                    raise
                bar.write(f"error: {error}", file=sys.stderr)
                failed += 1
                continue
            if rate > denoiser.sample_rate and not band_told:
                bar.write(f"  the denoiser works up to {denoiser.sample_rate / 2:,.0f} Hz; what "
                          "lies above " + ("is left out" if options.narrow else "is attenuated as "
                                           "the top of that is (--narrow leaves it out)"))
                band_told = True
            if options.figure or (options.listen and len(examples) < MOST_EXAMPLES):
                sounds, rate = beginnings(source, target, array_rate)
                examples.append(Example(source.name, rate, sounds))
    if options.figure:
        figure = plots.before_and_after(
            sounds, rate, f"{source.name}, first channel, up to {FIGURE_SECONDS} s")
        figures.save(figure, Path(options.figure), replace_any=True)
        print(f"wrote {options.figure}")
    if options.listen and examples:
        title = (f"Denoised: {len(examples)} of {len(jobs)}, their first {FIGURE_SECONDS} s, one "
                 "channel")
        write_page(Path(options.listen), title, examples)
        print(f"wrote {options.listen}; open it in a browser")
    if failed:
        raise UserError(f"{failed} of {len(jobs)} recordings were not denoised, as said above")


def add_options(parser):
    parser.add_argument("inputs", nargs="*", metavar="INPUT",
                        help=f"recordings ({', '.join(SUFFIXES)}) and folders of them")
    parser.add_argument("-o", "--output", metavar="OUTPUT",
                        help="file for one recording (default: noisy.denoised.wav beside "
                             "noisy.wav); folder for several, which mirrors theirs")
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="the trained denoiser (default: best.pt of --preset, or as above)")
    parser.add_argument("--dry", type=float, default=0.0, metavar="0..1",
                        help="share of the recording as it was that is mixed back in (default: 0)")
    parser.add_argument("--narrow", action="store_true",
                        help="leave out what lies above the denoiser's band, which is attenuated "
                             "as the top of the band is otherwise")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace outputs that exist; inputs are never replaced")
    parser.add_argument("--figure", metavar="FILE",
                        help="also draw waveform and spectrogram, before and after, as PNG")
    parser.add_argument("--listen", metavar="FILE",
                        help="also write an HTML page with players, before and after")


def beside(inputs):
    """Where a single recording goes without -o: noisy.wav to noisy.denoised.wav, beside it."""
    given = Path(inputs[0])
    if len(inputs) > 1 or given.is_dir():
        raise ConfigurationError("name the folder for what is denoised with -o: python denoise.py "
                                 f"{' '.join(inputs)} -o cleaned")
    return given.with_name(f"{given.stem}{RESULT}{given.suffix}")


def choose_checkpoint(options, config):
    """The path of the denoiser that is asked for; the latest of the user's own; or the shipped one.
    """
    if options.checkpoint:
        return Path(options.checkpoint)
    if options.preset:
        path = config.checkpoint_folder / "best.pt"
        others = sorted(config.checkpoint_folder.parent.glob(f"*-hz/{config.preset}/best.pt"))
        if others and not path.exists():
            rate = others[0].parent.parent.name.removesuffix("-hz")
            raise UserError(f"{path} is missing, but {others[0]} is there; give "
                            f"data.sample_rate={rate}")
        return path
    folder = config.checkpoint_folder.parent
    own = [path for name in RECORDED_PRESETS if (path := folder / name / "best.pt").is_file()]
    return max(own, key=lambda path: path.stat().st_mtime, default=PRETRAINED)


def plan(inputs, output, overwrite):
    """Pairs (source, target) of what to denoise; raises UserError before anything is written."""
    output, jobs = Path(output), []
    for given in map(Path, inputs):
        if given.is_dir():
            inside, mirror = find_recordings(given), real(output)
            results = [path for path in inside if path.stem.endswith(RESULT)]
            if results:
                print(f"left out {len(results)} that were denoised before, such as {results[0]}")
                inside = [path for path in inside if path not in results]
            if real(given) in mirror.parents:  # results of an earlier run are no inputs
                inside = [path for path in inside if not real(path).is_relative_to(mirror)]
            jobs += [(path, output / path.relative_to(given)) for path in inside]
        elif not given.exists():
            raise UserError(f"{given} does not exist")
        elif len(inputs) == 1 and output.suffix and not output.is_dir():
            jobs.append((given, output))
        else:
            jobs.append((given, output / given.name))
    if len(inputs) > 1 and output.suffix.lower() in SUFFIXES and not output.is_dir():
        raise UserError(f"{output} is the name of one recording; name a folder for several")
    sources = {real(source): source for source, _ in jobs}
    taken = {}
    for source, target in jobs:
        place = real(target)
        if place in sources:
            raise UserError(f"{target} is an input, which is never replaced; choose another output")
        if place in taken:
            raise UserError(f"{source} and {taken[place]} would both become {target}; denoise them "
                        "into different folders")
        if os.path.lexists(target) and not overwrite:
            raise UserError(f"{target} exists; replace it with --overwrite, or choose another one")
        if (source.suffix.lower() == ".npy") != (target.suffix.lower() == ".npy"):
            raise UserError(f"{source} cannot become {target}; .npy stays .npy, and audio audio")
        taken[place] = source
    if not jobs:
        raise UserError(f"{', '.join(inputs)} holds no recording but those in {output}")
    return jobs


def real(path):
    """The path without links; links in a circle stay as they are."""
    return Path(os.path.realpath(path))


def check_picture(path, jobs, overwrite):
    """Raise UserError unless a figure or page may be written to `path`, beside what `jobs` write.
    """
    if any(real(path) in map(real, job) for job in jobs):
        raise UserError(f"{path} is a recording; choose another name")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path} exists; replace it with --overwrite, or choose another name")


def progress(seconds):
    """One bar over all recordings, which last so long together."""
    return tqdm(total=seconds, desc="denoising", leave=False,
                bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s of sound, "
                           "{remaining} left")


def seconds_in(source, array_rate):
    """The length of a recording, or all rows of an array together; 0 if it cannot be read."""
    try:
        if source.suffix.lower() == ".npy":
            return map_array(source).size / array_rate
        with open_audio(source) as file:
            return file.frames / file.samplerate
    except UserError:
        return 0.0  # what is wrong is said when its turn comes


def denoise_file(denoiser, source, target, dry, array_rate, bar):
    """Denoise one recording into a file of the same rate, channels and format; returns the rate.

    Prints a line, and what was odd in the recording. Raises UserError, naming the file.
    """
    started = time.perf_counter()
    if source.suffix.lower() == ".npy":
        channels, length, rate, seen = denoise_array(denoiser, source, target, dry, array_rate, bar)
    else:
        channels, length, rate, seen = denoise_audio(denoiser, source, target, dry, bar)
    seconds, spent = length / rate, time.perf_counter() - started
    bar.write(f"{source} → {target}: {seconds:.1f} s, {channels} channel{'s' * (channels > 1)} at "
              f"{rate:,} Hz, {seconds / spent:.0f} × real time")
    for remark in remarks(seen, channels * length):
        bar.write(f"  {remark}")
    return rate


def denoise_array(denoiser, source, target, dry, rate, bar):
    array = map_array(source)
    rows = np.atleast_2d(array)
    if not rows.size:
        raise UserError(f"{source} is empty")
    if is_transposed(rows):
        raise UserError(f"{source} has {rows.shape} values, which looks like (samples, channels); "
                        "store its transpose, a row for each signal")
    seen = new_watch()
    denoised = denoiser.denoise_rows(
        rows, rate, lambda pieces: watched(pieces, seen, bar, lambda piece: piece.size / rate)
    )
    denoised = as_type(mix_back(rows, denoised, dry), array.dtype)
    seen["clipped"] = 0  # an array has no full scale
    content = io.BytesIO()
    np.save(content, denoised.reshape(array.shape))
    write_bytes(target, content.getbuffer())
    return *rows.shape, rate, seen


def denoise_audio(denoiser, source, target, dry, bar):
    with open_audio(source) as before, open_audio(source) as again:
        length, rate, channels = before.frames, before.samplerate, before.channels
        if not length:
            raise UserError(f"{source} is empty")
        if are_far_apart(rate, denoiser.sample_rate):
            raise UserError(f"{source} has {rate:,} samples per second, too far from the "
                            f"denoiser's {denoiser.sample_rate:,}; use a denoiser for that rate")
        seen = new_watch()
        channels_first = (piece.T for piece in read_pieces(before))
        passing = watched(channels_first, seen, bar, lambda piece: piece.shape[1] / rate)
        with write_atomically(target) as file:
            try:
                with create_audio(file.name, before, target) as after:
                    for piece in denoiser.stream(passing, rate):
                        mixed = again.read(piece.shape[1], dtype="float32", always_2d=True).T
                        after.write(mix_back(mixed, piece, dry).T)
            except (soundfile.SoundFileError, AssertionError) as error:
                # What was read before has passed; soundfile asserts that all is written.
                raise OSError(f"not all samples could be written {error}".rstrip()) from error
    return channels, length, rate, seen


def create_audio(path, like, target):
    """The file of an audio `target` at `path`, with the rate, channels and format of another.

    Where its kind of file has no such sample format, it takes its usual one. Raises UserError if
    it has no such sample rate or so many channels either.
    """
    format = FORMATS.get(target.suffix.lower())
    if not format:
        raise UserError(f"{target} names no audio format that can be written; choose from "
                        f"{', '.join(FORMATS)}")
    usual = "OPUS" if target.suffix.lower() == ".opus" else soundfile.default_subtype(format)
    # Only trying tells: a WAV file might hold MP3, but libsndfile writes none.
    for subtype in dict.fromkeys((like.subtype, usual)):
        try:
            return soundfile.SoundFile(as_file_name(path), "w", like.samplerate, like.channels,
                                       subtype, format=format)
        except (soundfile.LibsndfileError, ValueError) as error:  # ValueError: no such pair
            reason = getattr(error, "error_string", error)
    channels = f"{like.channels} channel{'s' * (like.channels > 1)}"
    raise UserError(f"{target} cannot hold {channels} at {like.samplerate:,} Hz ({reason}); choose "
                    "another format, such as .wav")


def mix_back(mixed, denoised, dry):
    """dry · mixed + (1 − dry) · denoised; what was not finite in `mixed` counts as zero."""
    if not dry:
        return denoised
    return dry * as_finite(mixed) + (1 - dry) * denoised


def new_watch():
    """What `watched` is to learn about a recording."""
    return {"broken": 0, "clipped": 0, "lowest": np.inf, "highest": -np.inf}


def watched(pieces, seen, bar, seconds_of):
    """The pieces as they are; while they pass, `seen` learns what they hold, and the bar moves on.
    """
    for piece in pieces:
        finite = np.isfinite(piece)
        seen["broken"] += finite.size - int(finite.sum())
        seen["clipped"] += int((np.abs(piece) >= FULL_SCALE).sum())
        if finite.any():
            seen["lowest"] = min(seen["lowest"], piece[finite].min())
            seen["highest"] = max(seen["highest"], piece[finite].max())
        yield piece
        seconds = seconds_of(piece)
        bar.total = max(bar.total, bar.n + seconds)  # a recording may have grown
        bar.update(seconds)


def remarks(seen, values):
    """What was odd in a recording of so many values, in words."""
    if seen["broken"]:
        yield f"{seen['broken']:,} of {values:,} values were not finite and count as zero"
    if seen["lowest"] >= seen["highest"]:
        yield f"it is constant ({seen['highest']:g}): there is nothing to denoise"
    elif seen["clipped"] > CLIPPED_SHARE * values:
        yield f"{seen['clipped'] / values:.1%} of the values are at full scale: it was clipped"


def beginnings(source, target, array_rate):
    """({"before", "after": float32 (samples,)}, sample rate) of the first channel's beginning."""
    sounds = {}
    for name, recording in (("before", source), ("after", target)):
        if recording.suffix.lower() == ".npy":
            rate = array_rate
            samples = np.atleast_2d(map_array(recording))[0, : FIGURE_SECONDS * rate]
        else:
            with open_audio(recording) as file:
                rate = file.samplerate
                samples = file.read(FIGURE_SECONDS * rate, dtype="float32", always_2d=True)[:, 0]
        sounds[name] = as_finite(samples)
    return sounds, rate


if __name__ == "__main__":
    run(main)
