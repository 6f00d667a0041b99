"""The pictures of README and guides, drawn from real runs: `python -m tests.docs.pictures` writes docs/pictures.

The red run is that of the README, with its thresholds measured. The page needs Chromium; without it, its picture stays.
"""

import base64
import io
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import SimpleNamespace

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from harness import figures, recipes, train
from tests.browser import CHROMIUM, browsing
from tests.docs.pages import README, ROOT, SETTINGS, Story


PICTURES = ROOT / "docs" / "pictures"
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
_SIZE, _LINE, _EDGE = 20, 28, 24
_COLUMNS, _LABEL = 114, 13
_GROUND, _TEXT, _RED, _DIM, _ACCENT = "#16181d", "#d7dae0", "#ff6b6b", "#7f8794", "#8ecbff"


def main():
    """Draw all of them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "mylib"
        folder.mkdir()
        printed = red_run(folder)
        save("red", terminal(["$ pytest --mpl", *printed]))
        output = folder / "build" / "harness"
        (drawn,) = (output / "pictures").glob("*/deviations.png")
        save("deviations", Image.open(drawn))
        if CHROMIUM:
            save("report", screenshot(output / "report.html"))
    record = train(recipes.cifar_resnet())
    for name in ("loss_curve", "prediction_grid", "gradient_flow"):
        save(name, drawing(getattr(figures, name)(record, labelled=True)))
    save("loss_curve_gated", drawing(figures.loss_curve(record)))


def red_run(folder):
    """Go through the README in a folder; return what its last session printed of the failure."""
    Story(SimpleNamespace(path=folder)).write_files(README)
    (folder / "pyproject.toml").write_text(SETTINGS)
    pytest(folder, "--mpl-generate-path=baselines")
    identity = ("-c", "user.name=You", "-c", "user.email=you@example.org")
    for command in ("init", "add .", "commit -m Gate"):
        subprocess.run(["git", *identity, *command.split()], cwd=folder, capture_output=True, check=True)
    loop = folder / "mylib" / "train.py"
    loop.write_text(loop.read_text().replace("lr=0.1,", "lr=0.1001,"))
    printed = pytest(folder, "--mpl")
    start = next(i for i, line in enumerate(printed) if line.startswith("training differs"))
    return printed[start : next(i for i, line in enumerate(printed) if line.startswith("  accept")) + 1]


def pytest(folder, *options):
    """Run pytest in a process of its own; return the lines that it prints."""
    around = {name: value for name, value in os.environ.items() if name not in ("CI", "HARNESS_CIFAR10")}
    around["PYTHONPATH"] = os.pathsep.join([str(ROOT), around.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", *options]
    done = subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def terminal(lines):
    """Draw lines as a terminal shows them."""
    font = ImageFont.truetype(str(_FONT), _SIZE)
    rows = [row for line in lines for row in _rows(line)]
    width, height = font.getlength(" " * _COLUMNS) + 2 * _EDGE, _LINE * len(rows) + 2 * _EDGE
    image = Image.new("RGB", (int(width), height), _GROUND)
    draw = ImageDraw.Draw(image)
    for number, pieces in enumerate(rows):
        left = _EDGE
        for text, colour in pieces:
            draw.text((left, _EDGE + number * _LINE), text, font=font, fill=colour)
            left += font.getlength(text)
    return image


def _rows(line):
    """Yield the rows that a line takes, each as pieces of text with their colours: label, and the rest."""
    label, text = (line[:_LABEL], line[_LABEL:]) if line.startswith("  ") else ("", line)
    colour = _RED if line.startswith("training differs") else _ACCENT if line.startswith(("$", "  accept")) else _TEXT
    for part in textwrap.wrap(text, _COLUMNS - len(label), break_on_hyphens=False, drop_whitespace=False):
        yield [(label, _DIM), (part, colour)]
        label = " " * len(label)


def screenshot(page):
    """The top of a page, as a browser shows it."""
    with browsing() as browser:
        size = {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.call("Emulation.setDeviceMetricsOverride", **size)
        browser.open(page)
        data = browser.call("Page.captureScreenshot", format="png")["data"]
    return Image.open(io.BytesIO(base64.b64decode(data)))


def drawing(figure):
    """A Matplotlib figure as an image."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return Image.open(data)


def save(name, image):
    """Write a picture, of 256 colours at most: it is cloned with the repository."""
    path = PICTURES / f"{name}.png"
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} KB, {image.width} x {image.height}")


if __name__ == "__main__":
    main()
