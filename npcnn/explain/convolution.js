// Forward through a convolution: the patch, the row of im2col, the column of weights, their products and the sum.  Other
// sums of products are shown in the same form.
"use strict";

const Convolution = (() => {
  const { number, whole, count, clamp, largestOf, make, beside, figures, formula } = Drawing;
  const { canvas, once, marked, grid, cell } = Drawing;
  const { oneChannel, output, outputs, inputs, box, strip } = Maps;
  const LARGEST_CANVAS = 600; // pixels of a side; a larger matrix is thinned out

  // A convolution; a dense layer is one of 1 x 1 on a picture of one pixel, of which there is no patch to show.  The
  // input channel on show is that of the multiplication at the cursor, and Play goes through the patch in that channel.
  function panel(step, input, state, set, player) {
    const result = Arithmetic.convolution(step, input, state.i, state.j, state.o);
    const { terms } = result;
    const dense = step.kind === "dense";
    const cursor = clamp(state.cursor, terms.length);
    const now = terms[cursor];
    const at = { ...state, c: now.c };
    const { first, channels: C } = Arithmetic.seen(step, input, state.o);
    const patch = oneChannel(input, "y", at.c, {
      label: `input, channel ${input.channelName(at.c)}: the patch that the kernel sees (hatched: padding), and in it the pixel of the multiplication below`,
      frame: step.window.padding,
      boxes: [box(Arithmetic.taps(step, input, at.i, at.j)), [now.row, now.col, 1, 1, "faint"]],
    });
    return [
      figures(
        ...(dense ? [] : [patch, output(step, at, set)]),
        inputs(input, at, ({ c }) => set({ cursor: cursor - now.c + first + clamp(c - first, C) })),
        outputs(step, at, set),
      ),
      step.groups > 1
        ? make(
            "p",
            { id: "group" },
            `${step.groups} groups: output channel ${at.o} sees ${C === 1 ? `input channel ${first}` : `the input channels ${first} to ${first + C - 1}`} and no others.`,
          )
        : null,
      formula("formula", ...told(step, result)),
      ...products(
        {
          terms,
          size: step.window.size,
          heading: dense ? null : `The patch in input channel ${input.channelName(at.c)}: its products add up to`,
          places: dense ? {} : { "row, column": ({ kh, kw }) => `${kh}, ${kw}` },
        },
        cursor,
        set,
        player,
        make(
          "h3",
          {},
          dense
            ? "A product of matrices: the input as one row, times a column of weights"
            : "The same as a product of matrices: a row of im2col times a column of weights",
        ),
        matrices(step, input, at),
      ),
      multiplicationsSoFar(step, at, cursor, terms.length),
      step.pair_kind === "spatially_separable" ? cutKernel(step, at) : null,
      step.pair_kind === "depthwise_separable" ? separableKernel(step, at) : null,
    ];
  }

  // What a sum of products is, with the bias and the ReLU.
  const told = (step, { terms, sum, bias, z, y }) => [
    `sum of ${count(terms.length, "product")} ${number(sum)}${step.b ? ` + bias ${number(bias)} = ${number(z)}` : ""}`,
    step.relu ? `, ReLU: max(${number(z)}, 0) = ${number(y)}` : "",
  ];

  // A sum of products, to walk through: the terms of one channel as tables, all of them as strips, and the sum so far.
  // `sum` has the terms, channel by channel at each place; how many places lie below and beside one another (size);
  // the heading of the tables, null for none; columns that say where a term is from (places); what x is called (x), and
  // what the tables of x and w hold (of).
  function products(sum, cursor, set, player, ...between) {
    const { terms, size, places, x = "x", heading } = sum;
    const C = terms.length / (size[0] * size[1]);
    const now = terms[cursor];
    const walk = terms.length > C ? { by: C, first: cursor % C, last: terms.length - C + (cursor % C) } : {};
    const largest = scales(terms);
    const ofChannel = terms.filter((term) => term.c === now.c);
    const share = ofChannel.reduce((total, term) => total + term.product, 0);
    const pick = (term) => set({ cursor: terms.indexOf(term) });
    const labels = { x, w: "w", product: `${x} * w` };
    return [
      player("cursor", terms.length, `multiplication ${cursor + 1} of ${whole(terms.length)}`, walk),
      ...(heading === null
        ? []
        : [make("h3", {}, `${heading} ${number(share)}`), tables({ ...sum, terms: ofChannel }, largest, now, pick)]),
      ...between,
      ...Object.entries(labels).map(([key, label]) => stripOf(key, label, terms, largest[key], cursor, set)),
      runningTotal(terms, cursor, largest, places, labels),
    ];
  }

  // The largest number of each kind in a sum of products.
  const scales = (terms) =>
    Object.fromEntries(["x", "w", "product"].map((key) => [key, largestOf(terms.map((term) => term[key]))]));

  // x, w and their products of one channel, as they lie beside one another; a click on a term calls pick(term).
  function tables({ terms, size, x = "x", of = ["the patch", "the kernel"] }, largest = scales(terms), now, pick) {
    const table = (key, caption) =>
      grid(caption, size, (row, col) => {
        const term = terms[row * size[1] + col];
        return cell(key === "x" && !term.inside ? null : term[key], largest[key], {
          name: term === now ? "now" : null,
          onclick: pick ? () => pick(term) : null,
        });
      });
    return beside(table("x", `${x}, ${of[0]}`), table("w", `w, ${of[1]}`), table("product", `${x} * w`));
  }

  // The three matrices of this layer, and in them the row, the column and the number the reader looks at.
  function matrices(step, input, at) {
    const [OH, OW, C] = step.shape;
    const K = step.w.length / C;
    const p = at.i * OW + at.j;
    const { first } = Arithmetic.seen(step, input, at.o); // each group has an im2col matrix of its own
    const row = step.kind === "dense" ? "input" : `im2col: row (${at.i}, ${at.j})`;
    const matrix = (name, label, [rows, columns], value, largest, mark) => {
      const [high, wide] = [Math.min(rows, LARGEST_CANVAS), Math.min(columns, LARGEST_CANVAS)];
      const image = once(`matrix ${step.number} ${name} ${name === "columns" ? first : ""}`, () =>
        canvas([high, wide], (r, c) => value(Math.floor((r * rows) / high), Math.floor((c * columns) / wide)), largest),
      );
      return make(
        "figure",
        { class: name },
        marked(image, [rows, columns], [mark], { class: "map matrix" }),
        make("figcaption", {}, `${label} (${whole(rows)} x ${whole(columns)})`),
      );
    };
    return make(
      "div",
      { class: "row matrices", id: "matrices" },
      matrix("columns", row, [OH * OW, K], (r, k) => Arithmetic.im2col(step, input, r, k, at.o), input.largest.y, [
        p,
        0,
        1,
        K,
      ]),
      make("span", {}, "@"),
      matrix("weights", `weights: column ${at.o}`, [K, C], (k, o) => step.w[k * C + o], step.largest.w, [
        0,
        at.o,
        K,
        1,
      ]),
      make("span", {}, [step.b ? "+ b" : "", step.relu ? "ReLU" : ""].filter(Boolean).join(", ") + " ="),
      matrix("result", "output: that number", [OH * OW, C], (r, o) => step.y[r * C + o], step.largest.y, [
        p,
        at.o,
        1,
        1,
      ]),
    );
  }

  // All terms of one kind side by side, the present one marked.
  function stripOf(key, label, terms, largest, cursor, set) {
    const value = (k) => (key === "x" && !terms[k].inside ? null : terms[k][key]);
    return strip(label, terms.length, value, largest, cursor, (to) => set({ cursor: to }));
  }

  // The terms around the present one, with the sum so far.
  function runningTotal(terms, cursor, largest, places, labels) {
    const first = clamp(cursor - 4, Math.max(terms.length - 8, 1));
    const head = [...Object.keys(places), "channel", ...Object.values(labels), "sum so far"];
    return make(
      "div",
      { class: "wide" },
      make(
        "table",
        { id: "terms" },
        make("tr", {}, ...head.map((text) => make("th", {}, text))),
        ...terms
          .slice(first, first + 9)
          .map((term, k) =>
            make(
              "tr",
              { class: first + k === cursor ? "now" : null },
              ...Object.values(places).map((place) => make("td", {}, place(term))),
              make("td", {}, term.c),
              cell(term.inside ? term.x : null, largest.x),
              cell(term.w, largest.w),
              cell(term.product, largest.product),
              make("td", { title: term.sum }, number(term.sum)),
            ),
          ),
      ),
    );
  }

  // Pixels are computed row by row, and at each pixel the channels one after the other.
  function multiplicationsSoFar(step, at, cursor, K) {
    const done = ((at.i * step.shape[1] + at.j) * step.shape[2] + at.o) * K + cursor + 1;
    return make(
      "p",
      { id: "total" },
      `Multiplications so far: ${whole(cursor + 1)} for this number, ${whole(done)} of ` +
        `${whole(step.multiplications)} in this layer, ${whole(step.before + done)} of ${whole(step.ofAll)} in the network.`,
    );
  }

  // The halves of a cut kernel beside the k x k kernel that they would be without the ReLU between them.
  function cutKernel(step, at) {
    const [vertical, horizontal] = step.halves;
    const [OH, OW, to] = horizontal.shape;
    const between = vertical.shape[2];
    const size = [vertical.window.size[0], horizontal.window.size[1]];
    const from = vertical.w.length / (size[0] * between);
    const down = (kh, c, m) => vertical.w[(kh * from + c) * between + m];
    const along = (kw, m, o) => horizontal.w[(kw * between + m) * to + o];
    const numbers = (length, value) => Array.from({ length }, (_, k) => value(k));
    // One end of the path c -> m -> o is not on show in this half: the one with the largest weights is taken.
    const strongest = (length, weights) => {
      const sizes = numbers(length, (k) => largestOf(weights(k)));
      return sizes.indexOf(largestOf(sizes));
    };
    const m = step === vertical ? at.o : at.c;
    const c = step === vertical ? at.c : strongest(from, (k) => numbers(size[0], (kh) => down(kh, k, m)));
    const o = step === vertical ? strongest(to, (k) => numbers(size[1], (kw) => along(kw, m, k))) : at.o;
    const downs = numbers(size[0], (kh) => down(kh, c, m));
    const alongs = numbers(size[1], (kw) => along(kw, m, o));
    const kernel = (kh, kw) =>
      numbers(between, (k) => down(kh, c, k) * along(kw, k, o)).reduce((sum, product) => sum + product, 0);
    const whole2d = numbers(size[0] * size[1], (k) => kernel(Math.floor(k / size[1]), k % size[1]));
    const uncut = OH * OW * size[0] * size[1] * from * to;
    return make(
      "section",
      { id: "pair" },
      make(
        "h3",
        {},
        `Cut in two: ${size[0]} x 1, then 1 x ${size[1]}, in the place of a kernel of ${size[0]} x ${size[1]}`,
      ),
      beside(
        grid(`${size[0]} x 1: channel ${c} to ${m}`, [size[0], 1], (kh) => cell(downs[kh], largestOf(downs))),
        grid(`1 x ${size[1]}: channel ${m} to ${o}`, [1, size[1]], (_, kw) => cell(alongs[kw], largestOf(alongs))),
        grid("their outer product", size, (kh, kw) =>
          cell(downs[kh] * alongs[kw], largestOf(downs) * largestOf(alongs)),
        ),
        grid(`all ${between} such products added: the kernel from ${c} to ${o}`, size, (kh, kw) =>
          cell(whole2d[kh * size[1] + kw], largestOf(whole2d)),
        ),
      ),
      make(
        "p",
        {},
        vertical.relu
          ? "With the ReLU that stands between the halves the pair is no longer any single kernel; without it, it would be the last one."
          : "No ReLU stands between the halves: together they are the last kernel.",
      ),
      ...comparison(vertical, horizontal, uncut, `${size[0]} x ${size[1]}, ${from} to ${count(to, "channel")}`),
    );
  }

  // The multiplications of a pair beside those of the kernel it stands for, as bars.
  function comparison(first, second, uncut, name) {
    const cut = first.multiplications + second.multiplications;
    const bar = (amount, text) =>
      make(
        "div",
        { class: "labelled" },
        make("span", {}, `${text}: ${whole(amount)}`),
        make("div", { class: "bar", style: `width:${(100 * amount) / Math.max(cut, uncut)}%` }),
      );
    return [
      make("p", { class: "tight" }, "Multiplications for one picture:"),
      bar(cut, `the pair, ${whole(first.multiplications)} + ${whole(second.multiplications)}`),
      bar(uncut, name),
    ];
  }

  // A depthwise and a pointwise half beside the kernel that they are together: nothing stands between them.
  function separableKernel(step, at) {
    const [depthwise, pointwise] = step.halves;
    const [OH, OW, to] = pointwise.shape;
    const between = depthwise.shape[2];
    const from = depthwise.groups;
    const size = depthwise.window.size;
    const share = (m, o) => pointwise.w[m * to + o];
    const m = step === depthwise ? at.o : at.c;
    // The first half leads to all outputs: the one that this channel gives most to is shown.
    const shares = Array.from({ length: to }, (_, k) => Math.abs(share(m, k)));
    const o = step === depthwise ? shares.indexOf(largestOf(shares)) : at.o;
    const each = between / from; // kernels for an input channel
    const c = Math.floor(m / each);
    const kernel = (kh, kw, k) => depthwise.w[(kh * size[1] + kw) * between + k];
    const own = Array.from({ length: size[0] * size[1] }, (_, k) => kernel(Math.floor(k / size[1]), k % size[1], m));
    const together = own.map((_, k) => {
      let sum = 0;
      for (let other = c * each; other < (c + 1) * each; other++)
        sum += kernel(Math.floor(k / size[1]), k % size[1], other) * share(other, o);
      return sum;
    });
    const table = (caption, values) =>
      grid(caption, size, (kh, kw) => cell(values[kh * size[1] + kw], largestOf(values)));
    const added = each > 1 ? `all ${each} kernels of the channel times their weights, added` : "their product";
    return make(
      "section",
      { id: "pair" },
      make("h3", {}, `Depthwise, then pointwise, in the place of a kernel of ${size[0]} x ${size[1]} over all channels`),
      beside(
        table(`${size[0]} x ${size[1]}: in channel ${c}`, own),
        grid(`1 x 1: channel ${m} to ${o}`, [1, 1], () => cell(share(m, o), largestOf(shares))),
        table(`${added}: the kernel from ${c} to ${o}`, together),
      ),
      make("p", {}, "The kernels from one input channel to all outputs have one shape; only their sizes differ."),
      ...comparison(
        depthwise,
        pointwise,
        OH * OW * size[0] * size[1] * from * to,
        `${size[0]} x ${size[1]}, ${from} to ${count(to, "channel")}`,
      ),
    );
  }

  return { panel, told, products, tables };
})();
