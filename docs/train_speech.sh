#!/bin/sh
# Repeats pretrained/speech.pt, and measures it on what it never heard: everything from Debian packages.
#
#     sh docs/train_speech.sh WORK_FOLDER
#
# Trained on: English, French and Italian prompts, the sounds of a game, synthesised noise. Measured on: Spanish and
# Russian prompts under the sounds of two other games. Takes an hour and a half on two cores, and 2 GB.
set -eu
work=${1:?name a folder to work in}
python=${PYTHON:-.venv/bin/python}
prompts=asterisk-core-sounds

missing=$(for package in $prompts-en-g722 $prompts-fr-g722 $prompts-it-g722 $prompts-es-g722 $prompts-ru-g722 \
              wesnoth-1.16-data lincity-ng-data searchandrescue-data ffmpeg; do
    dpkg -s "$package" >/dev/null 2>&1 || echo "$package"
done)
[ -z "$missing" ] || { echo "install first: apt-get install" $missing >&2; exit 1; }

# sounds PACKAGE PATTERN FOLDER [ffmpeg's input options]: decodes what matches to 16 kHz WAV.
sounds() {
    package=$1 pattern=$2 folder=$3
    shift 3
    mkdir -p "$folder"
    dpkg -L "$package" | grep -E "$pattern" | grep -v /silence/ | while read -r source; do
        target=$folder/$(echo "${source%.*}" | sed 's|.*/sounds/||; s|/|_|g').wav
        # Under another name first, so that one that was cut short is no sound.
        [ -e "$target" ] || { ffmpeg -nostdin -v error -y "$@" -i "$source" -ac 1 -ar 16000 -f wav "$target.part" &&
            mv "$target.part" "$target"; } || true
    done
}
# In one folder, whose files are shared out: each of three would be one speaker, for one split alone.
for language in en fr it; do
    sounds "$prompts-$language-g722" '\.g722$' "$work/voices/prompts/$language" -f g722
done
for language in es ru; do
    sounds "$prompts-$language-g722" '\.g722$' "$work/unseen/$language" -f g722
done
sounds wesnoth-1.16-data '/sounds/.*\.(ogg|wav)$' "$work/noise"
# Of every kind of place and machine in these two games; none of it was trained on.
sounds lincity-ng-data '(CoalMine|Farm|Fire|IndustryHigh|School|SportsCroud|Water|WindMill)[0-9]\.wav$' \
    "$work/unknown"
sounds searchandrescue-data '/(helicopter|jet)_engine_(inside|outside)[0-9]?\.wav$' "$work/unknown"

paths="paths.data=$work/data paths.images=$work/images paths.checkpoints=$work/checkpoints"
$python create_data.py --preset speech $paths "data.clean_source=$work/voices" \
    "data.noise_source=synthetic,$work/noise"
$python train_gan.py --preset speech $paths $([ -e "$work/checkpoints/speech/last.pt" ] && echo --resume)
rm -f "$work/speech.pt"
$python -m dan.training.checkpoints "$work/checkpoints/speech/best.pt" "$work/speech.pt"

# Both halves of the recordings that are not for training, "validation" and "test", are unseen.
for language in es ru; do
    paths="paths.data=$work/measured/$language paths.images=$work/images/$language paths.checkpoints=$work/checkpoints"
    $python create_data.py --preset speech $paths "data.clean_source=$work/unseen/$language" \
        "data.noise_source=$work/unknown" data.duration=2.5 data.snr_db=0,7 data.noise_speed=1 data.stream=false \
        data.num_train=1 data.num_validation=200
    $python evaluate.py --preset speech $paths --compare "$work/speech.pt"
done
