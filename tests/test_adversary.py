"""The switches of the adversarial game: what the discriminator sees, features, and the ablation."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import DESCRIBED, described, one_error

import ablation
from create_data import create_data
from dan.configuration import resolve
from dan.errors import ConfigurationError, UserError
from dan.evaluation import realism
from dan.evaluation.realism import realism_score
from dan.signals.store import check_manifest, write_manifest
from dan.training.checkpoints import read_checkpoint
from dan.training.feature_network import BANDS, build_feature_network, sine_batches, train_feature_network
from dan.training.state import new_training
from dataset import loaders
from models import build_discriminator, build_generator
from train_gan import generate, run_training, train, train_epoch

CPU = torch.device("cpu")
SPECTRAL = [
    *DESCRIBED["spectral"],
    "generator.channels=4",
    "generator.blocks=1",
    "data.num_train=40",
    "data.num_validation=12",
    "training.batch_size=8",
    "training.pretrain_epochs=1",
    "training.max_epochs=2",
    "training.slowest=1",
    "training.device=cpu",
    "evaluation.num_test=20",
]
SWITCHES = {
    "dan": [
        "training.adversary=none",
        "training.adversary=latent",
        "training.feature_weight=1",
        "training.gan_loss=least-squares",
        "training.reconstruction_loss=L2",
    ],
    "spectral": [
        "training.adversary=none",
        "training.feature_weight=1",
        "training.gan_loss=hinge",
        "training.reconstruction_loss=log-cosh",
    ],
}


@pytest.fixture
def data(config):
    create_data(config)


@pytest.fixture
def few_steps(monkeypatch):
    """The feature network and the realism score's classifier, trained for some steps alone."""
    monkeypatch.setattr("dan.training.feature_network.STEPS", 4)
    for name, value in (("NUM_TRAIN", 40), ("NUM_TEST", 20), ("BATCH_SIZE", 20)):
        monkeypatch.setattr(realism, name, value)


@pytest.mark.parametrize(
    ("preset", "switch"), [(preset, switch) for preset, switches in SWITCHES.items() for switch in switches]
)
def test_every_switch_trains_and_resumes(preset, switch, overrides, tmp_path):
    """As from the command line, with the same weights in the end as without the interruption."""
    base = overrides if preset == "dan" else SPECTRAL + overrides[-3:]
    config = resolve(preset, [*base, "training.pretrain_epochs=1", "training.max_epochs=2", switch])
    create_data(config)

    def after(epochs, state=None):
        state = state or new_training(config, CPU)
        settings = replace(config.training, max_epochs=epochs, schedule="halving")
        train(state, *loaders(config), replace(config, training=settings))
        return state

    whole = after(2)
    resumed = new_training(config, CPU)
    path = after(1) and config.checkpoint_folder / "last.pt"
    resumed.restore(read_checkpoint(path), path)
    after(2, resumed)
    ends = (state.generator.state_dict().values() for state in (whole, resumed))
    assert all(map(torch.equal, *ends))
    assert whole.history == resumed.history
    has_adversary = "none" not in switch
    assert ("validation_adversarial_loss" in whole.history[-1]) == has_adversary


def test_pretrained_features_train_and_resume(few_steps, data, overrides, tmp_path):
    def trained(epochs, folder, **how):
        config = resolve(
            "dan",
            [
                *overrides,
                "training.feature_weight=1",
                "training.feature_network=pretrained",
                "training.schedule=halving",
                f"training.max_epochs={epochs}",
                f"paths.checkpoints={tmp_path / folder}",
            ],
        )
        return run_training(config, **how)

    whole = trained(3, "whole")
    trained(2, "parts")
    resumed = trained(3, "parts", resumes=True)
    for network in ("generator", "discriminator", "feature_network"):
        ends = (getattr(state, network).state_dict().values() for state in (whole, resumed))
        assert all(map(torch.equal, *ends)), network
    assert whole.history == resumed.history and whole.history[0]["train_feature_loss"] > 0


@pytest.mark.parametrize("preset", ["spectral", "audio"])
def test_a_latent_adversary_needs_a_bottleneck(preset):
    with pytest.raises(ConfigurationError, match=r"training.adversary=latent .* no bottleneck"):
        described(preset, "training.adversary=latent")


@pytest.mark.parametrize("adversary", ["none", "latent"])
def test_features_of_a_discriminator_that_sees_no_signals_are_refused(adversary):
    with pytest.raises(ConfigurationError, match=r"feature_network=discriminator .* pretrained"):
        described("dan", f"training.adversary={adversary}", "training.feature_weight=1")


def test_a_latent_adversary_sees_what_passes_the_bottleneck():
    config = described("dan", "training.adversary=latent")
    generator, discriminator = build_generator(config).eval(), build_discriminator(config)
    clean, mixed = torch.randn(2, 4, 1, 256)
    outputs, of_clean, of_mixed = generate(generator, clean, mixed, config.training)
    assert of_clean.shape == of_mixed.shape == (4, 16, 16)
    assert discriminator(of_clean).shape == (4,)
    torch.testing.assert_close(of_clean, generator.encode(clean))
    for output, given in zip(outputs, (mixed, clean), strict=True):
        torch.testing.assert_close(output, generator(given))


