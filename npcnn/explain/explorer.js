// The drawing of the page, and what the mouse, the finger and the keyboard do.  Every number comes from Arithmetic or
// from the network itself; nothing is computed here but colours and places.
"use strict";

const Explorer = (() => {
  const data = JSON.parse(document.getElementById("data").textContent), steps = data.steps;
  const byteArray = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const floats = (text) => (text === null ? null : new Float32Array(byteArray(text).buffer));
  for (const step of steps) for (const key of ["y", "dy", "w", "b"]) step[key] = floats(step[key]);

  const state = { step: 1, view: "forward", held: false, i: 0, j: 0, o: 0, c: 0, cursor: 0, row: 0, col: 0, kh: 0, kw: 0 };
  const panel = document.getElementById("panel");
  const input = (step) => steps[step.inputs[0]];
  const number = (value) => (value === null ? "pad" : Object.is(value, -0) ? "0" : Number(value.toPrecision(4)).toString());
  const whole = (value) => value.toLocaleString("en");
  const clamp = (value, length) => Math.min(Math.max(value, 0), length - 1);

  // An element from its name, attributes and children.
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // The colours of the style sheet, as [below, zero, above] of [red, green, blue].
  function palette() {
    const style = getComputedStyle(document.documentElement);
    return ["--below", "--zero", "--above"].map((name) => style.getPropertyValue(name).split(",").map(Number));
  }
  let colours = palette();
  function colour(value, largest) {
    const share = Math.min(Math.abs(value) / (largest || 1), 1), end = value < 0 ? colours[0] : colours[2];
    return colours[1].map((zero, k) => Math.round(zero + share * (end[k] - zero)));
  }
  const largestOf = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  // A canvas of height x width pixels, each coloured by a number; NaN stays the page's own colour.
  function canvas(height, width, value, largest) {
    const element = make("canvas", { width, height }), context = element.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let k = 0; k < height * width; k++) {
      const v = value(Math.floor(k / width), k % width);
      pixels.data.set(Number.isNaN(v) ? [0, 0, 0, 0] : [...colour(v, largest), 255], 4 * k);
    }
    context.putImageData(pixels, 0, 0);
    return element;
  }

  // A picture to point at: pointing, tapping and the arrow keys call choose(row, column).
  function map(label, [height, width], value, largest, boxes, choose, key) {
    const element = make("div", { class: "map", style: `aspect-ratio:${width}/${height}` }, canvas(height, width, value, largest));
    for (const [top, left, high, wide, faint] of boxes) {
      const place = `top:${(100 * top) / height}%;left:${(100 * left) / width}%`;
      const size = `height:${(100 * high) / height}%;width:${(100 * wide) / width}%`;
      element.append(make("b", { style: `${place};${size}`, class: faint ? "faint" : "" }));
    }
    if (choose) {
      Object.entries({ tabindex: 0, role: "application", "aria-label": `${label}; arrow keys move`, "data-key": key })
        .forEach(([name, text]) => element.setAttribute(name, text));
      const under = (event) => {
        const frame = element.getBoundingClientRect();
        return [
          clamp(Math.floor(((event.clientY - frame.top) / frame.height) * height), height),
          clamp(Math.floor(((event.clientX - frame.left) / frame.width) * width), width),
        ];
      };
      element.addEventListener("pointermove", (event) => {
        if (event.pointerType === "mouse" && choose.hover && !state.held) choose.at(...under(event));
      });
      element.addEventListener("click", (event) => {
        if (choose.hover) state.held = !state.held;
        choose.at(...under(event));
      });
      element.addEventListener("keydown", (event) => {
        const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (!move) return;
        event.preventDefault();
        const [row, col] = choose.now();
        choose.at(clamp(row + move[0], height), clamp(col + move[1], width));
      });
    }
    return make("figure", {}, element, make("figcaption", {}, label));
  }

  // All channels of an array side by side; choosing one calls pick(channel).
  function sheet(label, values, [H, W, C], chosen, pick, key) {
    const columns = Math.ceil(Math.sqrt(C)), rows = Math.ceil(C / columns), largest = largestOf(values);
    const value = (row, col) => {
      const c = Math.floor(row / (H + 1)) * columns + Math.floor(col / (W + 1));
      if (c >= C || row % (H + 1) === H || col % (W + 1) === W) return NaN;
      return Arithmetic.at(values, [H, W, C], row % (H + 1), col % (W + 1), c);
    };
    const [top, left] = [Math.floor(chosen / columns) * (H + 1), (chosen % columns) * (W + 1)];
    const figure = map(label, [rows * (H + 1), columns * (W + 1)], value, largest, [[top, left, H, W]], {
      hover: false, now: () => [top, left],
      at: (row, col) => pick(clamp(Math.floor(row / (H + 1)) * columns + Math.floor(col / (W + 1)), C)),
    }, key);
    // The arrow keys walk from map to map, not from pixel to pixel.
    figure.firstChild.addEventListener("keydown", (event) => {
      const by = { ArrowUp: -columns, ArrowDown: columns, ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (chosen + by >= 0 && chosen + by < C) pick(chosen + by);
    }, true);
    return figure;
  }

  // A grid of numbers, as large as the kernel.
  function grid(caption, [height, width], cell) {
    const rows = [...Array(height).keys()].map((row) => make("tr", {}, ...[...Array(width).keys()].map((col) => cell(row, col))));
    return make("div", { class: "wide" }, make("table", {}, make("caption", {}, caption), ...rows));
  }

  function cell(value, largest, name = "") {
    const [r, g, b] = value === null ? colours[1] : colour(value, largest).map((v, k) => Math.round((v + colours[1][k]) / 2));
    return make("td", { class: value === null ? "padding" : name, style: value === null ? "" : `background:rgb(${r},${g},${b})` }, number(value));
  }

  const channelMap = (step, values, c) => (row, col) => Arithmetic.at(values, step.shape, row, col, c);
  // Drawing makes new elements, so a mouse that moves within a pixel must not draw: it would lose what it points at.
  const set = (changes) => {
    if (Object.entries(changes).every(([key, value]) => state[key] === value)) return;
    Object.assign(state, changes);
    draw();
  };
  const box = (taps) => {
    const rows = taps.map((tap) => tap.row), cols = taps.map((tap) => tap.col);
    const [top, left] = [Math.min(...rows), Math.min(...cols)];
    return [top, left, Math.max(...rows) - top + 1, Math.max(...cols) - left + 1];
  };
  const heading = (step) => `${step.name}: ${step.title}, ${step.shape.join(" x ")}`;
  const outputMap = (step) =>
    map(`output, channel ${state.o}: pixel (${state.i}, ${state.j}) is ${number(Arithmetic.at(step.y, step.shape, state.i, state.j, state.o))}`,
      step.shape, channelMap(step, step.y, state.o), largestOf(step.y), [[state.i, state.j, 1, 1]],
      { hover: true, now: () => [state.i, state.j], at: (i, j) => set({ i, j }) }, "output");

  function forwardConvolution(step) {
    const from = input(step), taps = Arithmetic.taps(step, from, state.i, state.j), size = step.window.size;
    const { terms, sum, bias, z, y } = Arithmetic.convolution(step, from, state.i, state.j, state.o);
    const channels = from.shape[2], K = terms.length, cursor = clamp(state.cursor, K), term = terms[cursor];
    const ofChannel = terms.filter((one) => one.c === state.c), share = ofChannel.reduce((total, one) => total + one.product, 0);
    const largest = { x: largestOf(terms.map((one) => one.x)), w: largestOf(terms.map((one) => one.w)), product: largestOf(terms.map((one) => one.product)) };
    const kernel = (key, caption) => grid(caption, size, (kh, kw) => {
      const one = ofChannel[kh * size[1] + kw];
      return cell(key === "x" && !one.inside ? null : one[key], largest[key]);
    });
    const strip = (key) => make("div", { class: "strip" }, canvas(1, K, (_, k) => (key === "x" && !terms[k].inside ? NaN : terms[k][key]), largest[key]));
    const first = clamp(cursor - 4, Math.max(K - 8, 1)), near = terms.slice(first, first + 9);
    const done = ((state.i * step.shape[1] + state.j) * step.shape[2] + state.o) * K + cursor + 1;
    const before = steps.slice(0, state.step).reduce((total, one) => total + one.multiplications, 0);
    return [
      make("div", { class: "row" },
        map(`input, channel ${state.c}, and what the kernel sees of it`, from.shape, channelMap(from, from.y, state.c), largestOf(from.y), [box(taps)], null),
        sheet(`all ${channels} channels of the input`, from.y, from.shape, state.c, (c) => set({ c }), "inputs"),
        outputMap(step),
        sheet(`all ${step.shape[2]} channels of the output`, step.y, step.shape, state.o, (o) => set({ o }), "outputs")),
      make("p", { class: "formula", id: "formula" },
        `sum of ${whole(K)} products ${number(sum)} + bias ${number(bias)} = ${number(z)}`,
        step.relu ? `, ReLU: max(${number(z)}, 0) = ${number(y)}` : ` = ${number(y)}`),
      make("h3", {}, `The patch, channel ${state.c} of ${channels}; its products add up to ${number(share)}`),
      make("div", { class: "row" }, kernel("x", "x, the patch"), kernel("w", "w, the kernel"), kernel("product", "x * w")),
      make("h3", {}, `The same as a row of the im2col matrix and a column of weights, ${whole(K)} long`),
      strip("x"), strip("w"), strip("product"),
      make("label", {}, `multiplication ${cursor + 1} of ${whole(K)}`,
        make("input", { type: "range", min: 0, max: K - 1, value: cursor, "data-key": "cursor", oninput: (event) => set({ cursor: Number(event.target.value) }) })),
      make("div", { class: "wide" }, make("table", { id: "terms" },
        make("tr", {}, ...["tap", "channel", "x", "w", "x * w", "sum so far"].map((text) => make("th", {}, text))),
        ...near.map((one) => make("tr", one === term ? { class: "now" } : {}, make("td", {}, `${one.kh}, ${one.kw}`), make("td", {}, one.c),
          cell(one.inside ? one.x : null, largest.x), cell(one.w, largest.w), cell(one.product, largest.product), make("td", {}, number(one.sum)))))),
      make("p", { id: "total" }, `Multiplications so far: ${whole(cursor + 1)} for this number, ${whole(done)} of ${whole(step.multiplications)} in this layer, `
        + `${whole(before + done)} of ${whole(steps.reduce((total, one) => total + one.multiplications, 0))} in the network.`),
      ...(step.pair ? [separablePair(step)] : []),
    ];
  }

  // The halves of a cut kernel, and the k x k kernel that they would be without the ReLU between them.
  function separablePair(step) {
    const [vertical, horizontal] = steps.filter((one) => one.pair === step.pair), from = input(vertical);
    const middle = vertical.shape[2], m = step === vertical ? state.o : state.c, c = step === vertical ? state.c : 0, o = step === vertical ? 0 : state.o;
    const k = [vertical.window.size[0], horizontal.window.size[1]];
    const down = (kh) => vertical.w[(kh * from.shape[2] + c) * middle + m];
    const along = (kw) => horizontal.w[(kw * middle + m) * horizontal.shape[2] + o];
    const downs = [...Array(k[0]).keys()].map(down), alongs = [...Array(k[1]).keys()].map(along);
    const whole2d = horizontal.shape[0] * horizontal.shape[1] * k[0] * k[1] * from.shape[2] * horizontal.shape[2];
    return make("section", { id: "pair" },
      make("h3", {}, `The pair beside the ${k[0]} x ${k[1]} kernel it replaces (input channel ${c}, middle ${m}, output ${o})`),
      make("div", { class: "row" },
        grid(`${k[0]} x 1`, [k[0], 1], (row) => cell(downs[row], largestOf(downs))),
        grid(`1 x ${k[1]}`, [1, k[1]], (_, col) => cell(alongs[col], largestOf(alongs))),
        grid("their outer product", k, (row, col) => cell(downs[row] * alongs[col], largestOf(downs) * largestOf(alongs)))),
      make("p", {}, `Multiplications: ${whole(vertical.multiplications)} + ${whole(horizontal.multiplications)} = `
        + `${whole(vertical.multiplications + horizontal.multiplications)} for the pair, ${whole(whole2d)} for ${k[0]} x ${k[1]}. `
        + `The whole kernel is the sum of such products over ${middle} middle channels`
        + (vertical.relu ? "; here a ReLU stands between the halves, so the pair can do what no single kernel does." : ".")));
  }

  function forwardPooling(step) {
    const from = input(step), { taps, values, winner, weights, y } = Arithmetic.pooling(step, from, state.i, state.j, state.o);
    const largest = largestOf(values.map((value) => value ?? 0)), size = step.window.size;
    return [
      make("div", { class: "row" },
        map(`input, channel ${state.o}`, from.shape, channelMap(from, from.y, state.o), largestOf(from.y),
          [box(taps), ...(winner < 0 ? [] : [[taps[winner].row, taps[winner].col, 1, 1]])], null),
        outputMap(step), sheet(`all ${step.shape[2]} channels of the output`, step.y, step.shape, state.o, (o) => set({ o }), "outputs")),
      make("p", { class: "formula", id: "formula" }, step.kind === "max_pool"
        ? `the largest of ${values.length} is ${number(y)}, at row ${taps[winner].row}, column ${taps[winner].col}`
        : `the mean of ${weights.filter(Boolean).length} is ${number(y)}`),
      make("div", { class: "row" },
        grid("the window", size, (row, col) => cell(values[row * size[1] + col], largest, row * size[1] + col === winner ? "winner" : "")),
        grid("the weight of each", size, (row, col) => make("td", {}, number(weights[row * size[1] + col])))),
    ];
  }

  function forwardOther(step) {
    const from = step.inputs.length ? input(step) : null;
    return [
      make("div", { class: "row" }, outputMap(step), sheet(`all ${step.shape[2]} channels`, step.y, step.shape, state.o, (o) => set({ o }), "outputs"),
        ...(step.kind === "concat" ? step.inputs.map((k) => make("figure", { class: "small" }, thumbnail(steps[k], steps[k].y), make("figcaption", {}, heading(steps[k])))) : [])),
      make("p", { class: "formula", id: "formula" },
        step.kind === "relu" ? `max(${number(Arithmetic.at(from.y, from.shape, state.i, state.j, state.o))}, 0) = ${number(Arithmetic.at(step.y, step.shape, state.i, state.j, state.o))}`
          : step.kind === "concat" ? "the channels of all branches, one behind the other" : number(Arithmetic.at(step.y, step.shape, state.i, state.j, state.o))),
    ];
  }

  function backward(step) {
    const dz = new Float32Array(step.dy.length).map((_, k) => (step.relu && !(step.y[k] > 0) ? 0 : step.dy[k]));
    const parts = [make("div", { class: "row" },
      map(`dy: how the logit of ${data.class_names[data.predicted]} changes with channel ${state.o} of the output; pixel (${state.i}, ${state.j}): ${number(Arithmetic.at(step.dy, step.shape, state.i, state.j, state.o))}`,
        step.shape, channelMap(step, step.dy, state.o), largestOf(step.dy), [[state.i, state.j, 1, 1]], { hover: true, now: () => [state.i, state.j], at: (i, j) => set({ i, j }) }, "output"),
      ...(step.relu ? [map("dz: only where the ReLU let something through", step.shape, channelMap(step, dz, state.o), largestOf(dz), [], null)] : []),
      sheet("dy, all channels", step.dy, step.shape, state.o, (o) => set({ o }), "outputs"))];
    if (!step.window) return parts;
    const from = input(step), c = step.w ? state.c : state.o;
    const back = Arithmetic.inputGradient(step, from, state.row, state.col, c), { size, stride, padding, dilation } = step.window;
    const windows = back.parts.map(({ i, j }) => [i * stride[0] - padding[0][0], j * stride[1] - padding[1][0],
      (size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1, true]);
    const largest = largestOf(back.parts.map((part) => part.value)), partAt = (kh, kw) => back.parts.find((part) => part.kh === kh && part.kw === kw);
    parts.push(
      make("h3", {}, step.w ? "col2im: the patches over one input pixel add up" : "What the windows over one input pixel hand back"),
      make("div", { class: "row" },
        map(`input, channel ${c}: choose a pixel; ${back.parts.length} windows lie over it`, from.shape, channelMap(from, from.y, c), largestOf(from.y),
          [...windows, [state.row, state.col, 1, 1]], { hover: true, now: () => [state.row, state.col], at: (row, col) => set({ row, col }) }, "input"),
        grid("what each hands back, by tap", size, (kh, kw) => cell(partAt(kh, kw)?.value ?? null, largest)),
        ...(step.w ? [sheet("input, all channels", from.y, from.shape, state.c, (chosen) => set({ c: chosen }), "inputs")] : [])),
      make("p", { class: "formula", id: "dx" }, `dx[${state.row}, ${state.col}, ${c}] = ${number(back.sum)}`));
    if (!step.w) return parts;
    const gradient = Arithmetic.weightGradient(step, from, state.kh, state.kw, state.c, state.o), OW = step.shape[1];
    const field = (key) => (i, j) => gradient.parts[i * OW + j][key];
    const picture = (key, label) => map(label, step.shape, field(key), largestOf(gradient.parts.map((part) => part[key])), [], null);
    parts.push(
      make("h3", {}, `Where the gradient of one weight comes from: w[${state.kh}, ${state.kw}, ${state.c}, ${state.o}]`),
      grid("choose a weight", size, (kh, kw) => make("td", {}, make("button", { type: "button", "data-key": `w${kh},${kw}`, "aria-pressed": kh === state.kh && kw === state.kw, onclick: () => set({ kh, kw }) },
        number(step.w[((kh * size[1] + kw) * from.shape[2] + state.c) * step.shape[2] + state.o])))),
      make("div", { class: "row" }, picture("x", "the input under it at every output pixel"), picture("dz", "dz there"), picture("product", "their products")),
      make("p", { class: "formula", id: "dw" }, `dw = their sum = ${number(gradient.sum)}`));
    return parts;
  }

  function thumbnail(step, values) {
    const [H, W, C] = step.shape, columns = Math.ceil(Math.sqrt(C)), rows = Math.ceil(C / columns), largest = largestOf(values);
    return canvas(rows * H, columns * W, (row, col) => {
      const c = Math.floor(row / H) * columns + Math.floor(col / W);
      return c < C ? Arithmetic.at(values, step.shape, row % H, col % W, c) : NaN;
    }, largest);
  }

  function drawLayers() {
    const nav = document.getElementById("layers"), focused = document.activeElement?.dataset?.key, scroll = nav.scrollLeft;
    const concat = steps.findIndex((step) => step.kind === "concat"), branches = concat < 0 ? [] : steps[concat].inputs;
    const groups = [];
    steps.forEach((step, k) => {
      const kind = branches.includes(k) ? "branches" : step.pair ? "pair" : "";
      if (!kind || groups.at(-1)?.kind !== kind) groups.push({ kind, members: [] });
      groups.at(-1).members.push(make("button", { type: "button", "data-key": `layer${k}`, "aria-current": k === state.step, onclick: () => open(k) },
        thumbnail(step, state.view === "forward" ? step.y : step.dy), `${step.name} ${step.shape.join(" x ")}`));
    });
    nav.replaceChildren(...groups.map(({ kind, members }) => make("div", { class: kind }, ...members)));
    nav.scrollLeft = scroll;
    if (focused) nav.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
  }

  function open(k) {
    const size = steps[k].window?.size ?? [1, 1], [H, W] = steps[k].shape, from = steps[k].inputs.length ? input(steps[k]) : steps[k];
    Object.assign(state, { step: k, held: false, i: H >> 1, j: W >> 1, o: 0, c: 0, cursor: 0, row: from.shape[0] >> 1, col: from.shape[1] >> 1, kh: size[0] >> 1, kw: size[1] >> 1 });
    drawLayers();
    draw();
  }

  function draw() {
    const step = steps[state.step], focused = document.activeElement?.dataset?.key, held = panel.contains(document.activeElement);
    const forward = { convolution: forwardConvolution, dense: forwardConvolution, max_pool: forwardPooling, avg_pool: forwardPooling }[step.kind] ?? forwardOther;
    panel.replaceChildren(make("h2", {}, heading(step)), ...(state.view === "forward" ? forward(step) : backward(step)));
    if (held && focused) panel.querySelector(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
    document.getElementById("said").textContent = `pixel (${state.i}, ${state.j}), channel ${state.o}: ${[...panel.querySelectorAll(".formula")].map((line) => line.textContent).join("; ")}`;
  }

  function drawHeader() {
    const picture = steps[0], [H, W, C] = picture.shape, low = Math.min(...picture.y), high = Math.max(...picture.y);
    const element = make("canvas", { width: W, height: H, role: "img", "aria-label": "the picture" }), pixels = element.getContext("2d").createImageData(W, H);
    for (let k = 0; k < H * W; k++)
      pixels.data.set([0, 1, 2].map((c) => (255 * (picture.y[k * C + Math.min(c, C - 1)] - low)) / (high - low || 1)).concat(255), 4 * k);
    element.getContext("2d").putImageData(pixels, 0, 0);
    document.getElementById("picture").replaceChildren(element);
    const order = data.probabilities.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]).slice(0, 5);
    document.getElementById("classes").replaceChildren(...order.map(([share, k]) =>
      make("li", {}, make("meter", { value: share, max: 1, "aria-label": data.class_names[k] }), ` ${data.class_names[k]} ${(100 * share).toFixed(1)}%`)));
  }

  document.querySelectorAll("#views button").forEach((button) => button.addEventListener("click", () => {
    state.view = button.dataset.view;
    document.querySelectorAll("#views button").forEach((other) => other.setAttribute("aria-pressed", other === button));
    drawLayers();
    draw();
  }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours = palette(); drawLayers(); draw(); });
  drawHeader();
  open(Math.min(1, steps.length - 1));
  return { steps, state, open, set };
})();
