"""Every setting of the project: its default, its meaning with the unit, its range.

The defaults are those of the preset "dan"; presets.py has the others. Edit a value here and the
next run uses it, or override it for one run:

    python train_gan.py --preset dan-small training.max_epochs=5 data.snr_db=0
"""

from dataclasses import dataclass

from dan import sections
from dan.losses import GAN_LOSSES, RECONSTRUCTION_LOSSES
from dan.settings import IntRange, Range, setting


@dataclass(frozen=True)
class DataConfig(sections.DataSection):
    sample_rate: int = setting(256, "samples per second", 1, 192_000)
    duration: float = setting(1.0, "length of a signal in seconds", 1e-3, 3600)
    num_components: int | IntRange = setting(3, "sines in a clean signal; a range low,high is drawn per signal", 1, 100)
    low_freq: float = setting(10.0, "lowest frequency of a sine in Hz", 0)
    high_freq: float = setting(64.0, "highest frequency of a sine in Hz; 0: sample_rate / 2", 0)
    amplitude_spread: float = setting(0.0, "amplitudes are uniform in 1 ± this; 0 makes them equal", 0, 1)
    random_phase: bool = setting(False, "draw the phases of the sines; otherwise they are zero")
    clean_source: str = setting("", "folder of clean recordings to cut signals from; empty: sines")
    noise_source: str = setting(
        "",
        "folder of noise recordings, or synthetic (noise of many kinds), or both: "
        "synthetic,folder; empty: Gaussian white noise",
    )
    source_rate: int = setting(0, "samples per second of .npy recordings; 0 takes sample_rate", 0, 768_000)
    noise_speed: float | Range = setting(
        1.0, "a range low,high plays noise recordings at speeds drawn from it", 0.1, 10
    )
    white_share: float = setting(0.0, "share of the noise signals that are white noise, with a noise_source", 0, 1)
    clean_speed: float | Range = setting(
        1.0, "a range low,high plays streamed clean recordings at speeds drawn from it", 0.1, 10
    )
    vary_clean: bool = setting(False, "recolour some of the streamed clean recordings, and put some into rooms")
    bare_share: float = setting(
        0.0, "share of the streamed recordings that are next to clean, and as many are only noise", 0, 0.5
    )
    noise_std: float = setting(0.5, "standard deviation of the noise as stored, before scaling to snr_db", 1e-6, 1e6)
    snr_db: float | Range = setting(
        -2.0, "signal-to-noise ratio of a mixture in dB; a range low,high is drawn per signal", -100, 100
    )
    stream: bool = setting(
        False,
        "draw the training signals anew in each epoch, of sines or out of the stored "
        "recordings; then training.remix and training.slowest have no part",
    )
    num_train: int = setting(1600, "number of training signals in an epoch", 1, 10**12)
    num_validation: int = setting(
        200, "number of validation signals; of recordings at most, and as many for the test", 1, 1_000_000
    )
    seed: int = setting(42, "seed of everything that create_data.py draws", 0, 2**63 - 1)


@dataclass(frozen=True)
class WaveformGeneratorConfig(sections.WaveformGeneratorSection):
    encoder_filters: int = setting(16, "channels of every encoder layer", 1, 4096)
    decoder_filters: int = setting(32, "channels of every decoder layer", 1, 4096)
    depth: int = setting(4, "number of encoder layers, and of decoder layers", 1, 16)
    kernel_size: int = setting(64, "kernel length of every convolution in samples", 2, 4096)
    negative_slope: float = setting(0.1, "slope of LeakyReLU below zero", 0, 1)
    fourier: bool = setting(True, "convolve through the Fourier transform: the same, but faster")


@dataclass(frozen=True)
class SpectralGeneratorConfig(sections.GeneratorSection):
    channels: int = setting(32, "channels of every convolution but the last", 1, 4096)
    blocks: int = setting(4, "number of residual blocks", 0, 256)
    kernel_size: int = setting(5, "kernel length in frequency bins, odd", 1, 255, odd=True)
    dilated: bool = setting(False, "dilate the blocks' kernels by 1, 2, 4, 8, and again")
    zero_padding: int = setting(2, "length of the transform over that of a signal", 1, 16)
    normalise: bool = setting(False, "divide each signal by its level, which then does not matter")


@dataclass(frozen=True)
class ShortTimeGeneratorConfig(sections.ShortTimeGeneratorSection):
    channels: int = setting(16, "channels of the first layer; the n-th layer has n times as many", 1, 1024)
    levels: int = setting(4, "encoder layers, each halving the number of frequency bins", 1, 8)
    blocks: int = setting(6, "residual blocks between encoder and decoder", 0, 64)
    kernel_size: int = setting(5, "kernel length of encoder and decoder in bins, odd", 1, 255, odd=True)
    frame_kernel_size: int = setting(3, "kernel length of the blocks in frames, odd", 1, 255, odd=True)
    longest_dilation: int = setting(
        8, "blocks are dilated by 1, 2, 4 … to this many frames, and again; a power of 2", 1, 1024, power_of_two=True
    )
    frame_length: int = setting(
        256, "samples of a frame, a power of 2; frames overlap by half", 16, 2**14, power_of_two=True
    )
    level_frames: int = setting(31, "frames to either side that the level is taken over", 1, 4096)


# What checkpoints call each kind of generator; models.py has their networks.
GENERATOR_KINDS = {
    "waveform": WaveformGeneratorConfig,
    "spectral": SpectralGeneratorConfig,
    "short-time": ShortTimeGeneratorConfig,
}


