"""A GPT that writes text letter by letter (Radford et al., 2018).

    python examples/char_gpt.py                                    a part of Python's own documentation
    python examples/char_gpt.py --text shakespeare.txt --width 192 --layers 4 --length 128 --epochs 10
    python examples/char_gpt.py --save gpt --epochs 4              gpt.safetensors, gpt.png
    python examples/char_gpt.py --save gpt --epochs 8 --resume     goes on where that ended

The last tenth of the text is for validation. At the end the model continues --prompt, one letter at a time, with a cache of
keys and values.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.nn.generation import generate
from ranvier.train import ModelCheckpoint, Trainer


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, attend):
        n, t, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, width // self.heads)
        seen = attend(*(part.transpose(1, 2) for part in parts.unbind(2)))
        x = x + self.drop(self.out(seen.transpose(1, 2).reshape(n, t, width)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    def __init__(self, letters, width, heads, layers, length, dropout=0.0):
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, width), nn.positions.Learned(length, width)
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters, bias=False)
        self.shape = {"heads": heads, "head_dim": width // heads, "layers": layers, "max_length": length}
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, letters, cache=None):
        x = self.place(self.letter(letters), 0 if cache is None else cache.position)
        for number, block in enumerate(self.blocks):
            if cache is None:
                x = block(x, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
            else:
                x = block(x, lambda q, k, v, number=number: cache.attend(number, q, k, v))
        if cache is not None:
            cache.advance(letters.shape[1])
        return self.head(self.norm(x))

    def write(self, letters, count, **options):
        """`letters` (T,) and `count` more, with a cache that begins anew with the second half of what it holds when it is
        full: places beyond those of the training mean nothing. options: those of `generate`.
        """
        cache = nn.KeyValueCache(batch=1, **self.shape)
        half, end = cache.max_length // 2, len(letters) + count
        while len(letters) < end:
            seen = letters[-half:]
            more = generate(self, seen, min(end - len(letters), cache.max_length - len(seen)), cache=cache, **options)
            letters = rv.cat([letters, more[len(seen) :]])
        return letters


def python_documentation(letters=60_000):
    """The first of the topics that `help()` explains."""
    from pydoc_data.topics import topics

    return "\n".join(topics.values())[:letters]


def windows(numbers, length):
    """Inputs (N, length), and what follows each letter."""
    count = (len(numbers) - 1) // length
    return tuple(numbers[k : k + count * length].reshape(count, length) for k in (0, 1))


def loss_of_letters(logits, targets):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="a file of text")
    parser.add_argument("--length", type=int, default=64, help="letters that the model sees at once")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--letters", type=int, default=200, help="how many to write at the end")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument(
        "--save", metavar="NAME", help="NAME.safetensors: the run after each epoch; NAME.png: its losses"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run that --save has left")
    options = parser.parse_args()
    if options.resume and not options.save:
        parser.error("--resume needs --save, the run to go on with")

    text = Path(options.text).read_text(encoding="utf-8") if options.text else python_documentation()
    alphabet = sorted(set(text) | set(options.prompt))
    number = {letter: k for k, letter in enumerate(alphabet)}
    numbers = np.array([number[letter] for letter in text])
    cut = len(numbers) * 9 // 10
    x, y = windows(numbers[:cut], options.length)
    validation = windows(numbers[cut:], options.length)

    rv.manual_seed(options.seed)
    model = GPT(len(alphabet), options.width, options.heads, options.layers, options.length, options.dropout)
    print(f"{len(text):,} letters of {len(alphabet)} kinds, {sum(p.numel() for p in model.parameters()):,} parameters")
    optimizer = optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.99), weight_decay=0.1)
    trainer = Trainer(model, loss_of_letters, optimizer)
    run = f"{options.save}.safetensors"
    history = trainer.fit(
        x, y, epochs=options.epochs, batch_size=options.batch, validation_data=validation, seed=options.seed,
        callbacks=[ModelCheckpoint(run, save_weights_only=False, save_best_only=False)] if options.save else [],
        resume=run if options.resume else None,
    )  # fmt: skip
    print(f"validation loss {history['val_loss'][-1]:.4f} nats a letter, of a guess {np.log(len(alphabet)):.4f}")
    if options.save:
        history.plot("loss" if len(history["loss"]) < 2 else ["loss", "val_loss"], path=f"{options.save}.png")

    begin = time.perf_counter()
    prompt = rv.tensor([number[letter] for letter in options.prompt])
    written = model.write(prompt, options.letters, temperature=options.temperature, top_k=options.top_k)
    seconds = time.perf_counter() - begin
    print("".join(alphabet[k] for k in written.tolist()))
    print(f"({options.letters} letters in {seconds:.2f} s)")


if __name__ == "__main__":
    main()
