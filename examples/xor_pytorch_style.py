"""XOR in PyTorch's style: a 2-3-1 network, MSE, Adam(0.01), 1000 steps; first eager, then compiled."""

import time

import ranvier as rv
from ranvier import nn, optim

X = rv.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = rv.tensor([[0.0], [1.0], [1.0], [0.0]])


class XOR(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 3)
        self.fc2 = nn.Linear(3, 1)

    def forward(self, x):
        return self.fc2(rv.tanh(self.fc1(x)))


def train(compiled):
    rv.manual_seed(0)
    model = XOR()
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if compiled:
        step = rv.compile(step)  # traced at the first call, then one native call a step

    began = time.perf_counter()
    for _ in range(1000):
        loss = step(X, Y)
    seconds = time.perf_counter() - began
    print(f"{'compiled' if compiled else 'eager':8}  loss {loss.item():.2e}  {seconds * 1e3:.1f} us a step")
    return model, loss.item()


for compiled in (False, True):
    model, loss = train(compiled)
    with rv.no_grad():
        answers = model(X)
    print(answers.numpy().round(2).ravel())
    assert loss < 1e-2
    assert ((answers > 0.5) == (Y > 0.5)).all()
