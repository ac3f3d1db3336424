"""Losses of joint-embedding methods against slow loops written from the equations of their papers."""

import math

import pytest
import torch

from wootz.ssl import DenseCLConfig, DINOConfig, MoCoV3Config, SwaVConfig, VICRegConfig

N = 8
HEAD = {"hidden_dim": 8, "output_dim": 4}


def unit(vector):
    values = vector.tolist()
    length = math.sqrt(sum(v * v for v in values))
    return [v / length for v in values]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def info_nce(query, key, negatives, temperature):
    positive = math.exp(dot(query, key) / temperature)
    return -math.log(positive / (positive + sum(math.exp(dot(query, n) / temperature) for n in negatives)))


def other_weights(*modules):
    """Give slow copies weights of their own, so that a loss that takes the wrong network is seen."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for module in modules:
            for parameter in module.parameters():
                noise = torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.mul_(0.5 + noise)


def double_views(toy, n_views=2, **changes):
    return toy.views(n_views, n=N, dtype=torch.float64, **changes)


def test_mocov3_is_algorithm_1(toy):
    method = toy.float64_method(MoCoV3Config(**HEAD, temperature=0.3))
    other_weights(method.key_encoder, method.key_head)
    first, second = double_views(toy)
    loss = float(method(first, second).detach())
    q = [[unit(v) for v in method.predictor(method.head(method.encoder(x)))] for x in (first, second)]
    k = [[unit(v) for v in method.key_head(method.key_encoder(x))] for x in (first, second)]
    expected = 0.0
    for queries, keys in ((q[0], k[1]), (q[1], k[0])):
        terms = [info_nce(queries[i], keys[i], keys[:i] + keys[i + 1 :], 0.3) for i in range(N)]
        expected += 2 * 0.3 * sum(terms) / N
    assert loss == pytest.approx(expected, rel=1e-9)


def test_vicreg_is_equations_1_to_6(toy):
    cfg = VICRegConfig(**HEAD, invariance_weight=3.0, variance_weight=5.0, covariance_weight=0.7)
    method = toy.float64_method(cfg)
    views = double_views(toy)
    loss = float(method(*views).detach())
    z = [method.head(method.encoder(x)).tolist() for x in views]
    d = 4
    invariance = sum((z[0][i][j] - z[1][i][j]) ** 2 for i in range(N) for j in range(d)) / N
    variance = covariance = 0.0
    for rows in z:
        mean = [sum(row[j] for row in rows) / N for j in range(d)]
        c = [
            [sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows) / (N - 1) for j in range(d)]
            for i in range(d)
        ]
        variance += sum(max(0.0, 1 - math.sqrt(c[j][j] + 1e-4)) for j in range(d)) / d
        covariance += sum(c[i][j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    expected = 3.0 * invariance / d + 5.0 * variance / 2 + 0.7 * covariance  # /d, /2: as the authors' code
    assert loss == pytest.approx(expected, rel=1e-9)


def assigned(scores, epsilon, rounds):
    """Algorithm 1 of the SwaV paper: rows of `scores` are tiles; prototypes come out used equally."""
    n, k = len(scores), len(scores[0])
    q = [[math.exp(score / epsilon) for score in row] for row in scores]
    for _ in range(rounds):
        used = [sum(row[j] for row in q) for j in range(k)]
        q = [[row[j] / used[j] / k for j in range(k)] for row in q]
        q = [[value / sum(row) / n for value in row] for row in q]
    return [[value * n for value in row] for row in q]


def swapped_prediction(scores, codes, temperature):
    total = 0.0
    for row, code in zip(scores, codes, strict=True):
        norm = math.log(sum(math.exp(s / temperature) for s in row))
        total -= sum(c * (s / temperature - norm) for c, s in zip(code, row, strict=True))
    return total / len(scores)


def test_swav_is_equation_6_with_a_balanced_assignment_over_batch_and_queue(toy):
    cfg = SwaVConfig(**HEAD, prototypes=5, queue=8, temperature=0.2, epsilon=0.1, iterations=4)
    method = toy.float64_method(cfg)
    prototypes = method.prototypes.heads[0].weight.tolist()
    assert method.prototypes.heads[0].bias is None
    earlier = [[], []]
    for seed in range(3):
        views = double_views(toy, seed=seed) + double_views(toy, 1, side_px=9, seed=10 + seed)
        loss = float(method(*views).detach())
        z = [[unit(v) for v in method.head(method.encoder(x))] for x in views]
        scores = [[[dot(row, c) for c in prototypes] for row in rows] for rows in z]
        expected = 0.0
        for i in range(2):
            old = [[dot(row, c) for c in prototypes] for row in earlier[i]]
            codes = assigned(scores[i] + old, 0.1, 4)[:N]
            expected += sum(swapped_prediction(scores[v], codes, 0.2) for v in range(3) if v != i) / 4
        assert loss == pytest.approx(expected, rel=1e-9)
        earlier = [z[0], z[1]]  # a queue of one batch


def softmax(row):
    top = max(row)
    values = [math.exp(v - top) for v in row]
    return [v / sum(values) for v in values]


def test_dino_is_algorithm_1_with_its_centre(toy):
    cfg = DINOConfig(hidden_dim=8, bottleneck_dim=4, output_dim=6, temperature=0.2, teacher_temperature=0.1)
    method = toy.float64_method(cfg)
    other_weights(method.teacher_encoder, method.teacher_head)
    centre = [0.0] * 6
    for seed in range(2):
        views = double_views(toy, seed=seed) + double_views(toy, 2, side_px=9, seed=10 + seed)
        loss = float(method(*views).detach())
        student = [method.head(method.encoder(x)).tolist() for x in views]
        teacher = [method.teacher_head(method.teacher_encoder(x)).tolist() for x in views[:2]]
        total, n_terms = 0.0, 0
        for t, s in [(t, s) for t in range(2) for s in range(4) if s != t]:
            n_terms += 1
            for i in range(N):
                target = softmax([(v - c) / 0.1 for v, c in zip(teacher[t][i], centre, strict=True)])
                output = softmax([v / 0.2 for v in student[s][i]])
                total -= sum(p * math.log(q) for p, q in zip(target, output, strict=True)) / N
        assert loss == pytest.approx(total / n_terms, rel=1e-6)  # lightly holds .1 in float32
        rows = teacher[0] + teacher[1]
        centre = [0.9 * c + 0.1 * sum(r[j] for r in rows) / len(rows) for j, c in enumerate(centre)]
        assert method.criterion.center.flatten().tolist() == pytest.approx(centre, rel=1e-9)


def test_densecl_contrasts_tiles_and_places_with_keys_of_the_slow_copy(toy):
    cfg = DenseCLConfig(**HEAD, queue=16, key_groups=2, temperature=0.3, dense_weight=0.3)
    method = toy.float64_method(cfg)
    other_weights(method.key_encoder, method.key_head, method.key_dense_head)
    first, second = double_views(toy)
    queue, dense_queue = (q.bank.clone() for q in (method.queue, method.dense_queue))
    loss = float(method(first, second).detach())

    def encode(x, encoder, head, dense_head):
        places = encoder.feature_maps(x)[-1].flatten(2).transpose(1, 2)
        return head(places.mean(dim=1)), dense_head(places), places

    q, q_dense, q_places = encode(first, method.encoder, method.head, method.dense_head)
    k, k_dense, k_places = encode(second, method.key_encoder, method.key_head, method.key_dense_head)
    n_places = q_places.shape[1]
    assert n_places > 4
    in_tiles = in_places = 0.0
    for i in range(N):
        in_tiles += info_nce(unit(q[i]), unit(k[i]), queue.tolist(), 0.3) / N
        for s in range(n_places):
            likeness = [dot(unit(q_places[i, s]), unit(place)) for place in k_places[i]]
            partner = k_dense[i, likeness.index(max(likeness))]
            term = info_nce(unit(q_dense[i, s]), unit(partner), dense_queue.tolist(), 0.3)
            in_places += term / (N * n_places)
    assert loss == pytest.approx(0.7 * in_tiles + 0.3 * in_places, rel=1e-9)
    for bank, keys in ((method.queue.bank, k), (method.dense_queue.bank, k_dense.mean(dim=1))):
        torch.testing.assert_close(bank[:N], torch.tensor([unit(key) for key in keys], dtype=torch.float64))
    assert torch.equal(method.dense_queue.bank[N:], dense_queue[N:])
