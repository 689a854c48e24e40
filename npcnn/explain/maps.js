// Pictures of a layer's input and output: one channel to point at, or all channels to choose from.  `at` is where the
// reader points (the state of Explorer), `set` changes it; `what` is the name of an array, "y" or "dy".
"use strict";

const Maps = (() => {
  const { number, all, clamp, canvas, once, figures, map } = Drawing;
  const nameOf = (step, what) => (what === "dy" ? "dy" : step.kind === "input" ? "input" : "output");

  // One channel of an array as a picture.
  function oneChannel(step, what, c, options) {
    const value = (row, col) => Arithmetic.at(step[what], step.shape, row, col, c);
    return map({ shape: step.shape, image: canvas(step.shape, value, step.largest[what]), ...options });
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

  // The bounding box of taps, [top, left, height, width].
  function box(taps) {
    const rows = taps.map((tap) => tap.row);
    const cols = taps.map((tap) => tap.col);
    const top = Math.min(...rows);
    const left = Math.min(...cols);
    return [top, left, Math.max(...rows) - top + 1, Math.max(...cols) - left + 1];
  }

  // The branches of a Concat side by side, on one scale of colours: their channels, one after the other, are those of step.
  function branches(step, from, what, at, set) {
    let end = 0;
    return figures(
      ...from.map((branch, k) => {
        const start = end;
        const mine = at.o >= start && at.o < start + branch.shape[2];
        end += branch.shape[2];
        return sheet(branch, what, {
          label: `branch ${k}, ${branch.title}: channels ${start} to ${end - 1}${mine ? ` (chosen: its channel ${at.o - start})` : ""}`,
          chosen: mine ? at.o - start : null,
          pick: (c) => set({ o: start + c, chosen: true }),
          key: `branch${k}`,
          largest: step.largest[what],
        });
      }),
    );
  }

  return { oneChannel, channels, pointing, output, outputs, inputs, box, branches };
})();
