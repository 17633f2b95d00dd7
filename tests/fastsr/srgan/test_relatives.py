"""MSRResNet and RRDBNet; that they are their projects' networks is shown with the layouts."""

import pytest
import torch

from fastsr.srgan.relatives import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig


@pytest.mark.parametrize(
    ("network", "count"),
    [(MSRResNet(MSRResNetConfig()), 1_517_571), (RRDBNet(RRDBNetConfig()), 16_697_987)],
    ids=["MSRResNet", "RRDBNet"],
)
def test_the_usual_sizes_have_as_many_parameters(network, count):
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (1, 1)])
def test_a_network_that_unshuffles_takes_any_size(size):
    network = RRDBNet(RRDBNetConfig(1, 8, 4, unshuffle=2))
    assert network.scale == 2
    assert network(torch.rand(1, 3, *size)).shape == (1, 3, 2 * size[0], 2 * size[1])


def test_shapes_that_do_not_enlarge_are_refused():
    with pytest.raises(ValueError, match="scale=8 is not one of 2, 3, 4"):
        MSRResNetConfig(scale=8)
    with pytest.raises(ValueError, match="doublings=2 and unshuffle=4 do not enlarge a picture"):
        RRDBNetConfig(unshuffle=4)


@pytest.mark.parametrize(
    "network",
    [
        *(MSRResNet(MSRResNetConfig(2, 8, scale)) for scale in (2, 3, 4)),
        *(RRDBNet(RRDBNetConfig(1, 8, 4, doublings)) for doublings in (1, 2, 3)),
    ],
    ids=lambda network: f"{network.architecture} x{network.scale}",
)
def test_the_reach_is_where_a_change_ends(network):
    torch.manual_seed(0)
    network = network.double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    x = torch.rand(1, 3, 70, 7, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 35] += 1
    with torch.no_grad():
        rows = (network.features(changed) - network.features(x)).abs().amax((0, 1, 3)).nonzero() - 35
        reached = (network(changed) - network(x)).abs().amax((0, 1, 3)).nonzero() // network.scale - 35
    assert (-rows.min(), rows.max()) == (network.features_reach, network.features_reach)
    reach = network.features_reach + network.picture_reach
    assert reach - 1 <= max(reached.max(), -reached.min()) <= reach
