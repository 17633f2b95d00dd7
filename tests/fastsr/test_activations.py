import torch

from fastsr.activations import saved_for_backward


def test_it_counts_what_autograd_saves_once_and_leaves_out_what_was_there():
    x, weight = torch.rand(100, 10, requires_grad=True), torch.rand(10, 50)

    def forward():
        squares = (x @ weight).square()  # saves weight, and the product
        return squares * squares

    with torch.no_grad():
        saved, largest = saved_for_backward(forward, [weight])
    assert (saved, largest) == (2 * 100 * 50 * 4, 100 * 50 * 4)
    assert saved_for_backward(forward)[0] == saved + 10 * 50 * 4
    assert saved_for_backward(lambda: weight) == (0, 0)