def test_a_latent_adversary_moves_the_encoder_alone(config, data):
    """With no weight on the reconstruction, the decoder has no part in the generator's loss."""
    settings = replace(config.training, adversary="latent", pretrain_epochs=0, batch_size=40, reconstruction_weight=0.0)
    config = replace(config, training=settings)
    state = new_training(config, CPU)
    before = {name: value.clone() for name, value in state.generator.named_parameters()}
    train_epoch(state, loaders(config)[0], settings, epoch=1)
    moved = {name for name, value in state.generator.named_parameters() if not torch.equal(value, before[name])}
    encoder = {f"layers.{number}" for number in range(3 * config.generator.depth)}
    assert moved and {name.rsplit(".", 1)[0] for name in moved} <= encoder


def test_activations_are_those_on_the_way_to_the_logits():
    discriminator = build_discriminator(described()).eval()
    signals = torch.randn(3, 1, 256)
    first, last = discriminator.activations(signals)
    assert first.shape == (3, 8, 128) and last.shape == (3, 8, 64)
    torch.testing.assert_close(discriminator.classifier(last.flatten(1)).squeeze(1), discriminator(signals))


def test_labels_say_how_many_sines_there_are_and_where():
    data = described("dan", "data.num_components=2").data
    signals, labels = next(sine_batches(data, 0, CPU))
    assert signals.shape == (len(labels), 1, 256)
    spectra = np.abs(np.fft.rfft(signals[:, 0], 4096))
    bands, numbers = labels[:, :BANDS], labels[:, BANDS:]
    for spectrum, places, number in zip(spectra, bands, numbers, strict=True):
        assert number.sum() == 1 and 1 <= places.sum() <= number.argmax() + 1
        strongest = spectrum.argmax() / 4096 * 256
        band = (strongest - data.low_freq) / (data.high_freq - data.low_freq) * BANDS
        assert places[max(0, int(band - 1)) : int(band + 1) + 1].any()


def test_the_feature_network_learns_to_analyse(monkeypatch, config, data):
    monkeypatch.setattr("dan.training.feature_network.STEPS", 60)
    network = build_feature_network(config)
    signals, labels = next(sine_batches(config.data, 99, CPU))

    def loss():
        logits = network(signals)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).item()

    before = loss()
    train_feature_network(network, config)
    assert loss() < 0.6 * before
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_of_recordings_the_label_is_the_recording(tmp_path, overrides, few_steps):
    rng, source = np.random.default_rng(0), tmp_path / "clean"
    source.mkdir()
    for number in range(4):
        soundfile.write(source / f"{number}.wav", rng.normal(0, 0.1, 256 * 12), 256)
    config = resolve("dan", [*overrides, f"data.clean_source={source}"])
    create_data(config)
    manifest = check_manifest(config)
    assert len(manifest["recordings"]) == config.data.num_train
    assert set(manifest["recordings"]) == {0, 1}  # of four, one each is for validation and test
    network = build_feature_network(config)
    assert network(torch.zeros(2, 1, 256)).shape == (2, 2)
    train_feature_network(network, config)
    write_manifest(config.data_folder, manifest | {"recordings": [0] * len(manifest["recordings"])})
    with pytest.raises(UserError, match="one recording alone"):
        build_feature_network(config)


def test_the_realism_score_tells_what_is_clean_from_what_is_not(monkeypatch):
    monkeypatch.setattr(realism, "NUM_TRAIN", 500)
    monkeypatch.setattr(realism, "NUM_TEST", 500)
    data = described("dan", "data.snr_db=60").data
    assert realism_score(np.copy, data) < 0.6  # nearly no noise
    assert realism_score(np.copy, replace(data, snr_db=-2.0)) > 0.95


def test_the_ablation_goes_on_where_it_stopped(script, monkeypatch, few_steps, overrides):
    monkeypatch.setattr(ablation, "WEIGHTS", (0.3, 1))
    monkeypatch.setattr(
        ablation,
        "SWITCHES",
        {
            name: switches
            for name, switches in ablation.SWITCHES.items()
            if name in (ablation.NO_ADVERSARY, "latent, bce")
        },
    )
    settings = [each for each in SPECTRAL if not each.startswith(("generator", "data.snr_db"))]
    arguments = ["--preset", "spectral", "--seeds", "1", *settings, *overrides[-3:]]
    code, _, err = script("ablation", *arguments)
    assert code == 0, err
    folder = resolve("dan", overrides).checkpoint_folder.parent / "ablation"
    results = sorted(folder.rglob("ablation.json"))
    assert len(results) == 3 + 3  # without, and two weights, at both input SNRs
    measured = json.loads(results[0].read_text())["measured"]
    assert set(measured) == set(ablation.COLUMNS) and all(map(np.isfinite, measured.values()))
    times = [path.stat().st_mtime_ns for path in results[1:]]
    results[0].unlink()
    code, out, err = script("ablation", *arguments)
    assert code == 0 and "| spectral | -2 dB | no adversary |" in out
    assert results[0].exists()
    assert times == [path.stat().st_mtime_ns for path in results[1:]]
    code, _, err = script("ablation", *arguments, "training.generator_lr=0.5")
    assert code == 1 and "other settings of training" in one_error(err)
    results[0].write_text("{")
    assert "damaged" in one_error(script("ablation", *arguments)[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training.gan_loss=hinge"], "training.gan_loss is set by ablation.py"),
        (["data.snr_db=0"], "data.snr_db"),
        (["--preset", "audio"], "choose from: dan, spectral"),
        (["data.clean_source=x"], "sines"),
    ],
)
def test_what_the_ablation_sets_itself_is_refused(arguments, message, script):
    code, _, err = script("ablation", *arguments)
    assert code == 2 and message in one_error(err)
