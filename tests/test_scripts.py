"""The four scripts in sequence, as a person runs them."""

import ast
import graphlib
import importlib
import json
import os
import subprocess
import sys

from conftest import one_error

import evaluate
import presets
from config import REPOSITORY

SCRIPTS = ("create_data", "dataset", "train_gan", "evaluate")


def command(name, *arguments):
    return [sys.executable, str(REPOSITORY / f"{name}.py"), *arguments]


def test_the_four_scripts_in_sequence(overrides, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in SCRIPTS:
        result = subprocess.run(
            command(name, *overrides),
            cwd=tmp_path / "elsewhere",
            capture_output=True,
            text=True,
            env=os.environ | {"DISPLAY": ""},
        )
        assert result.returncode == 0, result.stderr
    figures = {path.name for path in (tmp_path / "images/dan").glob("*.png")}
    assert figures == {
        "created_data.png",
        "performance_plot.png",
        "snr_improvement.png",
        "residual_spectrum.png",
        *(f"denoised_against_lowpass_{number:02d}.png" for number in range(1, 9)),
    }
    sounds = sorted(path.name for path in (tmp_path / "images/dan/sounds").iterdir())
    assert sounds[:3] == ["01_clean.wav", "01_denoised_dan.wav", "01_mixed.wav"]
    assert len(sounds) == 15
    assert {path.name for path in (tmp_path / "checkpoints/dan").iterdir()} == {
        "best.pt",
        "last.pt",
        "history.csv",
        "settings.txt",
        ".lock",
    }
    results = json.loads((tmp_path / "images/dan/evaluation.json").read_text())
    assert results["signals"]["test"]["count"] == 20
    methods = results["signals"]["test"]["methods"]
    assert abs(methods["input"]["snr_db"]["mean"] + 2) < 1e-4
    # The described finding: a lowpass leaves the noise inside the signal's band as it was.
    assert abs(methods["lowpass"]["noise_reduction_in_band_db"]["mean"]) < 0.1
    assert methods["lowpass"]["noise_reduction_out_of_band_db"]["mean"] > 5


def test_trainings_are_compared_by_name_and_missing_ones_named(overrides, script, tmp_path):
    script("create_data", *overrides)
    assert script("train_gan", *overrides)[0] == 0
    assert script("train_gan", "--name", "slow", *overrides, "training.generator_lr=1e-4")[0] == 0
    code, out, err = script("evaluate", "--compare", "dan", "slow", "none", *overrides)
    assert code == 0 and "left out none" in err
    rows = [line.split() for line in out.splitlines()]
    assert ["training.generator_lr", "0.01", "0.0001"] in rows
    folder = tmp_path / "images/comparisons/dan+slow"
    results = json.loads((folder / "evaluation.json").read_text())
    assert set(results["denoisers"]) == {"dan", "slow"}
    methods = results["signals"]["test"]["methods"]
    assert {"input", "lowpass", "Wiener", "oracle", "dan", "slow"} <= set(methods)
    assert len(results["sweeps"]["snr"]["total_snr_db"]["dan"]) == 11
    assert {path.name for path in folder.glob("*.png")} == {
        "snr_improvement.png",
        "residual_spectrum.png",
        "training_curves.png",
        "comparison.png",
        "sweep_snr.png",
        "sweep_spacing.png",
        "sweep_number.png",
    }
    # Another comparison has another folder, and another draw takes no new data.
    code, _, err = script("evaluate", "--compare", "slow", *overrides, "evaluation.seed=1")
    assert code == 0, err
    other = json.loads((tmp_path / "images/comparisons/slow/evaluation.json").read_text())
    assert json.loads((folder / "evaluation.json").read_text()) == results
    for split, is_same in (("validation", True), ("test", False)):
        one, two = (r["signals"][split]["methods"]["lowpass"]["snr_db"] for r in (results, other))
        assert (one == two) == is_same
    assert results["sweeps"]["snr"]["total_snr_db"]["lowpass"] != other["sweeps"]["snr"]["total_snr_db"]["lowpass"]
    code, _, err = script("evaluate", *overrides, "--compare", "none")
    assert code == 1 and "none of none is trained" in one_error(err)
    # An earlier training, which --restart moved aside, has a name, too.
    assert script("train_gan", *overrides, "--restart")[0] == 0
    code, out, err = script("evaluate", *overrides, "--list")
    names = [line.partition(":")[0] for line in out.splitlines()]
    assert code == 0 and names == ["dan", "dan/earlier-1", "slow"]
    assert "training.generator_lr=0.0001" in out.splitlines()[2]
    code, out, err = script("evaluate", "--compare", "dan", "dan/earlier-1", *overrides)
    assert code == 0 and "the same settings" in out, err


def test_what_create_data_was_told_need_not_be_said_again(overrides, script, monkeypatch):
    overrides = [each for each in overrides if not each.startswith(("data.snr_db", "data.seed"))]
    assert script("create_data", *overrides, "data.snr_db=3", "data.seed=7")[0] == 0
    code, out, err = script("dataset", *overrides)
    assert code == 0 and "SNR 3.000 dB" in out, err
    code, _, err = script("dataset", *overrides, "data.snr_db=4")
    assert code == 1 and "data.snr_db=3.0 (here 4.0); leave that out" in one_error(err)
    # Another preset takes the same data.
    assert "SNR 3.000 dB" in script("dataset", "--preset", "spectral", overrides[-3])[1]
    monkeypatch.setitem(presets.PRESETS, "dan", {"data": {"noise_std": 9}})
    fewer = [each for each in overrides if not each.startswith("data.noise_std")]
    code, _, err = script("dataset", *fewer)
    assert code == 1 and "data.noise_std=0.5, and it has 9 now" in one_error(err)
    assert script("create_data", *fewer)[0] == 0
    assert script("dataset", *fewer)[0] == 0


def test_no_file_of_a_person_is_replaced_by_an_evaluation(overrides, script, tmp_path, monkeypatch):
    script("create_data", *overrides)
    assert script("train_gan", *overrides)[0] == 0
    monkeypatch.setattr(evaluate, "estimate_all", None)  # so that measuring would fail
    for options, name in (
        ([], "images/dan/evaluation.json"),
        (["--compare", "dan"], "images/comparisons/dan/evaluation.json"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"mine": 1}')
        code, _, err = script("evaluate", *options, *overrides)
        assert code == 1 and name in one_error(err) and "move it out" in one_error(err)
        assert (tmp_path / name).read_text() == '{"mine": 1}'


def test_each_script_names_the_one_to_run_before(overrides, script, tmp_path):
    for name in ("dataset", "train_gan"):
        code, _, err = script(name, *overrides)
        assert code == 1 and "run create_data.py" in one_error(err)
    assert script("create_data", *overrides)[0] == 0
    code, _, err = script("evaluate", *overrides)
    assert code == 1 and "run train_gan.py" in one_error(err)
    code, _, err = script("train_gan", *overrides, "--resume")
    assert code == 1 and "last.pt is missing" in one_error(err)
    assert not (tmp_path / "checkpoints").exists()


def test_resuming_with_other_settings_is_refused(overrides, script):
    script("create_data", *overrides)
    assert script("train_gan", *overrides, "training.max_epochs=1")[0] == 0
    code, _, err = script("train_gan", *overrides, "--resume", "training.generator_lr=0.5")
    assert code == 2 and "training.generator_lr=0.01" in one_error(err)
    assert script("train_gan", *overrides, "--resume")[0] == 0
    # A finished training resumes to its end at once.
    code, out, _ = script("train_gan", *overrides, "--resume")
    assert code == 0 and "4 epochs" in out


def test_no_file_imports_one_that_imports_it():
    """Directly, lazily or in a circle; tests and benchmarks left out."""
    paths = [*REPOSITORY.glob("*.py"), *REPOSITORY.glob("dan/*.py")]
    names = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path for path in paths}
    imports = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        imports[name] = found & names.keys()
    order = graphlib.TopologicalSorter(imports).static_order()  # CycleError names the circle
    assert set(order) == names.keys()


def test_the_benchmark_finds_what_it_measures():
    sys.path.insert(0, str(REPOSITORY / "tests"))
    try:
        assert importlib.import_module("benchmark").measure_scaling
    finally:
        sys.path.pop(0)
