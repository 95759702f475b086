"""Every setting of the project: its default, its meaning with the unit, its range.

The defaults are those of the preset "dan"; presets.py says what other presets change. Edit a value
here and the next run uses it, or override it for one run:

    python train_gan.py --preset dan-small training.max_epochs=5 data.snr_db=0
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from dan.losses import GAN_LOSSES, RECONSTRUCTION_LOSSES
from dan.settings import IntRange, Range, setting

REPOSITORY = Path(__file__).resolve().parent
SYNTHETIC = "synthetic"  # stands for synthesised noise in data.noise_source


@dataclass(frozen=True)
class DataConfig:
    # Signals
    sample_rate: int = setting(256, "samples per second", low=1, high=192_000)
    duration: float = setting(1.0, "length of a signal in seconds", low=1e-3, high=3600)
    num_components: int | IntRange = setting(3, "sines in a signal; low,high is drawn per signal", low=1, high=100)
    low_freq: float = setting(10.0, "lowest frequency of a sine in Hz", low=0)
    high_freq: float = setting(64.0, "highest frequency of a sine in Hz; 0: sample_rate / 2", low=0)
    amplitude_spread: float = setting(0.0, "amplitudes are uniform in 1 ± this", low=0, high=1)
    random_phase: bool = setting(False, "draw the phases of the sines; otherwise they are zero")
    # Recordings
    clean_source: str = setting("", "folder of clean recordings to cut signals from; empty: sines")
    noise_source: str = setting("", "folder of noise recordings, synthetic, or synthetic,folder; empty: white noise")
    source_rate: int = setting(0, "samples per second of .npy recordings; 0 takes sample_rate", low=0, high=768_000)
    clean_speed: float | Range = setting(1.0, "speeds low,high of streamed clean recordings", low=0.1, high=10)
    noise_speed: float | Range = setting(1.0, "speeds low,high of noise recordings", low=0.1, high=10)
    vary_clean: bool = setting(False, "recolour some streamed clean recordings, and put some into rooms")
    # Mixing
    snr_db: float | Range = setting(-2.0, "signal-to-noise ratio; low,high is drawn per signal", low=-100, high=100)
    noise_std: float = setting(0.5, "standard deviation of the noise before scaling to snr_db", low=1e-6, high=1e6)
    white_share: float = setting(0.0, "share of white noise signals, with a noise_source", low=0, high=1)
    bare_share: float = setting(0.0, "share of streamed recordings nearly clean, and of noise alone", low=0, high=0.5)
    # Size
    num_train: int = setting(1600, "training signals in an epoch", low=1, high=10**12)
    num_validation: int = setting(200, "validation signals; of recordings as many for the test", low=1, high=1_000_000)
    stream: bool = setting(True, "draw new training signals in each epoch; then remix and slowest have no effect")
    seed: int = setting(42, "seed of everything that create_data.py draws", low=0, high=2**63 - 1)

    @property
    def length(self):
        """Samples in one signal."""
        return round(self.sample_rate * self.duration)

    @property
    def nyquist(self):
        """Half the sample rate, in Hz."""
        return self.sample_rate / 2

    @property
    def band(self):
        """Lowest and highest frequency of the sines, over the sample rate; of recordings, of all there is."""
        return (
            (0.0, 0.5) if self.clean_source else (self.low_freq / self.sample_rate, self.high_freq / self.sample_rate)
        )

    @property
    def is_recorded(self):
        """Whether the clean signals or the noise come from sources."""
        return bool(self.clean_source or self.noise_source)

    @property
    def synthesises_noise(self):
        return SYNTHETIC in self.noise_source.split(",")

    @property
    def noise_folder(self):
        """The folder in `noise_source`; empty without one."""
        return ",".join(part for part in self.noise_source.split(",") if part != SYNTHETIC)

    def by_last_names(self):
        """The same, its folders of recordings by their last names, which tell of no machine."""
        named = {}
        for key, folder in (("clean_source", self.clean_source), ("noise_source", self.noise_folder)):
            if folder:
                named[key] = getattr(self, key).replace(folder, os.path.basename(os.path.abspath(folder)))
        return replace(self, **named)

    @property
    def in_words(self):
        """A line that says what the signals are made of."""
        sines = f"sums of sines from {self.low_freq:g} to {self.high_freq:g} Hz"
        clean = f"recordings in {self.clean_source}" if self.clean_source else sines
        noise = self.noise_source or "Gaussian white noise"
        return f"clean signals: {clean}; noise: {noise}; {self.sample_rate:,} samples per second"


@dataclass(frozen=True)
class WaveformGeneratorConfig:
    encoder_filters: int = setting(16, "channels of every encoder layer", low=1, high=4096)
    decoder_filters: int = setting(32, "channels of every decoder layer", low=1, high=4096)
    depth: int = setting(4, "number of encoder layers, and of decoder layers", low=1, high=16)
    kernel_size: int = setting(64, "kernel length of every convolution in samples", low=2, high=4096)
    negative_slope: float = setting(0.1, "slope of LeakyReLU below zero", low=0, high=1)
    fourier: bool = setting(True, "convolve through the Fourier transform: the same, but faster")

    def latent_shape(self, length):
        """Channels and length of what passes the bottleneck of a signal of this length."""
        return self.encoder_filters, -(-length // 2**self.depth)


@dataclass(frozen=True)
class SpectralGeneratorConfig:
    channels: int = setting(32, "channels of every convolution but the last", low=1, high=4096)
    blocks: int = setting(4, "number of residual blocks", low=0, high=256)
    kernel_size: int = setting(5, "kernel length in frequency bins, odd", low=1, high=255, odd=True)
    dilated: bool = setting(False, "dilate the blocks' kernels by 1, 2, 4, 8, and again")
    zero_padding: int = setting(2, "length of the transform over that of a signal", low=1, high=16)
    normalise: bool = setting(False, "divide each signal by its level, which then does not matter")


@dataclass(frozen=True)
class PursuitGeneratorConfig:
    channels: int = setting(48, "channels of every convolution but the last", low=1, high=4096)
    blocks: int = setting(6, "number of residual blocks, dilated by 1, 2, 4, 8, and again", low=0, high=256)
    kernel_size: int = setting(5, "kernel length in frequency bins, odd", low=1, high=255, odd=True)
    sines: int = setting(5, "sines that are fitted to a signal, for the network to judge", low=1, high=32)


@dataclass(frozen=True)
class ShortTimeGeneratorConfig:
    channels: int = setting(16, "channels of the first layer; layer n has n times as many", low=1, high=1024)
    levels: int = setting(4, "encoder layers, each halving the number of frequency bins", low=1, high=8)
    blocks: int = setting(6, "residual blocks between encoder and decoder", low=0, high=64)
    kernel_size: int = setting(5, "kernel length of encoder and decoder in bins", low=1, high=255, odd=True)
    frame_kernel_size: int = setting(3, "kernel length of the blocks in frames, odd", low=1, high=255, odd=True)
    longest_dilation: int = setting(
        8, "blocks are dilated by 1, 2, 4 … to this, and again", low=1, high=1024, power_of_two=True
    )
    frame_length: int = setting(
        256, "samples of a frame; frames overlap by half", low=16, high=2**14, power_of_two=True
    )
    level_frames: int = setting(31, "frames to either side that the level is taken over", low=1, high=4096)


@dataclass(frozen=True)
class CausalGeneratorConfig:
    channels: int = setting(64, "numbers that describe a band", low=1, high=1024)
    bands: int = setting(24, "bands that the spectrum is split into", low=1, high=64)
    blocks: int = setting(4, "blocks of a recurrent layer and a layer of all bands", low=0, high=64)
    shared_channels: int = setting(8, "numbers of each band that all bands see", low=1, high=1024)
    shared_units: int = setting(256, "hidden units of the layer of all bands", low=1, high=65_536)
    frame_length: int = setting(
        512, "samples of a frame; frames overlap by half", low=16, high=2**14, power_of_two=True
    )
    look_ahead: int = setting(0, "frames that are heard before one is denoised", low=0, high=64)


# How checkpoints and presets call each kind of generator; models.py has their networks.
GENERATOR_KINDS = {
    "waveform": WaveformGeneratorConfig,
    "spectral": SpectralGeneratorConfig,
    "pursuit": PursuitGeneratorConfig,
    "short-time": ShortTimeGeneratorConfig,
    "causal": CausalGeneratorConfig,
}


@dataclass(frozen=True)
class DiscriminatorConfig:
    filters: int = setting(8, "channels of every convolution", low=1, high=4096)
    depth: int = setting(2, "number of convolutions, each halving the length", low=1, high=16)
    kernel_size: int = setting(32, "kernel length of every convolution in samples", low=2, high=4096)
    hidden_units: int = setting(16, "units of the hidden linear layer", low=1, high=65_536)
    negative_slope: float = setting(0.01, "slope of LeakyReLU below zero", low=0, high=1)
    fourier: bool = setting(True, "convolve through the Fourier transform: the same, but faster")


@dataclass(frozen=True)
class TrainingConfig:
    # Length
    batch_size: int = setting(50, "signals per training step", low=1, high=1_000_000)
    pretrain_epochs: int = setting(40, "epochs of the generator alone", low=0, high=1_000_000)
    max_epochs: int = setting(160, "most epochs of both phases together", low=1, high=100_000, free_on_resume=True)
    patience: int = setting(
        50, "adversarial epochs without a better validation loss", low=1, high=10**6, free_on_resume=True
    )
    # Variation of the stored signals
    remix: bool = setting(True, "pair every clean training signal with other noise in each epoch")
    slowest: float = setting(
        0.8, "with remix, half of the clean signals are slowed by factors from this to 1", low=0.1, high=1
    )
    # Learning rates
    generator_lr: float = setting(1e-2, "the generator's peak learning rate", low=1e-12, high=10)
    discriminator_lr: float = setting(1e-3, "the discriminator's peak learning rate", low=1e-12, high=10)
    adam_beta2: float = setting(0.99, "Adam's decay of the mean squared gradient", low=0, high=0.999999)
    schedule: str = setting(
        "one-cycle", "of learning rates: warm-up and cosine, or halving", choices=("one-cycle", "halving")
    )
    warmup: float = setting(0.3, "share of max_epochs that one-cycle warms up for", low=0, high=1)
    lr_halving_epochs: int = setting(50, "halving: epochs until the learning rates are halved", low=1, high=1_000_000)
    # Losses
    adversary: str = setting(
        "signal", "judged by the discriminator; latent: the encoder's output", choices=("signal", "latent", "none")
    )
    gan_loss: str = setting("bce", "loss of the adversarial game; bce: binary cross-entropy", choices=tuple(GAN_LOSSES))
    adversarial_weight: float = setting(0.005, "weight of the adversarial loss", low=0, high=1e6)
    reconstruction_loss: str = setting(
        "improvement",
        "distance of denoised and clean; dan/losses.py describes each",
        choices=tuple(RECONSTRUCTION_LOSSES),
    )
    reconstruction_weight: float = setting(9.0, "weight of the reconstruction loss", low=0, high=1e6)
    feature_weight: float = setting(0.0, "weight of the deep feature loss", low=0, high=1e6)
    feature_network: str = setting(
        "discriminator", "whose features are compared", choices=("discriminator", "pretrained")
    )
    # Repeatability and the machine
    seed: int = setting(42, "seed of the initial weights and of the order of the signals", low=0, high=2**63 - 1)
    precision: str = setting(
        "auto", "auto: bfloat16 where it is fast and right", choices=("auto", "float32", "bfloat16")
    )
    workers: int = setting(
        0, "processes that draw signals from recordings, for GPUs", low=0, high=256, free_on_resume=True
    )
    threads: int = setting(
        1, "threads; 0: one for each core, or OMP_NUM_THREADS", low=0, high=1024, free_on_resume=True
    )
    compile: bool = setting(False, "faster networks by torch.compile, in a minute", free_on_resume=True)
    device: str = setting("auto", "auto (CUDA, else MPS, else CPU), or a torch device", free_on_resume=True)


@dataclass(frozen=True)
class EvaluationConfig:
    seed: int = setting(42, "seed of the fresh test signals and of the sweeps", low=0, high=2**63 - 1)
    num_test: int = setting(1000, "fresh test signals of sines, never stored", low=1, high=1_000_000)
    num_sweep: int = setting(300, "test signals at each point of a sweep", low=1, high=1_000_000)
    lowpass_passband: float = setting(64.0, "edge of the lowpass filter's passband in Hz; 0: sample_rate / 4", low=0)
    lowpass_stopband: float = setting(100.0, "edge of its stopband in Hz; 0: a quarter above the passband", low=0)
    lowpass_ripple_db: float = setting(0.05, "largest loss in the passband in dB", low=1e-6, high=10)
    lowpass_attenuation_db: float = setting(60.0, "least loss in the stopband in dB", low=1, high=300)


@dataclass(frozen=True)
class PathsConfig:
    data: str = setting("data", "folder of the signals; relative to the repository, or absolute")
    images: str = setting("images", "folder of the figures, which has a folder for each training")
    checkpoints: str = setting("checkpoints", "folder of the trained networks, likewise")


@dataclass(frozen=True)
class Config:
    preset: str = "dan"
    name: str = "dan"  # of the training: its folder in checkpoints and in images
    data: DataConfig = DataConfig()
    generator: WaveformGeneratorConfig | SpectralGeneratorConfig | ShortTimeGeneratorConfig = WaveformGeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    paths: PathsConfig = PathsConfig()

    @property
    def data_folder(self):
        return REPOSITORY / self.paths.data

    @property
    def image_folder(self):
        return REPOSITORY / self.paths.images / self.name

    @property
    def checkpoint_folder(self):
        return REPOSITORY / self.paths.checkpoints / self.name

    @property
    def test_data(self):
        """The DataConfig that fresh test signals are drawn with."""
        return replace(self.data, seed=self.evaluation.seed)
