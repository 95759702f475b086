"""The numbers of README.md and docs/: that they are those of the records, and how results.py comes to them."""

import json
import re

import pytest
import torch
from PIL import Image

from config import REPOSITORY
from dan.configuration import resolve
from dan.errors import UserError
from dan.results import records, texts, trainings
from dan.results.tables import markdown, number, with_spread
from results import PARTS, TABLES, figure_folder

TEXTS = [pytest.param(path, id=path.name) for path in texts.texts()]
CODE = re.compile(r"```.*?```|^ {4}.*?$|`[^`]*`", re.DOTALL | re.MULTILINE)
MADE = re.compile(r"<!-- table: .*?<!-- end -->", re.DOTALL)
ROWS = re.compile(r"^\|.*$", re.MULTILINE)
MEASURED = re.compile(r"−?\d[\d.,]*(?: (?:dB|%|ms|s|MB|GB|minutes?|hours?|times)\b| ×)")
# Numbers that describe: the signals, the measurements, what a setting means. No result is among them.
DESCRIBED = {
    "−2 dB", "−8 dB", "−10 dB", "0 dB", "5 dB", "7 dB", "10 dB", "12 dB", "25 dB", "30 dB", "95 %", "50 %", "10 %",
    "32 ms", "40 ms", "48 ms", "64 ms", "5 s", "0.84 s",
}  # fmt: skip


@pytest.fixture
def record(monkeypatch, tmp_path):
    """A record of a part called "trial", in a folder of its own."""
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    values = {"a method": {"output SNR": records.over_seeds({42: -11.26, 1: -11.0}, 1000)}, "bound": [17.0, 18.5]}
    records.write("trial", records.fingerprints(["models.py"]), values, 3)
    return values


def table(values, known):
    return markdown(["method", "SNR"], [["it", with_spread(values["a method"]["output SNR"], 1, " dB")]])


@pytest.mark.parametrize("path", TEXTS)
def test_the_texts_have_the_numbers_of_the_records(path):
    """Where this fails, a number was edited, or measured anew, or its code has changed: `python results.py --texts`."""
    text = path.read_text(encoding="utf-8")
    assert texts.filled(text, TABLES) == text


@pytest.mark.parametrize("path", TEXTS)
def test_no_number_that_was_measured_stands_there_without_a_record(path):
    text = path.read_text(encoding="utf-8")
    for pattern in (MADE, CODE, ROWS):
        text = pattern.sub("", text)
    text = texts.REFERENCE.sub("", text)
    assert {" ".join(found.split()) for found in MEASURED.findall(text)} <= DESCRIBED


@pytest.mark.parametrize("name", PARTS)
def test_the_figures_are_of_the_records(name):
    source = records.fingerprint_of(records.read(name)["values"])
    for title in PARTS[name].FIGURES:
        with Image.open(figure_folder(name) / f"{title}.png") as figure:
            assert figure.info["Source"] == source
    assert {path.stem for path in figure_folder(name).glob("*")} == set(PARTS[name].FIGURES)


def test_a_changed_digit_is_found(record):
    before = "It has −11.13<!-- trial/a method/output SNR --> dB, at least −11.3<!-- trial/a method/output SNR/low -->."
    tables = {"trial": {"all": table}}
    assert texts.filled(before, tables) == before
    assert texts.filled(before.replace("11.13", "11.23"), tables) == before
    assert texts.filled("+1<!-- trial/bound/1 -->", tables) == "+18<!-- trial/bound/1 -->"


def test_a_table_says_when_its_code_has_changed(record, monkeypatch):
    tables, empty = {"trial": {"all": table}}, "<!-- table: trial/all -->\n<!-- end -->"
    filled = texts.filled(empty, tables)
    assert "| it | −11.1 dB (−11.3 to −11.0) |" in filled
    assert "`make results ONLY=trial`" in filled and "before" not in filled
    assert texts.filled(filled, tables) == filled
    monkeypatch.setattr(records, "fingerprint", lambda path: "another")
    assert "before the last change of `models.py`" in texts.filled(filled, tables)


@pytest.mark.parametrize(
    "text", ["1<!-- trial/nothing -->", "1<!-- none/x -->", "<!-- table: trial/none -->\n<!-- end -->"]
)
def test_what_is_in_no_record_is_refused(text, record):
    with pytest.raises(UserError, match=r"there is no table|has no number"):
        texts.filled(text, {"trial": {}})


def test_a_record_says_where_it_comes_from(record):
    made, values = records.read("trial")["made"], records.read("trial")["values"]
    assert values == json.loads(json.dumps(record))
    assert values["a method"]["output SNR"]["by_seed"] == [-11.26, -11.0]
    assert set(made) == {"commit", "date", "processor", "threads", "minutes", "code"}
    assert made["code"] == {"models.py": records.fingerprint("models.py")}
    assert made["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_record_is_refused(content, record):
    (records.FOLDER / "trial.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        records.read("trial")


@pytest.mark.parametrize("name", PARTS)
def test_the_code_of_a_part_is_there(name):
    assert all((REPOSITORY / path).exists() for path in (*PARTS[name].CODE, *trainings.CODE))


def test_numbers_have_a_true_minus_sign():
    assert number(-1234.56, 1) == "−1,234.6"
    assert with_spread(records.over_signals(11.94, 0.17, 1000), 1, " dB") == "11.9 ± 0.2 dB"


def test_a_training_is_made_once_gone_on_with_and_made_anew_for_other_settings(overrides, monkeypatch):
    config, runs = resolve("dan", overrides), []
    run_training = trainings.run_training

    def recorded(config, resumes, restarts, begin_with):
        runs.append("resumed" if resumes else "begun")
        return run_training(config, resumes, restarts, begin_with)

    monkeypatch.setattr(trainings, "run_training", recorded)
    trainings.share([config], trainings.train_missing, "trial")
    trainings.share([config], trainings.train_missing, "trial")
    assert runs == ["begun"]
    assert trainings.code_of([config]) == records.fingerprints(trainings.CODE)
    longer = resolve("dan", [*overrides, "training.max_epochs=5"])
    trainings.train_missing(longer)
    trainings.train_missing(resolve("dan", [*overrides, "training.generator_lr=0.003"]))
    assert runs == ["begun", "resumed", "begun"]
    assert (config.checkpoint_folder / "earlier-1/last.pt").exists()


def test_what_another_process_trains_comes_last_and_is_waited_for(tmp_path, monkeypatch):
    configs, order = [resolve("dan", [f"paths.checkpoints={tmp_path / name}"]) for name in "ab"], []

    def finish(config):
        name = config.checkpoint_folder.parent.name
        if not order:
            order.append(f"{name} is in use")
            raise trainings.InUseError("in use")
        order.append(name)

    trainings.share(configs, finish, "trial")
    assert order == ["a is in use", "b", "a"]


def test_an_unknown_part_is_refused(script):
    code, _, err = script("results", "nothing")
    assert code == 2 and "there is no part nothing; choose from: sines" in err
