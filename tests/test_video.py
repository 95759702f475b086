"""Videos and other containers that ffmpeg reads: their sound is denoised, all else is copied."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch
from conftest import described, one_error

from dan.denoising.paths import plan
from dan.signals import video_files
from dan.signals.audio_files import find_recordings, open_audio, read_recording
from dan.training.checkpoints import write_checkpoint
from dan.training.state import new_training

av = pytest.importorskip("av")

RATE = 48_000
CHAPTERS = [
    {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "first"}},
    {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "second"}},
]


def tone(seconds=1.0, rate=RATE, channels=1):
    """A tone that swells in the middle, so that its place in time can be told: float32 (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(0.4 * np.sin(880 * np.pi * time) * np.exp(-(((time - 0.5) / 0.1) ** 2)), (channels, 1)).astype("f4")


def write(path, sound=None, codec="aac", picture=None, rate=RATE, layout="mono", start=0.0):
    """A file with a sound (channels, samples) that begins at `start` seconds, and a second of pictures."""
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "Talk"
        file.set_chapters(CHAPTERS)
        if picture:
            seen = file.add_stream(picture, rate=25, options={"bf": "2"} if picture == "mpeg4" else {})
            seen.width, seen.height, seen.pix_fmt = 64, 48, "yuv420p"
        if sound is not None:
            heard = file.add_stream(codec, rate=rate, layout=layout)
            heard.metadata["language"] = "fra"
        if picture:
            for index in range(25):
                image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8))
                image.pts, image.time_base = index, Fraction(1, 25)
                file.mux(seen.encode(image))
            file.mux(seen.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(sound, "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
            file.mux(heard.encode(frame))
            file.mux(heard.encode(None))
    return path


def pictures(path):
    """(Time of decoding, time of showing, bytes) of every packet of the picture."""
    with av.open(str(path)) as file:
        return [(p.dts, p.pts, bytes(p)) for p in file.demux(video=0) if p.size]


def loudest(path):
    """When the sound is loudest, in seconds."""
    with open_audio(path) as file:
        level = np.convolve(file.read(10 * file.samplerate)[:, 0] ** 2, np.ones(file.samplerate // 10), "same")
        return file.start + np.argmax(level) / file.samplerate


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of a small network for 8 kHz."""
    config = described("audio", "generator.channels=4", "generator.blocks=2", "generator.level_frames=5")
    path = tmp_path_factory.mktemp("checkpoints") / "best.pt"
    write_checkpoint(path, new_training(config, torch.device("cpu")).checkpoint(config))
    return path


@pytest.fixture
def call(script, checkpoint):
    """Denoise, and mix nothing but the sound as it was back in, so that only its encoding differs."""
    return lambda *arguments: script("denoise", *arguments, "--checkpoint", checkpoint, "--dry", "1")


@pytest.mark.parametrize(
    ("name", "codec", "picture"),
    [
        ("a.mp4", "aac", "mpeg4"),
        ("a.mov", "pcm_s16le", "mpeg4"),
        ("a.mkv", "flac", "mpeg4"),
        ("a.webm", "libopus", "libvpx"),
        ("a.avi", "mp3", "mpeg4"),
    ],
)
def test_the_sound_is_replaced_and_the_picture_copied(name, codec, picture, call, tmp_path):
    source = write(tmp_path / name, tone(), codec, picture)
    code, out, err = call(source)
    assert code == 0 and "1.0 s, 1 channel at 48,000 Hz" in out and "early" not in out, err
    target = tmp_path / f"a.denoised{source.suffix}"
    assert pictures(target) == pictures(source)
    assert loudest(target) == pytest.approx(loudest(source), abs=0.003)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert after.duration == pytest.approx(before.duration, abs=25_000 if name == "a.avi" else 2000)  # µs
        assert after.start_time == before.start_time
        assert after.streams.audio[0].codec.name == before.streams.audio[0].codec.name
        assert after.metadata["title"] == "Talk"
        if name != "a.avi":  # which holds no chapters, and no languages
            assert [c["metadata"] for c in after.chapters()] == [c["metadata"] for c in CHAPTERS]
            assert after.streams.audio[0].language == "fra"


def test_sound_that_begins_later_does_so_still(call, tmp_path):
    source = write(tmp_path / "a.mp4", tone(), picture="mpeg4", start=0.25)
    assert call(source, "-o", tmp_path / "b.mp4")[0] == 0
    assert loudest(source) == pytest.approx(0.75, abs=0.003)
    assert loudest(tmp_path / "b.mp4") == pytest.approx(0.75, abs=0.003)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6)])
def test_m4a_keeps_rate_and_channels(layout, channels, rate, call, tmp_path):
    source = write(tmp_path / "a.m4a", tone(rate=rate, channels=channels), rate=rate, layout=layout)
    assert call(source, "-o", tmp_path / "b.m4a")[0] == 0
    with open_audio(source) as before, open_audio(tmp_path / "b.m4a") as after:
        assert (after.samplerate, after.channels, after.layout, after.subtype) == (rate, channels, layout, "aac")
        assert (before.frames, after.frames) == (rate, rate)
        np.testing.assert_allclose(after.read(rate), before.read(rate), atol=0.02)


def test_samples_are_what_any_decoder_gives_however_they_are_read(tmp_path):
    samples = tone(channels=2)
    write(tmp_path / "a.mov", samples, "pcm_s16le", layout="stereo")
    with open_audio(tmp_path / "a.mov") as file:
        pieces = [file.read(count) for count in (1, 777, 20_000, 10**6)]
        assert [len(piece) for piece in pieces] == [1, 777, 20_000, RATE - 20_778]
        np.testing.assert_allclose(np.concatenate(pieces), samples.T, atol=1e-4)
        assert file.read(5).shape == (0, 2)


def test_a_missing_part_of_the_sound_is_silent(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        heard = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for begin in (0, 3 * RATE):
            frame = av.AudioFrame.from_ndarray(np.full((1, RATE), 0.5, np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            file.mux(heard.encode(frame))
        file.mux(heard.encode(None))
    with open_audio(tmp_path / "a.mkv") as file:
        samples = file.read(10 * RATE)[:, 0]
    np.testing.assert_allclose(samples[:: RATE // 2], [0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5], atol=1e-4)


def test_a_folder_of_them_is_denoised_and_what_cannot_be_is_named(call, tmp_path):
    (tmp_path / "in/deeper").mkdir(parents=True)
    write(tmp_path / "in/a.m4a", tone())
    write(tmp_path / "in/deeper/b.webm", tone(), "libopus", "libvpx")
    write(tmp_path / "in/mute.mp4", picture="mpeg4")
    (tmp_path / "in/bad.mkv").write_bytes(b"no video")
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out")
    assert code == 1 and out.count("real time") == 2 and "Traceback" not in err
    assert "mute.mp4 has no sound" in err and "bad.mkv is unreadable" in err and "2 of 4 recordings" in err
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["a.m4a", "b.webm"]


def test_a_file_that_was_cut_off_is_denoised_as_far_as_it_goes(call, tmp_path):
    source = write(tmp_path / "a.mkv", tone(8), "flac", "mpeg4")
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    code, out, err = call(source)
    assert code == 0 and "real time" in out, err


def test_without_av_each_such_file_is_told_the_cure(call, tmp_path, monkeypatch):
    write(tmp_path / "a.mp4", tone())
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/a.m4a", tone())
    soundfile.write(tmp_path / "in/b.wav", tone().T, RATE)
    monkeypatch.setattr(video_files, "av", None)
    code, _, err = call(tmp_path / "a.mp4")
    assert code == 1 and "a.mp4 needs av" in one_error(err) and "requirements-video.txt" in err
    code, out, err = call(tmp_path / "in", "-o", tmp_path / "out")
    assert code == 1 and "a.m4a needs av" in err and out.count("real time") == 1
    code, _, err = call(tmp_path / "in/b.wav", "-o", tmp_path / "b.m4a")
    assert code == 1 and "b.m4a needs av" in one_error(err)


def test_sound_moves_between_containers_and_other_files(call, tmp_path):
    write(tmp_path / "a.mp4", tone(), picture="mpeg4")
    assert call(tmp_path / "a.mp4", "-o", tmp_path / "b.wav")[0] == 0
    assert soundfile.info(tmp_path / "b.wav").frames == RATE
    assert call(tmp_path / "b.wav", "-o", tmp_path / "c.m4a")[0] == 0
    assert loudest(tmp_path / "c.m4a") == pytest.approx(0.5, abs=0.003)
    code, out, _ = call(tmp_path / "a.mp4", "-o", tmp_path / "d.webm")
    assert code == 0 and "its sound was aac, and is opus now" in out and "copied into .webm: video (mpeg4)" in out


def test_other_sound_stays_and_is_said(call, tmp_path):
    write(tmp_path / "a.mka", tone(), "flac")
    with av.open(str(tmp_path / "a.mka")) as file, av.open(str(tmp_path / "two.mka"), "w") as two:
        copies = [two.add_stream_from_template(file.streams.audio[0]) for _ in range(2)]
        for packet in file.demux(audio=0):
            for copy in copies if packet.size else ():
                packet.stream = copy
                two.mux(packet)
    code, out, _ = call(tmp_path / "two.mka", "-o", tmp_path / "b.mka")
    assert code == 0 and "1 more stay" in out
    with av.open(str(tmp_path / "b.mka")) as file:
        assert len(file.streams.audio) == 2


def test_they_are_found_and_read_as_recordings(tmp_path):
    source = write(tmp_path / "a.m4a", tone(channels=2), layout="stereo")
    assert find_recordings(tmp_path) == [source]
    (signal,) = read_recording(source, 16_000, 16_000)
    assert len(signal) == 16_000
    assert plan([str(source)], None) == [(source, tmp_path / "a.denoised.m4a")]
