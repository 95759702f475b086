"""Clean recordings with a trained denoiser: files and folders, of any length and sample rate.

    python denoise.py noisy.wav -o clean.wav
    python denoise.py recordings more.flac -o cleaned --dry 0.1
    python denoise.py noisy.wav -o clean.wav --name my-training --listen clean.html

The denoiser is the one for speech that comes with the project, pretrained/speech.pt, unless you
name a training of yours: --name my-training. The same from Python:

    from denoise import Denoiser
    denoiser = Denoiser.load("pretrained/speech.pt")
    clean = denoiser(noisy, sample_rate)    # (..., samples) in and out, of any type of number
"""

import os
import sys
from pathlib import Path

import numpy as np

from dan.configuration import parse_arguments
from dan.denoising.denoiser import Denoiser, as_finite
from dan.denoising.files import denoise_file, seconds_in
from dan.errors import ConfigurationError, UserError, in_words, run
from dan.output import figures, plots
from dan.output.listening import Example, write_page
from dan.processes import choose_device
from dan.progress import track
from dan.signals.audio_files import SUFFIXES, find_recordings, map_array, open_audio, read_samples
from dan.training.checkpoints import PRETRAINED, load_generator

FIGURE_SECONDS = 20
MOST_EXAMPLES = 12  # on a listening page
RESULT = ".denoised"  # ends the name of what lies beside a recording
# What the presets for recordings denoise.
RECORDED_PRESETS = {"speech": "speech", "speech-own": "speech", "audio": "recordings"}


def main():
    config, options = parse_arguments(__doc__, add_options, default_preset="speech", takes_files=True)
    if not options.inputs:
        raise ConfigurationError("name what to denoise: python denoise.py noisy.wav -o clean.wav; see --help")
    if not options.output:
        options.output = beside(options.inputs)
    checkpoint = choose_checkpoint(options, config)
    if options.skip and options.overwrite:
        raise ConfigurationError("--skip leaves outputs that exist and --overwrite replaces them; choose")
    if not 0 <= options.dry <= 1:
        raise ConfigurationError(f"--dry {options.dry} is invalid; it must be from 0 to 1")
    jobs = plan(options.inputs, options.output, options.overwrite, options.skip)
    if not jobs:
        print("all outputs exist; nothing is left to denoise")
        return
    if options.figure and len(jobs) > 1:
        raise ConfigurationError(f"--figure shows one recording, and here are {len(jobs)}")
    pictures = [Path(path) for path in (options.figure, options.listen) if path]
    if len(set(map(identity, pictures))) < len(pictures):
        raise ConfigurationError("--figure and --listen name one file; give them two")
    for path in pictures:
        check_picture(path, jobs, options.overwrite)
    device = choose_device(config.training.device)
    generator, trained = load_generator(checkpoint, device)
    denoiser = Denoiser(generator, trained.data, narrow=options.narrow)
    print(f"denoiser: {checkpoint}, {purpose(trained)}")
    array_rate = config.data.source_rate or denoiser.sample_rate
    if not config.data.source_rate and any(source.suffix.lower() == ".npy" for source, _ in jobs):
        print(
            f"assumed {array_rate:,} samples per second of .npy files, which do not say theirs; "
            "give it as data.source_rate="
        )
    failed, band_told, examples = 0, False, []
    with progress(sum(seconds_in(source, array_rate) for source, _ in jobs)) as bar:
        for source, target in jobs:
            try:
                rate = denoise_file(denoiser, source, target, options.dry, array_rate, bar)
            except (UserError, OSError) as error:
                # Without a file it is standard output that cannot be written to.
                if len(jobs) == 1 or getattr(error, "filename", source) is None:
                    raise
                bar.write(in_words(error), file=sys.stderr)
                failed += 1
                continue
            if rate > denoiser.sample_rate and not band_told:
                bar.write(
                    f"  the denoiser works up to {denoiser.sample_rate / 2:,.0f} Hz; what "
                    "lies above "
                    + (
                        "is left out"
                        if options.narrow
                        else "is attenuated as the top of that is (--narrow leaves it out)"
                    )
                )
                band_told = True
            if options.figure or (options.listen and len(examples) < MOST_EXAMPLES):
                sounds, rate = beginnings(source, target, array_rate)
                examples.append(Example(source.name, rate, sounds))
    if options.figure:
        figure = plots.before_and_after(sounds, rate, f"{source.name}, first channel, up to {FIGURE_SECONDS} s")
        figures.save(figure, Path(options.figure))
        print(f"wrote {options.figure}")
    if options.listen and examples:
        title = f"Denoised: {len(examples)} of {len(jobs)}, their first {FIGURE_SECONDS} s, one channel"
        write_page(Path(options.listen), title, examples)
        print(f"wrote {options.listen}; open it in a browser")
    if failed:
        raise UserError(f"{failed} of {len(jobs)} recordings were not denoised, as said above")


