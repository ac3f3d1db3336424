"""The recipes that come with wootz: aluminised steel in cross-section."""

from dataclasses import replace

from wootz.errors import WootzError
from wootz.synthetic.recipe import (
    CrackSpec,
    GrainSpec,
    ImagingSpec,
    InclusionSpec,
    InterfaceSpec,
    LayerSpec,
    LookSpec,
    Recipe,
    Spread,
    at,
)

RECIPES = ("coating", "coating-demo", "coating-demo-defect")


def build_recipe(name: str) -> Recipe:
    """Build a recipe that comes with wootz by its name."""
    match name:
        case "coating":
            return coating_recipe()
        case "coating-demo":
            return demo_recipe()
        case "coating-demo-defect":
            return demo_recipe(defect=True)
        case _:
            raise WootzError(
                f"recipe={name!r} is not known; choose one of {', '.join(RECIPES)}, or give the path of a "
                "recipe.json."
            )


def coating_recipe() -> Recipe:
    """Build the full coating: Fe2Al5 and FeAl layers, pores, a pore line, Cr precipitates, cracks."""
    return Recipe(
        name="coating",
        looks=_looks(),
        layers=[_fe2al5(tongue_um=Spread(3.0, 6.0)), _feal()],
        grains=[
            GrainSpec("steel", size_um=Spread(5.0, 9.0)),
            GrainSpec("FeAl", size_um=Spread(2.0, 3.5), contrast=Spread(0.03, 0.06)),
            GrainSpec(
                "Fe2Al5", size_um=Spread(2.5, 4.5), aspect=Spread(2.0, 3.5), contrast=Spread(0.015, 0.03)
            ),
        ],
        inclusions=[
            InclusionSpec("pores", area_frac=Spread(0.01, 0.04)),
            InclusionSpec("pore_line", pattern="line", diameter_um=Spread(0.7, 1.4)),
            InclusionSpec(
                "precipitates",
                "precipitate",
                diameter_um=Spread(0.5, 1.6, log=True),
                area_frac=Spread(0.01, 0.03),
            ),
            InclusionSpec(
                "feal_pores", host="FeAl", diameter_um=Spread(0.4, 0.8), area_frac=Spread(0.0, 0.03)
            ),
            InclusionSpec(
                "carbides",
                "precipitate",
                "steel",
                diameter_um=Spread(0.4, 0.9),
                area_frac=Spread(0.002, 0.006),
            ),
        ],
        cracks=[
            CrackSpec("cracks", count=Spread(0, 3)),
            CrackSpec("delamination", "along", Spread(0, 1), length_um=Spread(6.0, 14.0)),
        ],
        pixel_um=0.117,
        seed=20261,
    )


def demo_recipe(*, defect: bool = False) -> Recipe:
    """Build the frozen recipe of the demo; `defect` adds what its normal fields never hold.

    Five classes (resin, Fe2Al5, steel, pore, precipitate), pores and precipitates at least 8 px across at
    the recipe's pixel size. Grey levels overlap on purpose: charging resin is as grey as the layer, grains
    of steel as dark and as bright as Fe2Al5, pore rims as bright as precipitates; texture and place tell.
    The defect is a delamination along the lower interface and a cluster of small pores.
    """
    recipe = Recipe(
        name="coating-demo",
        looks=_demo_looks(),
        layers=[_fe2al5(tongue_um=Spread(2.0, 4.5))],
        grains=[
            GrainSpec("steel", size_um=Spread(5.0, 8.0), contrast=Spread(0.08, 0.11)),
            GrainSpec(
                "Fe2Al5", size_um=Spread(2.5, 3.5), aspect=Spread(2.5, 3.5), contrast=Spread(0.03, 0.05)
            ),
        ],
        inclusions=[
            InclusionSpec("pores", diameter_um=Spread(1.5, 3.6, log=True), area_frac=Spread(0.04, 0.10)),
            InclusionSpec(
                "precipitates",
                "precipitate",
                diameter_um=Spread(1.8, 3.4, log=True),
                area_frac=Spread(0.05, 0.10),
            ),
        ],
        imaging=_demo_imaging(),
        pixel_um=0.15,
        seed=20262,
    )
    if not defect:
        return recipe
    small = InclusionSpec(
        "defect_cluster",
        pattern="cluster",
        diameter_um=Spread(0.6, 1.1),
        clearance_um=0.15,
        count=Spread(30, 45),
    )
    along = CrackSpec(
        "defect_delamination", "along", at(1), length_um=Spread(20.0, 30.0), opening_um=Spread(2.0, 3.0)
    )
    return replace(
        recipe,
        name="coating-demo-defect",
        seed=recipe.seed + 1,  # else field i would share its interfaces and grains with normal field i
        inclusions=[*recipe.inclusions, replace(small, defect=True)],
        cracks=[replace(along, defect=True)],
    )


