"""Spoken digits: convolution and LSTM over log-mel spectrograms, tested on two speakers that were not heard in training.

    python examples/speech.py                                 tones drawn by this script
    python examples/speech.py --data recordings               WAV files named DIGIT_SPEAKER_TAKE.wav
    python examples/speech.py --strings                       strings of two to four digits, with CTC

The free spoken digit dataset has such files.
"""

import argparse
from pathlib import Path

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.data import log_mel, read_wav
from ranvier.nn.ctc import greedy_decode
from ranvier.train import Trainer, metrics
from tqdm import tqdm

RATE, STEP, MELS, FRAMES = 8000, 0.016, 40, 56


def spoken(digit, voice, rng):
    """A digit of this script's language: three syllables, each two formants over a voice's pitch."""
    place = (0, 5, 1, 4, 2, 3)[voice]  # the last two, which are held out, lie between the others
    pitch, width = 90 + 25 * place, 1 + 0.05 * (place - 2.5)
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


def features(sounds, frames):
    """(N, frames, MELS), cut or padded with silence to one length, of mean 0 and deviation 1; and how many frames count."""
    x, counts = np.zeros((len(sounds), frames, MELS), np.float32), np.zeros(len(sounds), np.int64)
    for k, sound in enumerate(sounds):
        sound = np.pad(sound, (0, max(0, 200 - len(sound))))
        bands = log_mel(sound, RATE, MELS, step=STEP)[:frames]
        x[k, : len(bands)], counts[k] = (bands - bands.mean()) / (bands.std() + 1e-5), len(bands)
    return x, counts


class Network(nn.Module):
    """Scores of classes for every second frame, (N, frames / 2, classes), or with `whole` for all of them, (N, classes)."""

    def __init__(self, classes, whole, hidden=64):
        super().__init__()
        self.whole = whole
        self.conv = nn.Conv1d(MELS, 64, 5, stride=2, padding=2)
        self.lstm = nn.LSTM(64, hidden, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.3)
        self.top = nn.Linear(2 * hidden, classes)

    def forward(self, x):  # (N, frames, MELS)
        x = rv.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        y, _ = self.lstm(x)
        return self.top(self.drop(y.mean(1) if self.whole else y))


def single(sounds, digits, held_out, options):
    """One digit a recording."""
    x, _ = features(sounds, FRAMES)
    model = Network(10, whole=True)
    trainer = Trainer(model, "cross_entropy", optim.Adam(model.parameters(), lr=options.rate), metrics=["accuracy"])
    history = trainer.fit(
        x[~held_out], digits[~held_out], options.epochs, options.batch,
        validation_data=(x[held_out], digits[held_out]), seed=options.seed,
    )  # fmt: skip
    scores = trainer.predict(x[held_out])
    print(f"accuracy on speakers not heard before {metrics.accuracy(scores, digits[held_out]):.2%}")
    if options.plot:
        history.plot(path=options.plot)
    return model


def strung(sounds, digits, speakers, count, rng):
    """`count` strings of two to four digits of one speaker: sounds, and digits + 1, for 0 is CTC's blank; 0 behind them."""
    strings, labels, lengths = [], np.zeros((count, 4), np.int64), rng.integers(2, 5, count)
    for k, n in enumerate(lengths):
        rows = rng.choice(np.flatnonzero(speakers == rng.choice(np.unique(speakers))), n)
        strings.append(np.concatenate([sounds[row] for row in rows]))
        labels[k, :n] = digits[rows] + 1
    return strings, labels, lengths


def strings(sounds, digits, speakers, held_out, options):
    """Connectionist temporal classification of strings of digits."""
    rng = np.random.default_rng(options.seed)
    sets = []
    for chosen, count in ((~held_out, options.count), (held_out, 100)):
        kept = np.flatnonzero(chosen)
        spoken_here, labels, lengths = strung([sounds[k] for k in kept], digits[kept], speakers[kept], count, rng)
        x, frames = features(spoken_here, 3 * FRAMES)
        sets.append((x, labels, (frames + 1) // 2, lengths))
    model = Network(11, whole=False)
    optimizer = optim.Adam(model.parameters(), lr=options.rate)

    @rv.compile
    def step(x, labels, frames, lengths):
        optimizer.zero_grad()
        loss = F.ctc_loss(F.log_softmax(model(x), -1).transpose(0, 1), labels, frames, lengths, zero_infinity=True)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for _ in (bar := tqdm(range(options.epochs))):
        order = rng.permutation(len(sets[0][0]) // options.batch * options.batch).reshape(-1, options.batch)
        losses.append(np.mean([step(*(rv.tensor(part[rows]) for part in sets[0])).item() for rows in order]))
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
    x, labels, frames, lengths = sets[1]
    with rv.no_grad():
        found = greedy_decode(model.eval()(rv.tensor(x)).transpose(0, 1), frames)
    right = np.mean([f == list(row[:n]) for f, row, n in zip(found, labels, lengths)])
    print(f"strings of speakers not heard before that are right in all digits {right:.2%}")
    if options.plot:
        import matplotlib.pyplot as plt

        plt.plot(losses)
        plt.savefig(options.plot)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FOLDER", help="folder of WAV files")
    parser.add_argument("--strings", action="store_true", help="recognise strings of digits, with CTC")
    parser.add_argument("--epochs", type=int, help="12, of strings 20")
    parser.add_argument("--count", type=int, default=384, help="how many strings")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="where the model goes")
    parser.add_argument("--plot", metavar="FILE", help="where a drawing of the losses goes")
    options = parser.parse_args()

    options.epochs = options.epochs or (20 if options.strings else 12)

    sounds, digits, speakers = load(options.data, options.seed)
    held_out = np.isin(speakers, np.unique(speakers)[-2:])
    print(f"{len(sounds)} recordings of {len(np.unique(speakers))} speakers; {held_out.sum()} of two are held out")
    rv.manual_seed(options.seed)
    if options.strings:
        model = strings(sounds, digits, speakers, held_out, options)
    else:
        model = single(sounds, digits, held_out, options)
    if options.save:
        model.save(options.save)


if __name__ == "__main__":
    main()
