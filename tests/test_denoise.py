"""denoise.py: whole recordings of any length, rate and format; the command line and Python."""

import os
import sys
import warnings

import numpy as np
import pytest
import soundfile
import torch
from conftest import DESCRIBED, described, one_error

import denoise
from create_data import create_data
from dan.configuration import resolve
from dan.denoising import denoiser as denoising
from dan.denoising import inspection
from dan.denoising.denoiser import split_into_blocks
from dan.denoising.paths import plan
from dan.evaluation.metrics import total_snr_db
from dan.signals.resampling import resample, resample_pieces
from dan.signals.sines import draw
from dan.training.checkpoints import load_generator, write_checkpoint
from dan.training.state import new_training
from dataset import loaders
from denoise import Denoiser
from models import apply_generator
from train_gan import train

CPU = torch.device("cpu")
RATE = 8000
SMALL = ["generator.channels=4", "generator.blocks=2", "generator.level_frames=5", "training.device=cpu"]


def noise(seconds, rate=RATE, seed=0, channels=()):
    shape = (*channels, round(seconds * rate))
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of a small `audio` network whose random weights do something to a signal."""
    config = described("audio", *SMALL)
    path = tmp_path_factory.mktemp("checkpoints") / "best.pt"
    write_checkpoint(path, new_training(config, CPU).checkpoint(config))
    return path


@pytest.fixture
def denoiser(checkpoint):
    return Denoiser.load(checkpoint)


@pytest.fixture
def call(script, checkpoint):
    return lambda *arguments: script("denoise", *arguments, "--checkpoint", checkpoint)


@pytest.mark.parametrize(("rates"), [(44_100, 8000), (8000, 44_100), (11_025, 8000), (8000, 7999), (8, 8000)])
def test_resampling_in_pieces_is_resampling_at_once(rates):
    samples = noise(1.7, rates[0], channels=(2,))
    at_once = resample(samples, *rates)
    assert at_once.shape == (2, np.ceil(samples.shape[1] * rates[1] / rates[0])) and at_once.dtype == np.float32
    pieces = list(resample_pieces(np.array_split(samples, 7, axis=1), *rates))
    in_pieces = np.concatenate(pieces, axis=1)[:, : at_once.shape[1]]
    np.testing.assert_array_equal(in_pieces, at_once)
    assert resample(samples[:, :0], *rates).shape == (2, 0)


@pytest.mark.parametrize("rates", [(44_100, 8000), (8000, 44_100), (16_000, 6000)])
def test_resampling_gives_the_same_sound_at_the_other_rate(rates):
    def tones(rate):
        time = np.arange(rate) / rate
        return sum(np.sin(2 * np.pi * frequency * time + frequency) for frequency in (100, 700, 2500))

    resampled = resample(tones(rates[0]), *rates)
    np.testing.assert_allclose(resampled[500:-500], tones(rates[1])[500:-500], atol=1e-4)


def test_a_stream_equals_the_whole(denoiser, monkeypatch):
    monkeypatch.setattr(denoising, "BLOCK_SECONDS", 1)
    streaming = Denoiser(denoiser.generator, described("audio").data)
    mixed = noise(7.3)
    with torch.inference_mode():
        whole = denoiser.generator(torch.from_numpy(mixed)[None, None])[0, 0].numpy()
    streamed = streaming(mixed, RATE)
    # At the edges too, since no zeros are put there.
    assert ((streamed - whole) ** 2).sum() < 1e-6 * (whole**2).sum()
    assert (whole**2).sum() > 1e-3 * (mixed**2).sum()
    in_pieces = streaming.stream(iter(np.array_split(mixed[None], 13, axis=1)), RATE)
    np.testing.assert_allclose(np.concatenate([denoised for _, denoised in in_pieces], 1)[0], streamed, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int16, np.int32])
@pytest.mark.parametrize("shape", [(3,), (1,), (8000,), (2, 3, 4000), (0,), (2, 0)])
def test_shape_and_type_are_kept(shape, dtype, denoiser):
    scale = 1000 if np.dtype(dtype).kind == "i" else 1
    array = (np.random.default_rng(1).normal(size=shape) * scale).astype(dtype)
    result = denoiser(array, RATE)
    assert result.shape == shape and result.dtype == dtype
    assert np.isfinite(result).all()


def test_the_level_is_kept_and_does_not_matter(denoiser):
    mixed = noise(1)
    reference = denoiser(mixed, RATE)
    for level in (1e-4, 3e4):
        np.testing.assert_allclose(denoiser(level * mixed, RATE) / level, reference, atol=1e-5)


def test_many_short_signals_are_denoised_as_each_by_itself(denoiser, monkeypatch):
    monkeypatch.setattr(denoising, "BATCH", 3)
    many = noise(0.1, channels=(7,))
    np.testing.assert_allclose(denoiser(many, RATE)[5], denoiser(many[5], RATE), atol=1e-6)


def test_channels_do_not_mix(denoiser):
    both = noise(1, channels=(2,))
    np.testing.assert_allclose(denoiser(both, RATE)[1], denoiser(both[1], RATE), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*not finite")
@pytest.mark.parametrize(
    "odd",
    [
        np.zeros(9000),
        np.ones(9000),
        np.full(9000, np.nan),
        np.full(9000, np.inf),
        np.sign(np.sin(np.arange(9000))),
        np.full(3, -1.0),
        np.full(9000, np.finfo(np.float32).max),
        np.full(9000, 1e-38),
    ],
)
def test_odd_signals_give_finite_ones(odd, denoiser):
    assert np.isfinite(denoiser(odd.astype(np.float32), RATE)).all()


def test_what_is_no_signal_is_refused(denoiser):
    for wrong in (np.array(["a"]), np.float32(1), np.ones(3, complex)):
        with pytest.raises(TypeError, match="real, signed numbers"):
            denoiser(wrong)


@pytest.mark.parametrize("preset", ["dan-small", "spectral"])
def test_networks_of_whole_signals_denoise_recordings_too(preset):
    config = described(preset)
    generator = new_training(config, CPU).generator
    mixed = noise(3, 256)
    result = Denoiser(generator, config.data)(mixed, 256)
    assert result.shape == mixed.shape and result.std() > 0
    assert Denoiser(generator, config.data)(noise(1.3, 1000), 1000).shape == (1300,)


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels"),
    [
        ("a.wav", "PCM_16", 8000, 1),
        ("a.wav", "PCM_24", 44_100, 2),
        ("a.wav", "FLOAT", 6000, 3),
        ("a.flac", "PCM_16", 48_000, 2),
        ("a.ogg", "VORBIS", 22_050, 1),
        ("a.wav", "PCM_U8", 11_025, 1),
    ],
)
def test_rate_channels_and_format_are_kept(name, subtype, rate, channels, call, tmp_path):
    source, target = tmp_path / name, tmp_path / "out" / name
    soundfile.write(source, noise(1.3, rate, channels=(channels,)).T, rate, subtype)
    code, out, _ = call(str(source), "-o", str(target))
    before, after = soundfile.info(source), soundfile.info(target)
    assert code == 0 and "× real time" in out
    assert ("works up to 4,000 Hz" in out) == (rate > RATE)
    for fact in ("samplerate", "channels", "frames", "format", "subtype"):
        assert getattr(before, fact) == getattr(after, fact)


@pytest.mark.parametrize(
    ("name", "subtype", "target", "expected"),
    [
        ("a.wav", "FLOAT", "b.flac", "PCM_16"),
        ("a.mp3", "MPEG_LAYER_III", "b.wav", "PCM_16"),
        ("a.wav", "PCM_16", "b.mp3", "MPEG_LAYER_III"),
        ("a.aiff", "PCM_24", "b.AIF", "PCM_24"),
        ("a.wav", "PCM_16", "b.opus", "OPUS"),
        ("a.ogg", "VORBIS", "b.caf", "PCM_16"),
    ],
)
def test_a_format_without_the_sample_format_takes_its_own(name, subtype, target, expected, call, tmp_path):
    soundfile.write(tmp_path / name, noise(0.5, channels=(2,)).T, RATE, subtype)
    code, _, err = call(tmp_path / name, "-o", tmp_path / target)
    assert code == 0, err
    written = soundfile.info(tmp_path / target)
    assert (written.subtype, written.channels, written.samplerate) == (expected, 2, RATE)


def test_a_format_without_the_sample_rate_is_refused(call, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(0.5, 6000), 6000)
    code, _, err = call(tmp_path / "a.wav", "-o", tmp_path / "b.mp3")
    assert code == 1 and "cannot hold 1 channel at 6,000 Hz" in one_error(err)
    assert not (tmp_path / "b.mp3").exists()


def test_a_file_on_the_command_line_is_what_the_function_gives(call, denoiser, tmp_path):
    mixed = noise(2.1, 11_025, channels=(2,))
    soundfile.write(tmp_path / "in.wav", mixed.T, 11_025, "FLOAT")
    assert call(str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"))[0] == 0
    written = soundfile.read(tmp_path / "out.wav", dtype="float32")[0].T
    np.testing.assert_allclose(written, denoiser(mixed, 11_025), atol=1e-6)


@pytest.mark.parametrize("shape", [(5000,), (2, 5000)])
def test_npy_stays_npy(shape, call, denoiser, tmp_path):
    array = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "in.npy", array)
    code, _, err = call(str(tmp_path / "in.npy"), "-o", str(tmp_path / "out"))
    assert code == 0, err
    np.testing.assert_allclose(np.load(tmp_path / "out/in.npy"), denoiser(array, RATE), atol=1e-6)
    assert call(str(tmp_path / "in.npy"), "-o", str(tmp_path / "in.wav"))[0] == 1


def test_folders_are_mirrored_and_one_bad_file_does_not_end_the_run(call, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    (tmp_path / "in/deeper").mkdir(parents=True)
    for name in ("one.wav", "deeper/two.flac"):
        soundfile.write(tmp_path / "in" / name, noise(0.5), RATE)
    (tmp_path / "in/bad.wav").write_text("no audio")
    (tmp_path / "in/notes.txt").write_text("mine")
    code, out, err = call(str(tmp_path / "in"), "-o", str(tmp_path / "out"))
    assert code == 1 and "bad.wav is unreadable" in err and "1 of 3 recordings" in err
    assert out.count("real time") == 2 and "Traceback" not in err
    assert "100% |" in err and "of 1 s of sound" in err  # one bar over both
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "deeper/two.flac",
        "one.wav",
    ]


def test_nothing_is_replaced_unasked_and_no_input_ever(call, tmp_path):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(source, noise(0.5), RATE)
    target.write_text("mine")
    original = source.read_bytes()
    code, _, err = call(str(source), "-o", str(target))
    assert code == 1 and "--overwrite" in one_error(err) and target.read_text() == "mine"
    for output in (source, tmp_path):
        code, _, err = call(str(source), "-o", str(output), "--overwrite")
        assert code == 1 and "never replaced" in one_error(err)
    (tmp_path / "link.wav").symlink_to(source)
    code, _, err = call(str(source), "-o", str(tmp_path / "link.wav"), "--overwrite")
    assert code == 1 and source.read_bytes() == original
    assert call(str(source), "-o", str(target), "--overwrite")[0] == 0
    assert soundfile.info(target).frames == 4000 and source.read_bytes() == original


def test_two_inputs_for_one_output_are_refused(call, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", noise(0.2), RATE)
    code, _, err = call(str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "out"))
    assert code == 1 and "would both become" in one_error(err)
    assert not (tmp_path / "out").exists()


def test_dry_mixes_the_input_back_in(call, tmp_path):
    mixed = noise(1)
    soundfile.write(tmp_path / "in.wav", mixed, RATE, "FLOAT")
    outputs = {}
    for dry in ("0", "0.25", "1"):
        path = tmp_path / f"out{dry}.wav"
        assert call(str(tmp_path / "in.wav"), "-o", str(path), "--dry", dry)[0] == 0
        outputs[dry] = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_allclose(outputs["1"], mixed, atol=1e-6)
    np.testing.assert_allclose(outputs["0.25"], 0.25 * mixed + 0.75 * outputs["0"], atol=1e-6)
    code, _, err = call(str(tmp_path / "in.wav"), "-o", str(tmp_path / "x.wav"), "--dry", "2")
    assert code == 2 and "from 0 to 1" in one_error(err)


@pytest.mark.parametrize(
    ("samples", "remark"),
    [
        (np.zeros(8000), "it is silent"),
        (np.full(8000, 0.5), "its mean is 0.5"),
        (np.r_[np.nan, noise(1)], "1 of 8,001 values were not finite"),
        (np.full(9, np.nan), "9 of 9 values were not finite"),
        (np.clip(noise(1) * 50, -1, 1), "it was clipped"),
        (noise(1) + 0.5, "its mean is 0.5"),
    ],
)
def test_what_is_odd_is_said(samples, remark, call, tmp_path):
    soundfile.write(tmp_path / "in.wav", samples, RATE, "FLOAT")
    code, out, _ = call(str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"))
    assert code == 0 and remark in out and "inf)" not in out
    assert np.isfinite(soundfile.read(tmp_path / "out.wav")[0]).all()


def test_the_figure_is_drawn_for_one_recording(call, tmp_path):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, noise(1.5), RATE)
    one, both = [str(tmp_path / "a.wav")], [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    figure = ["--figure", str(tmp_path / "figure.png")]
    assert call(*one, "-o", str(tmp_path / "out"), *figure)[0] == 0
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = call(*both, "-o", str(tmp_path / "out2"), *figure)
    assert code == 2 and "--figure" in one_error(err) and not (tmp_path / "out2").exists()


def test_a_figure_replaces_neither_a_recording_nor_anything_unasked(call, tmp_path):
    source, other = tmp_path / "in.wav", tmp_path / "mine.png"
    soundfile.write(source, noise(0.3), RATE)
    other.write_text("mine")
    before = source.read_bytes()
    for figure in (source, tmp_path / "out.wav", other):
        code, _, err = call(str(source), "-o", str(tmp_path / "out.wav"), "--figure", str(figure))
        assert code == 1 and str(figure) in one_error(err)
    assert source.read_bytes() == before and other.read_text() == "mine"
    assert not (tmp_path / "out.wav").exists()


def test_a_folder_that_has_grown_is_denoised_in_part(call, tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/one.wav", noise(0.5), RATE)
    given = tmp_path / "in", "-o", tmp_path / "out"
    assert call(*given)[0] == 0
    before = (tmp_path / "out/one.wav").stat().st_mtime_ns
    soundfile.write(tmp_path / "in/two.wav", noise(0.5), RATE)
    code, _, err = call(*given)
    assert code == 1 and "--skip" in one_error(err)
    code, _, err = call(*given, "--skip")
    assert code == 0 and (tmp_path / "out/two.wav").exists(), err
    assert (tmp_path / "out/one.wav").stat().st_mtime_ns == before
    assert "nothing is left to denoise" in call(*given, "--skip")[1]


def test_a_folder_is_not_denoised_into_itself_without_a_word(call, tmp_path):
    (tmp_path / "in/deeper").mkdir(parents=True)
    soundfile.write(tmp_path / "in/deeper/x.wav", noise(0.3), RATE)
    for given, output in (("in", "in"), ("in/deeper", "in"), ("in", "in/deeper")):
        before = (tmp_path / "in/deeper/x.wav").read_bytes()
        code, _, err = call(str(tmp_path / given), "-o", str(tmp_path / output))
        if (given, output) == ("in/deeper", "in"):
            assert code == 0 and (tmp_path / "in/x.wav").exists()
            (tmp_path / "in/x.wav").unlink()
        else:
            assert code == 1 and one_error(err)
        assert (tmp_path / "in/deeper/x.wav").read_bytes() == before


def test_a_second_run_takes_no_results_for_inputs(call, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/x.wav", noise(0.3), RATE)
    monkeypatch.chdir(tmp_path)
    for output in ("in/clean", str(tmp_path / "in/clean")):
        assert call("in", "-o", output, "--overwrite")[0] == 0
    assert sorted(path.name for path in (tmp_path / "in").rglob("*.wav")) == ["x.wav", "x.wav"]


def test_wrong_calls_say_what_to_do(script, tmp_path):
    soundfile.write(tmp_path / "in.wav", noise(0.2), RATE)
    given = [str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav")]
    missing = ["--checkpoint", str(tmp_path / "none.pt")]
    for arguments, status, message in (
        ([], 2, "--help"),
        ([str(tmp_path)], 2, "-o"),
        ([str(tmp_path / "no.wav"), *given[1:]], 1, "does not exist"),
        ([*given, *missing], 1, "none.pt is missing"),
        ([*given, "--preset", "audoi"], 2, "'audio'"),
    ):
        code, _, err = script("denoise", *arguments)
        assert code == status and message in one_error(err)
    assert script("denoise", "--help")[0] == 0
    assert not (tmp_path / "out.wav").exists()


@pytest.fixture(scope="module")
def spectral(tmp_path_factory):
    """A checkpoint of `spectral` after four epochs: 8 s of training on one core."""
    folder = tmp_path_factory.mktemp("spectral")
    config = described(
        "spectral",
        "training.max_epochs=4",
        "training.pretrain_epochs=4",
        "training.device=cpu",
        *(f"paths.{name}={folder / name}" for name in ("data", "images", "checkpoints")),
    )
    create_data(config)
    state = new_training(config, CPU)
    train(state, *loaders(config), config)
    return config.checkpoint_folder / "best.pt", config


def test_signals_of_the_trained_length_go_through_in_one_piece(spectral, script, tmp_path):
    path, config = spectral
    clean, _, mixed = draw(config.data, "test", 300)
    network = load_generator(path)[0]
    by_network = apply_generator(network, mixed)
    assert total_snr_db(clean, by_network) > 12
    denoised = Denoiser.load(path)(mixed, 256)
    np.testing.assert_allclose(denoised, by_network, atol=1e-5)
    np.save(tmp_path / "in.npy", mixed)
    code, _, err = script(
        "denoise", str(tmp_path / "in.npy"), "-o", str(tmp_path / "out.npy"), "--checkpoint", str(path)
    )
    assert code == 0, err
    assert total_snr_db(clean, np.load(tmp_path / "out.npy")) > 12


def test_longer_signals_of_whole_signal_networks_are_cut_into_blocks_of_that_length(spectral):
    """Every block that begins where a signal does is denoised as well as that signal."""
    path, config = spectral
    clean, _, mixed = (x[:40] for x in draw(config.data, "test", 300))
    longer = np.hstack([mixed, mixed[:, :100]])
    denoised = Denoiser.load(path)(longer, 256)
    denoised = denoised[:, :128]  # the half that only the first block covers
    assert total_snr_db(clean[:, :128], denoised) > 12


def test_blocks_overlap_as_told_and_the_last_ends_with_the_recording():
    samples = np.arange(47, dtype=np.float32)[None]
    for cuts in ([47], [1, 30], [10, 20, 30, 40], list(range(1, 47))):
        found = list(split_into_blocks(iter(np.split(samples, cuts, 1)), length=20, step=12, grid=4))
        begins = np.cumsum([advance for _, advance in found])
        assert begins.tolist() == [0, 12, 24]
        assert [block.shape[1] for block, _ in found] == [20, 20, 23]
        for begin, (block, _) in zip(begins, found, strict=True):
            np.testing.assert_array_equal(block[0], samples[0, begin : begin + block.shape[1]])
    assert [block.shape[1] for block, _ in split_into_blocks(iter([samples]), 60, 30)] == [47]
    assert list(split_into_blocks(iter([]), 5, 2)) == []


@pytest.mark.parametrize("rate", [8000.0, np.float64(8000), np.int64(8000)])
def test_a_whole_sample_rate_may_be_of_any_type(rate, denoiser):
    mixed = noise(0.3)
    np.testing.assert_array_equal(denoiser(mixed, rate), denoiser(mixed, 8000))


@pytest.mark.parametrize("rate", [0, -8000, 44_100.5, 1, 10**9, float("nan")])
def test_an_invalid_sample_rate_is_refused(rate, denoiser):
    with pytest.raises(ValueError, match="sample_rate"):
        denoiser(noise(0.3), rate)


def test_a_recording_of_a_sample_a_second_is_refused(call, tmp_path):
    soundfile.write(tmp_path / "slow.wav", noise(1), 1)
    code, _, err = call(str(tmp_path / "slow.wav"), "-o", str(tmp_path / "out.wav"))
    assert code == 1 and "slow.wav has 1 samples per second" in one_error(err)


def test_file_names_may_look_like_anything(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "data.x=1.wav",
        "$a$b.wav",
        "$x_{.wav",
        os.fsdecode(b"\xff\xfe.wav"),
        "ü → ±.wav",
        "狗 😀.wav",
        "one\ntwo\t.wav",
    ):
        soundfile.write("in.wav", noise(0.2), RATE)
        os.rename("in.wav", name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code, _, err = call(name, "-o", "out.wav", "--figure", "out.png", "--listen", "out.html", "--overwrite")
        assert code == 0, err


def test_a_pipe_is_not_waited_for(call, script, tmp_path):
    soundfile.write(tmp_path / "in.wav", noise(0.2), RATE)
    for name in ("pipe.wav", "pipe.npy", "pipe.pt"):
        os.mkfifo(tmp_path / name)
    for source in ("pipe.wav", "pipe.npy"):
        target = tmp_path / f"out{source[-4:]}"
        code, _, err = call(str(tmp_path / source), "-o", str(target))
        assert code == 1 and "not a regular file" in one_error(err)
    code, _, err = script(
        "denoise", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--checkpoint", str(tmp_path / "pipe.pt")
    )
    assert code == 1 and "not a regular file" in one_error(err)


def test_links_in_a_circle_are_named(call, tmp_path):
    soundfile.write(tmp_path / "in.wav", noise(0.2), RATE)
    (tmp_path / "circle.wav").symlink_to(tmp_path / "circle.wav")
    for source, target in (("circle.wav", "out.wav"), ("in.wav", "circle.wav"), ("in.wav", "circle.wav/out.wav")):
        code, _, err = call(str(tmp_path / source), "-o", str(tmp_path / target))
        assert code == 1 and "circle.wav" in one_error(err)


class Scaling(torch.nn.Module):
    """Stands for a generator: it makes everything so many times as large."""

    context, hop = 300, 128

    def __init__(self, factor):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(float(factor)))

    def forward(self, mixed):
        return self.factor * mixed


def test_frequencies_above_the_range_get_the_attenuation_of_its_top():
    mixed, data = noise(2.5, 44_100, channels=(2,)), described("audio").data
    halved = Denoiser(Scaling(0.5), data)(mixed, 44_100)
    error = np.square(halved - 0.5 * mixed).mean() / np.square(mixed).mean()
    assert error < 1e-4
    pieces = iter(np.array_split(mixed, 7, axis=1))
    recorded, streamed = (
        np.concatenate(found, 1) for found in zip(*Denoiser(Scaling(0.5), data).stream(pieces, 44_100), strict=True)
    )
    np.testing.assert_array_equal(recorded, mixed)
    np.testing.assert_allclose(streamed, halved, atol=1e-5)
    narrow = Denoiser(Scaling(0.5), data, narrow=True)(mixed, 44_100)
    power = np.square(np.abs(np.fft.rfft(narrow)))
    frequency = np.fft.rfftfreq(mixed.shape[1], 1 / 44_100)
    assert power[:, frequency > 4500].sum() < 1e-4 * power.sum()


def test_the_user_s_latest_denoiser_is_taken_and_the_shipped_one_without(script, checkpoint, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", noise(1), RATE)
    monkeypatch.setattr(denoise, "PRETRAINED", checkpoint)
    given = [tmp_path / "a.wav", "--overwrite", "-o", tmp_path / "b.wav", f"paths.checkpoints={tmp_path / 'mine'}"]
    code, out, err = script("denoise", *given)
    assert code == 0 and f"denoiser: {checkpoint}, for recordings at 8,000" in out, err
    # A training of one's own is named; none is guessed.
    own = tmp_path / "mine/my-voice/best.pt"
    own.parent.mkdir(parents=True)
    own.write_bytes(checkpoint.read_bytes())
    assert f"denoiser: {checkpoint}" in script("denoise", *given)[1]
    assert f"denoiser: {own}" in script("denoise", *given, "--name", "my-voice")[1]
    code, _, err = script("denoise", *given, "--name", "none")
    assert code == 1 and "none/best.pt is missing" in one_error(err)
    code, _, err = script("denoise", *given, "--name", "../other")
    assert code == 2 and "is not a name" in one_error(err)


def test_a_page_to_listen_to(call, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"in/{name}.wav", noise(0.5), RATE)
    page = tmp_path / "listen.html"
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out", "--listen", page)
    assert code == 0 and "open it in a browser" in out, err
    assert page.read_text().count("<audio") == 4 and "one.wav" in page.read_text()
    code, _, err = call(tmp_path / "in", "-o", tmp_path / "more", "--listen", page)
    assert code == 1 and "--overwrite" in one_error(err)
    code, _, err = call(tmp_path / "in", "-o", tmp_path / "more", "--listen", tmp_path / "in/one.wav", "--overwrite")
    assert code == 1 and "is a recording" in one_error(err)


def test_channels_that_stand_last_are_refused(denoiser):
    with pytest.raises(ValueError, match="transpose"):
        denoiser(noise(1, channels=(2,)).T, RATE)


def test_without_output_the_result_lies_beside_the_recording(call, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(0.5), RATE)
    code, _, err = call(tmp_path / "a.wav")
    assert code == 0 and (tmp_path / "a.denoised.wav").exists(), err
    code, _, err = call(tmp_path)
    assert code == 2 and f"{tmp_path} -o" in one_error(err)


def test_an_array_has_no_full_scale_and_what_lies_beyond_is_not_clipped(call, tmp_path):
    np.save(tmp_path / "volts.npy", 900 * noise(0.5))
    soundfile.write(tmp_path / "loud.wav", 900 * noise(0.5), RATE, "FLOAT")
    for name in ("volts.npy", "loud.wav"):
        code, out, _ = call(tmp_path / name)
        assert code == 0 and "full scale" not in out


def test_unsigned_numbers_are_refused(call, denoiser, tmp_path):
    """Their zero may be anywhere."""
    with pytest.raises(TypeError, match="signed numbers"):
        denoiser(np.ones(9, np.uint8), RATE)
    np.save(tmp_path / "in.npy", np.ones(9, np.uint8))
    code, _, err = call(tmp_path / "in.npy")
    assert code == 1 and "not an array of signed numbers" in one_error(err)


def test_python_is_warned_of_what_it_did_not_say_or_lost(denoiser):
    with pytest.warns(UserWarning, match="8,000 Hz, is assumed"):
        denoiser(noise(0.3))
    with pytest.warns(UserWarning, match="2 of 2,400 values were not finite"):
        denoiser(np.r_[np.nan, noise(0.3)[2:], np.inf], RATE)
    louder = Denoiser(Scaling(3), described("audio").data)
    with pytest.warns(UserWarning, match="1 of 100 denoised values were clipped"):
        assert louder(np.eye(1, 100, 5, np.int16) * 20_000, RATE).max() == 32_767


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_clipping_of_what_is_written_is_said(subtype, script, tmp_path, monkeypatch):
    config = described("audio")
    monkeypatch.setattr(denoise, "load_generator", lambda *_: (Scaling(3), config))
    soundfile.write(tmp_path / "in.wav", np.eye(1, 8000, 9)[0] / 2, RATE, subtype)
    np.save(tmp_path / "in.npy", np.eye(1, 8000, 9, np.int16) * 20_000)
    for name, clips in (("in.wav", subtype == "PCM_16"), ("in.npy", True)):
        code, out, _ = script("denoise", tmp_path / name)
        assert code == 0 and ("1 of 8,000 denoised values were clipped" in out) == clips


def test_an_assumed_rate_of_arrays_is_said_once(call, tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, noise(0.2))
    given = [tmp_path / "a.npy", tmp_path / "b.npy", "-o", tmp_path / "out"]
    code, out, _ = call(*given)
    assert code == 0 and out.count("assumed 8,000 samples") == 1
    assert "assumed 4,000 samples" not in call(*given, "--overwrite", "data.source_rate=4000")[1]


@pytest.mark.parametrize("shape", [(18_000, 12), (1024, 2), (300, 64)])
def test_an_array_that_stands_on_its_side_is_refused(shape, call, denoiser, tmp_path):
    np.save(tmp_path / "in.npy", np.zeros(shape, np.float32))
    code, _, err = call(tmp_path / "in.npy")
    assert code == 1 and "transpose" in one_error(err)
    with pytest.raises(ValueError, match="transpose"):
        denoiser(np.zeros(shape), RATE)


def test_an_input_of_another_name_is_never_replaced(call, tmp_path, monkeypatch):
    """A hard link, and a file system that ignores case."""
    (tmp_path / "in").mkdir()
    source = tmp_path / "in/noisy.wav"
    soundfile.write(source, noise(0.3), RATE)
    os.link(source, tmp_path / "linked.wav")
    before, stat = source.read_bytes(), os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, **options: stat(path if isinstance(path, int) else str(path).lower(), **options)
    )
    for target in ("linked.wav", "in/NOISY.wav", "IN/noisy.wav"):
        code, _, err = call(source, "-o", tmp_path / target, "--overwrite")
        assert code == 1 and "is an input" in one_error(err)
        for option in ("--figure", "--listen"):
            code, _, err = call(source, "-o", tmp_path / "x.wav", option, tmp_path / target, "--overwrite")
            assert code == 1 and "is a recording" in one_error(err)
    assert source.read_bytes() == before
    (tmp_path / "in/clean").mkdir()
    soundfile.write(tmp_path / "in/clean/noisy.wav", noise(0.3), RATE)  # by an earlier run
    jobs = plan([tmp_path / "in"], tmp_path / "IN/clean", overwrite=True)
    assert jobs == [(source, tmp_path / "IN/clean/noisy.wav")]


def voiced(seconds):
    """Tones that come and go, in a little noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * 500 * time) * (time % 1 < 0.5) + noise(seconds)).astype(np.float32)


