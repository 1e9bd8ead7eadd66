"""XOR by hand: a 2-4-1 sigmoid network on plain NumPy arrays, with backpropagation written out.

Ranvier's functions take NumPy arrays and give NumPy arrays, so a script like this one gains speed without new
types.
"""

import numpy as np
import ranvier as rv

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
Y = np.array([[0], [1], [1], [0]], dtype=np.float64)

random = np.random.default_rng(1)
W1 = random.normal(size=(2, 4))
b1 = np.zeros((1, 4))
W2 = random.normal(size=(4, 1))
b2 = np.zeros((1, 1))
rate = 1.0

for epoch in range(5000):
    # forward
    hidden = rv.sigmoid(X @ W1 + b1)  # (4, 4)
    output = rv.sigmoid(hidden @ W2 + b2)  # (4, 1)
    loss = np.mean((Y - output) ** 2)

    # backward: sigmoid'(z) = s (1 - s), with s = sigmoid(z), which is what `output` and `hidden` already are
    delta2 = (output - Y) * output * (1 - output)  # (4, 1)
    delta1 = (delta2 @ W2.T) * hidden * (1 - hidden)  # (4, 4), with W2 as it was in the forward pass

    # update, against the gradient
    W2 -= rate * hidden.T @ delta2
    b2 -= rate * delta2.sum(axis=0, keepdims=True)
    W1 -= rate * X.T @ delta1
    b1 -= rate * delta1.sum(axis=0, keepdims=True)

    if epoch % 1000 == 0:
        print(f"epoch {epoch:4d}  loss {loss:.4f}")

print(np.c_[X, output].round(3))
assert isinstance(output, np.ndarray)
assert loss < 0.01 and np.array_equal(output > 0.5, Y == 1)
