// Backward: the gradient of the class that the network took the picture for, at every layer; how a layer hands it on to
// its input (col2im), and where the gradient of a weight comes from.
"use strict";

const Backward = (() => {
  const { number, whole, largestOf, make, canvas, map, grid, cell, once } = Drawing;
  const { oneChannel, sheet, pointing } = Forward;

  // The gradient that comes in from above, and what the ReLU lets through of it.
  function arriving(step, at, set, className) {
    const dy = Arithmetic.at(step.dy, step.shape, at.i, at.j, at.o), y = Arithmetic.at(step.y, step.shape, at.i, at.j, at.o);
    const [H, W] = step.shape, dz = (i, j) => Arithmetic.dz(step, i, j, at.o);
    return [
      make("div", { class: "row maps" },
        oneChannel(step, "dy", at.o, {
          label: `dy, channel ${step.channelName(at.o)}: pixel (${at.i}, ${at.j}) is ${number(dy)}`,
          key: "output", boxes: [[at.i, at.j, 1, 1]], choose: pointing(at, set, "i", "j"),
        }),
        ...(step.relu ? [map({ label: "dz: dy, but 0 where the ReLU gave 0", shape: step.shape, image: canvas(H, W, dz, largestOf(step.dy)), boxes: [[at.i, at.j, 1, 1]] })] : []),
        sheet(step, "dy", `dy, all ${step.shape[2]} channels`, at.o, (o) => set({ o }), "outputs")),
      make("p", { class: "formula", id: "dy" },
        `for each 1 that this number grows, the logit of ${className} grows by dy = ${number(dy)}`,
        step.relu ? `; the ReLU gave ${number(y)}, so dz = ${number(dz(at.i, at.j))}` : ""),
    ];
  }

  // Each output pixel hands back a patch; the patches overlap, and where they do they add up.
  function handedBack(step, input, at, set, play) {
    const c = step.w ? at.c : at.o, [H, W] = input.shape, [OH, OW] = step.shape, { size, stride, dilation, padding } = step.window;
    const patches = once(`patches ${step.number} ${c}`, () => Arithmetic.patches(step, input, c));
    const count = Math.min(at.patches, patches.length), all = patches.length;
    const dx = Arithmetic.col2im(step, input, patches, all), sum = Arithmetic.col2im(step, input, patches, count), largest = largestOf(dx);
    const last = [Math.floor((count - 1) / OW), (count - 1) % OW];
    const boxOf = (i, j, name) => [i * stride[0] - padding[0][0], j * stride[1] - padding[1][0], (size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1, name];
    const { parts, sum: total } = Arithmetic.inputGradient(step, input, patches, at.row, at.col);
    const ofParts = largestOf(parts.flatMap(({ i, j }) => patches[i * OW + j]));
    const rows = [...new Set(parts.map((part) => part.i))].sort((a, b) => a - b), cols = [...new Set(parts.map((part) => part.j))].sort((a, b) => a - b);
    const partial = count < all ? [boxOf(...last, "faint")] : parts.map(({ i, j }) => boxOf(i, j, "faint"));
    return [
      make("h3", {}, step.w ? "col2im: every output pixel hands back a patch, and where patches overlap they add up" : "Every window hands its gradient back"),
      make("div", { class: "row" },
        map({
          label: count < all ? `dx, channel ${c}, after the patches of ${whole(count)} of ${whole(all)} output pixels`
            : `dx, channel ${c}: choose a pixel; ${parts.length === 1 ? "one patch lies" : `${parts.length} patches lie`} over it`,
          shape: input.shape, image: canvas(H, W, (row, col) => sum[row * W + col], largest), frame: padding, key: "input",
          boxes: [...partial, [at.row, at.col, 1, 1]], choose: pointing(at, set, "row", "col"),
        }),
        make("div", {},
          make("p", { class: "tight" }, `The patches over pixel (${at.row}, ${at.col}); marked, what each puts there:`),
          make("div", { class: "patches", id: "patches", style: `grid-template-columns:repeat(${Math.max(cols.length, 1)},auto)` }, ...parts.map(({ i, j, kh, kw, value }) =>
            make("div", { style: `grid-area:${rows.indexOf(i) + 1}/${cols.indexOf(j) + 1}` },
              make("div", { class: "map patch", style: `aspect-ratio:${size[1]}/${size[0]}`, title: `the patch of output pixel (${i}, ${j})` },
                make("div", { class: "image", style: "inset:0" }, canvas(...size, (row, col) => patches[i * OW + j][row * size[1] + col], ofParts)),
                make("b", { style: `top:${(100 * kh) / size[0]}%;left:${(100 * kw) / size[1]}%;height:${100 / size[0]}%;width:${100 / size[1]}%` })),
              number(value))))),
        ...(step.w ? [sheet(input, "dy", `dx, all ${input.shape[2]} channels`, at.c, (chosen) => set({ c: chosen }), "inputs")] : [])),
      make("p", { class: "formula", id: "dx" }, `dx[${at.row}, ${at.col}, ${c}] = ${parts.length === 0 ? "0: no window lies over it" : parts.length === 1 ? number(total) : `the sum of ${parts.length} numbers = ${number(total)}`}`,
        step.feeds > 1 ? `; ${step.feeds} branches take this input, and what they hand back adds up to ${number(Arithmetic.at(input.dy, input.shape, at.row, at.col, c))}` : ""),
      make("div", { class: "player" }, play("patches", all + 1),
        make("label", {}, `patches added: ${whole(count)} of ${whole(all)}`,
          make("input", { type: "range", min: 0, max: all, value: count, "data-key": "patches", oninput: (event) => set({ patches: Number(event.target.value) }) }))),
    ];
  }

  // A weight meets every output pixel once, so its gradient is a sum over all of them.
  function ofWeight(step, input, at, set) {
    const { parts, sum } = Arithmetic.weightGradient(step, input, at.kh, at.kw, at.c, at.o), [OH, OW] = step.shape, { size } = step.window;
    const picture = (key, label) => {
      const values = parts.map((part) => part[key]);
      return map({ label, shape: [OH, OW], image: canvas(OH, OW, (i, j) => (key === "x" && !parts[i * OW + j].inside ? NaN : values[i * OW + j]), largestOf(values)) });
    };
    return [
      make("h3", {}, `Where the gradient of one weight comes from: w[${at.kh}, ${at.kw}], channel ${at.c} to ${at.o}`),
      grid("choose a weight", size, (kh, kw) => make("td", {}, make("button", {
        type: "button", "data-key": `w${kh},${kw}`, "aria-pressed": kh === at.kh && kw === at.kw, onclick: () => set({ kh, kw }),
      }, number(Arithmetic.weight(step, input, kh, kw, at.c, at.o))))),
      make("div", { class: "row maps" }, picture("x", "x: what it met at each output pixel"), picture("dz", "dz there"), picture("product", "x * dz")),
      make("p", { class: "formula", id: "dw" }, `dw = the sum of x * dz over ${whole(parts.length)} pixels = ${number(sum)}`),
    ];
  }

  // The elements that show a step.
  function panel(step, inputs, at, set, play, className) {
    const parts = arriving(step, at, set, className);
    if (step.kind === "concat") parts.push(make("p", {}, "Every branch gets back the gradient of its own channels, unchanged."));
    if (!step.window) return parts;
    parts.push(...handedBack(step, inputs[0], at, set, play));
    if (step.w) parts.push(...ofWeight(step, inputs[0], at, set));
    return parts;
  }

  return { panel };
})();
