// The page: which layer is open, where the reader points, and what the buttons do.  What is shown of a layer is drawn by
// Forward and Backward, the numbers are those of Arithmetic and of the network itself.
"use strict";

const Explorer = (() => {
  const { make, canvas, once, recolour, clamp, largestOf, whole } = Drawing;
  const data = JSON.parse(document.getElementById("data").textContent), steps = data.steps;
  const panel = document.getElementById("panel"), nav = document.getElementById("layers");

  // The layer (step), the direction (view) and the place looked at: output pixel (i, j) of channel o, input channel c and
  // pixel (row, col), weight (kh, kw); `cursor` multiplications done, `patches` added; held: the mouse does not move it.
  const state = { step: 0, view: "forward", held: false, i: 0, j: 0, o: 0, c: 0, row: 0, col: 0, kh: 0, kw: 0, cursor: 0, patches: 0 };
  let timer = null; // of what is being played
  let playing = null;

  // Arrays come as base64 of little-endian float32; here they become Float32Array.
  function floats(text) {
    if (text === null) return null;
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = letters.charCodeAt(k);
    return new Float32Array(bytes.buffer);
  }

  // What the views want to know of a step besides what the network computed.
  function prepare() {
    const ofAll = steps.reduce((total, step) => total + step.multiplications, 0);
    let before = 0;
    steps.forEach((step, number) => {
      for (const key of ["y", "dy", "w", "b"]) step[key] = floats(step[key]);
      const last = number === steps.length - 1;
      Object.assign(step, {
        number, before, ofAll,
        halves: step.pair ? steps.filter((other) => other.pair === step.pair) : [],
        feeds: step.inputs.length ? steps.filter((other) => other.inputs.includes(step.inputs[0])).length : 0,
        channelName: (o) => (last ? `${o} (${data.class_names[o]})` : String(o)),
      });
      before += step.multiplications;
    });
  }

  // Drawing makes new elements, so a mouse that moves within a pixel must not draw: it would lose what it points at.
  function set(changes) {
    if (Object.entries(changes).every(([key, value]) => state[key] === value)) return;
    Object.assign(state, changes);
    draw();
  }

  // Where an array is largest, as [row, column, channel].
  function summit(values, [, W, C]) {
    let best = 0;
    for (let k = 1; k < values.length; k++) if (Math.abs(values[k]) > Math.abs(values[best])) best = k;
    return [Math.floor(best / (W * C)), Math.floor(best / C) % W, best % C];
  }

  // Open a layer where it has most to show: its largest output, or its largest gradient.
  function open(number, view = state.view) {
    stop();
    const step = steps[number], input = steps[step.inputs[0]] ?? step, what = view === "forward" ? "y" : "dy";
    const [i, j, o] = summit(step[what], step.shape), [row, col, c] = summit(input.dy, input.shape), size = step.window?.size ?? [1, 1];
    Object.assign(state, { step: number, view, held: false, i, j, o, c, row, col, kh: size[0] >> 1, kw: size[1] >> 1, cursor: 0, patches: Infinity });
    if (view === "forward" && step.w) {
      const given = new Float64Array(input.shape[2]);
      for (const term of Arithmetic.convolution(step, input, i, j, o).terms) given[term.c] += term.product;
      state.c = given.indexOf(Math.max(...given));
    }
    document.querySelectorAll("#views button").forEach((button) => button.setAttribute("aria-pressed", button.dataset.view === view));
    drawLayers();
    draw();
  }

  function stop() {
    clearInterval(timer);
    timer = playing = null;
  }

  // A button that walks state[key] from 0 to length - 1 in about five seconds.
  function play(key, length) {
    const start = () => {
      const by = Math.max(1, Math.round(length / 80));
      playing = key;
      timer = setInterval(() => {
        if (state[key] >= length - 1) stop();
        set({ [key]: Math.min(state[key] + by, length - 1) });
        if (!playing) draw();
      }, 60);
      if (state[key] >= length - 1) set({ [key]: 0 });
      else draw();
    };
    return make("button", { type: "button", "data-key": `play ${key}`, onclick: () => {
      if (playing === key) {
        stop();
        draw();
      } else start();
    } }, playing === key ? "Stop" : "Play");
  }

  // All channels of a step, small.
  function thumbnail(step) {
    const [H, W, C] = step.shape, columns = Math.ceil(Math.sqrt(C)), rows = Math.ceil(C / columns), what = state.view === "forward" ? "y" : "dy";
    return once(`thumbnail ${step.number} ${what}`, () => canvas(rows * H, columns * W, (row, col) => {
      const c = Math.floor(row / H) * columns + Math.floor(col / W);
      return c < C ? Arithmetic.at(step[what], step.shape, row % H, col % W, c) : NaN;
    }, largestOf(step[what])));
  }

  // The row of layers.  The halves of a cut kernel stand in one frame; the branches of a Concat under each other.
  function drawLayers() {
    const focused = document.activeElement?.dataset?.key, scroll = nav.scrollLeft, groups = [];
    for (const step of steps) {
      const [kind, of] = step.branch ? ["branches", step.branch[0]] : step.pair ? ["pair", step.pair] : ["", step.number];
      const button = make("button", { type: "button", "data-key": `layer${step.number}`, "aria-current": step.number === state.step, title: step.title, onclick: () => open(step.number) },
        thumbnail(step), make("span", {}, step.label), make("small", {}, step.shape.join(" x ")));
      let group = groups.at(-1);
      if (group?.of !== of) groups.push((group = { kind, of, rows: new Map() }));
      const row = step.branch?.[1] ?? "";
      group.rows.set(row, [...(group.rows.get(row) ?? []), button]);
    }
    nav.replaceChildren(...groups.map(({ kind, rows }) =>
      make("div", { class: `group ${kind}` }, ...[...rows.values()].map((buttons) => make("div", {}, ...buttons)))));
    nav.scrollLeft = scroll;
    if (focused) nav.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  function draw() {
    const step = steps[state.step], inputs = step.inputs.map((k) => steps[k]);
    const focused = panel.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const parts = state.view === "forward" ? Forward.panel(step, inputs, state, set, play)
      : Backward.panel(step, inputs, state, set, play, data.class_names[data.predicted]);
    panel.replaceChildren(make("h2", {}, `${step.name}: ${step.title}, ${step.shape.join(" x ")}`), ...parts);
    if (focused) panel.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
    const formulas = [...panel.querySelectorAll(".formula")].map((line) => line.textContent);
    document.getElementById("said").textContent = `pixel (${state.i}, ${state.j}), channel ${state.o}: ${formulas.join("; ")}`;
  }

  // The picture in its own colours, and the likeliest classes.
  function drawHeader() {
    const { shape: [H, W, C], y } = steps[0], low = y.reduce((a, b) => Math.min(a, b)), high = y.reduce((a, b) => Math.max(a, b));
    const element = make("canvas", { width: W, height: H, role: "img", "aria-label": "the picture" }), context = element.getContext("2d");
    const pixels = context.createImageData(W, H);
    for (let k = 0; k < H * W; k++)
      pixels.data.set([0, 1, 2].map((c) => (255 * (y[k * C + clamp(c, C)] - low)) / (high - low || 1)).concat(255), 4 * k);
    context.putImageData(pixels, 0, 0);
    document.getElementById("picture").replaceChildren(element);
    const order = data.probabilities.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]).slice(0, 5);
    document.getElementById("classes").replaceChildren(...order.map(([share, k]) => make("li", {},
      make("span", { class: "bar", style: `width:${(7 * share).toFixed(2)}rem` }), make("span", {}, ` ${data.class_names[k]} ${(100 * share).toFixed(1)}%`))));
    document.getElementById("cost").textContent = `${whole(steps[0].ofAll)} multiplications`;
  }

  prepare();
  document.querySelectorAll("#views button").forEach((button) => button.addEventListener("click", () => open(state.step, button.dataset.view)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { recolour(); drawLayers(); draw(); });
  drawHeader();
  open(Math.min(1, steps.length - 1));
  return { steps, state, open, set };
})();
