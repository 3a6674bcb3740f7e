"""The networks that ours is compared with on the real car, and that everybody gets the same processor time (benchmarks/steering_peers.py)."""

import numpy as np
import pytest
import torch

from benchmarks.steering_peers import BothWays, SteeringNet, donkeycar_linear, from_keras, learn_plainly, pilotnet, spending
from e2e_planner.train import prepare_torch
from mimic_contracts.errors import MimicError


@pytest.mark.parametrize(
    ("network", "last_map", "parameters"),
    [(pilotnet(), (64, 1, 18), 252_219), (donkeycar_linear(), (64, 8, 13), 817_028)],  # as published: 'about 250 thousand'; Keras's summary
)
def test_the_networks_are_those_that_were_published(network: SteeringNet, last_map: tuple[int, int, int], parameters: int) -> None:
    assert network.last_map == last_map
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_learning_ends_when_the_budget_is_spent() -> None:
    clock = iter([100.0, 100.0, 104.0, 109.9, 110.0, 110.1])
    assert list(spending(10.0, clock=lambda: next(clock))) == pytest.approx([0.0, 0.4, 0.99])
    clock = iter([106.0, 111.0])
    assert list(spending(10.0, clock=lambda: next(clock), since_s=100.0)) == pytest.approx([0.6])


def test_plain_learning_learns() -> None:
    prepare_torch(threads=1, seed=0)
    brightness = np.linspace(0, 255, 48).astype(np.uint8)
    pictures = np.broadcast_to(brightness[:, None, None, None], (48, 66, 200, 3)).copy()
    angles = (brightness / 255.0 - 0.5).astype(np.float32)
    network = pilotnet()

    def error() -> float:
        with torch.no_grad():
            return float((network(torch.from_numpy(pictures.transpose(0, 3, 1, 2))) - torch.from_numpy(angles)).square().mean())

    before = error()
    assert learn_plainly(network, pictures, angles, seed=0, shares=iter([0.0] * 8)) == 8
    assert error() < 0.5 * before


def test_a_mirrored_picture_asks_for_the_opposite() -> None:
    network, pictures = BothWays(pilotnet()), torch.randint(0, 256, (2, 3, 66, 200), dtype=torch.uint8)
    assert torch.allclose(network(pictures), -network(pictures.flip(-1)), atol=1e-6)


def keras_content() -> dict[str, np.ndarray]:
    """What Keras would save of a network that was never trained, and what it computes of two pictures, with its channels last."""
    torch.manual_seed(0)
    born = [layer for layer in donkeycar_linear().layers if hasattr(layer, "weight")]
    channels, height, width = donkeycar_linear().last_map
    content = {}
    for n, layer in enumerate(born[:5], start=1):
        content[f"conv2d_{n}.0"], content[f"conv2d_{n}.1"] = layer.weight.detach().permute(2, 3, 1, 0).numpy(), layer.bias.detach().numpy()
    dense_1, dense_2, outputs = ((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in born[5:])
    content |= {"dense_1.0": dense_1[0].T, "dense_1.1": dense_1[1], "dense_2.0": dense_2[0].T, "dense_2.1": dense_2[1]}
    for n in (0, 1):
        content |= {f"n_outputs{n}.0": outputs[0][n][:, None], f"n_outputs{n}.1": outputs[1][n : n + 1]}
    content["pictures"] = np.random.default_rng(0).integers(0, 256, (2, 120, 160, 3), np.uint8)
    x = torch.from_numpy(content["pictures"]).permute(0, 3, 1, 2) / 255.0
    for layer in born[:5]:
        x = torch.relu(layer(x))
    assert x.shape[1:] == (channels, height, width)
    values = x.detach().permute(0, 2, 3, 1).flatten(1).numpy()
    for weight, bias in (dense_1, dense_2):
        values = np.maximum(values @ weight.T + bias, 0.0)
    content["angles"] = (values @ outputs[0].T + outputs[1])[:, 0]
    return content


def test_what_keras_has_learned_is_taken_over_with_its_channels_last() -> None:
    content = keras_content()
    network = donkeycar_linear(scale_rad=2.0)
    from_keras(network, content)
    with torch.no_grad():
        angles = network(torch.from_numpy(content["pictures"]).permute(0, 3, 1, 2))
    assert angles.numpy() == pytest.approx(2.0 * content["angles"], abs=1e-5)


def test_a_network_that_computes_something_else_is_refused() -> None:
    content = keras_content()
    with pytest.raises(MimicError, match=r"differs from Keras by .* is this donkeycar 5\.3\?"):
        from_keras(donkeycar_linear(), content | {"angles": content["angles"] + 0.01})
