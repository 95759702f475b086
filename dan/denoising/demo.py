"""Makes a noisy example of what the repository ships, and denoises it: `make demo`.

Writes noisy.wav, denoised.wav and the listening page listen.html to images/demo/.
"""

import numpy as np
import soundfile

from config import REPOSITORY
from dan.denoising.denoiser import Denoiser
from dan.errors import run
from dan.evaluation.metrics import si_sdr
from dan.files import write_bytes
from dan.output import figures
from dan.output.listening import Example, as_wav, write_page
from dan.signals import noises
from dan.signals.sines import mix
from dan.training.checkpoints import PRETRAINED

VOICE = REPOSITORY / "demo/voice.flac"
FOLDER = REPOSITORY / "images/demo"
SNR_DB = 3.0
SEED = 7


def main():
    figures.refuse_foreign(FOLDER)
    voice, rate = soundfile.read(VOICE, dtype="float32")
    rng = np.random.default_rng(SEED)
    # A machine that swells, dishes in front of it.
    noise = noises.band(len(voice), rate, rng) + 0.5 * noises.unit_power(noises.impacts(len(voice), rate, rng))
    noisy = mix(voice, noise, SNR_DB).astype(np.float32)
    level = 0.9 / np.abs(noisy).max()
    sounds = {
        "noisy": level * noisy,
        "denoised": Denoiser.load(PRETRAINED)(level * noisy, rate),
        "clean": level * voice,
    }
    before, after = (si_sdr(sounds["clean"], sounds[name]) for name in ("noisy", "denoised"))
    page = FOLDER / "listen.html"
    files = {FOLDER / f"{name}.wav": as_wav(sounds[name], rate) for name in ("noisy", "denoised")}
    for path, content in files.items():
        write_bytes(path, content)
    write_page(
        page,
        "Denoising Adversarial Network: a demonstration",
        [
            Example(
                "A voice that the denoiser never heard, beside a machine and dishes",
                rate,
                sounds,
                {"SI-SDR in dB": f"{before:.1f} → {after:.1f}"},
            )
        ],
    )
    print(
        f"SI-SDR {before:.1f} → {after:.1f} dB\nopen {page} in a browser, or "
        f"listen to {FOLDER / 'noisy.wav'} and {FOLDER / 'denoised.wav'}"
    )


if __name__ == "__main__":
    run(main)
