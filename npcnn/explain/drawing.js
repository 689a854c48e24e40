// What the page is made of: elements, colours, pictures of numbers, tables of numbers.  It knows nothing of networks.
"use strict";

const Drawing = (() => {
  const HANDLERS = ["onclick", "oninput", "onkeydown", "onpointermove"];
  // Shapes are of another namespace, whose name looks like an address; the page has none, but the parser knows it.
  const SHAPES = ["svg", "path", "circle"];
  const DRAWN = new DOMParser().parseFromString("<svg></svg>", "text/html").body.firstChild.namespaceURI;
  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }; // [rows, columns]

  const number = (value) => (value === 0 ? "0" : Number(value.toPrecision(4)).toString());
  const operand = (value) => (value < 0 ? `(${number(value)})` : number(value)); // behind another sign
  const whole = (value) => value.toLocaleString("en");
  const count = (n, noun) => `${whole(n)} ${noun}${n === 1 ? "" : noun.endsWith("ch") ? "es" : "s"}`;
  const all = (n, noun) => (n === 1 ? `the one ${noun}` : `all ${count(n, noun)}`);
  const clamp = (value, length) => Math.min(Math.max(value, 0), length - 1);
  const largestOf = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  // An element from its name, attributes, handlers and children; what is null is left out.
  function make(name, attributes = {}, ...children) {
    const element = SHAPES.includes(name) ? document.createElementNS(DRAWN, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
      if (value === null) continue;
      else if (HANDLERS.includes(key)) element[key] = value;
      else element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  }
  const beside = (...children) => make("div", { class: "row" }, ...children);
  const figures = (...children) => make("div", { class: "row maps" }, ...children);
  const formula = (id, ...texts) => make("p", { class: "formula", id }, ...texts);
  // A text whose long names may be broken after punctuation, not in the middle of a word.
  const breakable = (text) => text.split(/([._/])/).flatMap((part, k) => (k % 2 ? [part, make("wbr")] : [part]));

  // Make an element's children match new ones.  Elements of the same kind in the same place are kept and changed, so
  // that what is being pressed, dragged, scrolled or focused stays so.
  function renew(parent, children) {
    children.forEach((child, k) => {
      const old = parent.childNodes[k];
      if (old === child) return;
      if (!old) parent.append(child);
      else if (old.nodeName !== child.nodeName || child.nodeName === "CANVAS") old.replaceWith(child);
      else if (child.nodeType === Node.TEXT_NODE) old.data = child.data;
      else become(old, child);
    });
    while (parent.childNodes.length > children.length) parent.lastChild.remove();
  }
  function become(old, wanted) {
    for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of wanted.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const name of HANDLERS) old[name] = wanted[name];
    if (old.nodeName === "INPUT") old.value = wanted.value;
    renew(old, [...wanted.childNodes]);
  }

  // The colours of the style sheet, as [below, zero, above] of [red, green, blue].
  const palette = () => {
    const style = getComputedStyle(document.documentElement);
    return ["--below", "--zero", "--above"].map((name) => style.getPropertyValue(name).split(",").map(Number));
  };
  let colours = palette();
  // The square root keeps small numbers from vanishing beside a large one.
  function colour(value, largest) {
    const share = Math.sqrt(Math.min(Math.abs(value) / (largest || 1), 1));
    const end = value < 0 ? colours[0] : colours[2];
    return colours[1].map((zero, k) => Math.round(zero + share * (end[k] - zero)));
  }

  // A canvas of height x width pixels, each [red, green, blue]; null is left transparent.
  function painted([height, width], pixel, attributes = {}) {
    const element = make("canvas", { width, height, ...attributes });
    const context = element.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let k = 0; k < height * width; k++) {
      const rgb = pixel(Math.floor(k / width), k % width);
      if (rgb === null) continue;
      pixels.data.set(rgb, 4 * k);
      pixels.data[4 * k + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return element;
  }
  // The same with a number for each pixel, on the scale of colours that ends at `largest`.
  function canvas(shape, value, largest) {
    const tint = (v) => (v === null ? null : colour(v, largest));
    return painted(shape, (row, col) => tint(value(row, col)));
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

  // The place of a rectangle [top, left, height, width] in an area of tall x wide, as a style.
  const placed = ([top, left, height, width], [tall, wide]) =>
    `top:${(100 * top) / tall}%;left:${(100 * left) / wide}%;height:${(100 * height) / tall}%;width:${(100 * width) / wide}%`;

  // An image with padding (frame) around it, and rectangles [top, left, height, width, class] marked on it.
  const NO_FRAME = [0, 0].map(() => [0, 0]);
  function marked(image, [height, width], boxes, attributes, [[top, bottom], [left, right]] = NO_FRAME) {
    const area = [height + top + bottom, width + left + right];
    const mark = ([row, col, tall, wide, name = null]) =>
      make("b", { style: placed([row + top, col + left, tall, wide], area), class: name });
    const inside = make("div", { class: "image", style: placed([top, left, height, width], area) }, image);
    return make("div", attributes, inside, ...boxes.map(mark));
  }

  // A handler of keys that calls move(rows, columns) for the arrow keys.
  const arrowKeys = (move) => (event) => {
    if (!ARROWS[event.key]) return;
    event.preventDefault();
    move(...ARROWS[event.key]);
  };

  // A picture of numbers, with its padding (frame) hatched around it and boxes marked.  With choose, it can be pointed
  // at: click(row, col) of mouse and finger, hover(row, col) of the mouse, move(rows, cols) of the arrow keys and of the
  // buttons for fingers.
  function map({ label, shape: [height, width], image, frame = NO_FRAME, boxes = [], choose = null, key = null }) {
    const [[top, bottom], [left, right]] = frame;
    const area = [height + top + bottom, width + left + right];
    const attributes = { class: "map", style: `aspect-ratio:${area[1]}/${area[0]}` };
    const caption = make("figcaption", {}, label);
    if (!choose) return make("figure", {}, marked(image, [height, width], boxes, attributes, frame), caption);

    const under = (event) => {
      const seen = event.currentTarget.getBoundingClientRect();
      return [
        clamp(Math.floor(((event.clientY - seen.top) / seen.height) * area[0]) - top, height),
        clamp(Math.floor(((event.clientX - seen.left) / seen.width) * area[1]) - left, width),
      ];
    };
    const pointed = {
      onpointermove: (event) => event.pointerType === "mouse" && choose.hover?.(...under(event)),
      onclick: (event) => choose.click(...under(event)),
      onkeydown: arrowKeys(choose.move),
      tabindex: 0,
      role: "application",
      "aria-label": `${label}; arrow keys move`,
      "data-key": key,
    };
    const element = marked(image, [height, width], boxes, { ...attributes, ...pointed }, frame);
    // For fingers, which are wider than a pixel; the keyboard has the arrow keys.
    const signs = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" };
    const nudges = Object.entries(ARROWS).map(([name, by]) =>
      make(
        "button",
        {
          type: "button",
          tabindex: -1,
          "aria-label": name.slice(5).toLowerCase(),
          onclick: () => choose.move(...by),
        },
        signs[name],
      ),
    );
    return make("figure", {}, element, make("div", { class: "nudges" }, ...nudges), caption);
  }

  // A grid of numbers, as large as the kernel; cell(row, col) makes an element.
  function grid(caption, [height, width], cell, attributes = {}) {
    const cells = (row) => Array.from({ length: width }, (_, col) => cell(row, col));
    const rows = Array.from({ length: height }, (_, row) => make("tr", {}, ...cells(row)));
    return make("div", { class: "wide" }, make("table", attributes, make("caption", {}, caption), ...rows));
  }

  // A cell of it, tinted by its number; null is padding, which counts as `padding` says.
  function cell(value, largest, { name = null, onclick = null, padding = "0" } = {}) {
    if (value === null) return make("td", { class: `padding ${name ?? ""}`, onclick }, padding);
    const [r, g, b] = colour(value, largest).map((v, k) => Math.round((v + colours[1][k]) / 2));
    return make("td", { class: name, style: `background:rgb(${r},${g},${b})`, title: value, onclick }, number(value));
  }

  return {
    number,
    operand,
    whole,
    count,
    all,
    clamp,
    largestOf,
    make,
    beside,
    figures,
    formula,
    breakable,
    renew,
    painted,
    canvas,
    once,
    recolour,
    marked,
    arrowKeys,
    map,
    grid,
    cell,
  };
})();
