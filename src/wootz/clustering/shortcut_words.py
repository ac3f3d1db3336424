"""What clusters follow, in sentences."""

from collections.abc import Collection, Sequence

from wootz.clustering.badges import Badge
from wootz.clustering.remedies import Remedy
from wootz.clustering.survey import IMAGE, Survey
from wootz.tables import records

SCALES = ("magnification", "pixel size")
NATURAL = ("specimen", "set", IMAGE)


def shortcut_words(
    survey: Survey,
    remedies: Sequence[Remedy],
    given: Sequence[Badge],
    *,
    tied: Collection[str] = (),
) -> list[str]:
    """Word the result for a microscopist.

    Parameters
    ----------
    survey : Survey
    remedies : sequence of Remedy
    given : sequence of Badge
    tied : collection of str
        Factors that go with the known classes.

    Returns
    -------
    list of str
        Sentences: what clusters follow, strongest first, with its remedies; then what could not be said.
    """
    rows = {row["factor"]: row for row in records(survey.table)}
    enough = [name for name, row in rows.items() if row["is_enough"]]
    lines = []
    for name in survey.followed:
        row = rows[name]
        line = (
            f"Clusters follow {name}: they share {100 * row['adjusted']:.0f} % of what they could, by chance "
            f"0 % (p = {row['p_corrected']:.2g}; NMI {row['nmi']:.2f} against {row['nmi_chance']:.2f})."
        )
        marked = sorted({badge.cluster for badge in given if badge.factor == name})
        if marked:
            line += f" Most marked: cluster {', '.join(map(str, marked))}."
        if name in tied:
            line += (
                f" The known classes follow {name} as well, so it may be the material itself, and taking it "
                "out may take classes away."
            )
        elif name in NATURAL:
            line += " Material differs between them too: look whether these clusters show another material."
        if name in SCALES:
            line += (
                " Embedding all tiles at one pixel size (wootz embed pixel_size_nm=...) takes out its cause."
            )
        lines += [line, *(_remedy_words(r, tied) for r in remedies if r.factor == name)]
    if enough and not survey.followed:
        lines.append(f"Clusters follow none of: {', '.join(enough)}.")
    unsaid = [name for name in rows if name not in enough and name != IMAGE]
    if unsaid:
        lines.append(
            f"Too few images to say whether clusters follow {', '.join(unsaid)}: more images, of which "
            "several share each value, would tell."
        )
    if IMAGE in rows and IMAGE not in enough:
        lines.append(
            "Whether clusters follow single images cannot be said: too few of them agree in all else that is "
            "known (specimen, instrument, magnification ...)."
        )
    return lines or ["Nothing differs between the tiles that clusters could follow."]


def _remedy_words(remedy: Remedy, tied: Collection[str]) -> str:
    line = (
        f"Remedy tried, standardise_by={remedy.by!r}: shared {100 * remedy.adjusted_before:.0f} % -> "
        f"{100 * max(remedy.adjusted_after, 0):.0f} %"
    )
    if remedy.ari_before is not None and remedy.ari_after is not None:
        line += f", agreement with known classes (ARI) {remedy.ari_before:.2f} -> {remedy.ari_after:.2f}"
    line += f"; clusters before and after agree by {remedy.moved:.2f}. "
    match remedy.is_halved, remedy.keeps_classes:
        case False, _:
            return line + "It does not help."
        case True, True:
            return line + "It helps."
        case True, False:
            return line + "It takes classes away with it: leave it."
    if remedy.factor in tied:
        return line + "It may take classes away."
    return line + "What it costs cannot be seen without known classes: look at both."
