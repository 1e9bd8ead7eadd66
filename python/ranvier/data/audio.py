"""Sound: WAV files, and their log-mel spectrograms."""

from __future__ import annotations

import math
import wave
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["log_mel", "mel_filters", "read_wav"]


def read_wav(path: Any) -> tuple[np.ndarray, int]:
    """The samples of a PCM WAV file, float32 (channels, frames) from -1 to 1, and how many frames a second has.

    8, 16, 24 and 32 bits are read. ValueError names the file and what is wrong: another coding (float, A-law, ADPCM), no
    WAV at all, or cut short.
    """
    path = Path(path)
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, frames = file.getparams()[:4]
            data = file.readframes(frames)
    except (wave.Error, EOFError) as error:
        raise ValueError(f"read_wav: {path} must be a WAV file of PCM samples: {error or 'it is cut short'}") from None
    if width not in (1, 2, 3, 4):
        raise ValueError(f"read_wav: {path} has samples of {8 * width} bits, must have 8, 16, 24 or 32")
    if len(data) != frames * channels * width:
        raise ValueError(f"read_wav: {path} has {len(data)} bytes; {frames} frames take {frames * channels * width}")
    if width == 1:  # unsigned
        samples = np.frombuffer(data, np.uint8).astype(np.int16) - 128
    elif width == 3:  # as the upper bytes of four
        padded = np.zeros((frames * channels, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = padded.view("<i4")[:, 0] >> 8
    else:
        samples = np.frombuffer(data, f"<i{width}")
    scaled = samples.astype(np.float64 if width == 4 else np.float32) / 2.0 ** (8 * width - 1)
    return np.ascontiguousarray(scaled.reshape(-1, channels).T, np.float32), rate


def mel_filters(mels: int, window: int, rate: int, low: float = 20.0, high: float | None = None) -> np.ndarray:
    """Triangles (mels, window // 2 + 1) over the frequencies of a real FFT of `window` samples. Their corners lie evenly
    in mel, 2595 log10(1 + f / 700), from `low` to `high` Hz (None: half of `rate`); O'Shaughnessy, 1987.
    """
    high = rate / 2 if high is None else high
    if mels < 1 or not 0 <= low < high <= rate / 2:
        raise ValueError(
            f"mel_filters: {mels} filters from {low} to {high} Hz must be some, within 0 and {rate / 2} Hz"
        )
    first, last = (2595 * math.log10(1 + end / 700) for end in (low, high))
    corners = 700 * (10 ** (np.linspace(first, last, mels + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    rise = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


def log_mel(
    samples: Any, rate: int, mels: int = 40, window: float = 0.025, step: float = 0.01, low: float = 20.0,
    high: float | None = None, floor: float = 1e-6,
) -> np.ndarray:  # fmt: skip
    """log(power + floor) in mel bands: (..., samples) -> (..., frames, mels), float32.

    Args:
        samples: numbers from -1 to 1. rate: samples a second. window, step: seconds of a frame, and from one to the next;
            frames are weighted by Hann's window, and the last samples that fill none are left out. low, high: Hz.

    ValueError where there are fewer samples than a frame has.

    >>> import numpy as np
    >>> from ranvier.data import log_mel
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    >>> log_mel(tone, 8000).shape
    (98, 40)
    """
    samples = np.asarray(samples, np.float32)
    size, hop = round(window * rate), round(step * rate)
    if size < 1 or hop < 1 or samples.ndim == 0 or samples.shape[-1] < size:
        raise ValueError(
            f"log_mel: samples{samples.shape} must have at least one frame of {size}, and step {hop} of them"
        )
    frames = np.lib.stride_tricks.sliding_window_view(samples, size, axis=-1)[..., ::hop, :]
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    spectrum = np.fft.rfft(frames * weights.astype(np.float32), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.log(power @ mel_filters(mels, size, rate, low, high).T + floor)
