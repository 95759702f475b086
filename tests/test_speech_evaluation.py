"""Measuring denoisers of recordings: by kind and SNR, the other denoisers, the listening page."""

import base64
import io
import json
import re

import numpy as np
import pytest
import soundfile
from conftest import one_error

from dan.configuration import resolve
from dan.errors import UserError
from dan.evaluation import metrics, speech_peers, tables
from dan.evaluation.recordings import measure_costs, measure_groups, print_groups
from dan.evaluation.speech_baselines import log_mmse, log_mmse_gain
from dan.output import saving
from dan.output.listening import Example, write_page
from dan.signals.sines import mix
from dan.training.checkpoints import load_generator, read_checkpoint
from models import build_generator, count_parameters

RATE = 16_000


def voice(seconds=2.0, rate=RATE):
    """Syllables: harmonics that swell four times a second."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    return (harmonics * np.maximum(0, np.sin(2 * np.pi * 4 * time))).astype(np.float32)


@pytest.mark.parametrize(("prior", "posterior"), [(0.1, 0.5), (1, 1), (3, 10), (30, 2)])
def test_the_log_mmse_gain_is_the_mean_logarithm_of_the_posterior(prior, posterior):
    # Given the noisy value Y (noise of power 1), the clean one is Gaussian round the Wiener
    # estimate; the estimate of its magnitude is the exponential of the mean logarithm.
    rng, share = np.random.default_rng(0), prior / (1 + prior)
    noise = rng.normal(size=(2, 400_000)) * np.sqrt(share / 2)
    magnitude = np.abs(share * np.sqrt(posterior) + noise[0] + 1j * noise[1])
    simulated = np.exp(np.log(magnitude).mean()) / np.sqrt(posterior)
    assert log_mmse_gain(prior, posterior) == pytest.approx(simulated, rel=5e-3)


def test_log_mmse_gains_on_stationary_noise():
    clean = np.stack([voice()] * 2)
    mixed = mix(clean, np.random.default_rng(0).normal(size=clean.shape), 0.0)
    denoised = log_mmse(mixed, RATE)
    assert denoised.shape == clean.shape
    assert (metrics.si_sdr(clean, denoised) - metrics.si_sdr(clean, mixed)).min() > 5


def test_groups_hold_the_means_of_their_signals(capsys):
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(4, 1000))
    mixed = mix(clean, rng.normal(size=clean.shape), np.array([[1.0], [2], [7], [-6]]))
    values = {
        "input": {"si_sdr_improvement_db": np.zeros(4), "stoi": np.full(4, 0.5)},
        "ours": {"si_sdr_improvement_db": np.array([1.0, 3, 5, 7]), "stoi": np.array([0.6, np.nan, 0.8, 0.9])},
    }
    groups = measure_groups(values, clean, mixed, {"by kind of noise": ["hum", "hum", "babble", "babble"]})
    kinds, snrs = groups["by kind of noise"], groups["by input SNR"]
    assert kinds["hum"]["count"] == 2
    hum = kinds["hum"]["ours"]
    assert hum["si_sdr_improvement_db"]["mean"] == pytest.approx(2) and hum["stoi"]["mean"] == pytest.approx(0.1)
    assert kinds["babble"]["ours"]["stoi"]["mean"] == pytest.approx(0.35)
    assert list(snrs) == ["-10 to -5 dB", "0 to 5 dB", "5 to 10 dB"]
    assert snrs["0 to 5 dB"]["ours"]["si_sdr_improvement_db"]["mean"] == pytest.approx(2)
    print_groups(groups, {"si_sdr_improvement_db": ("SI-SDR improv.",), "stoi": ("STOI",)})
    out = capsys.readouterr().out
    assert "SI-SDR improv. by kind of noise" in out and "STOI gain by input SNR" in out
    names, counts = out.splitlines()[1:3]
    assert names.split() == ["babble", "hum"] and counts.split() == ["signals", "2", "2"]


def test_the_costs_of_a_causal_network_are_told():
    config = resolve("speech", ["generator.channels=4", "generator.bands=4", "generator.shared_units=8"])
    generator, methods = (
        build_generator(config),
        {name: {"seconds_per_1000_signals": 50.0} for name in ("ours", "DTLN")},
    )
    costs = measure_costs(methods, {"ours": generator}, config.data)
    assert costs["ours"]["latency_ms"] == 32 and costs["ours"]["parameters"] == count_parameters(generator)
    assert costs["DTLN"]["parameters"] == 990_000
    assert costs["ours"]["times_real_time"] == pytest.approx(20 * config.data.duration)


def test_every_peer_that_is_installed_keeps_the_length():
    peers = speech_peers.installed_peers() or pytest.skip("no peer is installed")
    for name, denoise in peers.items():
        mixed = voice(1.3)
        denoised = denoise(mixed.astype(np.float32))
        assert denoised.shape == mixed.shape and np.isfinite(denoised).all(), name


def test_frames_added_up_are_the_signal():
    signal = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    window = np.hanning(513)[:-1]
    frames = speech_peers.frames_of(signal, 512, 256) * window
    np.testing.assert_allclose(speech_peers.overlap_add(frames, 256, 1000), signal, atol=1e-5)


def test_an_estimator_gets_no_more_than_some_samples_at_once(monkeypatch):
    """Whole clips by the hundred took gigabytes."""
    monkeypatch.setattr(tables, "ESTIMATED_AT_ONCE", 250)
    mixed, seen = np.random.default_rng(0).normal(size=(7, 100)), []
    halved = {"half": lambda x, snr, numbers: seen.append((len(x), numbers)) or x / 2}
    estimates, values, _ = tables.estimate_all(mixed, mixed, None, halved, {})
    assert seen == [(2, None)] * 3 + [(1, None)] and values == {"half": {}}
    np.testing.assert_array_equal(estimates["half"], mixed / 2)
    tables.estimate_all(mixed, mixed, np.arange(7), halved, {})
    assert [list(numbers) for _, numbers in seen[4:]] == [[0, 1], [2, 3], [4, 5], [6]]


def test_intelligibility_and_quality_are_measured():
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    clean = voice(3)[None]
    worse, better = (mix(clean, np.random.default_rng(0).normal(size=clean.shape), snr) for snr in (0.0, 20.0))
    assert metrics.stoi(clean, clean, RATE)[0] == pytest.approx(1, abs=1e-6)
    assert metrics.stoi(clean, worse, RATE)[0] < metrics.stoi(clean, better, RATE)[0] < 1
    assert np.isnan(metrics.stoi(clean[:, :2000], clean[:, :2000], RATE)[0])
    assert (metrics.speech_quality(clean, worse, RATE) < metrics.speech_quality(clean, better, RATE)).all()
    assert np.isnan(metrics.speech_quality(clean * 0, clean, RATE)[0])
    # Who wipes a voice out is not left out of the mean.
    assert metrics.speech_quality(clean, clean * 0, RATE)[0] == 1


def test_a_listening_page_needs_nothing_else(tmp_path):
    sounds = {"noisy": 3 * voice(), "denoised": voice()}
    path = tmp_path / "listen.html"
    write_page(
        path,
        "<Mine>",
        [Example("a & b", RATE, sounds, {"SI-SDR in dB": "1 → 9"}), Example("slow", 256, {"noisy": voice(rate=256)})],
    )
    page = path.read_text("utf-8")
    assert "&lt;Mine&gt;" in page and "a &amp; b" in page and "1 → 9" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    players = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    noisy, denoised = (soundfile.read(io.BytesIO(base64.b64decode(text)))[0] for text in players)
    np.testing.assert_allclose(noisy, 3 * denoised, atol=1e-3)  # at a common level
    assert np.abs(noisy).max() == pytest.approx(0.9, abs=1e-3)
    assert "too slow to be heard" in page and page.count("data:image/png") == 2
    saving.refuse_foreign(tmp_path)
    path.write_text("my own page")
    with pytest.raises(UserError, match="move it out of"):
        saving.refuse_foreign(tmp_path)


@pytest.fixture
def speech(tmp_path):
    """Folders of three voices and two noises, and settings for a training of seconds on them."""
    rng = np.random.default_rng(0)
    for kind in ("voices", "noises"):
        (tmp_path / kind).mkdir()
    for number in range(3):
        soundfile.write(tmp_path / f"voices/{number}.wav", voice(9), RATE)
    for name in ("rain", "fan"):
        soundfile.write(tmp_path / f"noises/{name}1.wav", rng.normal(0, 0.1, 5 * RATE), RATE)
    return [
        *(f"paths.{name}={tmp_path / name}" for name in ("data", "images", "checkpoints")),
        f"data.clean_source={tmp_path / 'voices'}",
        f"data.noise_source=synthetic,{tmp_path / 'noises'}",
        "data.num_train=16",
        "data.duration=2",
        "data.num_validation=4",
        "training.batch_size=4",
        "training.max_epochs=1",
        "training.pretrain_epochs=1",
        "training.device=cpu",
        "generator.channels=2",
        "generator.blocks=1",
        "generator.bands=4",
    ]


def test_the_scripts_in_sequence_and_training_on(speech, script, tmp_path):
    own = ["--preset", "speech-own", *speech]
    folder = tmp_path / "checkpoints/speech-own"
    sources = [each for each in speech if "_source=" in each]
    assert script("create_data", *own)[0] == 0
    own = [each for each in own if each not in sources]  # which need not be said again
    for name in ("dataset", "train_gan"):
        code, out, err = script(name, *own)
        assert code == 0, err
    trained_on = read_checkpoint(folder / "best.pt")["config"].data
    assert (trained_on.clean_source, trained_on.noise_source) == ("voices", "synthetic,noises")
    for more in (sources, ["data.clean_source=voices"]):
        assert script("train_gan", *own, *more, "--resume", "training.max_epochs=2")[0] == 0
    assert len(list((tmp_path / "data/test/mixed").iterdir())) == 4
    code, out, err = script("evaluate", *own)
    assert code == 0 and "by kind of noise" in out and "log-MMSE" in out, err
    assert "by voice" in out and "latency in ms" in out
    page = tmp_path / "images/speech-own/listening.html"
    assert "data:audio/wav" in page.read_text() and str(page.parent) in out
    assert "on test signals" in page.read_text()
    results = json.loads((page.parent / "evaluation.json").read_text())
    assert list(results["signals"]) == ["validation", "test"]
    # Its generator alone is a denoiser, and one to train on, but no training to resume.
    alone = tmp_path / "alone.pt"
    assert script("dan.training.checkpoints", folder / "best.pt", alone)[0] == 0
    assert alone.stat().st_size < (folder / "best.pt").stat().st_size / 3
    assert str(tmp_path).encode() not in alone.read_bytes()
    code, _, err = script("dan.training.checkpoints", folder / "best.pt", alone)
    assert code == 1 and "exists" in one_error(err)
    first = load_generator(alone)[0].state_dict()
    code, out, err = script("train_gan", *own, "--restart", "--from", alone, "training.generator_lr=1e-9")
    assert code == 0, err
    # What it begins with is measured first, as epoch 0, and may remain the best.
    zero, one = read_checkpoint(folder / "last.pt")["history"]
    assert zero["epoch"] == 0 and one["epoch"] == 1
    assert zero["validation_snr_db"] == pytest.approx(one["validation_snr_db"], abs=0.5)
    assert "training on brought: validation SNR" in out or "no epoch was better" in out
    second = load_generator(folder / "best.pt")[0].state_dict()
    for name, value in first.items():
        if "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(value, second[name], atol=1e-6)
    code, _, err = script("train_gan", *own, "--restart", "--from", alone, "generator.blocks=2")
    assert code == 2 and "another generator" in one_error(err)
    code, _, err = script("train_gan", *own, "--resume", "--from", alone)
    assert code == 2 and "choose" in one_error(err)
    code, out, err = script("evaluate", *own, "--compare", alone)
    assert code == 0 and "alone: " in out, err
