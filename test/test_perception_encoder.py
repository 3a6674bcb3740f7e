"""The encoder: shapes, uint8 and float alike, and the same weights and bytes for the same seed."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mimic_drive[train]'")

import torch

from perception.encoder import Encoder, EncoderConfig


def make(config=None, seed=0):
    torch.manual_seed(seed)
    return Encoder(config or EncoderConfig())


def pictures(n=2, channels=6, height=128, width=256, seed=0):
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("config", "size", "shape"),
    [
        (EncoderConfig(), (128, 256), (128, 4, 8)),
        (EncoderConfig(), (64, 160), (128, 2, 5)),
        (EncoderConfig(widths=(8, 16, 24, 32)), (128, 256), (32, 8, 16)),
        (EncoderConfig(widths=(8, 16), blocks=2, pictures=1), (32, 32), (16, 8, 8)),
    ],
)
def test_shape_of_the_feature_map(config, size, shape):
    features = make(config)(pictures(2, 3 * config.pictures, *size))
    assert features.shape == (2, *shape) and features.dtype == torch.float32
    assert shape == (config.channels_out, size[0] // config.stride, size[1] // config.stride)


def test_bytes_and_floats_are_the_same_picture():
    encoder, batch = make().eval(), pictures()
    assert torch.equal(encoder(batch), encoder(batch.float()))


def test_same_seed_same_bytes():
    batch = pictures(4)
    results = []
    for _ in range(2):
        encoder = make(seed=3)
        features = encoder(batch)
        features.square().mean().backward()
        results.append((features.detach().numpy().tobytes(), encoder.layers[0].weight.grad.numpy().tobytes()))
    assert results[0] == results[1]


def test_channels_last_changes_no_meaning():
    batch = pictures()
    plain, last = make().eval(), make().eval().to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(batch.to(memory_format=torch.channels_last)), plain(batch), rtol=1e-4, atol=1e-4)


def test_at_run_time_a_picture_does_not_depend_on_its_neighbours():
    encoder, batch = make().eval(), pictures(3)
    torch.testing.assert_close(encoder(batch)[:1], encoder(batch[:1]), rtol=1e-5, atol=1e-5)


def test_every_weight_learns():
    encoder = make()
    encoder(pictures()).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_it_is_small():
    assert sum(parameter.numel() for parameter in make().parameters()) < 500_000
