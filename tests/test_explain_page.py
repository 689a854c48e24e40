"""The explorer's page in Chromium, as its reader moves through it; skipped where Playwright or Chromium is missing."""

import numpy as np
import pytest
from explained_networks import explained, groups, separable
from explorer_page import PHONE, assert_every_view_fits, open_page

import npcnn as nn
from npcnn.explain import picture


@pytest.fixture(scope="module", params=["separable", "odd layers"])
def explanation(request):
    return explained(request.param)


def test_a_layer_opens_where_it_has_most_to_show(page, explanation):
    for k, step in enumerate(explanation.steps):
        behind_relu = np.where(step.y > 0, step.dy, 0) if step.relu else step.dy
        for view, shown in (("forward", step.y), ("backward", behind_relu)):
            page.evaluate(f"Explorer.open({k}, '{view}')")
            i, j, o = page.evaluate("[Explorer.state.i, Explorer.state.j, Explorer.state.o]")
            if step is explanation.steps[-1]:
                assert o == explanation.predicted
            else:
                assert abs(shown[i, j, o]) == abs(shown).max()


def test_a_place_that_was_chosen_is_kept_when_the_direction_changes(page):
    page.locator("[data-key=output]").click(position={"x": 5, "y": 5})
    page.click("[data-view=backward]")
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]


def test_play_walks_through_the_multiplications_and_the_patches(page):
    """The page is drawn anew between a press and its release; the button under it must stay the same."""
    for view, key in (("forward", "cursor"), ("backward", "patches")):
        page.evaluate(f"Explorer.open(1, '{view}')")
        page.evaluate("Explorer.set({ cursor: 0 })")
        page.click(f"[data-key='play {key}']")
        page.clock.run_for(700)
        page.hover(f"[data-key='play {key}']")
        page.mouse.down()
        page.clock.run_for(700)
        page.mouse.up()
        stopped = page.evaluate(f"Explorer.state.{key}")
        assert stopped > 0
        page.clock.run_for(700)
        assert page.evaluate(f"Explorer.state.{key}") == stopped
        assert page.inner_text(f"[data-key='play {key}']") == "Play"
        page.click(f"[data-key='next {key}']")
        assert page.evaluate(f"Explorer.state.{key}") == stopped + 1
        page.click(f"[data-key='play {key}']")
        page.clock.run_for(20_000)
        last = page.evaluate(f"document.querySelector('input[data-key={key}]').max")
        assert page.inner_text(f"[data-key='play {key}']") == "Play"  # it has come to its end
        if key == "patches":
            assert page.evaluate("Explorer.state.patches") == int(last)


def marked_numbers(page):
    """The x, w and x * w that are marked in the patch, and those of the running step."""
    return page.evaluate(
        """["#panel td.now", "#terms tr.now td"].map((cells) =>
            [...document.querySelectorAll(cells)].slice(-4).map((cell) => cell.textContent))"""
    )


def test_what_is_marked_in_the_patch_is_the_running_multiplication(page, explanation):
    """Whatever moved it: the buttons, Play, the slider, a click on a strip, a table or another channel."""
    step = explanation.steps[1]
    C, seen = step.w.shape[2], set()

    def same():
        marked, running = marked_numbers(page)
        assert len(marked) == 3
        assert marked == running[:3]
        cursor = page.evaluate("Explorer.state.cursor")
        first = page.evaluate("Arithmetic.seen(Explorer.steps[1], Explorer.steps[0], Explorer.state.o).first")
        assert f"channel {first + cursor % C}" in page.inner_text("h3 >> nth=0")
        assert f"multiplication {cursor + 1} of" in page.inner_text(".player")
        seen.add(cursor)

    page.evaluate("Explorer.open(1, 'forward')")
    same()
    for _ in range(3):
        page.click("[data-key='next cursor']")
        same()
    page.click("[data-key='play cursor']")
    for _ in range(30):
        page.clock.run_for(300)
        same()
    page.click("#panel table td >> nth=2")
    same()
    page.click(".strip >> nth=0", position={"x": 200, "y": 5})
    same()
    page.click("[data-key='play cursor']")
    page.clock.run_for(300)
    before = page.evaluate("Explorer.state.cursor")
    page.focus("[data-key=inputs]")
    page.keyboard.press("ArrowRight" if before % C < C - 1 else "ArrowLeft")
    same()
    assert page.evaluate("Explorer.state.cursor") - before == (1 if before % C < C - 1 else -1)
    assert page.inner_text("[data-key='play cursor']") == "Play"  # choosing a channel ended it
    assert len(seen) > 6


