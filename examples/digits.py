"""Handwritten digits: train a small network, look at its mistakes, save it and load it again.

Needs scikit-learn for the data: pip install ranvier[demo]
"""

import os
import tempfile

import numpy as np
import ranvier as rv
from ranvier import nn, optim
from ranvier.train import EarlyStopping, Trainer, metrics
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

x, y = load_digits(return_X_y=True)  # 1797 images of 8x8 pixels from 0 to 16
x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.2, stratify=y, random_state=0)


def network():
    return nn.Sequential(
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 10),  # scores: cross-entropy applies the softmax itself
    )


rv.manual_seed(0)
model = network()
optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
trainer = Trainer(model, "cross_entropy", optimizer, metrics=["accuracy"])
history = trainer.fit(
    x_train,
    y_train,
    epochs=60,
    batch_size=64,
    validation_split=0.1,
    scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60, eta_min=1e-4),
    callbacks=[EarlyStopping("val_accuracy", patience=30)],
    seed=0,
    verbose=0,
)
print(history)

scores = trainer.predict(x_test)
accuracy = metrics.accuracy(scores, y_test)
print(f"test accuracy {accuracy:.2%}, macro F1 {metrics.f1(scores, y_test, average='macro'):.4f}")
matrix = metrics.confusion_matrix(scores, y_test)
wrong = [(int(matrix[i, j]), i, j) for i in range(10) for j in range(10) if i != j and matrix[i, j]]
for count, truth, guess in sorted(wrong, reverse=True)[:3]:
    print(f"{count} times a {truth} was read as a {guess}")

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "digits.safetensors")
    model.save(path)
    again = network()
    again.load(path)
assert np.array_equal(Trainer(again, "cross_entropy").predict(x_test), scores)
assert accuracy > 0.96
