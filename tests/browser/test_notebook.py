"""Diagrams and tables in a real browser: visible, readable in light and dark, and they open on a click."""

import shutil
from io import BytesIO

import numpy as np
import pytest
from extras import package
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import estimator_html_repr
from small_classifiers import make_classifier, make_images

from skcnn import BatchNorm, Conv2D, Dense, MaxPool2D, Parallel, Residual

Image = package("PIL.Image")
pytestmark = pytest.mark.browser

X, Y = make_images(12, (8, 8, 1))
X = X.reshape(12, 64)

READABLE = 4.5
"""Ratio of contrast that the Web Content Accessibility Guidelines ask of text (success criterion 1.4.3)."""

PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><style>
:root {{ color-scheme: light dark; }}
body {{ background: Canvas; color: CanvasText; font-family: sans-serif; }}
{style}
</style></head><body><div>{html}</div></body></html>
"""

THEMES = {
    "light": ("light", ""),
    "dark": ("dark", ""),
    "dark notebook on a light system": ("light", "body { background: #111111; color: #e0e0e0; }"),
}

COLOURS = """
const layers = [];
for (let element = arguments[0]; element; element = element.parentElement) {
    layers.push(getComputedStyle(element).backgroundColor);
}
return [getComputedStyle(arguments[0]).color, layers];
"""


def make_net():
    branch = Residual([("conv1", Conv2D(4, strides=2)), BatchNorm()], activation="relu")
    sides = Parallel([Conv2D(2, 1), [Conv2D(3, 1), Conv2D(5)], "passthrough"])
    layers = [("conv1", Conv2D(4)), ("res1", branch), ("mixed", sides), ("gone", "passthrough")]
    layers += [("pool1", MaxPool2D()), ("dense1", Dense(8))]
    return make_classifier(layers, max_iter=1)


def make_search():
    pipeline = make_pipeline(MinMaxScaler(), make_net())
    return GridSearchCV(pipeline, {"convnetclassifier__dense1__units": [8]}, cv=2)


N_SHOWN, N_FITTED = 14, 16
"""Layers that a diagram shows before and after training, which tests/network/test_diagram.py names."""


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium, driven by selenium of the extra "browser"."""
    from selenium import webdriver

    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.fail("--run-browser needs chromium and chromedriver on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,1600"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(params=THEMES.values(), ids=THEMES)
def show(request, chromium, tmp_path):
    """Return a function that opens a page with some HTML in one of the themes, and gives the browser."""
    preferred, style = request.param

    def open_page(html):
        path = tmp_path / "page.html"
        path.write_text(PAGE.format(style=style, html=html), encoding="utf-8")
        scheme = {"name": "prefers-color-scheme", "value": preferred}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        chromium.get(path.as_uri())
        assert is_light(chromium.find_element("tag name", "body")) == (preferred == "light" and not style)
        return chromium

    return open_page


def channels(colour):
    """Return red, green, blue and opacity, from 0 to 1, of a computed colour."""
    kind, _, numbers = colour.rstrip(")").partition("(")
    assert kind in ("rgb", "rgba"), colour
    values = [float(number) for number in numbers.split(",")]
    return np.array(values[:3]) / 255, values[3] if len(values) == 4 else 1.0


def colours_of(element):
    """Return the colour of the text of an element, and the one behind it, all layers on one another."""
    text, layers = element.parent.execute_script(COLOURS, element)
    behind = np.ones(3)
    for layer in reversed(layers):
        colour, opacity = channels(layer)
        behind = opacity * colour + (1 - opacity) * behind
    colour, opacity = channels(text)
    return opacity * colour + (1 - opacity) * behind, behind


def luminance(colour):
    """Return the relative luminance of a colour, as the guidelines define it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def is_light(element):
    """Whether an element is light rather than dark behind its text."""
    return luminance(colours_of(element)[1]) > 0.5


def contrast(element):
    """Return the ratio of contrast between the text of an element and what is behind it."""
    darker, lighter = sorted(luminance(colour) for colour in colours_of(element))
    return (lighter + 0.05) / (darker + 0.05)


def layer_labels(browser):
    """Return the labels behind that of the network, which those of the layers are."""
    labels = browser.find_elements("css selector", "label.sk-toggleable__label")
    (start,) = (i for i, label in enumerate(labels) if "ConvNetClassifier" in label.text)
    return labels[start + 1 :]


def content_of(label):
    return label.find_element("xpath", "following-sibling::div")


def assert_readable(element):
    """Hold what is displayed against the text of the page, and its colours against the guidelines."""
    assert element.is_displayed()
    text = " ".join(element.get_attribute("textContent").split())
    assert " ".join(element.text.split()) == text
    assert contrast(element) >= READABLE
    script = "return arguments[0].scrollWidth <= arguments[0].clientWidth"
    assert element.parent.execute_script(script, element), f"{text} is cut off"


def take_picture(browser, path):
    """Save a screenshot, which must show something on a background of the theme."""
    browser.execute_script("window.scrollTo(0, 0)")
    path.write_bytes(browser.get_screenshot_as_png())
    pixels = np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB")) / 255
    corner = pixels[0, 0]
    assert (luminance(corner) > 0.5) == is_light(browser.find_element("tag name", "body"))
    assert (np.abs(pixels - corner).max(axis=2) > 0.3).any()


@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("build", [make_net, make_search])
def test_every_layer_is_readable_and_opens_on_a_click(build, fitted, show, tmp_path):
    estimator = build().fit(X, Y) if fitted else build()
    browser = show(estimator_html_repr(estimator))
    labels = layer_labels(browser)
    assert len(labels) == (N_FITTED if fitted else N_SHOWN)
    take_picture(browser, tmp_path / "closed.png")
    for label in labels:
        assert_readable(label)
        assert not content_of(label).is_displayed()
    for label in labels:
        label.click()
        assert content_of(label).is_displayed()
        assert_readable(label)  # open, and below the mouse
    for label in labels:
        assert_readable(label)  # open
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].open = true", details)
    take_picture(browser, tmp_path / "open.png")
    labels[0].click()
    assert not content_of(labels[0]).is_displayed()


def test_the_table_of_a_network_is_readable(show, tmp_path):
    summary = make_net().summary(X)  # without y, so that there is a note
    browser = show(summary._repr_html_())
    cells = browser.find_elements("css selector", "td, th, p")
    assert len(cells) > 8 * len(summary.records)
    for cell in cells:
        assert contrast(cell) >= READABLE
    take_picture(browser, tmp_path / "table.png")
    sides = {cell.text: cell.value_of_css_property("text-align") for cell in cells}
    assert (sides["name"], sides["trained"]) == ("left", "right")


def test_contrast_is_that_of_the_guidelines(show):
    """Which give 21 for black on white; and a text that cannot be read is noticed."""
    browser = show(
        '<p id="full" style="color: #000; background: #fff">a</p>'
        '<p id="grey" style="color: #777; background: #fff">b</p>'
        '<div style="background: #fff"><p id="veil" style="color: #000; background: #0008">c</p></div>'
        '<p id="page" style="background: transparent">d</p>'
    )
    ratios = {name: contrast(browser.find_element("id", name)) for name in ("full", "grey", "veil", "page")}
    assert ratios["full"] == pytest.approx(21)
    assert ratios["grey"] == pytest.approx(4.48, abs=0.005)
    assert ratios["veil"] == pytest.approx(4.6, abs=0.1)  # black on a grey of 119
    assert ratios["page"] > 12
