"""WAV files and spectrograms."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from ranvier.data import log_mel, mel_filters, read_wav


def written(path, samples, width, rate=8000):
    """`samples` (frames, channels), integers of `width` bytes, as a WAV file."""
    data = (samples + 128).astype("u1").tobytes() if width == 1 else samples.astype("<i4").view("u1")
    if width > 1:
        data = data.reshape(-1, 4)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_files_of_every_width(tmp_path, width):
    top = 2 ** (8 * width - 1)
    samples = np.array([[0, 1], [-top, top - 1], [5, -7], [top // 2, -(top // 2)]])
    found, rate = read_wav(written(tmp_path / "a.wav", samples, width, 16000))
    assert rate == 16000 and found.dtype == np.float32
    np.testing.assert_array_equal(found, (samples.T / top).astype(np.float32))


def test_files_that_are_refused(tmp_path):
    path = written(tmp_path / "a.wav", np.zeros((100, 1), int), 2)
    whole = path.read_bytes()
    coded = bytearray(whole)
    coded[20:22] = (3).to_bytes(2, "little")  # float
    for data in (bytes(coded), whole[:30], whole[:-20], b"no sound"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"read_wav: .*a\.wav"):
            read_wav(path)


def test_a_tone_lies_in_its_band():
    rate, filters = 8000, mel_filters(20, 200, 8000)
    assert filters.shape == (20, 101) and (filters >= 0).all() and (filters.max(1) > 0.3).all()
    for tone in (300.0, 1000.0, 2500.0):
        loud = log_mel(np.sin(2 * np.pi * tone * np.arange(4000) / rate), rate, mels=20)
        assert loud.shape == (48, 20) and loud.dtype == np.float32
        band = int(loud.mean(0).argmax())
        nearest = int(filters[:, round(tone * 200 / rate)].argmax())
        assert band == nearest, (tone, band)
    np.testing.assert_allclose(log_mel(np.zeros((2, 400)), rate), np.log(1e-6), rtol=1e-6)
    with pytest.raises(ValueError, match="at least one frame of 200"):
        log_mel(np.zeros(199), rate)
    with pytest.raises(ValueError, match="within 0 and 4000"):
        mel_filters(20, 200, rate, high=5000)
