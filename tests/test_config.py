"""Presets, overrides and what is said about a wrong one."""

import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from conftest import DESCRIBED, described, one_error

from config import REPOSITORY
from dan.configuration import from_dict, preset_in_words, resolve, to_dict
from dan.errors import ConfigurationError
from dan.settings import list_settings
from models import build_discriminator, build_generator, count_parameters
from presets import PRESETS


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [
        ("dan", 282_177, 10_577),
        ("dan-published", 282_177, 10_577),
        ("dan-small", 26_373, 1_245),
        ("spectral", 26_243, 10_577),
        ("spectral-any", 91_112, 10_577),
    ],
)
def test_parameter_counts_are_exact(preset, generator, discriminator):
    config = described(preset)
    assert count_parameters(build_generator(config)) == generator
    assert count_parameters(build_discriminator(config)) == discriminator


def test_overrides_change_only_what_they_name():
    config = resolve(
        "dan-small",
        [
            "data.snr_db=0",
            "data.num_components=1,5",
            "data.duration=2",
            "data.random_phase=true",
            "training.device=cpu",
        ],
    )
    assert config.data.snr_db == 0.0
    assert config.data.num_components == (1, 5)
    assert config.data.length == 512
    assert config.data.random_phase is True
    assert config.generator == resolve("dan-small").generator


def test_settings_are_frozen_and_every_one_has_a_meaning():
    config = resolve()
    with pytest.raises(FrozenInstanceError):
        config.data.seed = 1
    assert all(len(item.metadata["meaning"]) > 10 for _, _, item in list_settings(config))


def test_a_stored_configuration_comes_back_equal():
    config = resolve("dan-small", ["data.snr_db=-5,10"])
    assert from_dict(to_dict(config)) == config
    assert from_dict(to_dict(resolve("spectral"))) == resolve("spectral")
    with pytest.raises(ConfigurationError):
        from_dict({"preset": "dan"})


def test_paths_are_relative_to_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve().data_folder == REPOSITORY / "data"
    assert resolve("dan", [f"paths.data={tmp_path}"]).data_folder == tmp_path


def test_a_training_has_folders_of_its_name():
    assert resolve("audio").checkpoint_folder == REPOSITORY / "checkpoints/audio"
    named = resolve("audio", ["data.sample_rate=360"], "ecg")
    assert named.checkpoint_folder == REPOSITORY / "checkpoints/ecg"
    assert named.image_folder == REPOSITORY / "images/ecg"


FAULTS = {
    "training.max_epoch=5": ["training.max_epoch", "training.max_epochs"],
    "max_epochs=5": ["max_epochs", "training.max_epochs"],
    "training.lr=0.1": ["training.lr", "'training.generator_lr'"],
    "data.snr=0": ["data.snr", "'data.snr_db'"],
    "training.batch_size=0": ["training.batch_size=0", "1"],
    "training.batch_size=2.5": ["training.batch_size=2.5", "whole number"],
    "training.batch_size": ["section.key=value"],
    "data.random_phase=maybe": ["data.random_phase=maybe", "true or false"],
    "data.low_freq=64": ["data.low_freq=64", "below data.high_freq=64"],
    "data.high_freq=129": ["data.high_freq=129", "128 Hz"],
    "data.duration=0.001": ["data.duration=0.001", "0.03125"],
    "data.snr_db=10,-5": ["data.snr_db=10.0,-5.0", "low below high"],
    "data.snr_db=nan": ["data.snr_db=nan", "from -100 to 100"],
    "data.snr_db=1,2,3": ["data.snr_db=1,2,3", "range low,high"],
    "data.sample_rate=1000000": ["data.sample_rate", "192,000"],
    "data.seed=-1": ["data.seed=-1"],
    "training.schedule=one-cicle": ["training.schedule=one-cicle", "one-cycle"],
    "training.warmup=1.5": ["training.warmup=1.5", "from 0 to 1"],
    "generator.depth=0": ["generator.depth=0", "from 1 to 16"],
    "training.generator_lr=fast": ["training.generator_lr=fast", "a number"],
    "evaluation.lowpass_stopband=200": ["evaluation.lowpass_stopband=200", "128 Hz"],
    "evaluation.lowpass_passband=110": ["evaluation.lowpass_passband=110", "100"],
    "evaluation.lowpass_stopband=64.0005": ["64.0005", "an order of", "200 is the most"],
    "training.batch_size=" + "9" * 300: ["training.batch_size=999", "from 1 to 1,000,000"],
    "data.low_freq=" + "9" * 300 + ".5": ["data.low_freq=1e+300", "below"],
}


@pytest.mark.parametrize("override", FAULTS)
def test_an_invalid_override_names_key_value_and_cure(override, overrides, script, tmp_path):
    code, _, err = script("create_data", *overrides, override)
    line = one_error(err)
    assert code == 2
    assert all(part in line for part in FAULTS[override]), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("generator.kernel_size=4", ["generator.kernel_size=4", "odd"]),
        ("generator.encoder_filters=4", ["unknown key 'generator.encoder_filters'"]),
    ],
)
def test_the_spectral_presets_settings_are_checked(override, parts):
    with pytest.raises(ConfigurationError) as error:
        resolve("spectral", [override])
    assert all(part in str(error.value) for part in parts)