def add_options(parser):
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help=f"recordings ({', '.join(SUFFIXES)}) and folders of them"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="file for one recording (default: noisy.denoised.wav beside "
        "noisy.wav); folder for several, which mirrors theirs",
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="the trained denoiser (default: best.pt of --name, or as above)"
    )
    parser.add_argument(
        "--dry",
        type=float,
        default=0.0,
        metavar="0..1",
        help="share of the recording as it was that is mixed back in (default: 0)",
    )
    parser.add_argument(
        "--narrow",
        action="store_true",
        help="leave out what lies above the denoiser's band, which is attenuated as the top of the band is otherwise",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace outputs that exist; inputs are never replaced"
    )
    parser.add_argument(
        "--skip", action="store_true", help="leave outputs that exist as they are, and denoise the rest"
    )
    parser.add_argument("--figure", metavar="FILE", help="also draw waveform and spectrogram, before and after, as PNG")
    parser.add_argument("--listen", metavar="FILE", help="also write an HTML page with players, before and after")


def beside(inputs):
    """Where a single recording goes without -o: noisy.wav to noisy.denoised.wav, beside it."""
    given = Path(inputs[0])
    if len(inputs) > 1 or given.is_dir():
        raise ConfigurationError(
            f"name the folder for what is denoised with -o: python denoise.py {' '.join(inputs)} -o cleaned"
        )
    return given.with_name(f"{given.stem}{RESULT}{given.suffix}")


def choose_checkpoint(options, config):
    """The path of the denoiser that is asked for, or of the shipped one."""
    if options.checkpoint:
        return Path(options.checkpoint)
    return config.checkpoint_folder / "best.pt" if options.name or options.preset else PRETRAINED


def purpose(config):
    """What a denoiser is made for, in words, by the configuration of its training."""
    data = config.data
    sines = f"sums of sines from {data.low_freq:g} to {data.high_freq:g} Hz"
    sounds = RECORDED_PRESETS.get(config.preset, "recordings" if data.clean_source else sines)
    trained = f", trained on {Path(data.clean_source).name}" if data.clean_source else ""
    return f"for {sounds} at {data.sample_rate:,} samples per second{trained}"


def plan(inputs, output, overwrite, skip=False):
    """Pairs (source, target) of what to denoise; raises UserError before anything is written.

    skip: leave out those whose target exists.
    """
    output, jobs = Path(output), []
    for given in map(Path, inputs):
        if given.is_dir():
            inside = find_recordings(given)
            results = [path for path in inside if path.stem.endswith(RESULT)]
            if results:
                print(f"left out {len(results)} that were denoised before, such as {results[0]}")
                inside = [path for path in inside if path not in results]
            if is_inside(output, given):  # results of an earlier run are no inputs
                inside = [path for path in inside if not is_inside(path, output)]
            jobs += [(path, output / path.relative_to(given)) for path in inside]
        elif not given.exists():
            raise UserError(f"{given} does not exist")
        elif len(inputs) == 1 and output.suffix and not output.is_dir():
            jobs.append((given, output))
        else:
            jobs.append((given, output / given.name))
    if len(inputs) > 1 and output.suffix.lower() in SUFFIXES and not output.is_dir():
        raise UserError(f"{output} is the name of one recording; name a folder for several")
    sources, taken = {identity(source) for source, _ in jobs}, {}
    for source, target in jobs:
        place = identity(target)
        if place in sources:
            raise UserError(f"{target} is an input, which is never replaced; choose another output")
        if place in taken:
            raise UserError(
                f"{source} and {taken[place]} would both become {target}; denoise them into different folders"
            )
        if os.path.lexists(target) and not overwrite and not skip:
            raise UserError(
                f"{target} exists; replace it with --overwrite, leave it with --skip, or choose another one"
            )
        if (source.suffix.lower() == ".npy") != (target.suffix.lower() == ".npy"):
            raise UserError(f"{source} cannot become {target}; .npy stays .npy, and audio audio")
        taken[place] = source
    if not jobs:
        raise UserError(f"{', '.join(inputs)} has only recordings that were denoised before")
    return [job for job in jobs if not (skip and os.path.lexists(job[1]))]


def identity(path):
    """What all names of one file share: its number, or, of a file to come, the path without links."""
    try:
        status = os.stat(path)
    except OSError:  # links in a circle, too
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def is_inside(path, folder):
    """Whether a path is one of what lies in a folder or the folders in it."""
    parents = Path(os.path.realpath(path)).parents
    return identity(folder) in map(identity, parents)


def check_picture(path, jobs, overwrite):
    """Raise UserError unless a figure or page may be written to `path`, beside what `jobs` write."""
    if any(identity(path) in map(identity, job) for job in jobs):
        raise UserError(f"{path} is a recording; choose another name")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path} exists; replace it with --overwrite, or choose another name")


def progress(seconds):
    """One bar over all recordings, which last so long together."""
    return track(
        total=seconds,
        desc="denoising",
        leave=False,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s of sound, {remaining} left",
    )


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
                samples = read_samples(file, FIGURE_SECONDS * rate)[:, 0]
        sounds[name] = as_finite(samples)
    return sounds, rate


if __name__ == "__main__":
    run(main)
