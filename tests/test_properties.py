"""Thousands of generated inputs, good and bad: each is used, or refused in one line.

Anything else that is raised (a bug, which a script would end in a traceback) fails a test.
"""

import io
import json
import resource
import sys
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from create_data import create_data
from dan.configuration import from_dict, resolve, to_dict
from dan.errors import ConfigurationError, UserError
from dan.settings import list_settings
from dan.signals.audio_files import read_recording
from dan.signals.npy_files import read_signal
from dan.signals.store import claim_files, manifest_path
from dan.training.checkpoints import load_generator, read_checkpoint, write_checkpoint
from dan.training.folder import refuse_to_replace
from dan.training.state import new_training
from dataset import StoredPairs
from denoise import Denoiser, plan
from presets import PRESETS

MOST_MEMORY = 2**30


def cases(number):
    """So many cases, the same ones each time, and no limit on the time of one."""
    return settings(
        max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(scope="module", autouse=True)
def memory_stays_small():
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < MOST_MEMORY


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("properties")


@pytest.fixture(scope="module")
def small(folder):
    """A small trained-like setting: data on disk, and a checkpoint of its state."""
    config = resolve(
        "dan",
        [
            "data.stream=false",
            "data.num_train=3",
            "data.num_validation=2",
            "generator.depth=1",
            "generator.encoder_filters=1",
            "generator.decoder_filters=1",
            "generator.kernel_size=2",
            "discriminator.filters=1",
            "discriminator.kernel_size=2",
            "discriminator.hidden_units=1",
            "training.device=cpu",
            *(f"paths.{n}={folder / n}" for n in ("data", "images", "checkpoints")),
        ],
    )
    create_data(config)
    write_checkpoint(config.checkpoint_folder / "last.pt", new_training(config, torch.device("cpu")).checkpoint(config))
    return config


KEYS = sorted({key for preset in PRESETS for key, _, _ in list_settings(resolve(preset))})
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.tuples(st.floats(), st.floats()).map(lambda pair: f"{pair[0]},{pair[1]}"),
    st.sampled_from(["", ",", "1,", "nan", "inf", "-inf", "1e999", "0x10", "1_0", "true", "None"]),
)
OVERRIDES = st.one_of(st.tuples(st.sampled_from(KEYS), VALUES).map("=".join), st.text(max_size=30))


@cases(700)
@given(st.one_of(st.sampled_from(sorted(PRESETS)), st.text(max_size=12)), st.lists(OVERRIDES, max_size=3))
def test_overrides_are_taken_or_refused(preset, overrides):
    try:
        config = resolve(preset, overrides)
    except ConfigurationError as error:
        assert str(error)
    else:
        assert from_dict(to_dict(config)) == config


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def replaced(value, path, content):
    """A copy of nested dictionaries with `content` at the place that `path` leads to."""
    if not path or not isinstance(value, dict) or not value:
        return content
    key = sorted(value)[path[0] % len(value)]
    return value | {key: replaced(value[key], path[1:], content)}


PLACES = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@cases(300)
@given(path=PLACES, content=JSON)
def test_stored_configurations_are_taken_or_refused(path, content):
    stored = replaced(to_dict(resolve("audio")), path, content)
    try:
        config = from_dict(stored)
    except ConfigurationError:
        return
    assert config.data.length > 0


@cases(300)
@given(path=PLACES, content=JSON, text=st.none() | st.binary(max_size=60))
def test_manifests_are_taken_or_refused(path, content, text, small):
    place = manifest_path(small.data_folder)
    original = place.read_bytes()
    others = {p: p.read_bytes() for p in small.data_folder.rglob("*.npy")}
    changed = json.dumps(replaced(json.loads(original), path, content)).encode()
    place.write_bytes(changed if text is None else text)
    try:
        for use in (
            lambda: StoredPairs(small, "train"),
            lambda: claim_files(small.data_folder, {"train": 1, "validation": 1}),
        ):
            try:
                use()
            except UserError as error:
                assert str(place) in str(error) or str(small.data_folder) in str(error)
    finally:
        for other, content in others.items():
            other.write_bytes(content)
        place.write_bytes(original)


def npy(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


ARRAYS = stn.arrays(
    st.one_of(
        stn.floating_dtypes(),
        stn.integer_dtypes(),
        stn.boolean_dtypes(),
        stn.complex_number_dtypes(),
        stn.unicode_string_dtypes(max_len=3),
        stn.datetime64_dtypes(),
        stn.array_dtypes(max_size=2),
    ),
    stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
)
DAMAGE = st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4)), max_size=4)


def damaged(content, cut, damage):
    """Bytes with some overwritten, and cut off after a share of them."""
    content = bytearray(content)
    for place, patch in damage:
        place %= len(content) + 1
        content[place : place + len(patch)] = patch
    return bytes(content[: round(cut * len(content))])


CUTS = st.one_of(st.just(1.0), st.floats(0, 1))


@cases(400)
@given(array=ARRAYS, cut=CUTS, damage=DAMAGE)
def test_npy_files_are_read_or_refused(array, cut, damage, folder):
    path = folder / "array.npy"
    path.write_bytes(damaged(npy(array), cut, damage))
    for read in (lambda: read_recording(path, 8000, 11_025), lambda: read_signal(path, 5)):
        try:
            read()
        except UserError as error:
            assert str(path) in str(error)


@cases(150)
@given(header=st.text(st.characters(codec="latin-1"), max_size=80), size=st.integers(0, 10**12))
def test_npy_headers_that_promise_anything_take_no_memory(header, size, folder):
    path = folder / "header.npy"
    text = header or f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({size},)}}"
    encoded = text.encode("latin-1") + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded)
    with pytest.raises(UserError, match=r"header\.npy"):
        read_recording(path, 8000, 8000)