def test_the_input_is_not_called_an_output(page):
    page.evaluate("Explorer.open(0, 'forward')")
    captions = page.locator("#panel figcaption").all_inner_texts()
    assert len(captions) == 2
    assert all(caption.startswith("input, ") for caption in captions)
    page.evaluate("Explorer.open(1, 'forward')")
    assert any(caption.startswith("output, ") for caption in page.locator("#panel figcaption").all_inner_texts())


@pytest.mark.parametrize(
    "title", ["weights.safetensors, picture 3", "a_network_of_2026-11-25_with_a_long_name.safetensors"]
)
def test_no_word_of_a_heading_is_broken_on_a_phone(browser, tmp_path, title):
    x = np.zeros((24, 24, 3), np.float32)
    shown = picture(separable(), x, title=title)
    page = open_page(browser, shown, tmp_path / "explorer.html", viewport=PHONE)
    for k, step in enumerate(shown.steps):
        page.evaluate(f"Explorer.open({k})")
        assert page.text_content("h1") == title
        assert page.text_content("h2").startswith(step.name)
        broken = page.evaluate(
            """() => {
                const broken = [];
                for (const heading of document.querySelectorAll("h1, h2")) {
                    const texts = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT);
                    while (texts.nextNode())
                        for (const word of texts.currentNode.data.matchAll(/[^ -]+/g)) {
                            const range = document.createRange();
                            range.setStart(texts.currentNode, word.index);
                            range.setEnd(texts.currentNode, word.index + word[0].length);
                            if (range.getClientRects().length > 1) broken.push(word[0]);
                        }
                }
                return broken;
            }"""
        )
        assert broken == []
    page.close()


@pytest.mark.parametrize("key", ["output", "outputs", "inputs"])
def test_a_slow_click_on_a_map_counts_while_it_is_drawn_anew(page, key):
    chosen = "[Explorer.state.held, Explorer.state.o, Explorer.state.cursor % Explorer.steps[0].shape[2]]"
    page.evaluate("Explorer.set({ o: 0, cursor: 0 })")
    page.click("[data-key='play cursor']")
    page.locator(f"[data-key={key}]").scroll_into_view_if_needed()
    box = page.locator(f"[data-key={key}]").bounding_box()
    before = page.evaluate(chosen)
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + 6)
    page.mouse.down()
    page.clock.run_for(700)
    page.mouse.up()
    assert page.evaluate(chosen) != before


def test_the_slider_can_be_dragged(page):
    page.locator("input[data-key=cursor]").scroll_into_view_if_needed()
    slider = page.locator("input[data-key=cursor]").bounding_box()
    y, passed = slider["y"] + slider["height"] / 2, []
    page.mouse.move(slider["x"] + 5, y)
    page.mouse.down()
    for share in (0.3, 0.5, 0.8):
        page.mouse.move(slider["x"] + share * slider["width"], y, steps=3)
        passed.append(page.evaluate("Explorer.state.cursor"))
    page.mouse.up()
    assert 0 < passed[0] < passed[1] < passed[2]


def test_a_click_holds_a_pixel_and_escape_lets_go(page):
    output = page.locator("[data-key=output]")
    output.click(position={"x": 5, "y": 5})
    output.hover(position={"x": 120, "y": 120})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]
    page.keyboard.press("Escape")
    output.hover(position={"x": 100, "y": 100})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") != [0, 0]


def test_no_mark_lies_outside_its_map(browser, tmp_path):
    """A Concat marks a channel in one of its branches only."""
    net = nn.models.cifar_multichannel(rng=np.random.default_rng(0))
    x = np.random.default_rng(2).standard_normal((24, 24, 3)).astype(np.float32)
    named = {"title": "weights.safetensors, CIFAR-10 test picture 3", "class_names": [f"class {k}" for k in range(10)]}
    shown = picture(net, x, label=1, **named)
    page = open_page(browser, shown, tmp_path / "explorer.html", viewport=PHONE)
    assert_every_view_fits(page, shown, PHONE)
    page.close()


