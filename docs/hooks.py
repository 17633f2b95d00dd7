"""What MkDocs has no setting for: pages kept outside docs/, the notebook, and links between files of the repository.

One source serves the repository and the site. README.md is the first page, and links are written as they work in the
repository; here they become links of the site.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
CARDS = "fastsr/pretrained"
NOTEBOOK = "docs/tour.ipynb"
OUTSIDE = {
    "README.md": "index.md",
    "kernels/README.md": "kernels.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    NOTEBOOK: "notebook.md",
}
"""Where files that are no pages below docs/ are on the site."""
FOLDERS = {CARDS: "weights.md"}
"""The pages that tell of a folder."""
LINK = re.compile(
    r"(?P<mark>!?)\[(?P<label>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s#]+)(?P<anchor>#[^()\s]*)?\)"
)
CODE = re.compile(r"^(?P<fence>```+).*?^(?P=fence)$", re.MULTILINE | re.DOTALL)


def outside() -> dict[str, str]:
    """Return the pages from outside docs/ that exist: path in the repository, path on the site."""
    cards = {f"{CARDS}/{path.name}": f"cards/{path.name}" for path in (ROOT / CARDS).glob("*.md")}
    return {path: page for path, page in {**cards, **OUTSIDE}.items() if (ROOT / path).exists()}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/."""
    pictures: dict[str, bytes] = {}
    for path, page in outside().items():
        text = (ROOT / path).read_text(encoding="utf-8")
        if path == NOTEBOOK:
            text = notebook_text(json.loads(text), pictures)
        files.append(File.generated(config, page, content=text))
    for name, content in pictures.items():
        files.append(File.generated(config, name, content=content))
    return files


def notebook_text(notebook: Mapping[str, Any], pictures: dict[str, bytes]) -> str:
    """Return a notebook, which was executed, as Markdown; its pictures are added to `pictures` by their names."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"notebook_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![{''.join(data.get('text/plain', 'Output'))}]({name})")
            else:
                text = "".join(output.get("text", data.get("text/plain", ())))
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn the links of a page from those of the repository into those of the site."""
    pages = outside()
    homes = {site: path for path, site in pages.items()}
    here = page.file.src_uri
    return rewritten(markdown, homes.get(here, f"docs/{here}"), here, pages)


def rewritten(markdown: str, path: str, here: str, pages: Mapping[str, str]) -> str:
    """Return the text of a page with links of the site.

    Args:
        markdown: the text.
        path: of the file that it is from, in the repository.
        here: its place on the site.
        pages: where files outside docs/ are on the site. What is neither there nor below docs/ is not on the site,
            and is named instead of linked.
    """

    def link(match: re.Match[str]) -> str:
        target = normpath(join(dirname(path), match["target"]))
        if "://" in match["target"] or not (ROOT / target).exists():
            return match[0]  # MkDocs says what is wrong with it
        site = {**pages, **FOLDERS}.get(target)
        if site is None and target.startswith("docs/"):
            site = target.removeprefix("docs/")
        if site is None:
            label = match["label"]
            return f"`{target}`" if Path(target).name in label else f"{label} (`{target}`)"
        return f"{match['mark']}[{match['label']}]({relpath(site, dirname(here) or '.')}{match['anchor'] or ''})"

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(link, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(link, markdown[end:])])
