"""Names in docstrings: `Trainer.fit` is a link where it is documented, anything else is code."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

# What can only be a name of the library. Plain lower-case words are arguments and values.
OURS = re.compile(r"^(nn\.|nnpoly\.)[A-Za-z_.]+$|^[A-Z]\w+(\.[a-z]\w+)?$")

# What follows ndarray in the alias of NumPy's arrays.
ARRAY = re.compile(r"(?<=ndarray)\[(?:tuple\[[^]]*\]|[~.\w]+), [~.\w]*dtype\[[^]]*\]\]")


def name_role(
    role: str, rawtext: str, text: str, line: int, inliner: Any, *rest: Any
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """Make what stands in single backticks a link if it can be one."""
    text = text.replace("\x00", "\\")
    code = nodes.literal(rawtext, text)
    return [linked(code, inliner.document.settings.env.docname)], []


def linked(code: nodes.literal, page: str) -> nodes.Node:
    """Return a reference by the name that code is, or the code if it is no name of ours."""
    target = code.astext().partition("(")[0]
    if not OURS.match(target):
        return code
    goal = {
        "refdomain": "py",
        "reftype": "obj",
        "reftarget": re.sub(r"^nn\.", "nnpoly.", target),
        "refspecific": not target.startswith("nn"),
        "py:module": None,
        "py:class": None,
    }
    return addnodes.pending_xref(code.rawsource, code, refdoc=page, soft=True, **goal)


class LinkNames(SphinxTransform):
    """Do the same to code within the text of Markdown pages."""

    default_priority = 210

    def apply(self, **options: Any) -> None:
        if not str(self.env.doc2path(self.env.docname)).endswith(".md"):
            return
        for code in list(self.document.findall(nodes.literal)):
            if isinstance(code.parent, nodes.reference | nodes.title | addnodes.pending_xref):
                continue
            place = code.parent.index(code)
            code.parent[place] = linked(code.deepcopy(), self.env.docname)


def leave_as_code(app: Any, env: Any, node: Any, contents: Any) -> Any:
    """Return the code of a name that is documented nowhere, without a warning."""
    return contents if node.get("soft") else None


def skip_inherited_text(
    app: Any, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members that have no text of their own: they do what their base says."""
    function = getattr(value, "fget", None) or value
    return True if not getattr(function, "__doc__", None) else None


def shorten(
    app: Any,
    what: str,
    name: str,
    value: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write a dataclass's `<factory>` as an ellipsis, and NumPy's arrays without parameters."""
    parts = (signature, returns)
    return tuple(text and ARRAY.sub("", text.replace("<factory>", "...")) for text in parts)


def setup(app: Any) -> dict[str, bool]:
    """Register the role and the rules."""
    app.add_role("name", name_role)
    app.add_transform(LinkNames)
    app.connect("missing-reference", leave_as_code)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", skip_inherited_text)
    return {"parallel_read_safe": True}