@pytest.mark.parametrize(("factor", "told"), [(1, False), (0.4, False), (0.1, True), (0, True)])
def test_a_sound_that_is_nearly_all_lost_is_said(factor, told, script, tmp_path, monkeypatch):
    config = described("audio")
    monkeypatch.setattr(denoise, "load_generator", lambda *_: (Scaling(factor), config))
    soundfile.write(tmp_path / "in.wav", 0.5 * voiced(3), RATE, "FLOAT")
    np.save(tmp_path / "in.npy", voiced(3))
    for name in ("in.wav", "in.npy"):
        code, out, _ = script("denoise", tmp_path / name)
        assert code == 0 and (f"{factor**2:.1%} of what is louder" in out) == told
        assert ("other sounds" in out) == told


def test_energy_above_the_floor_is_that_of_the_frames_that_are_louder():
    time = np.arange(4 * RATE) / RATE
    loud, size = np.sin(2 * np.pi * 500 * time) * (time >= 2), round(0.05 * RATE)
    energies = inspection.frame_energies(np.stack([loud + 5, loud]), RATE)
    np.testing.assert_allclose(energies, np.tile(np.repeat([0, 0.5], 40), 2), atol=1e-9)
    expected = sum(max(0, loud[at : at + size].var() - 0.0) for at in range(0, len(loud), size))
    np.testing.assert_allclose(inspection.energy_above_floor([energies]), 2 * expected)


