"""create_data.py and dataset.py: what is on disk, whose it is, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import one_error
from scipy.io import wavfile

from create_data import create_data
from dan.configuration import resolve
from dan.errors import ConfigurationError, UserError
from dan.evaluation.metrics import snr_db
from dan.signals import npy_files, sines
from dan.signals.store import load_signals
from dataset import RemixedPairs, ShuffledBatches, StoredPairs, StreamedPairs, loaders
from presets import PRESETS


@pytest.fixture
def data(config):
    """The folder of the reduced configuration's data, freshly created."""
    create_data(config)
    return config.data_folder


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_shapes_and_pairs(data):
    for split, count in (("train", 40), ("validation", 12)):
        for kind in ("clean", "noise", "mixed"):
            names = sorted(path.name for path in (data / split / kind).iterdir())
            assert names == [f"{kind}_{number:04d}.npy" for number in range(1, count + 1)]
    clean, noise, mixed = (np.load(data / f"train/{kind}/{kind}_0007.npy") for kind in ("clean", "noise", "mixed"))
    assert clean.dtype == np.float32 and clean.shape == (256,)
    gain = (mixed - clean) / noise
    np.testing.assert_allclose(gain, gain.mean(), rtol=1e-3)
    assert snr_db(clean.astype(float), mixed.astype(float)) == pytest.approx(-2, abs=1e-5)


def test_wav_copies_are_44100_hz_16_bit(data):
    rate, samples = wavfile.read(data / "resampled/validation_mixed_0001.wav")
    assert rate == 44_100 and samples.dtype == np.int16 and samples.shape == (44_100,)
    assert len(list((data / "resampled").iterdir())) == 6


def test_the_same_seed_gives_identical_files(config, data):
    first = contents(data)
    create_data(config)
    assert contents(data) == first


def test_another_persons_file_stays(script, overrides, data):
    foreign = data / "train/clean/field_recording.txt"
    foreign.write_text("mine")
    code, _, _ = script("create_data", *overrides, "data.num_train=30")
    assert code == 0 and foreign.read_text() == "mine"
    # Its own files beyond the new count are gone, so that the data set is whole.
    assert not (data / "train/clean/clean_0031.npy").exists()
    assert script("dataset", *overrides, "data.num_train=30")[0] == 0


def test_a_file_that_no_run_wrote_is_never_replaced(config):
    foreign = config.data_folder / "validation/noise/noise_0003.npy"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"noise_0003\.npy is not in the manifest"):
        create_data(config)
    assert list(contents(config.data_folder)) == [Path("validation/noise/noise_0003.npy")]


