"""Recipe to scene: draw every distribution once."""

from dataclasses import fields, replace

import numpy as np

from wootz.errors import WootzError
from wootz.synthetic.geometry.cracks import Crack, crack_across, crack_along
from wootz.synthetic.geometry.grains import draw_grains
from wootz.synthetic.geometry.inclusions import Inclusion, Placement, draw_shape
from wootz.synthetic.geometry.interfaces import DIGITS, Profile, fit_line, integral, rough_profile, tongues
from wootz.synthetic.recipe import ImagingSpec, InclusionSpec, InterfaceSpec, Recipe
from wootz.synthetic.scene import SCENE_SCHEMA, Imaging, Layer, Look, Scene

MARGIN_UM = 8.0
MIN_THICKNESS_UM = 0.4
PATIENCE = 60  # offers in a row that may fail before a group counts as full


def compose(recipe: Recipe, index: int, *, seed: int, width_um: float, height_um: float) -> Scene:
    """Draw scene number `index` of a set.

    Parameters
    ----------
    recipe : Recipe
    index, seed : int, >= 0
        The scene depends on recipe, seed, index and field size, on nothing else.
    width_um, height_um : float, > 0

    Raises
    ------
    WootzError
        If the field is too small for the layers of the recipe.
    """
    streams = np.random.SeedSequence([recipe.seed, seed, index]).spawn(6)
    look_rng, layer_rng, grain_rng, crack_rng, shape_rng, noise_rng = map(np.random.default_rng, streams)
    tilt = round(recipe.tilt_deg.draw(layer_rng), DIGITS)
    interfaces, stack = _stack(recipe, tilt, size_um=(height_um, width_um), rng=layer_rng)
    bare = Scene(
        schema=SCENE_SCHEMA,
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        index=index,
        noise_seed=int(noise_rng.integers(2**31)),
        width_um=round(width_um, DIGITS),
        height_um=round(height_um, DIGITS),
        tilt_deg=tilt,
        interfaces=interfaces,
        stack=stack,
        grains=[],
        inclusions=[],
        cracks=[],
        looks=_looks(recipe, look_rng),
        imaging=_imaging(recipe.imaging, look_rng),
    )
    grains = [
        draw_grains(
            spec.phase,
            size_um=spec.size_um.draw(grain_rng),
            aspect=spec.aspect.draw(grain_rng),
            contrast=spec.contrast.draw(grain_rng),
            waviness=spec.waviness.draw(grain_rng),
            box_um=_box(bare, spec.phase),
            rng=grain_rng,
        )
        for spec in recipe.grains
        if spec.phase in {layer.phase for layer in stack}
    ]
    cracked = replace(bare, grains=grains, cracks=_cracks(recipe, bare, crack_rng))
    return replace(cracked, inclusions=_inclusions(recipe, cracked, shape_rng))


def _looks(recipe: Recipe, rng: np.random.Generator) -> list[Look]:
    return [
        Look(
            spec.phase,
            *(round(s.draw(rng), DIGITS) for s in (spec.se_level, spec.bse_level, spec.texture)),
            texture_um=spec.texture_um,
            relief_um=round(spec.relief_um.draw(rng), DIGITS),
        )
        for spec in recipe.looks
    ]


def _imaging(spec: ImagingSpec, rng: np.random.Generator) -> Imaging:
    drawn = {f.name: round(getattr(spec, f.name).draw(rng), DIGITS) for f in fields(spec) if f.name != "mode"}
    return Imaging(mode=spec.mode, shading_angle_deg=round(rng.uniform(0, 360), DIGITS), **drawn)


def _stack(
    recipe: Recipe, tilt_deg: float, *, size_um: tuple[float, float], rng: np.random.Generator
) -> tuple[list[Profile], list[Layer]]:
    height, width = size_um
    layers = [spec for spec in recipe.layers if rng.uniform() < spec.present_prob]
    margin = max(MARGIN_UM, 0.1 * width)
    specs = [recipe.surface, *(layer.bottom for layer in layers)]
    step = min(min(s.correlation_um.low, s.tongue_pitch_um.low / 3) for s in specs) / 10
    step = round(step, DIGITS)
    n = 2 * (int((width + 2 * margin) / step / 2) + 1)
    col = -margin + step * np.arange(n)
    slope = np.tan(np.deg2rad(tilt_deg))
    base = recipe.surface_frac.draw(rng) * height + slope * (col - width / 2)
    rows = [base + _relief(recipe.surface, col, rng)]
    thickness = [layer.thickness_um.draw(rng) for layer in layers]
    for layer, t in zip(layers, thickness, strict=True):
        base = base + t / np.cos(np.deg2rad(tilt_deg))
        below = base + _relief(layer.bottom, col, rng)
        rows.append(np.maximum(below, rows[-1] + MIN_THICKNESS_UM))
    if rows[-1].max() > 0.97 * height:
        raise WootzError(
            f"recipe {recipe.name!r} needs {rows[-1].max() / 0.97:.1f} µm of height and the field has "
            f"{height:g} µm; raise size_px or pixel_um."
        )
    names = ["surface", *(f"{layer.phase}_bottom" for layer in layers)]
    profiles = [
        Profile(name, round(-margin, DIGITS), step, np.round(r, DIGITS).tolist())
        for name, r in zip(names, rows, strict=True)
    ]
    phases = ["resin", *(layer.phase for layer in layers), "steel"]
    return profiles, [
        Layer(p, top, bottom) for p, top, bottom in zip(phases, ["", *names], [*names, ""], strict=True)
    ]


