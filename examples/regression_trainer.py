"""Regression with Trainer: a 10-64-1 network on 100 rows, 100 epochs of batches of 32."""

import numpy as np
import ranvier as rv
from ranvier import nn
from ranvier.data import StandardScaler
from ranvier.train import Trainer

random = np.random.default_rng(0)
x = random.normal(size=(100, 10))
y = x[:, :1] - 2 * x[:, 1:2] + np.sin(x[:, 2:3]) + 0.05 * random.normal(size=(100, 1))
x_test = random.normal(size=(50, 10))
y_test = x_test[:, :1] - 2 * x_test[:, 1:2] + np.sin(x_test[:, 2:3])

scaler = StandardScaler().fit(x)  # learns from the training rows alone

rv.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1))
trainer = Trainer(model, loss="mse", optimizer="adam", lr=0.01, metrics=["mae", "r2"])
history = trainer.fit(
    scaler.transform(x),
    y,
    epochs=100,
    batch_size=32,
    validation_split=0.1,
    seed=0,
    verbose=0,
)
print(history, f"in {history.seconds * 1e3:.0f} ms")
result = trainer.evaluate(scaler.transform(x_test), y_test)
print({name: round(value, 4) for name, value in result.items()})
one = trainer.predict(scaler.transform(x_test[:1]))  # one row is a quick call too
print(f"first test row: predicted {one.item():.3f}, true {y_test[0, 0]:.3f}")

assert history["loss"][-1] < 0.1 * history["loss"][0]
assert result["r2"] > 0.8
assert one.shape == (1, 1)
