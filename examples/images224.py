"""Large images: 10 classes of 224x224 pictures, by a simple network or by ResNet-18.

    python examples/images224.py                              drawn shapes with noise, which need no download
    python examples/images224.py --data FOLDER                a folder of images, one folder in it for each class
    python examples/images224.py --model resnet18 --images 2000 --epochs 10

A folder needs Pillow (pip install ranvier[images]), --plot FILE needs matplotlib (pip install ranvier[plot]).
--save FILE keeps the model, as safetensors.
"""

import argparse

import numpy as np
import ranvier as rv
from ranvier import models, optim
from ranvier.data import DataLoader, augment, read_images
from ranvier.train import Trainer, metrics

# Each shape says which places (u to the right, v down, about -1 to 1) belong to it.
SHAPES = {
    "disc": lambda u, v: u * u + v * v < 1,
    "ring": lambda u, v: abs(u * u + v * v - 0.75) < 0.25,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.9,
    "frame": lambda u, v: abs(np.maximum(abs(u), abs(v)) - 0.75) < 0.15,
    "diamond": lambda u, v: abs(u) + abs(v) < 1.1,
    "triangle": lambda u, v: (v < 0.7) & (v > 2 * abs(u) - 1),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.25) & (np.maximum(abs(u), abs(v)) < 1),
    "rows": lambda u, v: (np.maximum(abs(u), abs(v)) < 1) & (np.floor(4 * v) % 2 == 0),
    "columns": lambda u, v: (np.maximum(abs(u), abs(v)) < 1) & (np.floor(4 * u) % 2 == 0),
    "squares": lambda u, v: (np.maximum(abs(u), abs(v)) < 1) & ((np.floor(4 * u) + np.floor(4 * v)) % 2 == 0),
}


def draw(count, size, rng, reach=0.15):
    """Images (count, 3, size, size) of bytes and labels: a bright shape on a dark ground, up to `reach` off the middle."""
    labels = np.arange(count) % len(SHAPES)
    images = np.empty((count, 3, size, size), np.uint8)
    v, u = np.mgrid[:size, :size] * (2 / size) - 1
    for image, label in zip(images, labels):
        (x, y), radius = rng.uniform(-reach, reach, 2), rng.uniform(0.4, 0.65)
        inside = list(SHAPES.values())[label]((u - x) / radius, (v - y) / radius)
        back, front = rng.uniform(0, 110, 3), rng.uniform(145, 255, 3)
        pixels = np.where(inside, front[:, None, None], back[:, None, None])
        image[:] = np.clip(pixels + rng.normal(0, 20, pixels.shape), 0, 255)
    return images, labels


def load(options, rng):
    if not options.data:
        return (*draw(options.images, options.size, rng), list(SHAPES))
    images, labels, classes = read_images(options.data, options.size)
    order = rng.permutation(len(images))
    return images[order], labels[order], classes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with a folder of images for each class")
    parser.add_argument("--model", choices=("simple", "resnet18"), default="simple")
    parser.add_argument("--images", type=int, default=240, help="how many to draw")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--width", type=int, help="channels of the first layer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="FILE", help="where a picture of the losses goes")
    parser.add_argument("--save", metavar="FILE", help="where the model goes")
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    x, y, classes = load(options, rng)
    kept = len(x) * 4 // 5
    rv.manual_seed(options.seed)
    if options.model == "simple":
        model = models.simple_cnn(len(classes), 3, options.size, options.width or 8)
    else:
        model = models.resnet18(len(classes), width=options.width or 64)
    print(
        f"{len(x)} images of {options.size}x{options.size}, {sum(p.numel() for p in model.parameters()):,} parameters"
    )

    change = augment.Compose(augment.flip, augment.normalize)
    rows = augment.Augmented((x[:kept], y[:kept]), change, options.seed)
    trainer = Trainer(model, "cross_entropy", optim.Adam(model.parameters(), lr=options.rate), metrics=["accuracy"])
    history = trainer.fit(DataLoader(rows, options.batch, shuffle=True, generator=options.seed), epochs=options.epochs)
    guesses = np.concatenate([trainer.predict(augment.normalize(x[i : i + 64])) for i in range(kept, len(x), 64)])
    print(f"trained for {history.seconds:.1f} s, test accuracy {metrics.accuracy(guesses, y[kept:]):.2%}")
    if options.plot:
        history.plot(path=options.plot)
    if options.save:
        model.save(options.save)


if __name__ == "__main__":
    main()