@pytest.mark.parametrize(
    ("preset", "settings", "expected"),
    [
        ("speech", [], "for speech at 16,000 samples per second"),
        (
            "speech-own",
            ["data.clean_source=/home/me/voices"],
            "for speech at 16,000 samples per second, trained on voices",
        ),
        ("audio", ["data.clean_source=birds"], "for recordings at 8,000 samples per second, trained on birds"),
        ("dan", ["data.clean_source=birds"], "for recordings at 256"),
        ("spectral", [], "for sums of sines from 10 to 64 Hz at 256"),
    ],
)
def test_a_denoiser_says_what_it_is_for(preset, settings, expected):
    described_settings = DESCRIBED.get(preset, ["data.sample_rate=16000"])
    assert denoise.purpose(resolve(preset, [*described_settings, *settings])).startswith(expected)


def test_names_and_folders_that_cannot_be_written_do_not_end_a_run(call, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "m" * 251, "z"):
        soundfile.write(tmp_path / "in.wav", noise(0.2), RATE)
        os.rename(tmp_path / "in.wav", tmp_path / "in" / f"{name}.wav")
    (tmp_path / "in/b").mkdir()
    soundfile.write(tmp_path / "in/b/x.wav", noise(0.2), RATE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").write_text("a file where a folder would be")
    code, _, err = call(tmp_path / "in", "-o", tmp_path / "out")
    assert code == 1 and "of 4 recordings were not denoised" in err and "Traceback" not in err
    assert (tmp_path / "out/a.wav").exists() and (tmp_path / "out/z.wav").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(call, tmp_path):
    (tmp_path / "in/locked").mkdir(parents=True)
    soundfile.write(tmp_path / "in/a.wav", noise(0.2), RATE)
    for name, path in (("locked", tmp_path / "in"), ("a.wav", tmp_path / "in/a.wav")):
        (tmp_path / "in" / name).chmod(0)
        code, _, err = call(path, "-o", tmp_path / "out")
        (tmp_path / "in" / name).chmod(0o700)
        assert code == 1 and name in one_error(err) and "Permission denied" in err
