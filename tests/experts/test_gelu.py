import pytest
import torch
import torch.nn.functional as F

from paris.experts.models.gelu import Gelu


@pytest.mark.parametrize("shape", [(7,), (3, 5, 11), (400, 300), (0, 4)])
def test_values_and_slopes_are_those_of_torch(shape):
    x = (torch.randn(shape) * 4).requires_grad_()
    ours, theirs = Gelu()(x), F.gelu(x, approximate="tanh")
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=2e-6)
    weight = torch.randn(shape)
    (slope,) = torch.autograd.grad(ours, x, weight)
    (expected,) = torch.autograd.grad(theirs, x, weight)
    torch.testing.assert_close(slope, expected, atol=1e-5, rtol=1e-5)


def test_far_from_zero_it_is_the_identity_or_zero():
    x = torch.tensor([-1e4, -50.0, 50.0, 1e4], requires_grad=True)
    out = Gelu()(x)
    assert torch.equal(out.detach(), torch.tensor([0.0, 0.0, 50.0, 1e4]))
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(slope, torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_other_types_and_strides_work_too():
    x = torch.randn(6, 8)
    torch.testing.assert_close(Gelu()(x.double()), F.gelu(x.double(), approximate="tanh"))
    torch.testing.assert_close(Gelu()(x.t()), F.gelu(x.t(), approximate="tanh"))
    torch.testing.assert_close(Gelu()(x.bfloat16()), F.gelu(x.bfloat16(), approximate="tanh"))


def test_nothing_is_kept_where_no_gradient_is_asked_for():
    with torch.no_grad():
        out = Gelu()(torch.randn(5, 5))
    assert out.grad_fn is None