def _fe2al5(tongue_um: Spread) -> LayerSpec:
    bottom = InterfaceSpec(tongue_length_um=tongue_um, tongue_pitch_um=Spread(5.0, 8.0))
    return LayerSpec("Fe2Al5", Spread(14.0, 24.0), bottom=bottom)


def _feal() -> LayerSpec:
    bottom = InterfaceSpec(rq_um=Spread(0.1, 0.3), tongue_length_um=Spread(1.5, 3.0))
    return LayerSpec("FeAl", Spread(2.0, 4.0), present_prob=0.7, bottom=bottom)


def _looks() -> list[LookSpec]:
    return [
        LookSpec("resin", Spread(0.24, 0.32), Spread(0.16, 0.22), Spread(0.015, 0.03), 0.5, at(-0.35)),
        LookSpec("Fe2Al5", Spread(0.46, 0.54), Spread(0.42, 0.48), Spread(0.012, 0.02), 0.25, at(0.0)),
        LookSpec("FeAl", Spread(0.50, 0.58), Spread(0.54, 0.60), Spread(0.01, 0.015), 0.3, at(-0.03)),
        LookSpec("steel", Spread(0.54, 0.62), Spread(0.66, 0.74), Spread(0.006, 0.012), 0.3, at(-0.10)),
        LookSpec("pore", Spread(0.14, 0.24), Spread(0.10, 0.16), Spread(0.02, 0.04), 0.6, at(-0.7)),
        LookSpec("precipitate", Spread(0.56, 0.66), Spread(0.56, 0.62), Spread(0.008, 0.012), 0.3, at(0.12)),
        LookSpec("crack", Spread(0.12, 0.20), Spread(0.09, 0.14), Spread(0.02, 0.03), 0.6, at(-0.7)),
    ]


def _demo_looks() -> list[LookSpec]:
    return [
        LookSpec("resin", Spread(0.25, 0.35), Spread(0.22, 0.30), Spread(0.03, 0.05), 0.6, at(-0.30)),
        LookSpec("Fe2Al5", Spread(0.42, 0.48), Spread(0.42, 0.50), Spread(0.04, 0.055), 0.3, at(0.0)),
        LookSpec("FeAl", Spread(0.48, 0.54), Spread(0.54, 0.60), Spread(0.01, 0.015), 0.3, at(-0.03)),
        LookSpec("steel", Spread(0.50, 0.58), Spread(0.60, 0.68), Spread(0.006, 0.012), 0.3, at(-0.12)),
        LookSpec("pore", Spread(0.24, 0.38), Spread(0.18, 0.26), Spread(0.02, 0.04), 0.6, at(-0.7)),
        LookSpec("precipitate", Spread(0.64, 0.72), Spread(0.54, 0.62), Spread(0.006, 0.01), 0.3, at(0.25)),
        LookSpec("crack", Spread(0.14, 0.24), Spread(0.10, 0.15), Spread(0.02, 0.03), 0.6, at(-0.7)),
    ]


def _demo_imaging() -> ImagingSpec:
    return ImagingSpec(
        dose_e_per_px=Spread(120, 240, log=True),
        edge_gain=Spread(0.2, 0.32),
        shading=Spread(0.06, 0.14),
        charging=Spread(0.03, 0.09),
        brightness=Spread(-0.04, 0.08),
        contrast=Spread(0.9, 1.1),
        gamma=Spread(0.88, 1.12),
    )
