"""Two towers: images of digits and spoken digits meet in one space, so that a sound finds its image.

    python examples/multimodal.py                     digits of 8x8 pixels, tones drawn by this script
    python examples/multimodal.py --data recordings   WAV files named DIGIT_SPEAKER_TAKE.wav

Radford and others, 2021. Needs scikit-learn for the images: pip install ranvier[demo]
"""

import argparse
from pathlib import Path

import numpy as np
import ranvier as rv
from ranvier import nn, optim
from ranvier.data import log_mel, read_wav
from ranvier.train import Trainer
from sklearn.datasets import load_digits
from tqdm import tqdm

RATE, MELS, FRAMES = 8000, 32, 40


def tone(digit, rng):
    """A digit of this script's language: two tones that follow each other, of the voice's own pitch."""
    t = np.arange(int(RATE * rng.uniform(0.18, 0.28))) / RATE
    pitch = rng.uniform(0.94, 1.06)
    parts = [np.sin(2 * np.pi * pitch * 300 * 1.35**k * t) * np.sin(np.pi * t / t[-1]) for k in divmod(digit + 3, 4)]
    sound = np.concatenate(parts)
    return (0.3 * sound + 0.05 * rng.standard_normal(len(sound))).astype(np.float32)


def sounds(folder, rng):
    """Log-mel spectrograms (N, MELS, FRAMES), and their digits."""
    if folder is None:
        digits = np.repeat(np.arange(10), 60)
        waves = [tone(digit, rng) for digit in digits]
    else:
        paths = sorted(Path(folder).rglob("*_*_*.wav"))
        if not paths:
            raise SystemExit(f"multimodal.py: {folder} holds no file named DIGIT_SPEAKER_TAKE.wav")
        digits = np.array([int(path.stem.split("_")[0]) for path in paths])
        files = [read_wav(path) for path in paths]
        if any(rate != RATE for _, rate in files):
            raise SystemExit(f"multimodal.py: {folder} must hold files of {RATE} samples a second")
        waves = [samples[0] for samples, _ in files]
    x = np.zeros((len(waves), MELS, FRAMES), np.float32)
    for k, wave in enumerate(waves):
        bands = log_mel(np.pad(wave, (0, max(0, 200 - len(wave)))), RATE, MELS, step=0.016)[:FRAMES].T
        x[k, :, : bands.shape[1]] = (bands - bands.mean()) / (bands.std() + 1e-5)
    return x, digits


class Towers(nn.Module):
    """An encoder for each side, and the temperature at which they are compared."""

    def __init__(self, width=32):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, width))
        self.sound = nn.Sequential(
            nn.Conv1d(MELS, 64, 5, stride=2, padding=2), nn.ReLU(), nn.Conv1d(64, 64, 5, stride=2, padding=2), nn.ReLU(),
            nn.AdaptiveMaxPool1d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, width),
        )  # fmt: skip
        self.log_temperature = nn.Parameter(rv.tensor(np.log(0.1)))

    def forward(self, images, sounds):
        return nn.functional.info_nce_loss(
            self.image(images), self.sound(sounds), self.log_temperature.exp(), within=False
        )


def one_of_each(digits, rows, rng):
    """A row of each digit: what shows another digit is a true negative."""
    return np.array([rng.choice(rows[digits[rows] == k]) for k in range(10)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a folder of WAV files")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", help="file for a plot of the loss")
    parser.add_argument("--save", help="file for the weights")
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    pixels, shown = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    heard, spoken = sounds(options.data, rng)
    (see_test, see), (hear_test, hear) = (
        np.split(rng.permutation(len(digits)), [len(digits) // 5]) for digits in (shown, spoken)
    )
    rv.manual_seed(options.seed)
    model = Towers()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    @rv.compile
    def step(images, sounds):
        optimizer.zero_grad()
        loss = model(images, sounds)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for k in (bar := tqdm(range(options.steps))):
        images, voices = one_of_each(shown, see, rng), one_of_each(spoken, hear, rng)
        losses.append(step(rv.tensor(pixels[images]), rv.tensor(heard[voices])).item())
        if k % 100 == 99:
            bar.set_description(f"loss {np.mean(losses[-100:]):.3f}")

    def places(tower, x):
        y = Trainer(tower, "mse").predict(x)
        return y / np.linalg.norm(y, axis=1, keepdims=True)

    at_images, at_sounds = places(model.image, pixels[see_test]), places(model.sound, heard[hear_test])
    nearest = shown[see_test][(at_sounds @ at_images.T).argmax(1)]
    accuracy = np.mean(nearest == spoken[hear_test])
    print(f"sounds that find an image of their digit among {len(see_test)}: {accuracy:.2%}, chance 10%")
    if options.plot:
        import matplotlib.pyplot as plt

        plt.plot(np.convolve(losses, np.ones(50) / 50, "valid"))
        plt.xlabel("step")
        plt.ylabel("loss")
        plt.savefig(options.plot)
    if options.save:
        model.save(options.save)
    if options.data is None:
        assert accuracy > 0.5


if __name__ == "__main__":
    main()
