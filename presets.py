"""The presets: each is named and says what it changes of the defaults in config.py."""

DEFAULT_PRESET = "dan"
RECORDINGS = {"low_freq": 0.0, "high_freq": 0.0, "noise_speed": (0.7, 1.4), "stream": True, "num_validation": 240}
LOWPASS = {"lowpass_passband": 0.0, "lowpass_stopband": 0.0}
SPEECH = {
    "data": RECORDINGS
    | {"sample_rate": 16_000, "duration": 6.0, "snr_db": (-8.0, 20.0), "noise_source": "synthetic"}
    | {"clean_speed": (0.8, 1.25), "vary_clean": True, "bare_share": 0.12, "num_train": 5600, "num_validation": 48},
    "generator": {"kind": "causal"},
    "discriminator": {"depth": 5},
    "training": {"batch_size": 56, "pretrain_epochs": 28, "max_epochs": 28, "generator_lr": 3e-3, "warmup": 0.05}
    | {"reconstruction_loss": "speech", "adversary": "none"},
    "evaluation": LOWPASS,
    "paths": {"data": "data/speech"},
}
PRESETS = {
    # The published sizes: 282,177 parameters in the generator, 10,577 in the discriminator.
    "dan": {},
    # The published recipe with torch's own layers; Adam ignores its discriminator loss's weight.
    "dan-published": {
        "data": {"stream": False},
        "generator": {"fourier": False},
        "discriminator": {"fourier": False},
        "training": {"max_epochs": 200, "remix": False, "slowest": 1.0}
        | {"reconstruction_loss": "L1", "adversarial_weight": 3.0, "precision": "float32"}
        | {"generator_lr": 1e-3, "discriminator_lr": 1e-4, "adam_beta2": 0.999, "schedule": "halving"},
        "paths": {"data": "data/stored"},
    },
    # The published small sizes: 26,373 and 1,245.
    "dan-small": {
        "generator": {"encoder_filters": 6, "decoder_filters": 16, "depth": 2},
        "discriminator": {"filters": 2, "hidden_units": 8},
        "training": {"max_epochs": 200, "generator_lr": 0.02},
    },
    # A generator on the spectrum, smaller than the smallest published one, near the limit.
    "spectral": {
        "generator": {"kind": "spectral"},
        "training": {"batch_size": 32, "pretrain_epochs": 70, "max_epochs": 100, "generator_lr": 0.02},
    },
    # One network for one to five sines of any amplitude and phase, at any level.
    "spectral-any": {
        "data": {"num_components": (1, 5), "amplitude_spread": 0.5, "random_phase": True}
        | {"snr_db": (-12.0, 25.0), "stream": True, "num_train": 32_000},
        "generator": {"kind": "pursuit"},
        "training": {"batch_size": 32, "pretrain_epochs": 16, "max_epochs": 16, "generator_lr": 5e-3}
        | {"reconstruction_loss": "improvement"},
        "paths": {"data": "data/any"},
    },
    # Speech at 16 kHz, causal, 32 ms late: pretrained/speech.pt was trained so. It wants hours of voices, and a GPU.
    "speech": SPEECH,
    # The same generator, trained on for one's own voices and noises: --from pretrained/speech.pt.
    "speech-own": SPEECH
    | {
        "data": SPEECH["data"] | {"duration": 3.0, "num_train": 800},
        "training": SPEECH["training"]
        | {"batch_size": 8, "pretrain_epochs": 2, "max_epochs": 2, "generator_lr": 5e-4, "warmup": 0.15},
        "paths": {"data": "data/speech-own"},
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