def _relief(spec: InterfaceSpec, col_um: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rough = rough_profile(
        col_um.size,
        step_um=float(col_um[1] - col_um[0]),
        rq_um=spec.rq_um.draw(rng),
        correlation_um=spec.correlation_um.draw(rng),
        hurst=spec.hurst.draw(rng),
        rng=rng,
    )
    length, pitch = spec.tongue_length_um.draw(rng), spec.tongue_pitch_um.draw(rng)
    return rough + tongues(col_um, length_um=length, pitch_um=pitch, rng=rng)


def _box(scene: Scene, phase: str) -> tuple[float, float, float]:
    top, bottom = scene.bounds(phase, np.linspace(0, scene.width_um, 500))
    return float(top.min()), float(bottom.max()), scene.width_um


def _cracks(recipe: Recipe, scene: Scene, rng: np.random.Generator) -> list[Crack]:
    cracks: list[Crack] = []
    for spec in recipe.cracks:
        for _ in range(round(spec.count.draw(rng))):
            length, opening = spec.length_um.draw(rng), spec.opening_um.draw(rng)
            col = scene.width_um * rng.uniform(0.2, 0.8)
            line = scene.interfaces[0 if spec.kind == "across" else 1]
            draw = crack_across if spec.kind == "across" else crack_along
            band = draw(line, col_um=col, length_um=length, opening_um=opening, rng=rng)
            new = Crack(len(cracks) + 1, spec.group, *band, defect=spec.defect)
            if all(_apart(new, old) for old in cracks):
                cracks.append(new)
    return cracks


def _points(crack: Crack) -> np.ndarray:
    points = np.stack([crack.s_um, np.asarray(crack.centre_um)], axis=1)
    return points if crack.axis == "row" else points[:, ::-1]


def _apart(a: Crack, b: Crack) -> bool:
    gap = np.hypot(*(_points(a)[:, None] - _points(b)[None]).transpose(2, 0, 1)).min()
    return bool(gap > (max(a.opening_um) + max(b.opening_um)) / 2 + 1.0)


def _inclusions(recipe: Recipe, scene: Scene, rng: np.random.Generator) -> list[Inclusion]:
    bands = [(_points(crack), np.asarray(crack.opening_um)) for crack in scene.cracks]

    def blocked(row: float, col: float, reach: float) -> bool:
        return any(
            (np.hypot(points[:, 0] - row, points[:, 1] - col) < reach + opening / 2 + 0.2).any()
            for points, opening in bands
        )

    placement = Placement(blocked)
    hosts = {layer.phase for layer in scene.stack}
    # lines and clusters stand first: random groups then fill what is left and never break a line
    for spec in sorted(recipe.inclusions, key=lambda s: (s.pattern == "random", s.pattern == "line")):
        if spec.host in hosts:
            _place(spec, scene, placement, rng)
    return placement.accepted


def _place(spec: InclusionSpec, scene: Scene, placement: Placement, rng: np.random.Generator) -> None:
    def offer(row: float, col: float) -> float:
        diameter, aspect = spec.diameter_um.draw(rng), spec.aspect.draw(rng)
        radius, angle, amplitude, phase = draw_shape(diameter_um=diameter, lobes=spec.lobes, rng=rng)
        place = (round(float(row), DIGITS), round(float(col), DIGITS))
        shape = Inclusion(
            0, spec.phase, spec.group, *place, radius,
            round(aspect, DIGITS), round(angle, 3), amplitude, phase, spec.defect,
        )  # fmt: skip
        fits = placement.offer(shape, bounds=lambda c: scene.bounds(spec.host, c), gap_um=spec.clearance_um)
        return shape.area_um2 if fits else 0.0

    match spec.pattern:
        case "line":
            _place_line(spec, scene, offer, rng)
        case "cluster":
            _place_cluster(spec, scene, offer, rng)
        case _:
            _place_random(spec, scene, offer, rng)


def _place_random(spec: InclusionSpec, scene: Scene, offer, rng: np.random.Generator) -> None:
    x = np.linspace(0, scene.width_um, 1000)
    top, bottom = scene.bounds(spec.host, x)
    target = spec.area_frac.draw(rng) * integral(x, bottom - top, low_um=0, high_um=scene.width_um)
    failures = 0
    while target > 0 and failures < PATIENCE:
        col = rng.uniform(0, scene.width_um)
        top, bottom = scene.bounds(spec.host, np.array([col]))
        area = offer(rng.uniform(top[0], bottom[0]), col)
        target -= area
        failures = 0 if area else failures + 1


def _place_line(spec: InclusionSpec, scene: Scene, offer, rng: np.random.Generator) -> None:
    offset, slope = fit_line(scene.interfaces[0], width_um=scene.width_um)
    tilt = np.hypot(1, slope)  # a depth along the normal, measured along the column
    depth, pitch, jitter = (s.draw(rng) for s in (spec.depth_um, spec.pitch_um, spec.jitter_um))
    col = rng.uniform(0, pitch)
    while col < scene.width_um:
        offer(offset + slope * col + (depth + jitter * rng.standard_normal()) * tilt, col)
        col += pitch * rng.uniform(0.75, 1.25)


def _place_cluster(spec: InclusionSpec, scene: Scene, offer, rng: np.random.Generator) -> None:
    left, radius = round(spec.count.draw(rng)), spec.radius_um.draw(rng)
    col = scene.width_um * rng.uniform(0.25, 0.75)
    top, bottom = scene.bounds(spec.host, np.array([col]))
    row = rng.uniform(0.35, 0.65) * (bottom[0] - top[0]) + top[0]
    for _ in range(PATIENCE * left):
        r, t = radius * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        left -= offer(row + r * np.sin(t), col + r * np.cos(t)) > 0
        if left <= 0:
            break
