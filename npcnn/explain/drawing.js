// What the page is made of: elements, colours, pictures of numbers, tables of numbers.  It knows nothing of networks.
"use strict";

const Drawing = (() => {
  // Four significant digits; the title of an element holds the rest.
  const number = (value) => (value === 0 ? "0" : Number(value.toPrecision(4)).toString());
  const whole = (value) => value.toLocaleString("en");
  const clamp = (value, length) => Math.min(Math.max(value, 0), length - 1);
  const largestOf = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  // An element from its name, attributes and children.
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
      if (value === null) continue;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // The colours of the style sheet, as [below, zero, above] of [red, green, blue].
  const palette = () => {
    const style = getComputedStyle(document.documentElement);
    return ["--below", "--zero", "--above"].map((name) => style.getPropertyValue(name).split(",").map(Number));
  };
  let colours = palette();
  // The square root keeps small numbers from vanishing beside a large one.
  function colour(value, largest) {
    const share = Math.sqrt(Math.min(Math.abs(value) / (largest || 1), 1)), end = value < 0 ? colours[0] : colours[2];
    return colours[1].map((zero, k) => Math.round(zero + share * (end[k] - zero)));
  }

  // A canvas of height x width pixels, each coloured by a number; NaN is left open.
  function canvas(height, width, value, largest) {
    const element = make("canvas", { width, height }), context = element.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let k = 0; k < height * width; k++) {
      const v = value(Math.floor(k / width), k % width);
      if (Number.isNaN(v)) continue;
      pixels.data.set(colour(v, largest), 4 * k);
      pixels.data[4 * k + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return element;
  }

  // A canvas that is drawn once for a key, until the colours change: pointing redraws the page many times a second.
  const kept = new Map();
  function once(key, draw) {
    if (!kept.has(key)) kept.set(key, draw());
    return kept.get(key);
  }
  function recolour() {
    colours = palette();
    kept.clear();
  }

  // A picture of numbers, with its padding (frame) hatched around it and rectangles [top, left, height, width] marked.
  // With choose = {at(row, col), now(), hover} it can be pointed at: by mouse, finger and arrow keys.
  function map({ label, shape: [height, width], image, frame = [[0, 0], [0, 0]], boxes = [], choose = null, key = null }) {
    const [[top, bottom], [left, right]] = frame, tall = height + top + bottom, wide = width + left + right;
    const place = ([row, col, high, broad]) =>
      `top:${(100 * (row + top)) / tall}%;left:${(100 * (col + left)) / wide}%;`
      + `height:${(100 * high) / tall}%;width:${(100 * broad) / wide}%`;
    const element = make("div", { class: "map", style: `aspect-ratio:${wide}/${tall}` },
      make("div", { class: "image", style: place([0, 0, height, width]) }, image),
      ...boxes.map((box) => make("b", { style: place(box), class: box[4] ?? null })));
    const caption = make("figcaption", {}, label);
    if (!choose) return make("figure", {}, element, caption);

    for (const [name, value] of Object.entries({ tabindex: 0, role: "application", "aria-label": `${label}; arrow keys move`, "data-key": key }))
      element.setAttribute(name, value);
    const under = (event) => {
      const on = element.getBoundingClientRect();
      return [
        clamp(Math.floor(((event.clientY - on.top) / on.height) * tall) - top, height),
        clamp(Math.floor(((event.clientX - on.left) / on.width) * wide) - left, width),
      ];
    };
    const move = (rows, cols) => {
      const [row, col] = choose.now();
      choose.at(clamp(row + rows, height), clamp(col + cols, width));
    };
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    element.addEventListener("pointermove", (event) => event.pointerType === "mouse" && choose.hover?.(...under(event)));
    element.addEventListener("click", (event) => choose.at(...under(event), event));
    element.addEventListener("keydown", (event) => {
      if (!moves[event.key]) return;
      event.preventDefault();
      (choose.move ?? move)(...moves[event.key]);
    });
    // For fingers, which are wider than a pixel; the keyboard has the arrow keys.
    const nudges = make("div", { class: "nudges" }, ...Object.entries(moves).map(([name, by]) =>
      make("button", { type: "button", tabindex: -1, "aria-label": name.slice(5).toLowerCase(), onclick: () => (choose.move ?? move)(...by) },
        { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" }[name])));
    return make("figure", {}, element, caption, nudges);
  }

  // A grid of numbers, as large as the kernel; cell(row, col) makes an element.
  function grid(caption, [height, width], cell) {
    const rows = Array.from({ length: height }, (_, row) => make("tr", {}, ...Array.from({ length: width }, (_, col) => cell(row, col))));
    return make("div", { class: "wide" }, make("table", {}, make("caption", {}, caption), ...rows));
  }

  // A cell of it, tinted by its number; null is padding, which counts as `padding` says.
  function cell(value, largest, { name = null, onclick = null, padding = "0" } = {}) {
    if (value === null) return make("td", { class: `padding ${name ?? ""}`, onclick }, padding);
    const [r, g, b] = colour(value, largest).map((v, k) => Math.round((v + colours[1][k]) / 2));
    return make("td", { class: name, style: `background:rgb(${r},${g},${b})`, title: value, onclick }, number(value));
  }

  return { number, whole, clamp, largestOf, make, canvas, once, recolour, map, grid, cell };
})();
