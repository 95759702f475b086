"""Clean recordings with a trained denoiser: files and folders, of any length and sample rate.

    python denoise.py noisy.wav -o clean.wav
    python denoise.py recordings more.flac -o cleaned --dry 0.1
    python denoise.py talk.mp4                    # to talk.denoised.mp4, of which only the sound is new
    python denoise.py noisy.wav -o clean.wav --name my-training --listen clean.html
    python denoise.py noisy.npy --name spectral-any --sines table.csv    # and lists the sines in them
    python denoise.py --export speech.onnx        # the network itself, for use without this project
    ffmpeg -i talk.mp4 -f wav - | python denoise.py - -o - | ffplay -nodisp -
    python denoise.py --live                      # from the microphone to the loudspeaker

The denoiser is the one for speech that comes with the project, pretrained/speech.pt, unless you
name a training of yours: --name my-training. The same from Python:

    from denoise import Denoiser
    denoiser = Denoiser.load("pretrained/speech.pt")
    clean = denoiser(noisy, sample_rate)    # (..., samples) in and out, of any type of number
"""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from dan.configuration import parse_arguments
from dan.denoising.denoiser import Denoiser
from dan.denoising.export import check_onnx, write_onnx
from dan.denoising.files import denoise_file, seconds_in
from dan.denoising.microphone import denoise_live, find_devices, list_devices
from dan.denoising.paths import check_pictures, plan
from dan.denoising.pieces import as_finite
from dan.denoising.pipes import PIPE, denoise_to_pipe, parse_raw
from dan.denoising.sine_table import refuse_long, write_sine_table
from dan.errors import ConfigurationError, UserError, in_words, run
from dan.output import plots, saving
from dan.output.listening import Example, write_page
from dan.processes import choose_device
from dan.progress import track
from dan.signals.audio_files import SUFFIXES, map_array, open_audio, read_samples
from dan.training.checkpoints import PRETRAINED, load_generator

FIGURE_SECONDS = 20
MOST_EXAMPLES = 12  # on a listening page
# The sounds that the presets for recordings denoise.
RECORDED_PRESETS = {"speech": "speech", "speech-own": "speech", "audio": "recordings"}


def main():
    config, options = parse_arguments(__doc__, add_options, default_preset="speech", takes_files=True)
    check_options(options)
    if options.export:
        export_network(Path(options.export), options, config)
        return
    if options.devices:
        list_devices()
        return
    if options.live is not None:
        devices = find_devices(options.live)
        denoise_live(load_denoiser(options, config), devices)
        return
    if options.output == PIPE:
        output = sys.stdout
        with redirect_stdout(sys.stderr):  # where the sound goes, no words go
            denoise_to_pipe(load_denoiser(options, config), options.inputs[0], output, options.raw)
        return
    jobs = plan(options.inputs, options.output, options.overwrite, options.skip)
    if not jobs:
        print("all outputs exist; nothing is left to denoise")
        return
    if options.figure and len(jobs) > 1:
        raise ConfigurationError(f"--figure shows one recording, and here are {len(jobs)}")
    check_pictures([path for path in (options.figure, options.listen, options.sines) if path], jobs, options.overwrite)
    if options.sines:
        refuse_long(source for source, _ in jobs)
    denoiser = load_denoiser(options, config)
    array_rate = choose_array_rate(config, denoiser, jobs)
    done = denoise_all(denoiser, jobs, array_rate, options.raw)
    if options.figure:
        draw_figure(Path(options.figure), *done[0], array_rate)
    if options.listen and done:
        write_listening_page(Path(options.listen), done, array_rate)
    if options.sines and done:
        write_sine_table(Path(options.sines), done, array_rate)
    if len(done) < len(jobs):
        raise UserError(f"{len(jobs) - len(done)} of {len(jobs)} recordings were not denoised, as said above")


