"""Spoken digits: convolution and LSTM over log-mel spectrograms, tested on two speakers that were not heard in training.

    python examples/speech.py                                 tones drawn by this script
    python examples/speech.py --data recordings               WAV files named DIGIT_SPEAKER_TAKE.wav

The free spoken digit dataset has such files.
"""

import argparse
from pathlib import Path

import numpy as np
import ranvier as rv
from ranvier import nn, optim
from ranvier.data import log_mel, read_wav
from ranvier.train import Trainer, metrics

RATE, STEP, MELS, FRAMES = 8000, 0.016, 40, 56


def spoken(digit, voice, rng):
    """A digit of this script's language: three syllables, each two formants over a voice's pitch."""
    pitch, width = 90 + 25 * voice, 1 + 0.06 * (voice - 2.5)
    parts = []
    for syllable in range(3):
        first = 300 + 120 * ((digit + 2 * syllable) % 5)
        second = 1000 + 350 * ((3 * digit + syllable * (1 + digit // 5)) % 7)
        t = np.arange(int(RATE * rng.uniform(0.09, 0.16))) / RATE
        harmonics = pitch * rng.uniform(0.95, 1.05) * np.arange(1, 26)[:, None]
        loud = sum(np.exp(-(((harmonics - f * width) / 160) ** 2)) for f in (first, second))
        tone = (loud * np.sin(2 * np.pi * harmonics * t + rng.uniform(0, 6, (25, 1)))).sum(0)
        parts.append(tone * np.sin(np.pi * t / t[-1]))
    sound = np.concatenate(parts)
    return (0.2 * sound + 0.02 * rng.standard_normal(len(sound))).astype(np.float32)


def load(folder, seed):
    """Sounds, their digits, and the names of their speakers."""
    if folder is None:
        rng = np.random.default_rng(seed)
        keys = [(digit, voice) for digit in range(10) for voice in range(6) for _ in range(10)]
        return (
            [spoken(*key, rng) for key in keys],
            np.array([k[0] for k in keys]),
            np.array([f"voice{k[1]}" for k in keys]),
        )
    paths = sorted(Path(folder).rglob("*_*_*.wav"))
    if not paths:
        raise SystemExit(f"speech.py: {folder} holds no file named DIGIT_SPEAKER_TAKE.wav")
    sounds = []
    for path in paths:
        samples, rate = read_wav(path)
        if rate != RATE:
            raise SystemExit(f"speech.py: {path} has {rate} samples a second, must have {RATE}")
        sounds.append(samples[0])
    names = [path.stem.split("_") for path in paths]
    return sounds, np.array([int(name[0]) for name in names]), np.array([name[1] for name in names])


def features(sounds):
    """(N, FRAMES, MELS): spectrograms of mean 0 and deviation 1, cut or padded with silence to one length."""
    x = np.zeros((len(sounds), FRAMES, MELS), np.float32)
    for row, sound in zip(x, sounds):
        sound = np.pad(sound, (0, max(0, 200 - len(sound))))
        bands = log_mel(sound, RATE, MELS, step=STEP)[:FRAMES]
        row[: len(bands)] = (bands - bands.mean()) / (bands.std() + 1e-5)
    return x


class Network(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.conv = nn.Conv1d(MELS, 64, 5, stride=2, padding=2)
        self.lstm = nn.LSTM(64, hidden, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.3)
        self.top = nn.Linear(2 * hidden, 10)

    def forward(self, x):  # (N, FRAMES, MELS)
        x = rv.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        y, _ = self.lstm(x)
        return self.top(self.drop(y.mean(1)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FOLDER", help="folder of WAV files")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="where the model goes")
    parser.add_argument("--plot", metavar="FILE", help="where a drawing of the losses goes")
    options = parser.parse_args()

    sounds, digits, speakers = load(options.data, options.seed)
    x = features(sounds)
    held_out = np.isin(speakers, np.unique(speakers)[-2:])
    print(f"{len(x)} recordings of {len(np.unique(speakers))} speakers; {held_out.sum()} of two are held out")
    rv.manual_seed(options.seed)
    model = Network()
    trainer = Trainer(model, "cross_entropy", optim.Adam(model.parameters(), lr=options.rate), metrics=["accuracy"])
    history = trainer.fit(
        x[~held_out], digits[~held_out], options.epochs, options.batch,
        validation_data=(x[held_out], digits[held_out]), seed=options.seed,
    )  # fmt: skip
    scores = trainer.predict(x[held_out])
    print(f"accuracy on speakers not heard before {metrics.accuracy(scores, digits[held_out]):.2%}")
    if options.save:
        model.save(options.save)
    if options.plot:
        history.plot(path=options.plot)


if __name__ == "__main__":
    main()