@dataclass(frozen=True)
class DiscriminatorConfig:
    filters: int = setting(8, "channels of every convolution", 1, 4096)
    depth: int = setting(2, "number of convolutions, each halving the length", 1, 16)
    kernel_size: int = setting(32, "kernel length of every convolution in samples", 2, 4096)
    hidden_units: int = setting(16, "units of the hidden linear layer", 1, 65_536)
    negative_slope: float = setting(0.01, "slope of LeakyReLU below zero", 0, 1)
    fourier: bool = setting(True, "convolve through the Fourier transform: the same, but faster")


@dataclass(frozen=True)
class TrainingConfig:
    batch_size: int = setting(50, "signals per training step", 1, 1_000_000)
    pretrain_epochs: int = setting(40, "epochs of the generator alone", 0, 1_000_000)
    max_epochs: int = setting(160, "epochs of both phases together, at most", 1, 100_000, free_on_resume=True)
    patience: int = setting(
        50,
        "adversarial epochs without a better validation reconstruction loss before stopping",
        1,
        1_000_000,
        free_on_resume=True,
    )
    remix: bool = setting(True, "pair every clean training signal with other noise in each epoch, at snr_db")
    slowest: float = setting(
        0.8,
        "with remix, half of the clean training signals are slowed down by factors from this "
        "to 1, which lowers their frequencies; 1 slows none",
        0.1,
        1,
    )
    generator_lr: float = setting(1e-2, "the generator's peak learning rate", 1e-12, 10)
    discriminator_lr: float = setting(1e-3, "the discriminator's peak learning rate", 1e-12, 10)
    adam_beta2: float = setting(0.99, "Adam's decay of the mean squared gradient", 0, 0.999999)
    schedule: str = setting(
        "one-cycle",
        "learning rates: one-cycle (linear warm-up, then a cosine to zero at max_epochs), or halving",
        choices=("one-cycle", "halving"),
    )
    warmup: float = setting(0.3, "share of max_epochs that one-cycle warms up for", 0, 1)
    lr_halving_epochs: int = setting(50, "halving: both learning rates are halved every so many epochs", 1, 1_000_000)
    adversary: str = setting(
        "signal",
        "what the discriminator judges: signal, latent (what the encoder makes of clean and of mixed signals), or none",
        choices=("signal", "latent", "none"),
    )
    gan_loss: str = setting(
        "bce", "the adversarial game's loss; bce is binary cross-entropy", choices=tuple(GAN_LOSSES)
    )
    adversarial_weight: float = setting(0.02, "weight of the adversarial loss", 0, 1e6)
    reconstruction_loss: str = setting(
        "L1",
        "L1 (mean absolute error), L2, log-cosh, improvement (error over noise energy), "
        "SNR+spectrum (output SNR and compressed spectra) or speech (that, and how alike the "
        "envelopes are); the last three are the same at every level",
        choices=tuple(RECONSTRUCTION_LOSSES),
    )
    reconstruction_weight: float = setting(9.0, "weight of the reconstruction loss", 0, 1e6)
    feature_weight: float = setting(0.0, "weight of the deep feature loss", 0, 1e6)
    feature_network: str = setting(
        "discriminator",
        "whose features that loss compares: the discriminator's, or those of a "
        "network pretrained to analyse clean signals",
        choices=("discriminator", "pretrained"),
    )
    seed: int = setting(42, "seed of the initial weights and of the order of the signals", 0, 2**63 - 1)
    precision: str = setting(
        "auto",
        "of training: float32, bfloat16, or auto (for each network bfloat16 where it is fast and agrees with float32)",
        choices=("auto", "float32", "bfloat16"),
    )
    workers: int = setting(
        0,
        "processes that draw signals out of recordings while others are trained on, for GPUs under Linux; 0: none",
        0,
        256,
        free_on_resume=True,
    )
    threads: int = setting(
        1,
        "threads of a training; a second one brings small networks little, and beside other "
        "work it makes them many times slower; 0: as many as there are cores, or as "
        "OMP_NUM_THREADS says",
        0,
        1024,
        free_on_resume=True,
    )
    compile: bool = setting(
        False, "have torch.compile make the networks faster, in a minute or so", free_on_resume=True
    )
    device: str = setting("auto", "auto (CUDA, else MPS, else CPU), or a torch device such as cpu", free_on_resume=True)


@dataclass(frozen=True)
class EvaluationConfig(sections.EvaluationSection):
    seed: int = setting(42, "seed of the fresh test signals and of the sweeps", 0, 2**63 - 1)
    num_test: int = setting(1000, "fresh test signals of sines, never stored", 1, 1_000_000)
    num_sweep: int = setting(300, "test signals at each point of a sweep", 1, 1_000_000)
    lowpass_passband: float = setting(64.0, "edge of the lowpass filter's passband in Hz; 0 takes sample_rate / 4", 0)
    lowpass_stopband: float = setting(100.0, "edge of the lowpass filter's stopband in Hz; 0 takes a quarter more", 0)
    lowpass_ripple_db: float = setting(0.05, "largest loss in the passband in dB", 1e-6, 10)
    lowpass_attenuation_db: float = setting(60.0, "least loss in the stopband in dB", 1, 300)


@dataclass(frozen=True)
class PathsConfig:
    data: str = setting("data", "folder of the signals; relative to the repository, or absolute")
    images: str = setting("images", "folder of the figures, which has a folder for each training")
    checkpoints: str = setting("checkpoints", "folder of the trained networks, likewise")


@dataclass(frozen=True)
class Config(sections.WholeConfig):
    preset: str = "dan"
    name: str = "dan"  # of the training: its folder in checkpoints and in images
    data: DataConfig = DataConfig()
    generator: sections.GeneratorSection = WaveformGeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    paths: PathsConfig = PathsConfig()
