// Pictures of a layer's input and output: one channel to point at, or all channels to choose from.  `at` is where the
// reader points (the state of Explorer), `set` changes it; `what` is the name of an array, "y" or "dy".
"use strict";

const Maps = (() => {
  const { number, all, clamp, largestOf, make, canvas, once, marked, map } = Drawing;
  const WIDEST = 4800; // pixels of a strip; a longer one is thinned out
  const MOST_KEPT = 16;
  const nameOf = (step, what) => (what === "dy" ? "dy" : step.kind === "input" ? "input" : "output");

  // One channel of an array as a picture.
  function oneChannel(step, what, c, { largest = step.largest[what], ...options }) {
    const value = (row, col) => Arithmetic.at(step[what], step.shape, row, col, c);
    return map({ shape: step.shape, image: canvas(step.shape, value, largest), ...options });
  }

  // Numbers that are computed here, one for each pixel of a step, as a picture; by default on a scale of their own.
  const eachPixel = ({ shape: [H, W] }, value) =>
    Array.from({ length: H * W }, (_, k) => value(Math.floor(k / W), k % W));
  function computed(step, values, { largest = largestOf(values), ...options }) {
    const image = canvas(step.shape, (row, col) => values[row * step.shape[1] + col], largest);
    return map({ shape: step.shape, image, ...options });
  }

  // Numbers that take a while, computed once for a key; the last ones are kept for pointing.
  const kept = new Map();
  function keep(key, compute) {
    if (!kept.has(key)) {
      if (kept.size === MOST_KEPT) kept.clear();
      kept.set(key, compute());
    }
    return kept.get(key);
  }

  // Where the channels of an array lie when they stand side by side, a pixel between them.
  function tiling([H, W, C]) {
    const columns = Math.ceil(Math.sqrt(C));
    const rows = Math.ceil(C / columns);
    const gap = H * W === 1 ? 0 : 1;
    const [tall, wide] = [H + gap, W + gap];
    const channel = (row, col) => Math.floor(row / tall) * columns + Math.floor(col / wide);
    return {
      columns,
      shape: [rows * tall - gap, columns * wide - gap],
      channel,
      box: (c) => [Math.floor(c / columns) * tall, (c % columns) * wide, H, W],
      value: (values) => (row, col) => {
        const c = channel(row, col);
        const open = row % tall >= H || col % wide >= W;
        return c >= C || open ? null : Arithmetic.at(values, [H, W, C], row % tall, col % wide, c);
      },
    };
  }

  // All channels of an array as one image.  An element of the page has one place, so each place needs its own.
  function channels(step, what, place, largest = step.largest[what]) {
    const tiles = tiling(step.shape);
    return once(`${place} ${step.number} ${what} ${largest}`, () =>
      canvas(tiles.shape, tiles.value(step[what]), largest),
    );
  }

  // The same, to point at; choosing a channel calls pick(channel).  chosen is null where none is chosen.
  function sheet(step, what, { label, chosen, pick, key, largest }) {
    const tiles = tiling(step.shape);
    const C = step.shape[2];
    const go = (by) => pick(chosen === null ? 0 : clamp(chosen + by, C));
    return map({
      label,
      shape: tiles.shape,
      image: channels(step, what, "sheet", largest),
      key,
      boxes: chosen === null ? [] : [tiles.box(chosen)],
      choose: {
        click: (row, col) => pick(clamp(tiles.channel(row, col), C)),
        move: (down, right) => go(down * tiles.columns + right), // from map to map, not from pixel to pixel
      },
    });
  }

  // Pointing at the pixels of a map: the mouse moves freely until a click holds the pixel.
  function pointing(at, set, key, [row, col], [H, W]) {
    const held = at.held === key;
    const chosen = at.chosen || key === "output";
    const hint = held ? " (held; click it again or press Esc to let go)" : " (point here)";
    return {
      hint: H * W === 1 ? "" : hint,
      choose: {
        hover: (r, c) => held || set({ [row]: r, [col]: c }),
        click: (r, c) => set({ [row]: r, [col]: c, held: held && at[row] === r && at[col] === c ? null : key, chosen }),
        move: (down, right) => set({ [row]: clamp(at[row] + down, H), [col]: clamp(at[col] + right, W), chosen }),
      },
    };
  }

  // The layer's output, or its gradient: the map to point at.
  function output(step, at, set, what = "y") {
    const { hint, choose } = pointing(at, set, "output", ["i", "j"], step.shape);
    const value = number(Arithmetic.at(step[what], step.shape, at.i, at.j, at.o));
    const label = `${nameOf(step, what)}, channel ${step.channelName(at.o)}: pixel (${at.i}, ${at.j})`;
    const boxes = [[at.i, at.j, 1, 1]];
    return oneChannel(step, what, at.o, { label: `${label} is ${value}${hint}`, key: "output", boxes, choose });
  }

  const outputs = (step, at, set, what = "y") =>
    sheet(step, what, {
      label: `${nameOf(step, what)}, ${all(step.shape[2], "channel")}`,
      chosen: at.o,
      pick: (o) => set({ o, chosen: true }),
      key: "outputs",
    });
  const inputs = (input, at, set, what = "y", name = "input") =>
    sheet(input, what, {
      label: `${name}, ${all(input.shape[2], "channel")}`,
      chosen: at.c,
      pick: (c) => set({ c }),
      key: "inputs",
    });

  // The gradient of all channels of a layer's input: it may come from several layers.
  const inputGradients = (input, at, set) => inputs(input, at, set, "dy", dxName(input));
  const dxName = ({ takers: { length } }) =>
    length > 1 ? `dx from the ${length} layers that take this input together` : "dx";

  // The bounding box of taps, [top, left, height, width].
  function box(taps) {
    const rows = taps.map((tap) => tap.row);
    const cols = taps.map((tap) => tap.col);
    const top = Math.min(...rows);
    const left = Math.min(...cols);
    return [top, left, Math.max(...rows) - top + 1, Math.max(...cols) - left + 1];
  }

  // For layers that make a number of the output from that of the input at the same place: the input there.
  function samePixel(input, at) {
    const x = number(Arithmetic.at(input.y, input.shape, at.i, at.j, at.o));
    return oneChannel(input, "y", at.o, {
      label: `input, channel ${input.channelName(at.o)}: pixel (${at.i}, ${at.j}) is ${x}`,
      boxes: [[at.i, at.j, 1, 1]],
    });
  }

  // And what such a layer hands back to the input, dx(row, col) in the channel looked at.
  const gradient = (input, at, dx) =>
    computed(input, eachPixel(input, dx), {
      label: `dx, channel ${input.channelName(at.o)}: pixel (${at.i}, ${at.j}) is ${number(dx(at.i, at.j))}`,
      boxes: [[at.i, at.j, 1, 1]],
    });

  // Numbers side by side, value(k) each, null for padding; one is marked, and a click chooses another.
  function strip(label, length, value, largest, chosen, pick) {
    const wide = Math.min(length, WIDEST);
    const image = canvas([1, wide], (_, k) => value(Math.floor((k * length) / wide)), largest);
    const onclick = (event) => {
      const { left, width } = event.currentTarget.getBoundingClientRect();
      pick(clamp(Math.floor(((event.clientX - left) / width) * length), length));
    };
    return make(
      "div",
      { class: "labelled" },
      make("span", {}, label),
      marked(image, [1, length], [[0, chosen, 1, 1]], { class: "strip", onclick }),
    );
  }

  // Strips with a number for each channel: {label: values}.
  const channelStrips = (caption, at, set, lines) =>
    make(
      "section",
      { class: "channels" },
      make("p", { class: "tight" }, `${caption} (channel ${at.o} is marked; a click chooses)`),
      ...Object.entries(lines).map(([label, values]) =>
        strip(
          label,
          values.length,
          (c) => values[c],
          largestOf(values),
          at.o,
          (o) => set({ o, chosen: true }),
        ),
      ),
    );

  return {
    oneChannel,
    eachPixel,
    computed,
    channels,
    sheet,
    pointing,
    output,
    outputs,
    inputs,
    inputGradients,
    dxName,
    keep,
    box,
    samePixel,
    gradient,
    strip,
    channelStrips,
  };
})();
