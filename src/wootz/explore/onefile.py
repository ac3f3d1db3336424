"""The page as one file that needs no server: modules, style and data inside, nothing from outside."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([\w.-]+)";', re.MULTILINE)
DECLARED = re.compile(r"^export ((?:async )?function\*?|class|const) (\w+)", re.MULTILINE)
LISTED = re.compile(r"^export \{([^}]*)\};", re.MULTILINE)
LEFT_OVER = re.compile(r"^\s*(?:import|export)\b.*$", re.MULTILINE)


def one_file(
    pages: Mapping[str, str], blocks: Sequence[tuple[str, str]], *, instead: Mapping[str, str]
) -> str:
    """Put the page into one HTML text.

    Parameters
    ----------
    pages : mapping
        Names to contents: "index.html", "style.css", "icon.svg", "main.js" and the modules it imports.
    blocks : sequence of (class, text)
        Data, in base64, that scripts find as ``script`` elements of that class.
    instead : mapping
        Modules that stand in for others, such as ``{"api.js": "frozenapi.js"}``.

    Returns
    -------
    str
        Its content policy allows this script and this style by their hashes, and no request at all.

    Raises
    ------
    ValueError
        If a module uses an import or export of another form than the page's, or modules form a circle.
    """
    script, style = joined(pages, "main.js", instead=instead), pages["style.css"]
    if re.search(r"</script|<!--", script, re.IGNORECASE):
        raise ValueError("a module holds '</script' or '<!--', which would end the script.")
    policy = (
        f"default-src 'none'; script-src '{_sha256(script)}'; style-src '{_sha256(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    icon = base64.b64encode(pages["icon.svg"].encode()).decode()
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">'
    )
    html = pages["index.html"]
    for pattern, text in (
        ('<meta charset="utf-8">', head),
        ('href="/page/icon.svg"', f'href="data:image/svg+xml;base64,{icon}"'),
        ('<link rel="stylesheet" href="/page/style.css">', f"<style>{style}</style>"),
        ('<script type="module" src="/page/main.js"></script>\n', ""),
        ("</body>", f'{_blocks(blocks)}<script type="module">{script}</script>\n</body>'),
    ):
        if html.count(pattern) != 1:
            raise ValueError(f"index.html must hold {pattern!r} once.")
        html = html.replace(pattern, text)
    return html


def joined(pages: Mapping[str, str], entry: str, *, instead: Mapping[str, str]) -> str:
    """Join a module and all that it imports into one, each in a scope of its own.

    Only what the page's modules use is understood: ``import { a, b as c } from "./name.js";``, exported
    functions, classes and constants, and ``export { a };``, each at the start of a line.
    """
    done: dict[str, tuple[str, set[str]]] = {}
    open_: list[str] = []

    def add(name: str) -> None:
        if name in done:
            return
        if name in open_:
            raise ValueError(f"modules import each other in a circle: {' -> '.join([*open_, name])}.")
        if name not in pages:
            raise ValueError(f"there is no module {name}.")
        open_.append(name)
        text = pages[name]
        wanted = [(instead.get(source, source), names) for names, source in IMPORT.findall(text)]
        for source, names in wanted:
            add(source)
            missing = {_pair(part)[0] for part in _names(names)} - done[source][1]
            if missing:
                raise ValueError(
                    f"{name} imports {', '.join(sorted(missing))}, which {source} does not export."
                )
        done[open_.pop()] = _scope(name, text, instead=instead)

    add(entry)
    return "\n".join(text for text, _ in done.values())


def _scope(name: str, text: str, *, instead: Mapping[str, str]) -> tuple[str, set[str]]:
    """Turn a module into a function that is called once and returns what it exports."""
    exported = {found[1] for found in DECLARED.findall(text)}
    exported |= {part for names in LISTED.findall(text) for part in _names(names)}

    def taken(found: re.Match[str]) -> str:
        parts = [": ".join(dict.fromkeys(_pair(part))) for part in _names(found[1])]
        return f"const {{ {', '.join(parts)} }} = {_variable(instead.get(found[2], found[2]))};"

    body = LISTED.sub("", DECLARED.sub(r"\1 \2", IMPORT.sub(taken, text)))
    strange = LEFT_OVER.search(body)
    if strange:
        raise ValueError(f"{name}: cannot join {strange[0].strip()!r}.")
    scope = (
        f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {', '.join(sorted(exported))} }};\n}})();"
    )
    return scope, exported


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pair(part: str) -> tuple[str, str]:
    """Split "a as b" into what it is called there and here."""
    there, _, here = part.partition(" as ")
    return there.strip(), (here or there).strip()


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))


def _blocks(blocks: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<script type="text/plain" class="{kind}">{text}</script>\n' for kind, text in blocks)


def _sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
