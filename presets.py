"""The presets: named configurations, each as what it changes of the defaults in config.py."""

from dataclasses import replace

from config import (
    Config,
    DataConfig,
    DiscriminatorConfig,
    EvaluationConfig,
    PathsConfig,
    ShortTimeGeneratorConfig,
    SpectralGeneratorConfig,
    TrainingConfig,
    WaveformGeneratorConfig,
)

DEFAULT_PRESET = "dan"
SPECTRAL_TRAINING = TrainingConfig(batch_size=16, pretrain_epochs=35, max_epochs=50, slowest=1.0)
FOLLOWING_RATE = EvaluationConfig(lowpass_passband=0.0, lowpass_stopband=0.0)
SPEECH = Config(
    data=DataConfig(
        sample_rate=16_000,
        duration=2.0,
        low_freq=0.0,
        high_freq=0.0,
        snr_db=(-5.0, 15.0),
        noise_source="synthetic",
        noise_speed=(0.7, 1.4),
        clean_speed=(0.8, 1.25),
        vary_clean=True,
        bare_share=0.06,
        stream=True,
        num_train=8000,
        num_validation=240,
    ),
    generator=ShortTimeGeneratorConfig(levels=5, blocks=8, longest_dilation=32, frame_length=512),
    discriminator=DiscriminatorConfig(depth=5),
    training=TrainingConfig(
        batch_size=16,
        pretrain_epochs=8,
        max_epochs=8,
        generator_lr=7e-3,
        warmup=0.15,
        reconstruction_loss="speech",
        adversary="none",
        threads=0,
    ),
    evaluation=FOLLOWING_RATE,
    paths=PathsConfig(data="data/speech"),
)
PRESETS = {
    # The published sizes: 282,177 parameters in the generator, 10,577 in the discriminator.
    "dan": Config(),
    # The published recipe with torch's own layers; Adam ignores its discriminator loss's weight.
    "dan-published": Config(
        generator=WaveformGeneratorConfig(fourier=False),
        discriminator=DiscriminatorConfig(fourier=False),
        training=TrainingConfig(
            max_epochs=200,
            remix=False,
            slowest=1.0,
            generator_lr=1e-3,
            discriminator_lr=1e-4,
            adam_beta2=0.999,
            schedule="halving",
            adversarial_weight=3.0,
            precision="float32",
        ),
    ),
    # The published small sizes: 26,373 and 1,245.
    "dan-small": Config(
        generator=WaveformGeneratorConfig(encoder_filters=6, decoder_filters=16, depth=2),
        discriminator=DiscriminatorConfig(filters=2, hidden_units=8),
        training=TrainingConfig(max_epochs=200, slowest=1.0),
    ),
    # A generator on the spectrum, smaller than the smallest published one, near the limit.
    "spectral": Config(generator=SpectralGeneratorConfig(), training=SPECTRAL_TRAINING),
    # The same, trained on the whole range of SNRs that the sweeps of evaluate.py cover.
    "spectral-range": Config(
        data=DataConfig(snr_db=(-10.0, 10.0)),
        generator=SpectralGeneratorConfig(),
        training=SPECTRAL_TRAINING,
        paths=PathsConfig(data="data/range"),
    ),
    # One network for one to five sines of any amplitude and phase, at any level.
    "spectral-any": Config(
        data=DataConfig(
            num_components=(1, 5),
            amplitude_spread=0.5,
            random_phase=True,
            snr_db=(-10.0, 25.0),
            stream=True,
            num_train=32_000,
        ),
        generator=SpectralGeneratorConfig(blocks=6, dilated=True, normalise=True),
        training=TrainingConfig(batch_size=32, pretrain_epochs=15, max_epochs=15, reconstruction_loss="improvement"),
        paths=PathsConfig(data="data/any"),
    ),
    # Speech at 16 kHz, for voices and noises it never met: pretrained/speech.pt was trained so.
    "speech": SPEECH,
    # The same generator, trained on for one's own voices and noises: --from pretrained/speech.pt.
    "speech-own": replace(
        SPEECH,
        data=replace(SPEECH.data, num_train=2400, num_validation=100),
        training=replace(SPEECH.training, pretrain_epochs=2, max_epochs=2, generator_lr=2e-3),
        paths=PathsConfig(data="data/speech-own"),
    ),
    # Train on your own recordings: speech, birds, machines at 8 kHz.
    "audio": Config(
        data=DataConfig(
            sample_rate=8000,
            low_freq=0.0,
            high_freq=0.0,
            snr_db=(-5.0, 10.0),
            noise_speed=(0.7, 1.4),
            clean_speed=(0.6, 1.15),
            white_share=0.2,
            bare_share=0.03,
            stream=True,
            num_train=4800,
            num_validation=240,
        ),
        generator=ShortTimeGeneratorConfig(),
        discriminator=DiscriminatorConfig(depth=5),
        training=TrainingConfig(
            batch_size=16,
            pretrain_epochs=4,
            max_epochs=5,
            generator_lr=7e-3,
            warmup=0.2,
            reconstruction_loss="SNR+spectrum",
            adversarial_weight=0.002,
            threads=0,
        ),
        evaluation=FOLLOWING_RATE,
        paths=PathsConfig(data="data/audio"),
    ),
}