def test_groups_and_what_a_depthwise_separable_pair_stands_for(browser, tmp_path):
    x = np.random.default_rng(2).standard_normal((7, 6, 4)).astype(np.float32)
    shown = picture(groups(), x)
    labels = [step.label for step in shown.steps[1:]]
    assert labels[:5] == [
        "conv 3 x 2 in 2 groups + ReLU", "conv 1 x 3 in 3 groups", "depthwise 3 x 3 + ReLU",
        "depthwise 3 x 3", "conv 1 x 1 + ReLU",
    ]  # fmt: skip
    page = open_page(browser, shown, tmp_path / "explorer.html")
    page.evaluate("Explorer.open(1, 'forward'); Explorer.set({ o: 4 })")
    assert "output channel 4 sees the input channels 2 to 3" in page.inner_text("#group")
    page.evaluate("Explorer.open(3, 'forward'); Explorer.set({ o: 5 })")
    assert "output channel 5 sees input channel 2 and" in page.inner_text("#group")
    page.evaluate("Explorer.open(1, 'backward'); Explorer.set({ o: 4, c: 0 })")
    assert "no weight from channel 0 to 4" in page.inner_text("#panel")
    # Both halves of the first pair, at channel 7 between them: the second kernel of input channel 3.
    depthwise, pointwise = shown.steps[4].w[:, :, 0, 6:8], shown.steps[5].w[0, 0, 6:8]
    for k, o, to in ((4, 7, abs(pointwise[1]).argmax()), (5, 2, 2)):
        page.evaluate(f"Explorer.open({k}, 'forward'); Explorer.set({{ o: {o}, cursor: 7 }})")
        whole = depthwise @ pointwise[:, to]
        got = page.locator("#pair table").last.locator("td").evaluate_all("cells => cells.map((cell) => cell.title)")
        np.testing.assert_allclose(np.array(got, float), whole.ravel(), rtol=1e-5)
    assert sum(step.multiplications for step in shown.steps) == groups().multiplications((7, 6, 4))
    page.close()


def test_a_wide_dense_layer_opens(browser, tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Dense(200 * 200 * 4, 2, rng=np.random.default_rng(0)))
    x = np.random.default_rng(2).standard_normal((200, 200, 4)).astype(np.float32)
    page = open_page(browser, picture(net, x), tmp_path / "explorer.html")
    for view in ("forward", "backward"):
        page.evaluate(f"Explorer.open(2, '{view}')")
        assert page.inner_text("#panel h2").startswith("1_dense")
    page.close()


def test_the_true_class_is_told(browser, tmp_path):
    x, names = np.zeros((24, 24, 3), np.float32), [f"class {k}" for k in range(10)]
    predicted = picture(separable(), x).predicted
    for label, said in ((predicted, "rightly"), ((predicted + 1) % 10, f"it is labelled class {(predicted + 1) % 10}")):
        page = open_page(browser, picture(separable(), x, class_names=names, label=label), tmp_path / "explorer.html")
        assert said in page.inner_text("#taken")
        page.close()


def test_a_finger_moves_by_buttons(browser, explanation, tmp_path):
    page = open_page(browser, explanation, tmp_path / "explorer.html", viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator("[data-key=output]").tap(position={"x": 3, "y": 3})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]
    page.locator("figure:has([data-key=output]) button[aria-label=down]").tap()
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [1, 0]
    page.close()


def test_mouse_keyboard_and_layers(page, explanation):
    assert "sum of" in page.inner_text("#formula")
    page.evaluate("Explorer.set({ o: 0 })")
    page.locator("[data-key=output]").hover(position={"x": 5, "y": 5})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]
    page.locator("[data-key=output]").click(position={"x": 5, "y": 5})
    page.locator("[data-key=output]").hover(position={"x": 120, "y": 120})
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [0, 0]  # held
    page.locator("[data-key=output]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[Explorer.state.i, Explorer.state.j]") == [1, 1]
    page.clock.run_for(600)  # the page speaks when pointing has come to rest
    said = page.inner_text("#said")
    value = explanation.steps[1].y[1, 1, 0]
    assert said.startswith("pixel (1, 1), channel 0:")
    assert float(said.split()[-1].rstrip(")")) == pytest.approx(value, rel=1e-3, abs=1e-6)
    page.locator("[data-key=outputs]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Explorer.state.o") == 1
    before = page.evaluate("Explorer.state.cursor")
    page.locator("[data-key=cursor]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Explorer.state.cursor") == before + 1
    for view in ("forward", "backward"):
        page.click(f"[data-view={view}]")
        for k, step in enumerate(explanation.steps):
            page.click(f"[data-key=layer{k}]")
            assert page.inner_text("#panel h2").startswith(f"{step.name}: ")


def test_a_phone_shows_it_without_scrolling_sideways(page, explanation):
    page.set_viewport_size({"width": 390, "height": 800})
    for view in ("forward", "backward"):
        page.click(f"[data-view={view}]")
        for k, step in enumerate(explanation.steps):
            page.evaluate(f"Explorer.open({k})")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, step.name