@cases(300)
@given(
    suffix=st.sampled_from(["wav", "flac", "ogg"]),
    frames=st.integers(0, 300),
    channels=st.integers(1, 3),
    cut=CUTS,
    damage=DAMAGE,
)
def test_audio_files_are_read_or_refused(suffix, frames, channels, cut, damage, folder):
    content = io.BytesIO()
    samples = np.random.default_rng(frames).uniform(-1, 1, (frames, channels))
    soundfile.write(content, samples, 8000, format=suffix.upper())
    path = folder / f"sound.{suffix}"
    path.write_bytes(damaged(content.getvalue(), cut, damage))
    try:
        for signal in read_recording(path, 8000, 8000):
            assert np.isfinite(signal).all()
    except UserError as error:
        assert str(path) in str(error)


@cases(150)
@given(cut=CUTS, damage=DAMAGE)
def test_damaged_checkpoints_are_read_or_refused(cut, damage, small, folder):
    path = folder / "damaged.pt"
    content = (small.checkpoint_folder / "last.pt").read_bytes()
    path.write_bytes(damaged(content, cut, damage))
    try:
        load_generator(path)
    except UserError as error:
        assert str(path) in str(error)


PICKLES = {
    "brackets": b"]" * 100_000_000,
    "a large array of bytes": b"cbuiltins\nbytearray\n\x8a\x05" + bytes(4) + b"\x02\x85R",
    "a key of tuples in tuples": b"})" + b"\x85" * 1_000_000 + b"K\x01s",
    "a key of one tuple in many places": b"})q\x00" + b"h\x00\x86q\x00" * 60 + b"K\x01s",
}


@pytest.mark.parametrize("kind", PICKLES)
def test_small_checkpoints_do_not_unfold(kind, small, folder):
    """Such a one took minutes, gigabytes, or all of Python's stack."""
    sound, path = zipfile.ZipFile(small.checkpoint_folder / "last.pt"), folder / "unfolds.pt"
    compression = zipfile.ZIP_DEFLATED if kind == "brackets" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member in sound.namelist():
            archive.writestr(
                member, b"\x80\x02" + PICKLES[kind] + b"." if member.endswith("data.pkl") else sound.read(member)
            )
    with pytest.raises(UserError, match=r"unfolds\.pt is damaged"):
        load_generator(path)


def test_a_lack_of_memory_is_not_taken_for_damage(small, monkeypatch):
    def load(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(RuntimeError, match="allocate memory"):
        read_checkpoint(small.checkpoint_folder / "last.pt")


def test_a_single_changed_bit_of_any_tensor_is_noticed(small, folder):
    sound, path = (small.checkpoint_folder / "last.pt").read_bytes(), folder / "changed.pt"
    weights = torch.load(small.checkpoint_folder / "last.pt", weights_only=True)["generator"]
    for values in weights.values():
        if values.any():
            content = values.numpy().tobytes()
            path.write_bytes(sound.replace(content, bytes([content[0] ^ 1]) + content[1:]))
            with pytest.raises(UserError, match=r"changed\.pt is damaged"):
                load_generator(path)


PLAIN = JSON | st.just(torch.zeros(2)) | st.just((1, 2)) | st.integers(0, 3).map(torch.ones)


@cases(200)
@given(path=PLACES, content=PLAIN)
def test_checkpoints_with_other_things_in_them_are_taken_or_refused(path, content, small, folder):
    place = folder / "other.pt"
    stored = torch.load(small.checkpoint_folder / "last.pt", weights_only=True)
    torch.save(replaced(stored, path, content), place)
    try:
        checkpoint = read_checkpoint(place)
        load_generator(place)
        new_training(small, torch.device("cpu")).restore(checkpoint, place)
    except UserError as error:
        assert str(place) in str(error)


@pytest.mark.filterwarnings("ignore:.*not finite")
@cases(25)
@given(
    array=stn.arrays(
        st.one_of(stn.floating_dtypes(sizes=(16, 32, 64)), stn.integer_dtypes()),
        stn.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=40),
    ),
    rate=st.sampled_from([256, 255, 8000, 16]),
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_any_numbers_are_denoised_to_finite_ones(array, rate, small):
    generator = new_training(small, torch.device("cpu")).generator
    result = Denoiser(generator, small.data)(array, rate)
    assert result.shape == array.shape and result.dtype == array.dtype
    if array.dtype.itemsize > 2:
        assert np.isfinite(result).all()


@cases(100)
@given(
    names=st.lists(st.sampled_from(["a.wav", "b.wav", "in", "loop", "no.wav", ""]), max_size=3),
    output=st.sampled_from(["out", "out.wav", "in", "a.wav", "in/c.wav", "loop"]),
    overwrite=st.booleans(),
)
def test_plans_never_aim_at_an_input(names, output, overwrite, folder):
    place = folder / "plans"
    if not place.exists():
        (place / "in").mkdir(parents=True)
        for name in ("a.wav", "b.wav", "in/c.wav"):
            (place / name).write_bytes(b"mine")
        (place / "loop").symlink_to(place)
    assume(names)
    try:
        jobs = plan([str(place / name) for name in names], place / output, overwrite)
    except UserError as error:
        assert str(error)
        return
    sources = {source.resolve() for source, _ in jobs}
    assert not sources & {target.resolve() for _, target in jobs}


def test_a_link_to_itself_and_a_training_in_the_way_are_named(folder, small):
    (folder / "circle").symlink_to(folder / "circle")
    with pytest.raises((UserError, OSError)) as error:
        plan([str(folder / "circle")], folder / "out", False)
    assert "circle" in str(error.value)
    with pytest.raises(UserError):
        refuse_to_replace(small.checkpoint_folder)
