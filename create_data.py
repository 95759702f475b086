"""Draw the training and validation signals and store them, one .npy file a signal.

    python create_data.py
    python create_data.py data.snr_db=-5,10 data.num_components=1,5 --show
    python create_data.py --preset audio data.clean_source=speech data.noise_source=noise

Next: python dataset.py
"""

import io
import os
from dataclasses import asdict

import numpy as np
from scipy.io import wavfile
from tqdm import tqdm

import dataset
import plots
from command_line import parse_arguments
from faults import Fault, run
from files import cannot_write, write_bytes
from recordings import clean_segments, noise_passages, resample
from signals import draw

WAV_RATE = 44_100
NPY_HEADER = 128  # bytes


def main():
    config, options = parse_arguments(
        __doc__,
        lambda parser: parser.add_argument(
            "--show", action="store_true", help="also open the figure in a window"
        ),
    )
    examples, counts = create_data(config)
    path = config.image_folder / "created_data.png"
    figure = plots.created_data(examples, config.data.sample_rate)
    plots.save(figure, path)
    print(f"wrote {counts['train']} training and {counts['validation']} validation signals to "
          f"{config.data_folder}\nwrote {path}")
    if options.show:
        plots.show(figure)


def create_data(config):
    """Write both splits, their WAV copies and, last, the manifest into `config.data_folder`.

    Returns the first signal of each split and kind, `examples[split][kind]`, float32 (length,),
    and the number of signals in each split; recordings may give fewer for the validation.
    Files that an earlier run wrote are replaced, or removed where this run has fewer. Raises
    Fault, before anything is written, where a file that no run wrote stands in the way.
    """
    folder = config.data_folder
    splits = draw_splits(config.data)
    counts = {split: len(arrays["clean"]) for split, arrays in splits.items()}
    claim_files(folder, counts)
    checksums, examples = {}, {}
    with tqdm(total=sum(counts.values()), desc="writing", unit="signal") as bar:
        for split, arrays in splits.items():
            for number in range(counts[split]):
                for kind, array in arrays.items():
                    save(folder / dataset.signal_path(split, kind, number), array[number])
                bar.update()
            checksums[split] = {kind: dataset.checksum(array) for kind, array in arrays.items()}
            examples[split] = {kind: array[0] for kind, array in arrays.items()}
            write_wavs(folder, split, examples[split], config.data.sample_rate)
    dataset.write_manifest(folder, {
        "complete": True, "counts": counts, "checksums": checksums, "data": asdict(config.data),
    })
    return examples, counts


def draw_splits(data):
    """All signals, {split: {kind: float32 (count, length)}}, drawn or cut from recordings."""
    counts = dataset.split_counts(data)
    clean = noise = dict.fromkeys(counts)
    if data.clean_source:
        clean = clean_segments(data, counts)
        counts = {split: len(segments) for split, segments in clean.items()}
    if data.noise_source:
        noise = noise_passages(data, counts)
    return {
        split: dict(zip(dataset.KINDS, draw(data, split, count, clean[split], noise[split]),
                        strict=True))
        for split, count in counts.items()
    }


def claim_files(folder, counts):
    """Make the folders and leave in them only free names for this run, and other people's files.

    Until the complete manifest is written, one marked incomplete says which files are ours.
    """
    first_run = not dataset.manifest_path(folder).exists()
    earlier = {} if first_run else dataset.read_manifest(folder)["counts"]
    needed = set(dataset.written_files(counts))
    present = {
        path.relative_to(folder).as_posix()
        for part in (*counts, "resampled")
        for path in (folder / part).rglob("*")
        if not path.is_dir() and path.name != ".gitkeep"
    }
    # Asked one by one as well: what lies behind a linked folder is not found in it.
    present |= {name for name in needed - present if os.path.lexists(folder / name)}
    ours = {name for name in present if dataset.is_written(name, earlier)}
    in_the_way = sorted((present & needed) - ours)
    if in_the_way:
        raise Fault(
            f"{folder / in_the_way[0]} is not in the manifest {dataset.manifest_path(folder)}, so "
            f"it is not replaced; move it away, or choose another folder with paths.data="
        )
    for path in {(folder / name).parent for name in needed}:
        path.mkdir(parents=True, exist_ok=True)
    both = {split: max(count, earlier.get(split, 0)) for split, count in counts.items()}
    dataset.write_manifest(folder, {"complete": False, "counts": both})
    for name in present & ours - needed:
        (folder / name).unlink()
    unknown = sorted(present - ours)
    if unknown:
        print(f"left {len(unknown)} files in {folder} that create_data.py did not write, such as "
              f"{unknown[0]}")


def save(path, array):
    """Write one .npy file. Not flushed each by each: without its manifest the data set is none."""
    try:
        path.unlink(missing_ok=True)  # a link in its place would lead to someone else's file
        with open(path, "wb") as file:
            np.save(file, array)
    except OSError as error:
        raise cannot_write(path, error, path, array.nbytes + NPY_HEADER) from error


def write_wavs(folder, split, example, sample_rate):
    """Write an example's clean, noise and mixed signal at 44.1 kHz, 16 bit, at a common level."""
    resampled = {kind: resample(x, sample_rate, WAV_RATE) for kind, x in example.items()}
    peak = max(np.abs(array).max() for array in resampled.values())
    for kind, array in resampled.items():
        samples = np.round(array / peak * 0.9 * 32767).astype(np.int16)
        content = io.BytesIO()
        wavfile.write(content, WAV_RATE, samples)
        write_bytes(folder / dataset.wav_path(split, kind), content.getbuffer())


if __name__ == "__main__":
    run(main)
