"""A figure's part of the report: baseline and result side by side, under a slider, and their difference."""

import base64
from collections.abc import Iterator, Mapping

from harness.page.markup import Markup, element
from harness.report import figure_text
from harness.results import Figure


__all__ = ["figure_part"]

_VIEWS = ("side by side", "slider", "difference")


def figure_part(figure: Figure, pictures: Mapping[str, bytes], key: str) -> Iterator[Markup]:
    """Yield a figure's numbers and, where its pictures are at hand, the three views.

    Args:
        figure: the figure.
        pictures: path to PNG bytes.
        key: unique in the page.
    """
    yield element("p", figure_text(figure))
    found = [(name, pictures.get(path)) for name, path in (("baseline", figure["baseline"]), ("now", figure["result"]))]
    images = {name: _image(name, data) for name, data in found if data}
    if len(images) == len(found):
        yield _viewer(images, key)
    else:
        yield from images.values()


def _image(name: str, data: bytes) -> Markup:
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return element("img", src=uri, alt=f"the figure, {name}", class_=name)


def _viewer(images: Mapping[str, Markup], key: str) -> Markup:
    """Return radio buttons and the views; the style sheet shows the chosen one, so no picture is stored twice."""
    choices: list[Markup] = []
    for number, view in enumerate(_VIEWS):
        checked = "" if number == 0 else None
        button = element("input", type="radio", name=f"{key}-view", class_=f"v{number}", checked=checked)
        choices.append(element("label", button, view))
    slide = element("input", type="range", min="0", max="100", value="50", aria_label="how much of the baseline shows")
    frames = [element("div", element("span", name), image, class_=f"frame {name}") for name, image in images.items()]
    return element("fieldset", element("legend", "view"), *choices, slide, element("div", *frames, class_="frames"))
