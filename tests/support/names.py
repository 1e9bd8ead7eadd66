"""Write docs/names.md, a table from other libraries' names to Ranvier's: PYTHONPATH=python python tests/support/names.py

PyTorch's rows are made from the namespaces; Keras's and scikit-learn's are written by hand, and every name of
ours in them is looked up.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import ranvier as rv
import ranvier.numpy

PAGE = Path(__file__).parents[2] / "docs" / "names.md"

KERAS = {
    "Sequential": "nn.Sequential",
    "Model (subclass)": "nn.Module",
    "layers.Dense(n)": "nn.Linear(n_in, n)",
    "layers.Conv2D(n, k)": "nn.Conv2d(n_in, n, k)",
    "layers.Conv2DTranspose": "nn.ConvTranspose2d",
    "layers.MaxPooling2D": "nn.MaxPool2d",
    "layers.AveragePooling2D": "nn.AvgPool2d",
    "layers.GlobalAveragePooling2D": "nn.AdaptiveAvgPool2d(1)",
    "layers.UpSampling2D": "nn.Upsample",
    "layers.ZeroPadding2D": "nn.ZeroPad2d",
    "layers.BatchNormalization": "nn.BatchNorm2d(n, eps=1e-3, momentum=0.01)",
    "layers.LayerNormalization": "nn.LayerNorm",
    "layers.Dropout": "nn.Dropout",
    "layers.Flatten": "nn.Flatten",
    "layers.Reshape": "nn.Unflatten",
    "layers.Activation('relu')": "nn.ReLU()",
    "activations.softmax(x)": "rv.softmax(x, -1)",
    "initializers.GlorotUniform": "nn.init.xavier_uniform_",
    "initializers.HeNormal": "nn.init.kaiming_normal_",
    "regularizers.L2": "optim.l2_penalty",
    "regularizers.L1": "optim.l1_penalty",
    "model.compile(optimizer, loss, metrics)": "Trainer(model, loss, optimizer, metrics)",
    "model.fit, evaluate, predict": "Trainer.fit, Trainer.evaluate, Trainer.predict",
    "model.summary()": "nn.Module.summary(input)",
    "model.save_weights, load_weights": "nn.Module.save, nn.Module.load",
    "model.trainable = False": "nn.Module.requires_grad_(False)",
    "optimizers.Adam(epsilon=1e-7)": "optim.Adam(eps=1e-7)",
    "optimizers.SGD": "optim.SGD",
    "optimizers.RMSprop(rho=0.9)": "optim.RMSprop(alpha=0.9)",
    "'sparse_categorical_crossentropy', from_logits=True": "nn.CrossEntropyLoss",
    "'categorical_crossentropy', from_logits=True": "nn.CrossEntropyLoss",
    "'binary_crossentropy', from_logits=True": "nn.BCEWithLogitsLoss",
    "'mse', 'mae'": "nn.MSELoss, nn.L1Loss",
    "callbacks.Callback": "train.Callback",
    "callbacks.EarlyStopping": "train.EarlyStopping",
    "callbacks.ModelCheckpoint": "train.ModelCheckpoint",
    "callbacks.CSVLogger": "train.CSVLogger",
    "callbacks.LearningRateScheduler": "train.LearningRateScheduler",
    "callbacks.ReduceLROnPlateau": "optim.lr_scheduler.ReduceLROnPlateau",
    "callbacks.TerminateOnNaN": "train.TerminateOnNaN",
    "History.history": "train.History",
    "utils.set_random_seed": "rv.manual_seed",
    "utils.to_categorical": "rv.one_hot",
    "ops.* (of arrays)": "rv.exp, rv.matmul, rv.mean, ..",
}

SKLEARN = {
    "MLPClassifier(hidden_layer_sizes=(100,))": "Trainer(nn.Sequential(..), 'cross_entropy', 'adam')",
    "MLPRegressor": "Trainer(nn.Sequential(..), 'mse', 'adam')",
    "fit, predict, score": "Trainer.fit, Trainer.predict, Trainer.evaluate",
    "alpha (L2)": "optim.AdamW(weight_decay=)",
    "early_stopping, n_iter_no_change": "train.EarlyStopping(patience=)",
    "validation_fraction": "Trainer.fit(validation_split=)",
    "solver='lbfgs'": "optim.LBFGS",
    "learning_rate='adaptive'": "optim.lr_scheduler.ReduceLROnPlateau",
    "random_state": "rv.manual_seed, Trainer.fit(seed=)",
    "class_weight, sample_weight": "Trainer.fit(class_weight=, sample_weight=)",
    "loss_curve_": "train.History",
    "train_test_split": "data.random_split",
    "StandardScaler, MinMaxScaler": "data.StandardScaler, data.MinMaxScaler",
    "accuracy_score": "train.metrics.accuracy",
    "precision_score, recall_score, f1_score": "train.metrics.precision, train.metrics.recall, train.metrics.f1",
    "roc_auc_score": "train.metrics.auc",
    "log_loss": "train.metrics.log_loss",
    "confusion_matrix": "train.metrics.confusion_matrix",
    "mean_squared_error, mean_absolute_error": "train.metrics.mse, train.metrics.mae",
    "r2_score": "train.metrics.r2",
}

# PyTorch's modules, and where their names are here.
TORCH = {
    "torch": "rv",
    "torch.Tensor": "rv.Tensor",
    "torch.linalg": "rv.linalg",
    "torch.nn": "nn",
    "torch.nn.functional": "nn.functional",
    "torch.nn.init": "nn.init",
    "torch.nn.utils": "nn.utils",
    "torch.nn.utils.rnn": "nn.utils.rnn",
    "torch.optim": "optim",
    "torch.optim.lr_scheduler": "optim.lr_scheduler",
    "torch.optim.swa_utils": "optim.swa_utils",
    "torch.utils.data": "data",
    "torch.distributions": "rv.distributions",
    "torch.autograd": "rv.autograd",
    "torch.cuda": "rv.cuda",
}


def lookup(path: str) -> Any:
    """What `path`, as the tables write it, names in Ranvier: AttributeError where there is no such thing."""
    head, *rest = path.split("(")[0].split(".")
    found = rv if head == "rv" else getattr(rv.train if head == "Trainer" else rv, head)
    for name in rest:
        found = getattr(found, name)
    return found


def ours(text: str) -> str:
    """`text` as code, after every name in it was looked up."""
    depth, part, parts = 0, "", []
    for c in text + ",":
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            parts.append(part.strip())
            part = ""
        else:
            part += c
    for name in parts:
        if name != "..":
            lookup(name)
    return ", ".join(f"`{name}`" for name in parts)


def table(title: str, rows: dict[str, str]) -> list[str]:
    return ["", f"| {title} | Ranvier |", "|---|---|", *(f"| `{name}` | {ours(here)} |" for name, here in rows.items())]


def public(module: Any) -> list[str]:
    names = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    return sorted({n for n in names if not n.startswith("_")}, key=lambda n: (n.lower(), n))


def page() -> str:
    lines = [
        "# Names",
        "",
        "What names of other libraries are called here. `rv` is `ranvier`; `nn`, `optim`, `data`, `train` are its modules, and",
        "`Trainer` is `ranvier.train.Trainer`. Made by `tests/support/names.py`.",
        "",
        "## PyTorch",
        "",
        "Names, arguments and defaults are PyTorch's: `import ranvier as torch` finds what is listed here.",
    ]
    for theirs, here in TORCH.items():
        names = ", ".join(f"`{n}`" for n in public(lookup(here)))
        lines += ["", f"**`{theirs}`** (here `{here}`): {names}"]
    lines += ["", "## Keras"]
    lines += [
        "",
        "Channels come first, and losses take scores, not probabilities, unless said otherwise.",
        *table("Keras", KERAS),
    ]
    lines += [
        "",
        "## scikit-learn",
        "",
        "Metrics take (prediction, target), in this order: the reverse of scikit-learn's.",
    ]
    lines += table("scikit-learn", SKLEARN)
    routed = sorted(n for n, f in vars(ranvier.numpy).items() if isinstance(f, ranvier.numpy.Routed))
    lines += [
        "",
        "## NumPy",
        "",
        "`ranvier.numpy` has every name of NumPy, with NumPy's meaning. Ranvier computes, of float arrays: "
        + ", ".join(f"`{n}`" for n in routed)
        + ".",
        "",
        "The functions of `ranvier` itself take and give arrays too, with PyTorch's arguments and meanings: `rv.split(a, 2)` makes "
        "parts of two rows, `rv.max(a, axis=1)` gives values and indices, `rv.std` divides by n - 1, `rv.exp` of integers is "
        "float32.",
    ]
    return "\n".join(line if line.startswith("|") else textwrap.fill(line, 120) for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
