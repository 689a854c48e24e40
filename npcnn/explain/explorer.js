// The page: which layer is open, where the reader points, and what the buttons do.  What is shown of a layer is drawn
// by Forward and Backward, the numbers are those of Arithmetic and of the network itself.
"use strict";

const Explorer = (() => {
  const { make, breakable, renew, painted, recolour, clamp, largestOf, whole } = Drawing;
  const data = JSON.parse(document.getElementById("data").textContent);
  const steps = data.steps;
  const panel = document.getElementById("panel");
  const nav = document.getElementById("layers");
  const views = document.querySelectorAll("#views button");

  // The layer (step), the direction (view) and the place looked at: output pixel (i, j) of channel o and, backward,
  // input channel c and pixel (row, col), weight (kh, kw).  `cursor`: the multiplication on show, and so forward the
  // input channel; `patches` added; `held`: the map that the mouse does not move on; `chosen`: whether the reader chose
  // (i, j, o), or the page.
  const state = {
    step: 0,
    view: "forward",
    i: 0,
    j: 0,
    o: 0,
    c: 0,
    row: 0,
    col: 0,
    kh: 0,
    kw: 0,
    cursor: 0,
    patches: 0,
    held: null,
    chosen: false,
  };
  let playing = null; // the key of the state that is played
  let timer = null; // its interval
  let saying = null; // the timeout after which the formula is read out

  // Arrays come as base64 of little-endian float32; here they become Float32Array.
  function floats(text) {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = letters.charCodeAt(k);
    return new Float32Array(bytes.buffer);
  }

  // What the views want to know of a step besides what the network computed.
  function prepare() {
    const arrays = data.arrays.map(floats);
    const ofAll = steps.reduce((total, step) => total + step.multiplications, 0);
    const colours = ["red", "green", "blue"];
    let before = 0;
    steps.forEach((step, number) => {
      for (const key of ["y", "dy", "w", "b"]) step[key] = arrays[step[key]] ?? null;
      step.dz = Arithmetic.dz(step);
      const dy = largestOf(step.dy);
      const last = number === steps.length - 1;
      const names = last ? data.class_names : number === 0 && step.shape[2] === 3 ? colours : null;
      Object.assign(step, {
        number,
        before,
        ofAll,
        largest: { y: largestOf(step.y), dy, dz: dy, w: step.w && largestOf(step.w) }, // dy and dz on one scale
        halves: step.pair ? steps.filter((other) => other.pair === step.pair) : [],
        from: step.inputs.map((k) => steps[k]),
        takers: steps.filter((other) => other.inputs.includes(number)),
        source: steps[step.source] ?? null,
        classes: last ? data.class_names.map((name, k) => ({ name, share: data.probabilities[k] })) : null,
        channelName: (c) => (names ? `${c} (${names[c]})` : String(c)),
      });
      before += step.multiplications;
    });
  }

  function set(changes) {
    if (Object.entries(changes).every(([key, value]) => state[key] === value)) return;
    if (playing in changes) stop(); // the reader has taken over
    Object.assign(state, changes);
    draw();
  }

  // Where an array of shape (H, W, C) is largest, as [row, column, channel].
  function summit(values, [, W, C]) {
    let best = 0;
    for (let k = 1; k < values.length; k++) if (Math.abs(values[k]) > Math.abs(values[best])) best = k;
    return [Math.floor(best / (W * C)), Math.floor(best / C) % W, best % C];
  }

  // The largest number of each channel.
  function heights(values, C) {
    const largest = new Float64Array(C);
    values.forEach((value, k) => {
      largest[k % C] = Math.max(largest[k % C], Math.abs(value));
    });
    return largest;
  }

  // Choose a place of a step where there is most to show: its largest output, or the largest gradient that passes its
  // ReLU, and the input channel that gives most to it.  A place that the reader chose is kept if only the view changes.
  function place(step, view, keep) {
    const input = step.source ?? step.from[0] ?? step;
    const C = input.shape[2];
    const size = step.window?.size ?? [1, 1];
    const shown = view === "forward" ? step.y : step.dz;
    let [i, j, o] = keep ? [state.i, state.j, state.o] : summit(shown, step.shape);
    if (step.classes && !keep) o = data.predicted;
    const y = heights(input.y, C);
    let given = heights(input.dy, C).map((dy, c) => (step.w ? dy * y[c] : dy)); // dx and dw both have something to show
    if (view === "forward" && step.w) {
      given = new Float64Array(C);
      const { terms } =
        step.kind === "conv_transpose"
          ? Enlarging.made(step, input, i, j, o)
          : Arithmetic.convolution(step, input, i, j, o);
      for (const term of terms) given[term.c] += term.product;
    }
    const { first, channels } = step.w ? Arithmetic.seen(step, input, o) : { first: 0, channels: C };
    let c = first + summit(given.slice(first, first + channels), [1, 1, channels])[2];
    let [row, col] = [0, 0];
    if (step.source) [row, col, c] = summit(input.dy, input.shape);
    if (view === "backward" && (step.window || Enlarging.draws(step.kind))) {
      const dx = Maps.eachPixel(input, (r, s) => Backward.share(step, input, r, s, step.w ? c : o));
      [row, col] = summit(dx, [input.shape[0], input.shape[1], 1]);
    }
    // The terms of a sum forward begin with the input's channels, those of a transposed one backward with the output's.
    const cursor = view === "forward" ? c - first : o;
    return { i, j, o, c, row, col, kh: size[0] >> 1, kw: size[1] >> 1, cursor };
  }

  function open(number, view = state.view) {
    stop();
    const keep = number === state.step && state.chosen;
    const where = place(steps[number], view, keep);
    const rest = { patches: Infinity, held: null, chosen: keep };
    Object.assign(state, { step: number, view, ...where, ...rest });
    views.forEach((button) => button.setAttribute("aria-pressed", button.dataset.view === view));
    drawLayers();
    panel.replaceChildren();
    draw();
  }

  // Walk state[key] from where it is to the last, in steps of `by`; from the first to the last in about five seconds.
  function start(key, first, last, by) {
    stop();
    if (state[key] >= last) state[key] = first;
    playing = key;
    const next = () => {
      state[key] = Math.min(state[key] + by, last);
      if (state[key] === last) stop();
      draw();
    };
    timer = setInterval(next, Math.max(60, (5000 * by) / (last - first)));
    draw();
  }
  function stop() {
    clearInterval(timer);
    timer = playing = null;
  }

  // Buttons and a slider for state[key], from 0 to length - 1; Play takes steps of `by` from the first to the last.
  function player(key, length, label, { first = 0, last = length - 1, by = Math.ceil(length / 80) } = {}) {
    const value = clamp(state[key], length);
    const go = (to) => {
      stop();
      state[key] = clamp(to, length);
      draw();
    };
    const button = (name, text, onclick, label = null) =>
      make("button", { type: "button", "data-key": `${name} ${key}`, "aria-label": label, onclick }, text);
    return make(
      "div",
      { class: "player" },
      playing === key
        ? button("play", "Stop", () => {
            stop();
            draw();
          })
        : button("play", "Play", () => start(key, first, last, by)),
      button("back", "‹", () => go(value - 1), "back"),
      button("next", "›", () => go(value + 1), "next"),
      make(
        "label",
        {},
        label,
        make("input", {
          type: "range",
          min: 0,
          max: length - 1,
          value,
          "data-key": key,
          oninput: (event) => go(Number(event.target.value)),
        }),
      ),
    );
  }

  function drawLayers() {
    const what = state.view === "forward" ? "y" : "dy";
    renew(nav, Overview.elements(steps, steps[state.step], what, show));
    Overview.reveal(nav);
  }

  // Open a layer, and bring it into sight where the row of layers fills the window.
  function show(number) {
    open(number);
    if (panel.getBoundingClientRect().top > 0.7 * innerHeight) panel.scrollIntoView();
  }

  function draw() {
    const step = steps[state.step];
    const goal = `${data.output} of ${data.class_names[data.predicted]}`;
    const parts =
      state.view === "forward"
        ? Forward.panel(step, step.from, state, set, player)
        : Backward.panel(step, step.from, state, set, player, goal);
    renew(panel, [
      make("h2", {}, ...breakable(step.name), `: ${step.title}, ${step.shape.join(" x ")}`),
      ...parts.filter((part) => part !== null),
    ]);
    say();
  }

  // For screen readers: the formulas, once pointing and playing have come to rest.
  function say() {
    clearTimeout(saying);
    saying = setTimeout(() => {
      const formulas = [...panel.querySelectorAll(".formula")].map((line) => line.textContent);
      document.getElementById("said").textContent =
        `pixel (${state.i}, ${state.j}), channel ${state.o}: ${formulas.join("; ")}`;
    }, 400);
  }

  // The title, the picture in its own colours, and the likeliest classes.
  function drawHeader() {
    const {
      shape: [H, W, C],
      y,
    } = steps[0];
    const low = y.reduce((a, b) => Math.min(a, b));
    const high = y.reduce((a, b) => Math.max(a, b));
    const level = (value) => (255 * (value - low)) / (high - low || 1);
    const pixel = (row, col) => [0, 1, 2].map((c) => level(Arithmetic.at(y, [H, W, C], row, col, clamp(c, C))));
    const image = painted([H, W], pixel, { role: "img", "aria-label": "the picture" });
    document.getElementById("picture").replaceChildren(image);
    document.querySelector("h1").replaceChildren(...breakable(data.title));
    const percent = (share) => `${(100 * share).toFixed(1)}%`;
    const taken = data.class_names[data.predicted];
    const truth =
      data.label === null
        ? "."
        : data.label === data.predicted
          ? ", rightly."
          : `; it is labelled ${data.class_names[data.label]}.`;
    document.getElementById("taken").textContent =
      `The network says ${taken} (${percent(data.probabilities[data.predicted])})${truth}`;
    const order = data.probabilities
      .map((share, k) => [share, k])
      .sort((a, b) => b[0] - a[0])
      .slice(0, 5);
    document
      .getElementById("classes")
      .replaceChildren(
        ...order.map(([share, k]) =>
          make(
            "tr",
            {},
            make("td", {}, data.class_names[k]),
            make("td", {}, percent(share)),
            make("td", {}, make("div", { class: "bar", style: `width:calc(${share.toFixed(3)} * var(--longest))` })),
          ),
        ),
      );
    document.getElementById("cost").textContent = whole(steps[0].ofAll);
  }

  prepare();
  if (steps.length > Overview.LONG) nav.className = "long";
  views.forEach((button) => button.addEventListener("click", () => open(state.step, button.dataset.view)));
  document.addEventListener("keydown", (event) => event.key === "Escape" && set({ held: null }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    recolour();
    drawLayers();
    draw();
  });
  drawHeader();
  open(Math.min(1, steps.length - 1));
  return { steps, state, open, set };
})();