def test_the_audio_presets_frames_are_a_power_of_two():
    with pytest.raises(ConfigurationError, match=r"power of 2, such as 512"):
        resolve("audio", ["generator.frame_length=300"])


def test_frequency_bins_are_halved_no_more_than_they_can():
    assert resolve("audio", ["generator.frame_length=16", "generator.levels=3"])
    with pytest.raises(ConfigurationError, match="levels=4"):
        resolve("audio", ["generator.frame_length=16"])


def test_wrong_presets_options_and_devices(overrides, script, tmp_path):
    assert "did you mean 'dan-small'?" in one_error(script("evaluate", "--preset", "dan-smal")[2])
    assert "unknown preset ''" in one_error(script("train_gan", "--preset=")[2])
    code, _, err = script("train_gan", "--resum")
    assert code == 2 and "--resum" in one_error(err)
    assert script("create_data", *overrides)[0] == 0
    for device in ("abacus", "meta", "mkldnn", "hpu", "cuda:99", ""):
        code, _, err = script("train_gan", *overrides, f"training.device={device}")
        assert code == 2 and f"training.device={device}" in one_error(err)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", ["create_data", "dataset", "models", "train_gan", "evaluate", "ablation"])
def test_help_lists_every_key_with_its_current_value(name, script):
    code, out, _ = script(
        name, "--help", "--preset", "dan-small", "training.max_epochs=7", "generator.encoder_filters=6"
    )
    assert code == 0
    assert "training.max_epochs=7" in out and "generator.encoder_filters=6" in out
    assert all(key in out for key, _, _ in list_settings(resolve()))


def test_models_prints_both_networks_from_any_folder(tmp_path):
    command = [sys.executable, str(REPOSITORY / "models.py"), *DESCRIBED["dan-small"], "--preset", "dan-small"]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["layers.0", "LongConv1d", "6", "×", "128", "390"] in lines
    assert ["total", "26,373"] in lines and ["total", "1,245"] in lines


def test_a_preset_says_what_it_changes_of_config():
    config = resolve("spectral")
    default = type(config)().training.batch_size
    assert f"training.batch_size={config.training.batch_size} (config.py: {default})" in preset_in_words(config)
    assert "preset dan sets nothing" in preset_in_words(resolve("dan", ["training.batch_size=7"]))


def test_batch_normalisation_is_given_two_values():
    short = ["data.duration=0.03125", "training.batch_size=1"]
    assert resolve("dan", [*short, "generator.depth=2"])
    with pytest.raises(ConfigurationError, match=r"generator.depth=4.*at least two values"):
        resolve("dan", short)


def test_all_that_is_invalid_is_said_at_once():
    with pytest.raises(ConfigurationError) as error:
        resolve("dan", ["training.batch_size=0", "data.snr_db=nan", "training.warmup=2"])
    assert all(key in str(error.value) for key in ("batch_size=0", "snr_db=nan", "warmup=2"))
    with pytest.raises(ConfigurationError) as error:
        resolve("dan", ["data.sample_rate=100", "generator.depth=9", "training.batch_size=1"])
    assert all(
        key in str(error.value) for key in ("data.high_freq=64", "evaluation.lowpass_stopband=100", "generator.depth=9")
    )


def test_settings_that_are_not_in_use_are_not_refused():
    assert resolve("dan", ["data.sample_rate=210", "data.high_freq=106", "data.clean_source=recordings"])
    for rate in (20, 100, 360, 8000, 22_050, 44_100):
        assert resolve("audio", [f"data.sample_rate={rate}", "data.duration=4"])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "override",
    [
        "data.sample_rate=0",
        "data.sample_rate=1e9",
        "data.sample_rate=44100",
        "data.sample_rate=22050",
        "data.sample_rate=7",
        "data.duration=0.00123",
        "data.duration=0",
        "data.duration=3599.987",
        "data.high_freq=1e5",
        "data.num_train=2000000",
        "generator.kernel_size=4",
        "generator.depth=99",
        "generator.frame_length=300",
        "generator.longest_dilation=5",
        "generator.levels=8",
        "training.batch_size=0",
        "training.warmup=-1",
        "data.amplitude_spread=2",
    ],
)
def test_no_suggestion_is_refused_when_it_is_typed_in(preset, override):
    typed, suggested = [override], {}
    for _ in range(5):
        try:
            resolve(preset, typed)
            return
        except ConfigurationError as error:
            refused = re.findall(r"(\w+\.\w+)=(\S+) is invalid; it must be ([^;]*)", str(error))
        assert not [key for key, value, _ in refused if suggested.get(key) == value], refused
        suggestion = re.compile(r"(?:at least|at most|such as) (\d[\d.,e+-]*\b)")
        suggested = {
            key: value[1].replace(",", "") for key, _, allowed in refused if (value := suggestion.search(allowed))
        }
        if not suggested:
            return  # what it says is about another setting, or of no number
        typed += [f"{key}={value}" for key, value in suggested.items()]
    raise AssertionError(typed)
