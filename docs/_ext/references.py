"""Names in docstrings: `Trainer.fit` is a link where it is documented, anything else is code."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes

# What can only be a name of the library. Plain lower-case words are arguments and values.
OURS = re.compile(r"^(nn\.|nnpoly\.)[A-Za-z_.]+$|^[A-Z]\w+(\.[a-z]\w+)?$")


def name_role(
    role: str, rawtext: str, text: str, line: int, inliner: Any, *rest: Any
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """Make what stands in single backticks a link if it can be one."""
    text = text.replace("\x00", "\\")
    code = nodes.literal(rawtext, text, classes=["xref"])
    target = text.partition("(")[0]
    if not OURS.match(target):
        return [nodes.literal(rawtext, text)], []
    env = inliner.document.settings.env
    reference = addnodes.pending_xref(
        rawtext,
        code,
        refdomain="py",
        reftype="obj",
        refdoc=env.docname,
        refwarn=False,
        soft=True,
        reftarget=re.sub(r"^nn\.", "nnpoly.", target),
    )
    reference["refspecific"] = not target.startswith("nn")
    reference["py:module"] = reference["py:class"] = None
    return [reference], []


def leave_as_code(app: Any, env: Any, node: Any, contents: Any) -> Any:
    """Return the code of a name that is documented nowhere, without a warning."""
    return contents if node.get("soft") else None


def skip_inherited_text(
    app: Any, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members that have no text of their own: they do what their base says."""
    function = getattr(value, "fget", None) or value
    return True if not getattr(function, "__doc__", None) else None


def name_factories(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: Any
) -> tuple[str, Any] | None:
    """Write a dataclass's `<factory>` as an ellipsis, which Python's grammar knows."""
    if signature is None:
        return None
    return signature.replace("<factory>", "..."), returns


def setup(app: Any) -> dict[str, bool]:
    """Register the role and the rules."""
    app.add_role("name", name_role)
    app.connect("missing-reference", leave_as_code)
    app.connect("autodoc-process-signature", name_factories)
    app.connect("autodoc-skip-member", skip_inherited_text)
    return {"parallel_read_safe": True}
