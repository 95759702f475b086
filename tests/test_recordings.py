"""Data sets from folders of recordings: formats, rates, segments, the split, and bad files."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import described, one_error
from scipy import signal
from torch.utils.data import DataLoader, Dataset

from create_data import create_data
from dan.configuration import resolve
from dan.errors import UserError
from dan.evaluation.metrics import snr_db
from dan.signals.audio_files import find_recordings, read_recording
from dan.signals.resampling import resample
from dan.signals.sources import cut_passage, cut_segments, draw_passage
from dan.signals.splits import Recording, cut_in_time, read_splits, share_out
from dan.signals.store import load_recordings
from dataset import RemixedPairs, StoredPairs, StreamedPairs, batches_of, loaders, set_epoch

RATE = 8000


def tone(seconds, frequency=440.0, rate=RATE, level=0.3):
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def folders(tmp_path):
    """Two folders of recordings: twelve clean tones of their own pitch, five kinds of noise."""
    rng = np.random.default_rng(0)
    for name in ("clean", "noise"):
        (tmp_path / name / "deeper").mkdir(parents=True)
    for number in range(12):
        path = tmp_path / "clean" / ("deeper/" * (number % 2) + f"tone{number}.wav")
        soundfile.write(path, tone(2.5, 200 + 50 * number), RATE)
    for number in range(5):
        noise = rng.normal(0, 0.1, 2400 + 4000 * number)
        soundfile.write(tmp_path / f"noise/noise{number}.flac", noise, RATE)
    return tmp_path


@pytest.fixture
def settings(folders):
    """Overrides of the preset audio for small data from these folders."""
    return [
        f"data.clean_source={folders / 'clean'}",
        f"data.noise_source={folders / 'noise'}",
        "data.num_train=30",
        "data.num_validation=6",
        "data.noise_speed=1",
        "data.white_share=0",
        "data.stream=false",
        "training.slowest=1",
        *(f"paths.{name}={folders / name}" for name in ("data", "images", "checkpoints")),
    ]


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        ("wav", "PCM_U8"),
        ("wav", "PCM_16"),
        ("wav", "PCM_24"),
        ("wav", "PCM_32"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("flac", "PCM_16"),
        ("flac", "PCM_24"),
        ("ogg", "VORBIS"),
    ],
)
def test_every_format_is_read_and_its_channels_averaged(suffix, subtype, tmp_path):
    path = tmp_path / f"tone.{suffix}"
    one, other = tone(0.5), tone(0.5, 700)
    soundfile.write(path, np.stack([one, other], 1), RATE, subtype)
    (read,) = read_recording(path, RATE, RATE)
    assert read.dtype == np.float32 and read.shape == one.shape
    tolerance = {"PCM_U8": 0.02, "VORBIS": 0.1}.get(subtype, 1e-4)
    assert np.abs(read - (one + other) / 2).max() < tolerance


def test_npy_holds_one_signal_or_one_a_row_at_the_given_rate(tmp_path):
    np.save(tmp_path / "one.npy", tone(1, rate=16_000).astype(np.float64))
    np.save(tmp_path / "three.npy", (np.stack([tone(1)] * 3) * 1000).astype(np.int16))
    (one,) = read_recording(tmp_path / "one.npy", RATE, 16_000)
    np.testing.assert_allclose(one[100:-100], tone(1)[100:-100], atol=1e-3)
    three = read_recording(tmp_path / "three.npy", RATE, RATE)
    assert [len(row) for row in three] == [RATE] * 3


@pytest.mark.parametrize("rate", [11_025, 22_050, 44_100, 48_000, 6000])
def test_resampling_keeps_the_tone_and_removes_what_would_alias(rate):
    kept = resample(tone(1, 500, rate), rate, RATE)
    expected = tone(1, 500)
    assert len(kept) == RATE
    assert np.abs(kept - expected)[400:-400].max() < 2e-3
    if rate > 12_000:
        gone = resample(tone(1, 5500, rate), rate, RATE)
        assert np.abs(gone)[400:-400].max() < 3e-3


def test_segments_follow_each_other_and_silent_ones_are_left_out(capsys):
    samples = np.concatenate([tone(1), np.zeros(RATE, np.float32), tone(1.25, 600)])
    found = [Recording("long", samples), Recording("short", tone(0.25))]
    segments, numbers, _ = cut_segments(found, 9, described("audio").data)
    assert segments.shape == (4, RATE) and numbers.tolist() == [0, 0, 0, 1]
    assert "1 silent" in capsys.readouterr().out
    np.testing.assert_array_equal(segments[:2].ravel(), np.r_[samples[:RATE], samples[2 * RATE :][:RATE]])
    np.testing.assert_array_equal(segments[2], samples[-RATE:])  # ends where the recording does
    assert segments[3, : RATE // 4].any() and not segments[3, RATE // 4 :].any()


def test_the_data_set_is_like_any_other(settings):
    config = resolve("audio", settings)
    _, counts = create_data(config)
    # One recording is for the validation and one for the test; each has three segments.
    assert counts == {"train": 30, "validation": 3, "test": 3}
    data = StoredPairs(config, "train")
    assert data.clean.shape == data.mixed.shape == (30, 1, RATE)
    snr = snr_db(data.clean, data.mixed)
    assert snr.min() >= -5.001 and snr.max() <= 10.001 and snr.std() > 2
    first = {p: p.read_bytes() for p in config.data_folder.rglob("*.npy")}
    create_data(config)
    assert {p: p.read_bytes() for p in config.data_folder.rglob("*.npy")} == first


def test_what_may_mislead_is_said(settings, folders, script, tmp_path):
    (tmp_path / "one").mkdir()
    soundfile.write(tmp_path / "one/hiss.wav", tone(9), RATE)
    code, out, err = script("create_data", "--preset", "audio", *settings, f"data.noise_source={tmp_path / 'one'}")
    assert code == 0 and "(0.9 s in all)" in out and "may come out worse" in out, err
    code, out, err = script("create_data", "--preset", "audio", *settings, "data.clean_source=", "data.noise_source=")
    assert code == 0 and "name a folder of them with data.clean_source=" in out, err


def test_no_recording_serves_two_splits(settings):
    config = resolve("audio", settings)
    create_data(config)
    pitches = {}
    for split in ("train", "validation", "test"):
        clean = StoredPairs(config, split).clean[:, 0, : RATE // 2].numpy()
        spectrum = np.abs(np.fft.rfft(clean * signal.windows.hann(RATE // 2)))
        pitches[split] = set(2 * spectrum.argmax(1))
    assert [len(found) for found in pitches.values()] == [10, 1, 1]
    assert len(set.union(*pitches.values())) == 12


def test_signals_too_long_to_be_slowed_down_are_refused_with_the_cure(settings, script):
    create_data(resolve("audio", settings))
    code, _, err = script("dataset", "--preset", "audio", *settings, "training.slowest=0.8")
    assert code == 2 and "training.slowest=0.8 is invalid; it must be 1 for stored signals of" in one_error(err)


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_the_noise_is_white(share, settings):
    config = described("audio", *settings, f"data.white_share={share}")
    create_data(config)
    noise = RemixedPairs(config, "train").noise
    # The recorded noise here has a standard deviation of 0.1, the white noise one of 0.5.
    assert noise.std().item() == pytest.approx(0.5 if share else 0.1, rel=0.05)


@pytest.mark.parametrize("kind", ["clean", "noise"])
def test_either_source_may_be_left_empty(kind, settings):
    config = resolve("audio", [s for s in settings if not s.startswith(f"data.{kind}_source")])
    _, counts = create_data(config)
    assert counts["train"] == 30 and StoredPairs(config, "train").mixed.std() > 0


def test_bad_recordings_are_named_and_left_out(settings, script, folders):
    bad = folders / "clean"
    (bad / "text.wav").write_text("no audio")
    (bad / "empty.flac").write_bytes(b"")
    soundfile.write(bad / "nothing.wav", np.zeros(0), RATE)
    soundfile.write(bad / "silent.wav", np.zeros(9000), RATE)
    soundfile.write(bad / "nan.wav", np.full(9000, np.nan), RATE, "FLOAT")
    np.save(bad / "objects.npy", np.array([{}], object))
    np.save(bad / "cube.npy", np.zeros((2, 2, 2)))
    (bad / "endless.npy").write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }" + b" " * 39 + b"\n"
    )
    code, out, err = script("create_data", "--preset", "audio", *settings)
    assert code == 0, err
    assert "20 recordings" in out and err.count("is silent") == 1 and "nothing.wav: is empty" in err
    for name in ("text", "empty", "nothing", "silent", "nan", "objects", "cube", "endless"):
        assert f"{name}." in err and "Traceback" not in err
    assert script("dataset", "--preset", "audio", *settings)[0] == 0


def test_what_leaves_nothing_is_refused(settings, script, folders, tmp_path):
    (tmp_path / "bare").mkdir()
    one = tmp_path / "one"
    one.mkdir()
    (one / "single.wav").write_text("no sound")
    for folder, message in (
        ("missing", "is not a folder"),
        ("bare", "has no recordings"),
        ("one", "has no recording for"),
    ):
        code, _, err = script("create_data", "--preset", "audio", *settings, f"data.clean_source={tmp_path / folder}")
        assert code == 1 and message in one_error(err) and folder in one_error(err)
    assert not (folders / "data").exists()


def test_one_folder_for_both_is_refused(settings, script, folders):
    code, _, err = script(
        "create_data", "--preset", "audio", *settings, f"data.noise_source={folders / 'noise/../clean'}"
    )
    assert code == 2 and "outside data.clean_source" in one_error(err)


def test_links_in_a_circle_end(folders):
    (folders / "clean/deeper/again").symlink_to(folders / "clean")
    assert len(find_recordings(folders / "clean")) == 12


def test_scripts_that_follow_need_not_name_the_sources(settings, script):
    script("create_data", "--preset", "audio", *settings)
    others = [s for s in settings if "_source" not in s]
    assert script("dataset", "--preset", "audio", *others)[0] == 0
    code, _, err = script("dataset", "--preset", "audio", *others, "data.clean_source=elsewhere")
    assert code == 1 and "data.clean_source" in one_error(err)


def test_a_manifest_that_was_changed_or_of_an_earlier_version_is_refused(settings, script, folders):
    script("create_data", "--preset", "audio", *settings)
    path = folders / "data/dataset.json"
    manifest = json.loads(path.read_text())
    without_checksum = {key: value for key, value in manifest.items() if key != "checksum"}
    for other in (without_checksum, manifest | {"noise_kinds": ["hum"]}):
        path.write_text(json.dumps(other))
        for name in ("dataset", "create_data"):
            code, _, err = script(name, "--preset", "audio", *settings)
            assert code == 1 and "of another version; move" in one_error(err)


def test_a_passage_longer_than_its_recording_is_looped():
    data = described("audio", "data.noise_speed=1").data
    short = tone(0.3)
    passage, name = draw_passage([Recording("horn", short)], data, np.random.default_rng(0))
    np.testing.assert_array_equal(passage, np.resize(short, RATE))
    assert name == "horn"


def test_who_speaks_for_long_does_not_drown_the_others():
    data, rng = described("audio").data, np.random.default_rng(0)
    voices = [Recording("long", np.zeros(400 * RATE)), Recording("short", np.zeros(4 * RATE))]
    names = [cut_passage(voices, data.length, rng)[0] for _ in range(1100)]
    # By the root of the length one of 11, by the length it would be one of 101.
    assert 70 < names.count("short") < 130


def test_the_recordings_of_a_folder_are_drawn_from_in_a_row(tmp_path):
    for number in range(30):
        folder = tmp_path / f"clean/{number}"
        folder.mkdir(parents=True)
        for part in range(2):
            soundfile.write(folder / f"{part}.wav", tone(2, 300 + 10 * number), RATE)
    paths = (f"paths.{name}={tmp_path / name}" for name in ("data", "images", "checkpoints"))
    config = resolve("audio", [f"data.clean_source={tmp_path / 'clean'}", "data.num_validation=4", *paths])
    create_data(config)
    voices = load_recordings(config, "clean")
    # A tenth of the folders is for the validation, a tenth for the test.
    assert len({voice.name for voice in voices}) == len(voices) == 24
    assert all(len(voice.samples) == 2 * round(2.3 * RATE) for voice in voices)


@pytest.mark.parametrize(("stream", "held_out"), [(True, 8), (False, 20)])
def test_eight_folders_are_enough_to_judge_by_where_signals_are_streamed(stream, held_out, tmp_path, capsys):
    units = {}
    for number in range(200):
        units[str(number)] = [tmp_path / f"{number}.wav"]
        units[str(number)][0].touch()
    data = described("audio", f"data.stream={stream}", "data.num_train=1000", "data.num_validation=10").data
    share_out(units, data)
    assert f"train {200 - 2 * held_out}, validation {held_out}, test {held_out}" in capsys.readouterr().out


def test_few_recordings_are_split_in_time():
    samples = np.arange(1, 100_001, dtype=np.float32)
    # 80, 10 and 10 %, with a gap of one signal between them.
    assert {split: (part[0], part[-1]) for split, part in cut_in_time(samples, 1000).items()} == {
        "train": (1, 79_000),
        "validation": (80_001, 89_000),
        "test": (90_001, 100_000),
    }


@pytest.fixture
def shared(tmp_path):
    """Reads what {path: level} says, a second each, as {split: set of levels}."""

    def share(levels, *overrides):
        for name, level in levels.items():
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, tone(1, level=level), RATE, "FLOAT")
        data = described("audio", "data.stream=true", *overrides).data
        splits = read_splits(str(tmp_path / "source"), data)
        return {
            split: {round(float(samples.max()), 2) for _, samples, _ in recordings}
            for split, recordings in splits.items()
        }

    return share


def test_a_folder_of_recordings_is_never_divided(shared, capsys):
    speakers = {"ann": 0.1, "bob": 0.2, "eve": 0.3}
    found = shared(
        {
            f"{name}/{number}.wav": level
            for name, level in speakers.items()
            for number in range(5 if name == "bob" else 2)
        }
    )
    # The largest is for the training.
    assert found["train"] == {0.2} and found["validation"] | found["test"] == {0.1, 0.3}
    out = capsys.readouterr().out
    assert "9 recordings in 3 undivided folders and files: train 1 (bob), validation 1 (" in out
    assert "come out worse" not in out


def test_the_files_of_one_folder_are_shared_out(shared, capsys):
    levels = [round(0.02 * number, 2) for number in range(1, 31)]
    found = shared({f"me/deeper/{level}.wav": level for level in levels})
    assert [len(found[split]) for split in ("train", "validation", "test")] == [24, 3, 3]
    assert set.union(*found.values()) == set(levels)
    assert "another speaker or place may come out worse" in capsys.readouterr().out


def test_stored_signals_share_recordings_out_by_their_numbers(shared):
    found = shared(
        {f"{number}.wav": number / 20 for number in range(1, 12)},
        "data.stream=false",
        "data.num_train=1",
        "data.num_validation=400",
    )
    assert [len(found[split]) for split in ("train", "validation", "test")] == [1, 5, 5]


@pytest.mark.parametrize("files", [1, 6])
def test_rows_of_one_array_never_give_the_same_instants_to_two_splits(files, tmp_path):
    time = np.arange(1, 10_001)
    for number in range(files):
        np.save(tmp_path / f"leads{number}.npy", np.stack([time + 1e5 * number] * 12))
    data = described("audio", "data.stream=true").data
    instants = {
        split: {instant for _, samples, _ in recordings for instant in samples.tolist()}
        for split, recordings in read_splits(tmp_path, data).items()
    }
    assert all(instants.values())
    assert not instants["train"] & instants["validation"]
    assert not instants["test"] & (instants["train"] | instants["validation"])


@pytest.mark.parametrize("num_train", [40, 4800])
def test_all_recordings_are_stored_to_stream_from_for_any_epoch(num_train, tmp_path, capsys):
    (tmp_path / "clean").mkdir()
    for number in range(20):
        soundfile.write(tmp_path / f"clean/{number}.wav", tone(10, 300 + 50 * number), RATE)
    config = resolve(
        "audio",
        [
            f"data.clean_source={tmp_path / 'clean'}",
            f"data.num_train={num_train}",
            "data.num_validation=4",
            *(f"paths.{name}={tmp_path / name}" for name in ("data", "images", "checkpoints")),
        ],
    )
    create_data(config)
    (folder,) = load_recordings(config, "clean")
    # Two of the twenty are for the validation, two for the test; a pause follows each recording.
    assert folder.name == "clean" and len(folder.samples) == 16 * round(10.3 * RATE)
    assert isinstance(folder.samples, np.memmap)
    assert "clean signals are drawn from 16 recordings, 160.0 s" in capsys.readouterr().out
    stored = json.loads((config.data_folder / "dataset.json").read_text())["streamed"]["clean"]
    assert stored["seconds"] == 160


def test_a_large_mean_is_said_with_the_cure(tmp_path, script):
    (tmp_path / "ecg").mkdir()
    np.save(tmp_path / "ecg/ecg.npy", 40 * np.sqrt(2) * np.stack([tone(9, level=1)] * 2) - 56)
    code, _, err = script(
        "create_data",
        "--preset",
        "audio",
        f"data.clean_source={tmp_path / 'ecg'}",
        "data.num_validation=2",
        *(f"paths.{name}={tmp_path / name}" for name in ("data", "images", "checkpoints")),
    )
    assert code == 0 and "ecg.npy has a large mean, which counts as signal in the SNR; take it away first" in err


def test_an_array_of_samples_by_channels_is_refused(tmp_path):
    np.save(tmp_path / "leads.npy", np.ones((18_000, 12)))
    with pytest.raises(UserError, match="its transpose"):
        read_recording(tmp_path / "leads.npy", RATE, RATE)


def test_one_recording_of_each_kind_is_enough(settings, folders):
    soundfile.write(folders / "voice.wav", tone(30), RATE)
    for kind in ("clean", "noise"):
        (folders / f"one-{kind}").mkdir()
    soundfile.write(folders / "one-clean/voice.wav", tone(30), RATE)
    soundfile.write(folders / "one-noise/hiss.wav", tone(20, 3000), RATE)
    _, counts = create_data(
        resolve(
            "audio",
            [*settings, f"data.clean_source={folders / 'one-clean'}", f"data.noise_source={folders / 'one-noise'}"],
        )
    )
    assert counts == {"train": 30, "validation": 3, "test": 3}


@pytest.fixture
def streaming(settings):
    return [
        *settings,
        "data.stream=true",
        "data.bare_share=0.25",
        "training.batch_size=8",
        "data.clean_speed=0.8,1.2",
        "data.vary_clean=true",
    ]


@pytest.mark.parametrize("noise", ["folder", "synthetic", "synthetic,folder", ""])
def test_pairs_are_streamed_out_of_recordings(noise, streaming, folders):
    source = noise.replace("folder", str(folders / "noise"))
    config = resolve("audio", [*streaming, f"data.noise_source={source}"])
    create_data(config)
    pairs = StreamedPairs(config)
    clean, mixed = pairs[0]
    assert clean.shape == mixed.shape == (8, 1, RATE) and clean.isfinite().all()
    torch.testing.assert_close(pairs[0], StreamedPairs(config)[0], rtol=0, atol=0)
    pairs.set_epoch(1)
    assert not torch.equal(pairs[0][1], mixed)
    kinds = json.loads((config.data_folder / "dataset.json").read_text())["noise_kinds"] or []
    count = len(StoredPairs(config, "test"))
    assert len(kinds) == (count if noise else 0) and ("noise" in kinds or "folder" not in noise)


def test_workers_draw_the_same_pairs(streaming):
    config = resolve("audio", [*streaming, "data.num_train=24"])
    create_data(config)
    drawn = []
    for workers in (0, 2):
        training = replace(config.training, workers=workers)
        loader, _ = loaders(replace(config, training=training))
        set_epoch(loader, 3)
        drawn.append([torch.stack(pairs) for pairs in loader])
    torch.testing.assert_close(*drawn, rtol=0, atol=0)


@pytest.mark.skipif(os.name == "nt", reason="does not fork")
def test_a_worker_that_dies_is_an_error_of_one_line():
    class Dying(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            os._exit(1)

    loader = DataLoader(Dying(), batch_size=None, num_workers=1)
    with pytest.raises(UserError, match=r"has died; give fewer training\.workers"):
        list(batches_of(loader))


def test_some_streamed_signals_are_nearly_clean_and_some_only_noise(streaming):
    config = resolve("audio", streaming)
    create_data(config)
    pairs = StreamedPairs(config)
    batches = [pairs[number] for number in range(3)]
    clean, mixed = (torch.cat(parts)[:, 0] for parts in zip(*batches, strict=True))
    only_noise = (clean == 0).all(1)
    nearly_clean = snr_db(clean, mixed) > 15
    assert 1 <= only_noise.sum() <= 12 and 1 <= nearly_clean.sum() <= 12
    assert (mixed[only_noise].square().mean(1) > 0).all()


def test_changed_recordings_are_not_streamed_from(streaming, script):
    script("create_data", "--preset", "audio", *streaming)
    config = resolve("audio", streaming)
    assert {recording.name for recording in load_recordings(config, "noise")} == {"noise"}
    path = config.data_folder / "recordings/noise.npy"
    np.save(path, np.load(path) + 1)
    code, _, err = script("dataset", "--preset", "audio", *streaming)
    assert code == 1 and "was changed" in one_error(err)
    # Data that are stored again need no recordings: what was ours goes, and nothing else.
    (path.parent / "mine.txt").write_text("kept")
    assert script("create_data", "--preset", "audio", *streaming, "data.stream=false")[0] == 0
    assert not path.exists() and (path.parent / "mine.txt").exists()


def test_an_empty_recording_is_a_fault(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 5)))
    with pytest.raises(UserError, match="is empty"):
        read_recording(tmp_path / "none.npy", RATE, RATE)
