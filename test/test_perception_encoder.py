"""The encoder: shapes, uint8 and float alike, and the same weights and bytes for the same seed."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mimic_drive[train]'")

import torch
from torch.nn.functional import normalize

from perception.encoder import Correlation, Encoder, EncoderConfig, centred

STACKED, COMPARED = EncoderConfig(), EncoderConfig(correlation_cells=6)
MOTION = EncoderConfig(correlation_cells=6, motion_alone=True)
ALL = pytest.mark.parametrize("config", [STACKED, COMPARED, MOTION])


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
        (COMPARED, (64, 128), (128, 2, 4)),
        (MOTION, (64, 128), (128, 2, 4)),
        (EncoderConfig(widths=(8, 16), correlation_cells=2), (32, 32), (16, 8, 8)),
    ],
)
def test_shape_of_the_feature_map(config, size, shape):
    features = make(config)(pictures(2, 3 * config.pictures, *size))
    assert features.shape == (2, *shape) and features.dtype == torch.float32
    assert shape == (config.channels_out, size[0] // config.stride, size[1] // config.stride)


@ALL
def test_bytes_and_floats_are_the_same_picture(config):
    encoder, batch = make(config).eval(), pictures()
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


@ALL
def test_at_run_time_a_picture_does_not_depend_on_its_neighbours(config):
    encoder, batch = make(config).eval(), pictures(3)
    torch.testing.assert_close(encoder(batch)[:1], encoder(batch[:1]), rtol=1e-5, atol=1e-5)


@ALL
def test_every_weight_learns(config):
    encoder = make(config)
    encoder(pictures()).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_it_is_small():
    assert sum(parameter.numel() for parameter in make().parameters()) < 500_000


@pytest.mark.parametrize(("down", "right"), [(0, 0), (0, 4), (0, -6), (1, 2), (-1, -1)])
def test_correlation_finds_where_the_picture_was(down, right):
    cells = 6
    before = normalize(torch.randn(1, 16, 20, 30, generator=torch.Generator().manual_seed(0)), dim=1)
    now = torch.roll(before, (-down, -right), dims=(2, 3))
    cosines = Correlation(16, cells, 1).compare(now, before)[0, 2:-2, 8:-8]
    assert (cosines.argmax(-1) == (down + 1) * (2 * cells + 1) + right + cells).all()
    torch.testing.assert_close(cosines.amax(-1), torch.ones(cosines.shape[:2]))


def test_correlation_sees_nothing_beyond_the_edge():
    cells = 2
    ones = normalize(torch.ones(1, 16, 3, 4), dim=1)
    cosines = Correlation(16, cells, 1).compare(ones, ones)[0].unflatten(-1, (3, 2 * cells + 1))
    for v, u in ((0, 0), (1, 2), (2, 3)):
        seen = [[float(0 <= v + dv < 3 and 0 <= u + du < 4) for du in range(-cells, cells + 1)] for dv in (-1, 0, 1)]
        torch.testing.assert_close(cosines[v, u], torch.tensor(seen))


def test_correlation_needs_two_pictures():
    with pytest.raises(ValueError, match="correlation_cells: compares 2 pictures after stage 2, not 1 in 5 stages"):
        EncoderConfig(pictures=1, correlation_cells=6)


def test_with_motion_alone_a_picture_means_nothing_but_where_it_moved():
    encoder, one, other = make(MOTION).eval(), pictures(1, 3), pictures(1, 3, seed=1)
    still, stranger = (encoder(torch.cat(pair, 1)) for pair in ((one, one), (one, other)))
    assert not torch.allclose(still, stranger, atol=1e-3)
    assert len(encoder.pyramid(centred(torch.cat((one, one), 1)))) == 4
    with pytest.raises(ValueError, match="motion_alone: is true, but correlation_cells is 0"):
        EncoderConfig(motion_alone=True)
