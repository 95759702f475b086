"""Sounds to listen to: WAV files, and pages, an HTML file with players that needs nothing else.

write_page(path, "My recordings", [Example(name, sample_rate, sounds, facts)])
"""

import base64
import html
import io
from typing import NamedTuple

import numpy as np
import soundfile

from dan.files import write_bytes
from dan.output import plots, saving
from dan.signals.resampling import resample

WAV_RATE = 44_100
LOWEST_HEARD_RATE = 3000  # Hz, below which browsers play nothing
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="generator" content="{mark}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em;
  color: #222; }}
section {{ border-top: 1px solid #ccc; margin-top: 2em; }}
.sounds {{ display: flex; flex-wrap: wrap; gap: 1.5em; }}
.sounds figure {{ margin: 0; }} audio {{ display: block; width: 320px; }}
img {{ width: 100%; height: auto; }} td, th {{ padding: 0 1em 0 0; text-align: left; }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


class Example(NamedTuple):
    """A recording to listen to: its sounds {name: float32 (samples,)}, at `sample_rate` in Hz."""

    name: str
    sample_rate: int
    sounds: dict
    facts: dict = {}  # noqa: RUF012 {name: value, as text}; a NamedTuple's is never changed


def write_page(path, title, examples):
    """Write a page to `path`: for each example its players, its spectrograms and its facts."""
    page = PAGE.format(title=html.escape(title), mark=saving.MARK, body="\n".join(map(section, examples)))
    write_bytes(path, page.encode("utf-8", "replace"))


def section(example):
    """One example as HTML."""
    name, rate, sounds, facts = example
    loudest = max([1e-9, *(np.abs(x).max() for x in sounds.values() if len(x))])
    if rate >= LOWEST_HEARD_RATE:
        players = "".join(
            f'<figure><figcaption>{html.escape(kind)}</figcaption><audio controls src="'
            f'{data_address("audio/wav", as_wav(0.9 / loudest * x, rate))}"></audio></figure>'
            for kind, x in sounds.items()
        )
    else:
        players = f"<p>{rate:,} samples per second: too slow to be heard.</p>"
    table = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in facts.items()
    )
    picture = saving.as_png(plots.spectrograms(sounds, rate))
    return (
        f'<section><h2>{html.escape(name)}</h2><div class="sounds">{players}</div>'
        f'<img alt="spectrograms" src="{data_address("image/png", picture)}">'
        f"<table>{table}</table></section>"
    )


def write_wavs(paths, sounds, sample_rate):
    """Write {kind: samples} to {kind: path} at 44.1 kHz, which plays anywhere, at a common level."""
    sounds = {kind: resample(x, sample_rate, WAV_RATE) for kind, x in sounds.items()}
    peak = max(1e-9, *(np.abs(x).max() for x in sounds.values()))
    for kind, samples in sounds.items():
        write_bytes(paths[kind], as_wav(0.9 / peak * samples, WAV_RATE))


def as_wav(samples, sample_rate):
    """Samples between −1 and 1 as the bytes of a WAV file of 16 bit, with the project's mark."""
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", sample_rate, 1, "PCM_16", format="WAV") as file:
        file.comment = saving.MARK
        file.write(samples)
    return content.getvalue()


def data_address(kind, content):
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
