"""The presets: each is named and says what it changes of the defaults in config.py."""

DEFAULT_PRESET = "dan"
SPECTRAL_TRAINING = {"batch_size": 16, "pretrain_epochs": 35, "max_epochs": 50, "slowest": 1.0}
RECORDINGS = {"low_freq": 0.0, "high_freq": 0.0, "noise_speed": (0.7, 1.4), "stream": True, "num_validation": 240}
LOWPASS = {"lowpass_passband": 0.0, "lowpass_stopband": 0.0}
SPEECH = {
    "data": RECORDINGS
    | {"sample_rate": 16_000, "duration": 2.0, "snr_db": (-5.0, 15.0), "noise_source": "synthetic"}
    | {"clean_speed": (0.8, 1.25), "vary_clean": True, "bare_share": 0.06, "num_train": 8000},
    "generator": {"kind": "short-time", "levels": 5, "blocks": 8, "longest_dilation": 32, "frame_length": 512},
    "discriminator": {"depth": 5},
    "training": {"batch_size": 16, "pretrain_epochs": 8, "max_epochs": 8, "generator_lr": 7e-3, "warmup": 0.15}
    | {"reconstruction_loss": "speech", "adversary": "none", "threads": 0},
    "evaluation": LOWPASS,
    "paths": {"data": "data/speech"},
}
PRESETS = {
    # The published sizes: 282,177 parameters in the generator, 10,577 in the discriminator.
    "dan": {},
    # The published recipe with torch's own layers; Adam ignores its discriminator loss's weight.
    "dan-published": {
        "generator": {"fourier": False},
        "discriminator": {"fourier": False},
        "training": {"max_epochs": 200, "remix": False, "slowest": 1.0, "adversarial_weight": 3.0}
        | {"generator_lr": 1e-3, "discriminator_lr": 1e-4, "adam_beta2": 0.999, "schedule": "halving"}
        | {"precision": "float32"},
    },
    # The published small sizes: 26,373 and 1,245.
    "dan-small": {
        "generator": {"encoder_filters": 6, "decoder_filters": 16, "depth": 2},
        "discriminator": {"filters": 2, "hidden_units": 8},
        "training": {"max_epochs": 200, "slowest": 1.0},
    },
    # A generator on the spectrum, smaller than the smallest published one, near the limit.
    "spectral": {"generator": {"kind": "spectral"}, "training": SPECTRAL_TRAINING},
    # The same, trained on the whole range of SNRs that the sweeps of evaluate.py cover.
    "spectral-range": {
        "data": {"snr_db": (-10.0, 10.0)},
        "generator": {"kind": "spectral"},
        "training": SPECTRAL_TRAINING,
        "paths": {"data": "data/range"},
    },
    # One network for one to five sines of any amplitude and phase, at any level.
    "spectral-any": {
        "data": {"num_components": (1, 5), "amplitude_spread": 0.5, "random_phase": True}
        | {"snr_db": (-10.0, 25.0), "stream": True, "num_train": 32_000},
        "generator": {"kind": "spectral", "blocks": 6, "dilated": True, "normalise": True},
        "training": {"batch_size": 32, "pretrain_epochs": 15, "max_epochs": 15, "reconstruction_loss": "improvement"},
        "paths": {"data": "data/any"},
    },
    # Speech at 16 kHz, for voices and noises it never met: pretrained/speech.pt was trained so.
    "speech": SPEECH,
    # The same generator, trained on for one's own voices and noises: --from pretrained/speech.pt.
    "speech-own": SPEECH
    | {
        "data": SPEECH["data"] | {"num_train": 2400, "num_validation": 100},
        "training": SPEECH["training"] | {"pretrain_epochs": 2, "max_epochs": 2, "generator_lr": 2e-3},
        "paths": {"data": "data/speech-own"},
    },
    # Speech by a causal network, 32 ms late, for live sound: it wants hours of voices and of training.
    "speech-causal": SPEECH
    | {
        "data": SPEECH["data"] | {"snr_db": (-8.0, 20.0), "num_train": 2000},
        "generator": {"kind": "causal"},
        "training": SPEECH["training"]
        | {"batch_size": 8, "pretrain_epochs": 40, "max_epochs": 40, "generator_lr": 3e-3, "warmup": 0.1}
        | {"reconstruction_loss": "asymmetric", "threads": 1},
        "paths": {"data": "data/speech-causal"},
    },
    # Train on your own recordings: speech, birds, machines at 8 kHz.
    "audio": {
        "data": RECORDINGS
        | {"sample_rate": 8000, "snr_db": (-5.0, 10.0), "clean_speed": (0.6, 1.15)}
        | {"white_share": 0.2, "bare_share": 0.03, "num_train": 4800},
        "generator": {"kind": "short-time"},
        "discriminator": {"depth": 5},
        "training": {"batch_size": 16, "pretrain_epochs": 4, "max_epochs": 5, "generator_lr": 7e-3, "warmup": 0.2}
        | {"reconstruction_loss": "SNR+spectrum", "adversarial_weight": 0.002, "threads": 0},
        "evaluation": LOWPASS,
        "paths": {"data": "data/audio"},
    },
}