def test_a_run_that_was_cut_short_is_recognised_and_can_be_repeated(config, monkeypatch):
    def full_disk(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("create_data.write_wavs", full_disk)
        with pytest.raises(KeyboardInterrupt):
            create_data(config)
    with pytest.raises(UserError, match="cut short; run create_data"):
        StoredPairs(config, "train")
    create_data(config)
    assert len(StoredPairs(config, "train")) == 40


def test_dataset_pairs_tensors(config, data):
    dataset = StoredPairs(config, "train")
    clean, mixed = dataset[6]
    assert clean.shape == mixed.shape == (1, 256) and clean.dtype == torch.float32
    np.testing.assert_array_equal(clean[0], np.load(data / "train/clean/clean_0007.npy"))
    np.testing.assert_array_equal(mixed[0], np.load(data / "train/mixed/mixed_0007.npy"))


def test_loaders_give_every_signal_once_an_epoch(config, data):
    train, validation = loaders(config)
    batches = [clean for clean, _ in train]
    assert [len(batch) for batch in batches] == [8] * 5 and batches[0].shape == (8, 1, 256)
    assert len(torch.unique(torch.cat(batches), dim=0)) == 40
    in_order = torch.cat([clean for clean, _ in validation])
    assert torch.equal(in_order, validation.dataset.clean)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = ShuffledBatches(100, 30, seed)
        batches.set_epoch(epoch)
        return torch.cat(list(batches)).tolist()

    assert order(1, 5) == order(1, 5)
    assert order(1, 5) != order(1, 6) != order(2, 6)


def test_remixing_pairs_each_signal_with_other_noise_at_the_same_snr(config, data):
    stored, remixed = StoredPairs(config, "train"), RemixedPairs(config, "train")
    indices = torch.arange(40)
    mixtures = []
    for epoch in (1, 2, 1):
        remixed.set_epoch(epoch)
        clean, mixed = remixed[indices]
        same = torch.isclose(clean, stored.clean).all(-1)
        assert same.sum() == 20  # the others are slowed down
        torch.testing.assert_close(
            snr_db(clean.double(), mixed.double()), torch.full((40, 1), -2.0).double(), atol=1e-4, rtol=0
        )
        mixtures.append(mixed)
    assert torch.equal(mixtures[0], mixtures[2])
    for one, other in ((0, 1), (0, None)):
        other = stored.mixed if other is None else mixtures[other]
        assert not torch.isclose(mixtures[one], other).all(-1).any()


def test_remixed_noise_is_stored_noise_shifted_and_turned(config, data):
    remixed = RemixedPairs(config, "train")
    remixed.set_epoch(7)
    clean, mixed = remixed[torch.tensor([5])]
    residual = (mixed - clean)[0, 0].numpy()
    noise = np.load(data / f"train/noise/noise_{int(remixed.partner[5]) + 1:04d}.npy")
    shifted = np.roll(noise, remixed.shift) * remixed.sign[5].item()
    np.testing.assert_allclose(residual / residual.std(), shifted / shifted.std(), atol=1e-4)


def test_a_range_of_snr_is_drawn_anew_at_each_remix(overrides):
    config = resolve("dan", [*overrides, "data.snr_db=-5,10"])
    create_data(config)
    remixed = RemixedPairs(config, "train")
    measured = []
    for epoch in (1, 2):
        remixed.set_epoch(epoch)
        measured.append(snr_db(*remixed[torch.arange(40)]).flatten())
    assert measured[0].min() < 0 and measured[0].max() > 5
    assert (measured[0] - measured[1]).abs().max() > 1


def test_validation_and_test_data_are_never_remixed(config, data):
    train, validation = loaders(config)
    assert isinstance(train.dataset, RemixedPairs)
    assert isinstance(validation.dataset, StoredPairs)


def test_dataset_script_describes_and_writes_nothing(script, overrides, data):
    before = contents(data)
    code, out, _ = script("dataset", *overrides)
    assert code == 0 and contents(data) == before
    assert "40 pairs" in out and "SNR -2.000 dB" in out and "(8, 1, 256)" in out


def damage_manifest(folder):
    (folder / "dataset.json").write_text("{")


def other_setting(folder):
    path = folder / "dataset.json"
    path.write_text(path.read_text().replace('"snr_db": -2.0', '"snr_db": 3.0'))


SIGNAL = "train/mixed/mixed_0004.npy"
DAMAGES = {
    "no manifest": (lambda f: (f / "dataset.json").unlink(), "dataset.json is missing"),
    "damaged manifest": (damage_manifest, "dataset.json is damaged"),
    "changed manifest": (other_setting, "dataset.json is damaged"),
    "missing": (lambda f: (f / SIGNAL).unlink(), "mixed_0004.npy is missing"),
    "truncated": (lambda f: (f / SIGNAL).write_bytes(b"\x93NUMPY"), "mixed_0004.npy is not a float32"),
    "objects": (lambda f: np.save(f / SIGNAL, np.array([{}], object)), "mixed_0004.npy is not a float32"),
    "empty": (lambda f: (f / SIGNAL).write_bytes(b""), "mixed_0004.npy is not a float32"),
    "short": (lambda f: np.save(f / SIGNAL, np.zeros(9, "f4")), "mixed_0004.npy is not a float32"),
    "double": (lambda f: np.save(f / SIGNAL, np.zeros(256)), "mixed_0004.npy is not a float32"),
    "nan": (lambda f: np.save(f / SIGNAL, np.full(256, np.nan, "f4")), "train/mixed was changed"),
    "changed": (lambda f: np.save(f / SIGNAL, np.ones(256, "f4")), "train/mixed was changed"),
    "surplus": (lambda f: np.save(f / "train/clean/a.npy", np.ones(256, "f4")), "a.npy is not in"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_fault_in_the_data_names_the_file_and_the_cure(damage, script, overrides, data):
    inflict, message = DAMAGES[damage]
    inflict(data)
    code, _, err = script("dataset", *overrides)
    line = one_error(err)
    assert code == 1 and message in line
    assert "create_data.py" in line or "move it away" in line


def test_a_folder_that_cannot_be_made_is_named(script, overrides, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, _, err = script("create_data", *overrides, f"paths.data={tmp_path / 'file' / 'data'}")
    assert code == 1 and "Not a directory" in one_error(err)
    assert (tmp_path / "file").read_text() == "mine"


def streamed(overrides, *more):
    return resolve("dan", [*overrides, "data.stream=true", *more])


def test_streamed_batches_depend_on_seeds_epoch_and_number_alone(overrides):
    def pairs_of(*more):
        config = streamed(overrides, *more)
        create_data(config)
        return StreamedPairs(config)

    pairs = pairs_of()

    def batch(epoch, number, pairs=pairs):
        pairs.set_epoch(epoch)
        return pairs[number][1]

    first = batch(3, 2)
    assert first.shape == (8, 1, 256)
    assert torch.equal(first, batch(3, 2))
    others = [pairs_of(seed) for seed in ("training.seed=43", "data.seed=43")]
    for other in (batch(3, 1), batch(4, 2), *(batch(3, 2, pairs) for pairs in others)):
        assert not torch.isclose(first, other).any(-1).all()


@pytest.mark.parametrize(
    ("count", "sizes"), [(40, [8] * 5), (41, [8] * 4 + [9]), (43, [8] * 5 + [3]), (1, [1]), (5, [5])]
)
def test_no_batch_has_a_single_signal_where_more_are_left(count, sizes, overrides):
    config = streamed(overrides, f"data.num_train={count}")
    create_data(config)
    assert [len(clean) for clean, _ in loaders(config)[0]] == sizes
    shuffled = ShuffledBatches(count, 8, 0)
    assert [len(batch) for batch in shuffled] == sizes and len(shuffled) == len(sizes)
    assert sorted(torch.cat(list(shuffled)).tolist()) == list(range(count))


def test_ten_million_streamed_signals_take_no_room(overrides):
    config = streamed(overrides, "data.num_train=10_000_000")
    create_data(config)
    train, _ = loaders(config)
    assert len(train.dataset) == 10_000_000 and len(train) == 1_250_000
    assert next(iter(train))[0].shape == (8, 1, 256)
    assert not (config.data_folder / "train").exists()


def test_streaming_leaves_the_validation_signals_as_they_are(overrides, config, data):
    before = (data / "validation/mixed/mixed_0003.npy").read_bytes()
    create_data(streamed(overrides))
    assert (data / "validation/mixed/mixed_0003.npy").read_bytes() == before
    assert not list((data / "train").rglob("*.npy"))


def test_the_scripts_stream(overrides, script):
    settings = [*overrides, "data.stream=true", "data.num_train=48"]
    for name in ("create_data", "dataset", "train_gan", "evaluate"):
        code, _, err = script(name, *settings)
        assert code == 0, err
    # The size of an epoch has no part in what is stored.
    assert script("dataset", *settings, "data.num_train=1000")[0] == 0
    code, _, err = script("dataset", *overrides, "data.stream=false")
    assert code == 1 and "data.stream=true (here false); leave that out" in one_error(err)


def test_more_signals_than_can_be_stored_are_streamed(overrides):
    with pytest.raises(ConfigurationError, match=r"streamed with data\.stream=true"):
        resolve("dan", [*overrides, "data.num_train=2000000"])


def test_data_are_refused_where_the_preset_was_edited_since(script, overrides, data, monkeypatch):
    monkeypatch.setitem(PRESETS, "dan", {"data": {"noise_std": 0.7}})
    others = [text for text in overrides if not text.startswith("data.noise_std")]
    code, _, err = script("dataset", *others)
    assert code == 1 and "had data.noise_std=0.5 (here 0.7); run create_data.py" in one_error(err)


def test_signals_are_drawn_and_described_in_parts(config, script, overrides, monkeypatch):
    monkeypatch.setattr(sines, "SAMPLES_AT_ONCE", 15 * 256)  # samples; there are 40 signals
    create_data(config)
    stored = load_signals(config, "train", "clean")
    np.testing.assert_array_equal(stored[:, 0], sines.draw(config.data, "train", 40)[0])
    assert len(torch.unique(stored, dim=0)) == 40
    code, out, _ = script("dataset", *overrides)
    assert code == 0 and "train       40 pairs of shape (1, 256), SNR -2.000 dB" in out


def test_signals_that_would_fill_the_memory_lie_in_a_file(config, data, monkeypatch):
    usual = load_signals(config, "train", "clean")
    monkeypatch.setattr(npy_files, "MOST_BYTES_IN_MEMORY", 1000)
    large = npy_files.read_signals(
        data / "train/clean", [f"clean_{number:04d}.npy" for number in range(1, len(usual) + 1)], 256, "reading"
    )
    assert isinstance(large, np.memmap)
    np.testing.assert_array_equal(large, usual[:, 0])
    assert torch.equal(load_signals(config, "train", "clean"), usual)
