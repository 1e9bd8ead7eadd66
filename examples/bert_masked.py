"""Learning from text without labels first, then from few labels: a masked-letter encoder (Devlin et al., 2018).

    python examples/bert_masked.py                       a part of Python's own documentation
    python examples/bert_masked.py --text book.txt --width 128 --layers 4 --steps 5000

The encoder first learns to fill in letters that are masked, which needs no labels. Then it learns to tell lines of the text
from lines whose letters have been shuffled, from a few labelled ones, and so does the same network that starts from nothing.
Both are tested on other text.
"""

import argparse
import string
from pathlib import Path

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim

LETTERS = string.ascii_lowercase + " "
MASK = len(LETTERS)  # the token that stands for a hidden letter
IGNORED = -100  # a target that does not count


class Encoder(nn.Module):
    def __init__(self, width, heads, layers, length):
        super().__init__()
        self.letter, self.place = nn.Embedding(MASK + 1, width), nn.positions.Learned(length, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))
        for table in (self.letter, self.place):  # letters and places count alike: neighbours are found from the start
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, letters):
        return self.layers(self.place(self.letter(letters)))


def python_documentation(letters=460_000):
    """The first of the topics that `help()` explains."""
    from pydoc_data.topics import topics

    return "\n".join(topics.values())[:letters]


def lines_of(text, length):
    """Letters as numbers, (N, length)."""
    words = "".join(c if c in LETTERS else " " for c in text.lower()).split()
    letters = np.array([LETTERS.index(c) for c in " ".join(words)])
    count = len(letters) // length
    return letters[: count * length].reshape(count, length)


def shuffled(lines, rng):
    """Half of the lines with their letters in random order, spaces where they were; and 1 for these, 0 for the others."""
    lines, labels = lines.copy(), rng.permutation(np.arange(len(lines)) % 2)
    for row in np.flatnonzero(labels):
        at = np.flatnonzero(lines[row] != LETTERS.index(" "))
        lines[row, at] = rng.permutation(lines[row, at])
    return lines, labels


def masked(letters, rng, share=0.15):
    """`letters` with some of them masked, and as targets those alone."""
    hidden = rng.random(letters.shape) < share
    return np.where(hidden, MASK, letters), np.where(hidden, letters, IGNORED)


def train(model, batches, steps, rate, what):
    """AdamW with a rate that rises over a tenth of the steps and then falls to 0."""
    optimizer = optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)

    @rv.compile
    def step(x, y):
        optimizer.zero_grad()
        scores = model(x)
        loss = F.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    model.train()
    for number in range(steps):
        losses.append(step(*map(rv.tensor, batches())).item())
        schedule.step()
        if what and (number + 1) % (steps // 4) == 0:
            print(f"{what} {number + 1}/{steps}: loss {np.mean(losses[-(steps // 4) :]):.3f}")
    return losses


class Judge(nn.Module):
    """Scores of two classes from the mean of an encoder's features."""

    def __init__(self, encoder, width):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(width, 2)

    def forward(self, letters):
        return self.head(self.encoder(letters).mean(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="a file of text")
    parser.add_argument("--length", type=int, default=32, help="letters of a line")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1300, help="of pretraining")
    parser.add_argument("--labelled", type=int, default=128, help="labelled lines")
    parser.add_argument("--tuning", type=int, default=150, help="steps with labels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="where the pretrained encoder goes")
    options = parser.parse_args()

    text = Path(options.text).read_text(encoding="utf-8") if options.text else python_documentation()
    lines = lines_of(text, options.length)
    cut = len(lines) * 9 // 10
    rng = np.random.default_rng(options.seed)
    rv.manual_seed(options.seed)

    def encoder():
        return Encoder(options.width, options.heads, options.layers, options.length)

    pretrained = encoder()
    filler = nn.Sequential(pretrained, nn.Linear(options.width, len(LETTERS)))
    print(f"{lines.size:,} letters, {sum(p.numel() for p in filler.parameters()):,} parameters")
    train(
        filler, lambda: masked(lines[rng.integers(0, cut, options.batch)], rng), options.steps, 4e-3, "masked letters"
    )
    if options.save:
        pretrained.save(options.save)

    x, y = shuffled(lines[rng.permutation(cut)[: options.labelled]], rng)
    x_test, y_test = shuffled(lines[cut:], rng)
    for name, start in (("from scratch", encoder()), ("pretrained", pretrained)):
        model, order = Judge(start, options.width), np.random.default_rng(options.seed)

        def labelled(order=order):
            rows = order.choice(len(x), min(2 * options.batch, len(x)), replace=False)
            return x[rows], y[rows]

        train(model, labelled, options.tuning, 1e-3, "")
        model.eval()
        with rv.no_grad():
            right = model(rv.tensor(x_test)).argmax(-1).numpy() == y_test
        print(f"{len(x)} labelled lines, {name}: accuracy {right.mean():.1%} on {len(x_test):,} others")


if __name__ == "__main__":
    main()
