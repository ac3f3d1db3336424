"""The look of another tile: amplitudes and histograms against slow references."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from wootz.augment import exchange_amplitudes, exchange_histogram
from wootz.augment.exchange import random_partners


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n, shape=(20, 24), seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((n, *shape)), (0, 1, 1))
    scale = rng.uniform(0.3, 1, (n, 1, 1))
    return torch.from_numpy((rng.uniform(0.2, 0.8, (n, 1, 1)) + scale * smooth).astype(np.float32))[:, None]


def amplitudes_slowly(x, t, cutoff):
    """Do the exchange of Yang and Soatto on the full spectrum, frequency by frequency."""
    own, other = np.fft.fft2(x), np.fft.fft2(t)
    rows, cols = np.fft.fftfreq(x.shape[0]), np.fft.fftfreq(x.shape[1])
    for i, fr in enumerate(rows):
        for j, fc in enumerate(cols):
            if max(abs(fr), abs(fc)) <= cutoff + 1e-8:
                own[i, j] = abs(other[i, j]) * np.exp(1j * np.angle(own[i, j]))
    mixed = np.fft.ifft2(own)
    assert np.abs(mixed.imag).max() < 1e-9
    return mixed.real


def test_low_frequencies_come_from_the_partner():
    views = pictures(4)
    partners, cutoff = torch.tensor([1, 2, 3, 0]), torch.tensor([0.0, 0.01, 0.1, 0.3])
    mixed = exchange_amplitudes(views, partners, cutoff=cutoff)
    assert torch.equal(mixed[0], views[0])
    for i in range(1, 4):
        pair = (views[j, 0].double().numpy() for j in (i, int(partners[i])))
        np.testing.assert_allclose(mixed[i, 0], amplitudes_slowly(*pair, float(cutoff[i])), atol=2e-5)
    # below the first frequency only the mean is exchanged
    torch.testing.assert_close(mixed[1] - views[1], (views[2] - views[1]).mean().expand_as(views[1]))


def test_a_picture_exchanged_with_itself_stays():
    views = pictures(3)
    own = torch.arange(3)
    torch.testing.assert_close(exchange_amplitudes(views, own, cutoff=torch.full((3,), 0.4)), views)
    changed = exchange_histogram(views, own, strength=torch.ones(3))
    torch.testing.assert_close(changed, views, atol=1e-5, rtol=0)


def histogram_slowly(x, t, strength):
    """Follow the docstring pixel by pixel."""
    n_knots = 33
    start, goal = (np.sort(v[::2, ::2].ravel()) for v in (x, t))
    ranks = [k * (len(start) - 1) // (n_knots - 1) for k in range(n_knots)]
    start, goal = start[ranks], goal[ranks]
    out = np.empty_like(x)
    for place, value in np.ndenumerate(x):
        if value < start[0]:
            moved = value + goal[0] - start[0]
        elif value >= start[-1]:
            moved = value + goal[-1] - start[-1]
        else:
            k = max(j for j in range(n_knots) if start[j] <= value)
            rise = start[k + 1] - start[k]
            moved = goal[k] + (goal[k + 1] - goal[k]) * (value - start[k]) / rise
        out[place] = (1 - strength) * value + strength * moved
    return out


def test_histogram_leads_from_quantile_to_quantile():
    views = pictures(4)
    partners, strength = torch.tensor([1, 2, 3, 0]), torch.tensor([0.0, 0.3, 1.0, 1.0])
    moved = exchange_histogram(views, partners, strength=strength)
    assert torch.equal(moved[0], views[0])
    for i in range(1, 4):
        pair = (views[j, 0].double().numpy() for j in (i, int(partners[i])))
        np.testing.assert_allclose(moved[i, 0], histogram_slowly(*pair, float(strength[i])), atol=2e-5)


def test_histogram_of_the_partner_is_reached_and_order_kept():
    views = pictures(2, (64, 64))
    moved = exchange_histogram(views, torch.tensor([1, 0]), strength=torch.ones(2))
    q = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.quantile(moved[0], q), np.quantile(views[1], q), atol=0.03)
    order = views[0].flatten().argsort()
    assert float(moved[0].flatten()[order].diff().min()) >= -1e-5


def test_constant_pictures_are_no_trouble():
    views = torch.stack([torch.full((1, 16, 16), 0.2), pictures(1, (16, 16))[0]])
    swapped = torch.tensor([1, 0])
    moved = exchange_histogram(views, swapped, strength=torch.ones(2))
    assert torch.isfinite(moved).all()
    torch.testing.assert_close(moved[0].max(), moved[0].min())  # one grey level stays one
    assert torch.isfinite(exchange_amplitudes(views, swapped, cutoff=torch.full((2,), 0.1))).all()


def test_partners_may_lie_in_a_larger_pool():
    pool = pictures(5)
    part, partners = pool[1:3], torch.tensor([4, 0])
    whole = torch.tensor([0, 4, 0, 3, 4])
    for exchange, name in ((exchange_amplitudes, "cutoff"), (exchange_histogram, "strength")):
        alone = exchange(part, partners, **{name: torch.full((2,), 0.2)}, pool=pool)
        torch.testing.assert_close(alone, exchange(pool, whole, **{name: torch.full((5,), 0.2)})[1:3])


def test_partners_are_others_and_all_alike():
    partners = torch.stack([random_partners(5, generator=generator(i)) for i in range(2000)])
    assert not (partners == torch.arange(5)).any()
    counts = torch.stack([(partners[:, 0] == j).float().mean() for j in range(1, 5)])
    np.testing.assert_allclose(counts, 0.25, atol=0.04)
    assert random_partners(1, generator=generator()).tolist() == [0]


@pytest.mark.parametrize("seed", range(5))
def test_rendered_tiles_take_the_look_of_real_ones_and_the_other_way_round(seed):
    rendered = torch.tensor([True, False, False, True, False])
    partners = random_partners(5, generator=generator(seed), rendered=rendered)
    assert (rendered[partners] != rendered).all()
    same = random_partners(5, generator=generator(seed), rendered=torch.zeros(5, dtype=torch.bool))
    assert not (same == torch.arange(5)).any()