def add_options(parser):
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help=f"recordings ({', '.join(SUFFIXES)}) and folders of them, or - for standard input",
    )
    add(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="file for one recording (default: noisy.denoised.wav beside noisy.wav); "
        "folder for several, which mirrors theirs; - for standard output",
    )
    raw = "what is in pipes if it is not WAV: s16le or f32le, sample rate, channels"
    add("--raw", type=parse_raw, metavar="s16le,48000,2", help=raw)
    add("--checkpoint", metavar="FILE", help="the trained denoiser (default: best.pt of --name, or as above)")
    strength = parser.add_mutually_exclusive_group()
    dry = "share of the recording as it was that is mixed back in (default: 0)"
    strength.add_argument("--dry", type=float, default=0.0, metavar="0..1", help=dry)
    most = "how much quieter noise gets at most: 12 dB is --dry 0.25 (default: no limit)"
    strength.add_argument("--most", type=float, metavar="DB", help=most)
    narrow = "leave out the frequencies above the denoiser's range (default: attenuate them as the top of its range)"
    add("--narrow", action="store_true", help=narrow)
    add("--overwrite", action="store_true", help="replace outputs that exist; inputs are never replaced")
    add("--skip", action="store_true", help="leave outputs that exist as they are, and denoise the rest")
    add("--figure", metavar="FILE", help="also draw waveform and spectrogram, before and after, as PNG")
    add("--listen", metavar="FILE", help="also write an HTML page with players, before and after")
    sines = "also write a table of the sines in short recordings, with their errors, as CSV, and print it"
    add("--sines", metavar="FILE", help=sines)
    live = "from the microphone to the sound output until Ctrl-C, or between two others, by numbers or parts of names"
    add("--live", nargs="?", const="", metavar="IN,OUT", help=live)
    add("--devices", action="store_true", help="list the sound devices that --live takes, and denoise nothing")
    add("--export", metavar="FILE", help="write the network as ONNX, and denoise nothing: see docs/elsewhere.md")


def check_options(options):
    alone = [name for name in ("export", "devices", "live") if getattr(options, name) not in (None, False)]
    if alone and (options.inputs or options.output or options.figure or options.listen or options.sines):
        raise ConfigurationError(
            f"--{alone[0]} denoises no files; leave out the recordings, -o, --figure, --listen and --sines"
        )
    if len(alone) > 1:
        raise ConfigurationError(f"--{alone[0]} and --{alone[1]} are two things to do; choose")
    if not options.inputs and not alone:
        raise ConfigurationError("name what to denoise: python denoise.py noisy.wav -o clean.wav; see --help")
    if options.skip and options.overwrite:
        raise ConfigurationError("--skip leaves outputs that exist and --overwrite replaces them; choose")
    if not 0 <= options.dry <= 1:
        raise ConfigurationError(f"--dry {options.dry} is invalid; it must be from 0 to 1")
    if options.most is not None and not options.most >= 0:
        raise ConfigurationError(f"--most {options.most} is invalid; it must be at least 0 dB")
    if options.sines and (options.dry or options.most is not None):
        raise ConfigurationError("--sines needs a result without noise; leave out --dry and --most")
    if PIPE not in (*options.inputs, options.output):
        if options.raw:
            raise ConfigurationError("--raw says what is in a pipe; name standard input or output: -")
    elif len(options.inputs) > 1:
        raise ConfigurationError("a pipe takes one recording; name one input and one output")
    elif options.skip or options.figure or options.listen or options.sines:
        raise ConfigurationError("--skip, --figure, --listen and --sines need files; leave them out with -")


def load_denoiser(options, config):
    """The denoiser that is asked for; prints which, and what it is for."""
    checkpoint = choose_checkpoint(options, config)
    generator, trained = load_generator(checkpoint, choose_device(config.training.device))
    print(f"denoiser: {checkpoint}, {purpose(trained)}")
    return Denoiser(generator, trained.data, options.narrow, options.dry, options.most)


def export_network(path, options, config):
    """Write the network of the denoiser that is asked for as ONNX, and say so."""
    check_onnx(path, options.overwrite)
    checkpoint = choose_checkpoint(options, config)
    generator, trained = load_generator(checkpoint)
    write_onnx(generator, trained.data, path)
    print(f"wrote {path}: {checkpoint}, {purpose(trained)}")


