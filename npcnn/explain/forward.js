// Forward: how one number of a layer's output comes about.  Every function returns the elements of one part of the page;
// `at` is where the reader points (Explorer.state), `set` changes it.
"use strict";

const Forward = (() => {
  const { number, whole, clamp, largestOf, make, canvas, once, map, grid, cell } = Drawing;
  const LARGEST_CANVAS = 600; // pixels of a side; a larger matrix is thinned out

  // One channel of an array as a function of (row, col).
  const channel = (values, shape, c) => (row, col) => Arithmetic.at(values, shape, row, col, c);

  // The bounding box of taps, [top, left, height, width].
  function box(taps) {
    const rows = taps.map((tap) => tap.row), cols = taps.map((tap) => tap.col), top = Math.min(...rows), left = Math.min(...cols);
    return [top, left, Math.max(...rows) - top + 1, Math.max(...cols) - left + 1];
  }

  // One channel of an array as a picture; what: "y" or "dy".
  function oneChannel(step, what, c, options) {
    const [H, W] = step.shape;
    return map({ shape: step.shape, image: canvas(H, W, channel(step[what], step.shape, c), largestOf(step[what])), ...options });
  }

  // All channels of an array side by side; choosing one calls pick(channel).
  function sheet(step, what, label, chosen, pick, key) {
    const [H, W, C] = step.shape, columns = Math.ceil(Math.sqrt(C)), rows = Math.ceil(C / columns);
    const shape = [rows * (H + 1) - 1, columns * (W + 1) - 1];
    const image = once(`sheet ${step.number} ${what}`, () => canvas(...shape, (row, col) => {
      const c = Math.floor(row / (H + 1)) * columns + Math.floor(col / (W + 1));
      const open = c >= C || row % (H + 1) === H || col % (W + 1) === W;
      return open ? NaN : Arithmetic.at(step[what], step.shape, row % (H + 1), col % (W + 1), c);
    }, largestOf(step[what])));
    return map({
      label, shape, image, key, boxes: [[Math.floor(chosen / columns) * (H + 1), (chosen % columns) * (W + 1), H, W]],
      choose: {
        at: (row, col) => pick(clamp(Math.floor(row / (H + 1)) * columns + Math.floor(col / (W + 1)), C)),
        move: (down, right) => pick(clamp(chosen + down * columns + right, C)), // from map to map, not from pixel to pixel
      },
    });
  }

  // The output: the map to point at.
  const output = (step, at, set) => oneChannel(step, "y", at.o, {
    label: `output, channel ${step.channelName(at.o)}: pixel (${at.i}, ${at.j}) is ${number(Arithmetic.at(step.y, step.shape, at.i, at.j, at.o))}`,
    key: "output", boxes: [[at.i, at.j, 1, 1]], choose: pointing(at, set, "i", "j"),
  });

  // Pointing at pixels: the mouse moves freely until a click holds the pixel; another lets go.
  const pointing = (at, set, row, col) => ({
    now: () => [at[row], at[col]],
    hover: (r, c) => at.held || set({ [row]: r, [col]: c }),
    at: (r, c, event) => set({ [row]: r, [col]: c, held: event ? !at.held : at.held }),
  });

  const channels = (step, at, set) => sheet(step, "y", `all ${step.shape[2]} channels of the output`, at.o, (o) => set({ o }), "outputs");

  function convolution(step, input, at, set, play) {
    const { terms, sum, bias, z, y } = Arithmetic.convolution(step, input, at.i, at.j, at.o);
    const K = terms.length, cursor = clamp(at.cursor, K), now = terms[cursor], size = step.window.size;
    const ofChannel = terms.filter((term) => term.c === at.c), share = ofChannel.reduce((total, term) => total + term.product, 0);
    const largest = Object.fromEntries(["x", "w", "product"].map((key) => [key, largestOf(terms.map((term) => term[key]))]));
    const to = (term) => set({ cursor: terms.indexOf(term) });
    const kernel = (key, caption) => grid(caption, size, (kh, kw) => {
      const term = ofChannel[kh * size[1] + kw], padding = key === "x" && !term.inside;
      return cell(padding ? null : term[key], largest[key], { name: term === now ? "now" : null, onclick: () => to(term) });
    });
    return [
      make("div", { class: "row maps" },
        oneChannel(input, "y", at.c, {
          label: `input, channel ${at.c}: the patch that the kernel sees; hatched: padding`, frame: step.window.padding,
          boxes: [box(Arithmetic.taps(step, input, at.i, at.j)), [now.row, now.col, 1, 1, "faint"]],
        }),
        output(step, at, set),
        sheet(input, "y", `all ${input.shape[2]} channels of the input`, at.c, (c) => set({ c }), "inputs"),
        channels(step, at, set)),
      make("p", { class: "formula", id: "formula" },
        `sum of ${whole(K)} products ${number(sum)} + bias ${number(bias)} = ${number(z)}`,
        step.relu ? `, ReLU: max(${number(z)}, 0) = ${number(y)}` : ""),
      make("h3", {}, `The patch, channel ${at.c} of ${input.shape[2]}: its products add up to ${number(share)}`),
      make("div", { class: "row" }, kernel("x", "x, the patch"), kernel("w", "w, the kernel"), kernel("product", "x * w")),
      make("h3", {}, "The same as a product of matrices: a row of im2col times a column of weights"),
      matrices(step, input, at),
      ...["x", "w", "product"].map((key) => strip(key, terms, largest[key], cursor, set)),
      make("div", { class: "player" }, play("cursor", K),
        make("label", {}, `multiplication ${cursor + 1} of ${whole(K)}`,
          make("input", { type: "range", min: 0, max: K - 1, value: cursor, "data-key": "cursor", oninput: (event) => set({ cursor: Number(event.target.value) }) }))),
      runningTotal(terms, cursor, largest),
      multiplicationsSoFar(step, at, cursor, K),
      ...(step.pair ? [cutKernel(step, input, at)] : []),
    ];
  }

  // The three matrices of this layer, and in them the row, the column and the number the reader looks at.
  function matrices(step, input, at) {
    const [OH, OW, outputs] = step.shape, K = step.w.length / outputs, p = at.i * OW + at.j;
    const matrix = (name, label, [rows, columns], value, largest, mark, style) => {
      const [high, wide] = [Math.min(rows, LARGEST_CANVAS), Math.min(columns, LARGEST_CANVAS)];
      const image = once(`matrix ${step.number} ${name}`, () =>
        canvas(high, wide, (row, col) => value(Math.floor((row * rows) / high), Math.floor((col * columns) / wide)), largest));
      const place = `top:${(100 * mark[0]) / rows}%;left:${(100 * mark[1]) / columns}%;height:${(100 * mark[2]) / rows}%;width:${(100 * mark[3]) / columns}%`;
      return make("figure", { class: style },
        make("div", { class: "map matrix" }, make("div", { class: "image", style: "inset:0" }, image), make("b", { style: place })),
        make("figcaption", {}, `${label}, ${whole(rows)} x ${whole(columns)}`));
    };
    return make("div", { class: "row matrices", id: "matrices" },
      matrix("columns", `im2col: row (${at.i}, ${at.j})`, [OH * OW, K], (row, k) => Arithmetic.im2col(step, input, row, k), largestOf(input.y), [p, 0, 1, K], "left"),
      make("span", {}, "@"),
      matrix("w", `weights: column ${at.o}`, [K, outputs], (k, o) => step.w[k * outputs + o], largestOf(step.w), [0, at.o, K, 1], "middle"),
      make("span", {}, step.relu ? "+ b, ReLU →" : "+ b →"),
      matrix("y", "output: that number", [OH * OW, outputs], (row, o) => step.y[row * outputs + o], largestOf(step.y), [p, at.o, 1, 1], "right"));
  }

  // All terms of one kind side by side, the present one marked; a click goes there.
  function strip(key, terms, largest, cursor, set) {
    const K = terms.length, name = { x: "x", w: "w", product: "x * w" }[key];
    const image = canvas(1, K, (_, k) => (key === "x" && !terms[k].inside ? NaN : terms[k][key]), largest);
    const on = make("div", { class: "strip", onclick: (event) => {
      const { left, width } = on.getBoundingClientRect();
      set({ cursor: clamp(Math.floor(((event.clientX - left) / width) * K), K) });
    } }, image, make("b", { style: `left:${(100 * cursor) / K}%;width:${100 / K}%` }));
    return make("div", { class: "labelled" }, make("span", {}, name), on);
  }

  // The terms around the present one, with the sum so far.
  function runningTotal(terms, cursor, largest) {
    const first = clamp(cursor - 4, Math.max(terms.length - 8, 1)), head = ["row, column", "channel", "x", "w", "x * w", "sum so far"];
    return make("div", { class: "wide" }, make("table", { id: "terms" },
      make("tr", {}, ...head.map((text) => make("th", {}, text))),
      ...terms.slice(first, first + 9).map((term, k) => make("tr", { class: first + k === cursor ? "now" : null },
        make("td", {}, `${term.kh}, ${term.kw}`), make("td", {}, term.c), cell(term.inside ? term.x : null, largest.x),
        cell(term.w, largest.w), cell(term.product, largest.product), make("td", { title: term.sum }, number(term.sum))))));
  }

  // Pixels are computed row by row, and at each pixel the channels one after the other.
  function multiplicationsSoFar(step, at, cursor, K) {
    const done = ((at.i * step.shape[1] + at.j) * step.shape[2] + at.o) * K + cursor + 1;
    return make("p", { id: "total" }, `Multiplications so far: ${whole(cursor + 1)} for this number, ${whole(done)} of `
      + `${whole(step.multiplications)} in this layer, ${whole(step.before + done)} of ${whole(step.ofAll)} in the network.`);
  }

  // The halves of a cut kernel, and the k x k kernel that they would be without the ReLU between them.
  function cutKernel(step, input, at) {
    const [vertical, horizontal] = step.halves, first = step === vertical, middle = vertical.shape[2];
    const from = vertical.w.length / (vertical.window.size[0] * middle); // channels that come in
    const [c, m, o] = first ? [at.c, at.o, 0] : [0, at.c, at.o], size = [vertical.window.size[0], horizontal.window.size[1]];
    const downs = Array.from({ length: size[0] }, (_, kh) => vertical.w[(kh * from + c) * middle + m]);
    const alongs = Array.from({ length: size[1] }, (_, kw) => horizontal.w[(kw * middle + m) * horizontal.shape[2] + o]);
    const [OH, OW, outputs] = horizontal.shape, cut = vertical.multiplications + horizontal.multiplications;
    const uncut = OH * OW * size[0] * size[1] * from * outputs;
    const bar = (count, text) => make("div", { class: "labelled" }, make("span", {}, text),
      make("div", { class: "bar", style: `width:${(100 * count) / Math.max(cut, uncut)}%` }, whole(count)));
    return make("section", { id: "pair" },
      make("h3", {}, `Cut in two: ${size[0]} x 1, then 1 x ${size[1]}, for a kernel of ${size[0]} x ${size[1]}`),
      make("div", { class: "row" },
        grid(`${size[0]} x 1: channel ${c} to ${m}`, [size[0], 1], (row) => cell(downs[row], largestOf(downs))),
        grid(`1 x ${size[1]}: channel ${m} to ${o}`, [1, size[1]], (_, col) => cell(alongs[col], largestOf(alongs))),
        grid(`their outer product, ${size[0]} x ${size[1]}`, size, (row, col) => cell(downs[row] * alongs[col], largestOf(downs) * largestOf(alongs)))),
      make("p", {}, `A ${size[0]} x ${size[1]} kernel from channel ${c} to ${o} is the sum of such products over all ${middle} channels between`,
        vertical.relu ? "; with the ReLU that stands between the halves, the pair is no longer any single kernel." : "."),
      make("p", {}, "Multiplications of the layer for one picture:"),
      bar(cut, `the pair: ${whole(vertical.multiplications)} + ${whole(horizontal.multiplications)}`),
      bar(uncut, `${size[0]} x ${size[1]}, ${from} to ${outputs} channels`));
  }

  function pooling(step, input, at, set) {
    const { taps, values, winner, weights, y } = Arithmetic.pooling(step, input, at.i, at.j, at.o), size = step.window.size;
    const largest = largestOf(values.map((value) => value ?? 0)), max = step.kind === "max_pool";
    const of = (row, col) => row * size[1] + col, name = (k) => (k === winner ? "winner" : null);
    return [
      make("div", { class: "row maps" },
        oneChannel(input, "y", at.o, {
          label: `input, channel ${at.o}: the window${max ? ", and in it the winner" : ""}`, frame: step.window.padding,
          boxes: [box(taps), ...(max ? [[taps[winner].row, taps[winner].col, 1, 1, "winner"]] : [])],
        }),
        output(step, at, set), channels(step, at, set)),
      make("p", { class: "formula", id: "formula" }, max
        ? `the largest of ${values.filter((value) => value !== null).length} is ${number(y)}, at row ${taps[winner].row}, column ${taps[winner].col}`
        : `${weights.filter(Boolean).length} numbers, each times ${number(Math.max(...weights))}, add up to ${number(y)}`),
      make("div", { class: "row" },
        grid("the window", size, (row, col) => cell(values[of(row, col)], largest, { name: name(of(row, col)), padding: "–" })),
        grid("the weight of each", size, (row, col) => cell(weights[of(row, col)], 1, { name: name(of(row, col)) }))),
    ];
  }

  // The branches side by side; the output's channels are theirs, one branch after the other.
  function concat(step, inputs, at, set) {
    let first = 0;
    const branches = inputs.map((branch, k) => {
      const start = first, C = branch.shape[2], mine = at.o >= start && at.o < start + C;
      first += C;
      const label = `branch ${k}, ${branch.title}: channels ${start} to ${first - 1}${mine ? ` (here: its ${at.o - start})` : ""}`;
      return sheet(branch, "y", label, mine ? at.o - start : -1, (c) => set({ o: start + c }), `branch${k}`);
    });
    return [
      make("div", { class: "row maps" }, ...branches),
      make("p", { class: "formula", id: "formula" },
        `the channels of ${inputs.length} branches, one behind the other: ${inputs.map((branch) => branch.shape[2]).join(" + ")} = ${step.shape[2]}`),
      make("div", { class: "row maps" }, output(step, at, set), channels(step, at, set)),
    ];
  }

  function other(step, input, at, set) {
    const y = number(Arithmetic.at(step.y, step.shape, at.i, at.j, at.o));
    const x = step.kind === "relu" ? number(Arithmetic.at(input.y, input.shape, at.i, at.j, at.o)) : null;
    return [
      make("div", { class: "row maps" }, output(step, at, set), channels(step, at, set)),
      make("p", { class: "formula", id: "formula" }, x === null ? y : `max(${x}, 0) = ${y}`),
    ];
  }

  // The elements that show a step.
  function panel(step, inputs, at, set, play) {
    if (step.kind === "concat") return concat(step, inputs, at, set);
    const show = { convolution, dense: convolution, max_pool: pooling, avg_pool: pooling }[step.kind] ?? other;
    return show(step, inputs[0], at, set, play);
  }

  return { panel, oneChannel, sheet, pointing, box };
})();
