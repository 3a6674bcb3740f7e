"""The encoder: shapes, uint8 and float alike, and the same weights and bytes for the same seed."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mimic_drive[train]'")

import torch

from perception.encoder import Correlation, Encoder, EncoderConfig

BOTH = pytest.mark.parametrize("cells", [0, 6])  # pictures stacked, or compared


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
        (EncoderConfig(correlation_cells=6), (64, 128), (128, 2, 4)),
        (EncoderConfig(widths=(8, 16), correlation_cells=2), (32, 32), (16, 8, 8)),
    ],
)
def test_shape_of_the_feature_map(config, size, shape):
    features = make(config)(pictures(2, 3 * config.pictures, *size))
    assert features.shape == (2, *shape) and features.dtype == torch.float32
    assert shape == (config.channels_out, size[0] // config.stride, size[1] // config.stride)


@BOTH
def test_bytes_and_floats_are_the_same_picture(cells):
    encoder, batch = make(EncoderConfig(correlation_cells=cells)).eval(), pictures()
    assert torch.equal(encoder(batch), encoder(batch.float()))


def test_same_seed_same_bytes():
    batch = pictures(4)
    results = []
    for _ in range(2):
        encoder = make(seed=3)
        features = encoder(batch)
        features.square().mean().backward()
        results.append((features.detach().numpy().tobytes(), encoder.stem.conv.weight.grad.numpy().tobytes()))
    assert results[0] == results[1]


def test_channels_last_changes_no_meaning():
    batch = pictures()
    plain, last = make().eval(), make().eval().to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(batch.to(memory_format=torch.channels_last)), plain(batch), rtol=1e-4, atol=1e-4)


@BOTH
def test_at_run_time_a_picture_does_not_depend_on_its_neighbours(cells):
    encoder, batch = make(EncoderConfig(correlation_cells=cells)).eval(), pictures(3)
    torch.testing.assert_close(encoder(batch)[:1], encoder(batch[:1]), rtol=1e-5, atol=1e-5)


@BOTH
def test_every_weight_learns(cells):
    encoder = make(EncoderConfig(correlation_cells=cells))
    encoder(pictures()).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_it_is_small():
    assert sum(parameter.numel() for parameter in make().parameters()) < 500_000


@pytest.mark.parametrize(("down", "right"), [(0, 0), (0, 4), (0, -6), (1, 2), (-1, -1)])
def test_correlation_finds_where_the_picture_was(down, right):
    cells = 6
    before = torch.randn(1, 16, 20, 30, generator=torch.Generator().manual_seed(0))
    now = torch.roll(before, (-down, -right), dims=(2, 3))
    cosines = Correlation(16, cells, 1).compare(now, before)[0, :, 2:-2, 8:-8]
    assert (cosines.argmax(0) == (down + 1) * (2 * cells + 1) + right + cells).all()
    torch.testing.assert_close(cosines.amax(0), torch.ones(cosines.shape[1:]))


def test_correlation_needs_two_pictures():
    with pytest.raises(ValueError, match="correlation_cells: compares 2 pictures after stage 2, not 1 in 5 stages"):
        EncoderConfig(pictures=1, correlation_cells=6)