def choose_checkpoint(options, config):
    """The path of the denoiser that is asked for, or of the shipped one."""
    if options.checkpoint:
        return Path(options.checkpoint)
    return config.checkpoint_folder / "best.pt" if options.name or options.preset else PRETRAINED


def purpose(config):
    """The use of a denoiser, in words, by the configuration of its training."""
    data = config.data
    sines = f"sums of sines from {data.low_freq:g} to {data.high_freq:g} Hz"
    sounds = RECORDED_PRESETS.get(config.preset, "recordings" if data.clean_source else sines)
    trained = f", trained on {Path(data.clean_source).name}" if data.clean_source else ""
    return f"for {sounds} at {data.sample_rate:,} samples per second{trained}"


def choose_array_rate(config, denoiser, jobs):
    """The sample rate of .npy files, in Hz; prints a rate that is assumed."""
    if config.data.source_rate:
        return config.data.source_rate
    if any(source.suffix.lower() == ".npy" for source, _ in jobs):
        print(
            f"assumed {denoiser.sample_rate:,} samples per second of .npy files, which do not say theirs; "
            "give it as data.source_rate="
        )
    return denoiser.sample_rate


def denoise_all(denoiser, jobs, array_rate, raw):
    """Denoise each source into its target; returns the jobs that succeeded. Prints what failed."""
    done, highest_rate = [], 0
    with progress(sum(seconds_in(source, array_rate) for source, _ in jobs)) as bar:
        for source, target in jobs:
            try:
                rate = denoise_file(denoiser, source, target, array_rate, bar, raw)
            except (UserError, OSError) as error:
                # Without a file it is standard output that cannot be written to.
                if len(jobs) == 1 or getattr(error, "filename", source) is None:
                    raise
                bar.write(in_words(error), file=sys.stderr)
                continue
            done.append((source, target))
            highest_rate = max(highest_rate, rate)
    if highest_rate > denoiser.sample_rate:
        treated = "are left out" if denoiser.narrow else "are attenuated as its top is (--narrow leaves them out)"
        print(f"the denoiser works up to {denoiser.sample_rate / 2:,.0f} Hz; frequencies above that {treated}")
    return done


def progress(seconds):
    """One bar over all recordings, which last so long together."""
    return track(
        total=seconds,
        desc="denoising",
        leave=False,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s of sound, {remaining} left",
    )


def draw_figure(path, source, target, array_rate):
    """Draw the beginning of one recording, before and after, and say so."""
    sounds, rate = beginnings(source, target, array_rate)
    figure = plots.before_and_after(sounds, rate, f"{source.name}, first channel, up to {FIGURE_SECONDS} s")
    saving.save(figure, path)
    print(f"wrote {path}")


def write_listening_page(path, jobs, array_rate):
    """Write a page with the beginnings of the first recordings, before and after, and say so."""
    examples = []
    for source, target in jobs[:MOST_EXAMPLES]:
        sounds, rate = beginnings(source, target, array_rate)
        examples.append(Example(source.name, rate, sounds))
    write_page(path, f"Denoised: {len(examples)} of {len(jobs)}, their first {FIGURE_SECONDS} s, one channel", examples)
    print(f"wrote {path}; open it in a browser")


def beginnings(source, target, array_rate):
    """({"before", "after": float32 (samples,)}, sample rate) of the first channel's beginning."""
    before, rate = beginning(source, array_rate)
    after, _ = beginning(target, array_rate)
    return {"before": before, "after": after}, rate


def beginning(recording, array_rate):
    """(The beginning of the first channel, float32 (samples,), its sample rate)."""
    if recording.suffix.lower() == ".npy":
        rate = array_rate
        samples = np.atleast_2d(map_array(recording))[0, : FIGURE_SECONDS * rate]
    else:
        with open_audio(recording) as file:
            rate = file.samplerate
            samples = read_samples(file, FIGURE_SECONDS * rate)[:, 0]
    return as_finite(samples)[0], rate


if __name__ == "__main__":
    run(main)
