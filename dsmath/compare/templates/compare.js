"use strict";
// Draws the plots of compare.html from the JSON in it. Names become text nodes and attributes, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const arms = data.arms;
  const hidden = new Set(); // arms that are switched off
  const tip = document.getElementById("tip");
  const body = document.body;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const text = (x, y, kind, words, full) => {
    const element = make("text", { x, y, class: kind }, words);
    if (full && full !== words) element.append(make("title", {}, full));
    return element;
  };
  const mark = (tag, arm, kind, attributes) =>
    // a piece of an arm, which can be pointed at and switched off
    make(tag, {
      ...attributes,
      class: `mark ${kind} ${arms[arm].colour}${hidden.has(arm) ? " off" : ""}`,
      "data-arm": arm,
    });
  const cut = (words, most) => {
    // both ends, as names mostly differ in their values
    if (words.length <= most) return words;
    const end = Math.max(1, Math.floor((most - 1) / 2));
    return `${words.slice(0, end)}…${words.slice(-end)}`;
  };
  const known = (value) => value !== null;

  // --- numbers and scales
  const UNITS = [
    [1e12, " T"],
    [1e9, " B"],
    [1e6, " M"],
    [1e3, " k"],
    [1, ""],
  ];
  const unit = (size) => UNITS.find(([factor]) => size >= (factor === 1e3 ? 1e4 : factor)) ?? [1, ""];
  const amount = (value) => {
    if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
    const [factor, letter] = unit(Math.abs(value));
    return +(value / factor).toPrecision(4) + letter;
  };
  const digits = (value) =>
    Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4)
      ? value.toExponential(3)
      : String(+value.toPrecision(4));
  const signed = (value) => (value > 0 ? "+" : "") + digits(value);

  const domain = (values, ends) => {
    // over the values and the ends of intervals, but for those so far beyond that they would press all others together
    const all = values.filter(known);
    if (!all.length) return [0, 1];
    const low = Math.min(...all),
      high = Math.max(...all);
    const spread = high - low > 1e-9 * Math.abs(high) ? high - low : Math.abs(high) * 0.1 || 1;
    const ordered = ends.filter(known).map((end) => Math.max(low - end, end - high, 0)).sort((a, b) => a - b);
    const usual = ordered.length ? 2 * ordered[ordered.length >> 1] : 0;
    const most = Math.min(Math.max(spread / 2, usual), 5 * spread);
    const reach = ends.filter(known).map((end) => Math.min(Math.max(end, low - most), high + most));
    return [Math.min(low, ...reach) - 0.06 * spread, Math.max(high, ...reach) + 0.06 * spread];
  };
  const ticks = ([low, high], count) => {
    const rough = (high - low) / Math.max(count, 1);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
    const [factor, letter] = unit(Math.max(Math.abs(low), Math.abs(high)));
    const decimals = Math.max(0, Math.ceil(-Math.log10(step / factor) - 1e-9) + (String(step / power) === "2.5"));
    const write = (value) =>
      value === 0 ? "0" : decimals > 7 ? value.toExponential(2) : (value / factor).toFixed(decimals) + letter;
    const found = []; // places and their texts, all with as many decimals as the step needs
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && found.length < 50; k++)
      found.push([k * step, write(k * step)]);
    return found;
  };
  const scale =
    ([low, high], from, to) =>
    (value) =>
      from + ((value - low) / (high - low || 1)) * (to - from);
  const extremes = (lists) => {
    let low = Infinity,
      high = -Infinity;
    for (const list of lists)
      for (const value of list)
        if (known(value)) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
    return low <= high ? [low, high] : [0, 1];
  };

  // --- pointing at an arm, everywhere at once
  const point = (arm) => {
    body.classList.toggle("pointed", arm !== null);
    for (const element of document.querySelectorAll(".hot")) element.classList.remove("hot");
    if (arm !== null)
      for (const element of document.querySelectorAll(`[data-arm="${arm}"]`)) element.classList.add("hot");
  };
  const say = (event, lines) => {
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + height > innerHeight ? Math.max(4, event.clientY - height - 12) : event.clientY + 18}px`;
  };
  const quiet = () => {
    tip.hidden = true;
    point(null);
  };
  const pointable = (element, arm, lines) => {
    element.addEventListener("pointermove", (event) => {
      point(arm);
      say(event, lines);
    });
    element.addEventListener("pointerleave", quiet);
  };

  // --- a line for each arm: its runs, its mean, its interval
  const dots = (place, { rows, reference, labels, sign, title }) => {
    const width = place.clientWidth;
    if (!width) return;
    const above = labels && width < 520; // no room beside the plot
    const longest = Math.max(...arms.map((arm) => arm.short.length));
    const left = !labels || above ? 12 : Math.min(Math.max(60, longest * 6.6 + 14), width * 0.42);
    const line = above ? 40 : 27,
      top = 8,
      bottom = top + arms.length * line;
    const values = rows.flatMap((row) => [...row.values, row.mean]);
    const range = domain(
      reference === null ? values : [...values, reference],
      rows.flatMap((row) => row.interval ?? []),
    );
    const x = scale(range, left + 8, width - 14);
    const svg = make("svg", { width, height: bottom + 34, role: "img", "aria-label": title });
    for (const [tick, words] of ticks(range, Math.max(2, (width - left) / 90)))
      svg.append(
        make("line", { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: "grid" }),
        text(x(tick), bottom + 18, "quiet middle", (sign && tick > 0 ? "+" : "") + words),
      );
    svg.append(make("line", { x1: left, x2: width - 6, y1: bottom, y2: bottom, class: "axis" }));
    if (reference !== null)
      svg.append(make("line", { x1: x(reference), x2: x(reference), y1: top, y2: bottom, class: "reference" }));
    arms.forEach((arm, number) => {
      const row = rows.find((each) => each.arm === number);
      const y = top + line * (number + (above ? 0.7 : 0.5));
      if (labels) {
        const most = Math.floor((above ? width - 20 : left - 12) / 6.6);
        svg.append(
          above
            ? text(left, y - 12, "start label", cut(arm.short, most), arm.label)
            : text(left - 6, y + 4, "end", cut(arm.short, most), arm.label),
        );
      }
      if (!row) {
        if (rows.none) svg.append(text((left + width) / 2, y + 4, "quiet middle", rows.none(number)));
        return;
      }
      const group = make("g");
      group.append(
        make("rect", {
          x: left,
          y: y - line / 2 + (above ? 4 : 1),
          width: width - left - 6,
          height: line - 6,
          fill: "transparent",
        }),
      );
      if (row.interval && row.interval.every(known)) {
        const ends = row.interval.map((end) => Math.min(Math.max(end, range[0]), range[1]));
        group.append(mark("path", number, "reach", { d: `M${x(ends[0])} ${y}H${x(ends[1])}` }));
        row.interval.forEach((end, side) => {
          const at = x(ends[side]),
            way = side ? 7 : -7;
          group.append(
            end === ends[side]
              ? mark("path", number, "reach", { d: `M${at} ${y - 5}V${y + 5}` })
              : mark("path", number, "arrow", { d: `M${at + way} ${y}L${at} ${y - 5}V${y + 5}Z` }),
          );
        });
      }
      for (const value of row.values.filter(known))
        group.append(mark("circle", number, "run", { cx: x(value), cy: y + 8, r: 3 }));
      if (known(row.mean))
        group.append(mark("path", number, "mean", { d: `M${x(row.mean) - 6.5} ${y}l6.5 -6.5l6.5 6.5l-6.5 6.5Z` }));
      pointable(group, number, row.lines);
      svg.append(group);
    });
    place.replaceChildren(svg);
  };
  const between = (interval, format) =>
    interval ? `${data.confidence} interval: ${format(interval[0])} to ${format(interval[1])}` : "one run: no interval";
  const finals = (place, table, labels) => {
    const rows = table.arms.map((row) => ({
      ...row,
      lines: [
        arms[row.arm].label,
        `mean: ${digits(row.mean)}`,
        between(row.interval, digits),
        ...row.values
          .slice(0, 8)
          .map((value, i) => `seed ${row.seeds[i] ?? "?"}: ${known(value) ? digits(value) : "–"}`),
        ...(row.values.length > 8 ? [`and ${row.values.length - 8} more`] : []),
      ],
    }));
    rows.none = () => "no run has it";
    const base = rows.find((row) => row.arm === table.baseline);
    dots(place, {
      rows,
      reference: base ? base.mean : null,
      labels,
      sign: false,
      title: `final values of ${table.metric}`,
    });
  };
  const differences = (place, table, labels) => {
    const rows = table.arms
      .filter((row) => row.difference)
      .map(({ arm, difference }) => ({
        arm,
        values: [],
        mean: difference.value,
        interval: difference.interval,
        lines: [
          arms[arm].label,
          `difference: ${signed(difference.value)}`,
          between(difference.interval, signed),
          difference.verdict,
        ],
      }));
    rows.none = (number) => (number === table.baseline ? "baseline" : "nothing to compare");
    dots(place, { rows, reference: 0, labels, sign: true, title: `differences of ${table.metric} to the baseline` });
  };

  // --- learning curves
  const outline = (xs, ys, x, y) => {
    // a path with gaps where nothing is known
    let d = "",
      pen = "M";
    xs.forEach((at, i) => {
      if (known(ys[i]) && known(at)) {
        d += `${pen}${x(at).toFixed(1)} ${y(ys[i]).toFixed(1)}`;
        pen = "L";
      } else pen = "M";
    });
    return d;
  };
  const area = (band, x, y) => {
    const places = band.x.map((_, i) => i).filter((i) => known(band.low[i]) && known(band.high[i]));
    const side = (order, values) => order.map((i) => `${x(band.x[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`).join("L");
    return places.length ? `M${side(places, band.low)}L${side([...places].reverse(), band.high)}Z` : "";
  };
  const curves = (place, shown, axis, number) => {
    const width = place.clientWidth;
    if (!width) return;
    const bands = shown.panels[axis];
    if (!bands) {
      const words = document.createElement("p");
      words.className = "note";
      words.textContent = `This metric is not known over ${axis}; it is over ${Object.keys(shown.panels).join(", ")}.`;
      place.replaceChildren(words);
      return;
    }
    const drawn = bands.filter((band) => !hidden.has(band.arm));
    const height = 300,
      left = 58,
      right = width - 14,
      top = 8,
      bottom = height - 44;
    let xs = extremes((drawn.length ? drawn : bands).map((band) => band.x));
    if (xs[0] === xs[1]) xs = [xs[0] - 1, xs[1] + 1];
    const ys = domain(
      drawn.flatMap((band) => band.mean),
      drawn.flatMap((band) => [...band.low, ...band.high]),
    );
    const x = scale(xs, left, right),
      y = scale(ys, bottom, top);
    const svg = make("svg", {
      width,
      height,
      role: "img",
      "aria-label": `${shown.metric} over ${axis}`,
      class: arms.length > data.few_bands ? "many" : "",
    });
    for (const [tick, words] of ticks(ys, 7))
      svg.append(
        make("line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: "grid" }),
        text(left - 7, y(tick) + 4, "quiet end", words),
      );
    for (const [tick, words] of ticks(xs, Math.max(2, (right - left) / 90)))
      svg.append(
        make("line", { x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 4, class: "axis" }),
        text(x(tick), bottom + 18, "quiet middle", words),
      );
    svg.append(
      make("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }),
      text((left + right) / 2, height - 8, "quiet middle", axis),
    );
    const clip = `clip-${number}`;
    svg.append(
      make("clipPath", { id: clip }, make("rect", { x: left, y: top, width: right - left, height: bottom - top })),
    );
    const inside = make("g", { "clip-path": `url(#${clip})` });
    for (const band of bands) inside.append(mark("path", band.arm, "band", { d: area(band, x, y) }));
    for (const band of [...bands].sort((a, b) => (arms[a.arm].colour === "base") - (arms[b.arm].colour === "base"))) {
      inside.append(
        mark("path", band.arm, "curve", {
          d: outline(band.x, band.mean, x, y),
          "stroke-dasharray": data.dashes[arms[band.arm].dash],
        }),
      );
      if (band.x.length <= 12)
        band.x.forEach((at, i) => {
          if (known(band.mean[i]))
            inside.append(mark("circle", band.arm, "place", { cx: x(at), cy: y(band.mean[i]), r: 3.5 }));
        });
    }
    svg.append(inside);
    svg.addEventListener("pointermove", (event) => {
      // the curve that is nearest
      const box = svg.getBoundingClientRect(),
        px = event.clientX - box.left,
        py = event.clientY - box.top;
      let best = null;
      for (const band of drawn) {
        let i = -1,
          near = Infinity;
        band.x.forEach((at, k) => {
          const far = Math.abs(x(at) - px);
          if (far < near && known(band.mean[k])) {
            near = far;
            i = k;
          }
        });
        if (i >= 0 && near < 40 && (!best || Math.abs(y(band.mean[i]) - py) < best.far))
          best = { band, i, far: Math.abs(y(band.mean[i]) - py) };
      }
      if (!best || best.far > 60) return quiet();
      const { band, i } = best;
      point(band.arm);
      const several = band.runs[i] > 1 && known(band.low[i]);
      say(event, [
        arms[band.arm].label,
        `${axis} ${amount(band.x[i])}: ${digits(band.mean[i])}`,
        several
          ? `${data.confidence} interval: ${digits(band.low[i])} to ${digits(band.high[i])}, ${band.runs[i]} runs`
          : "one run: no interval",
      ]);
    });
    svg.addEventListener("pointerleave", quiet);
    place.replaceChildren(svg);
  };

  // --- parallel coordinates, with a range chosen on an axis by dragging
  const { axes, runs } = data.parallel;
  const chosen = new Map(); // axis → heights from and to, as shares of the axis
  const filterRuns = (heights) => {
    let kept = 0;
    runs.forEach((run, i) => {
      const inside = [...chosen].every(([axis, [from, to]]) => {
        const at = heights[axis][i];
        return at !== null && at >= from && at <= to;
      });
      kept += inside && !hidden.has(run.arm);
      for (const path of document.querySelectorAll(`#lines [data-run="${i}"]`)) path.classList.toggle("out", !inside);
    });
    document.getElementById("kept").textContent = chosen.size ? `${kept} of ${runs.length} runs are kept.` : "";
  };
  const parallel = (place) => {
    const categories = axes.map((axis) => axis.categories ?? []);
    const first = Math.min(170, 24 + 6.6 * Math.max(4, ...categories[0].map((name) => Math.min(name.length, 22))));
    const gap = Math.min(300, Math.max(118, (place.clientWidth - first - 60) / Math.max(1, axes.length - 1)));
    const width = first + gap * (axes.length - 1) + 60,
      top = 46,
      bottom = 330,
      height = 344;
    const svg = make("svg", { width, height, role: "img", "aria-label": "parallel coordinates of the runs" });
    const at = (axis) => first + gap * axis;
    const ranges = axes.map((axis) => (axis.categories ? [0, axis.categories.length - 1] : extremes([axis.values])));
    const share = (k, value) => (ranges[k][0] === ranges[k][1] ? 0.5 : scale(ranges[k], 0, 1)(value));
    const heights = axes.map((axis, k) => axis.values.map((value) => (value === null ? null : share(k, value))));
    const y = (share) => bottom - share * (bottom - top);
    runs.forEach((run, i) => {
      let d = "",
        pen = "M";
      axes.forEach((_, k) => {
        const height = heights[k][i];
        if (height === null) pen = "M";
        else {
          d += `${pen}${at(k).toFixed(1)} ${y(height).toFixed(1)}`;
          pen = "L";
        }
      });
      const path =
        run.arm === null
          ? make("path", { d, class: "path none" })
          : mark("path", run.arm, "path", { d, "stroke-dasharray": data.dashes[arms[run.arm].dash] });
      path.dataset.run = i;
      const lines = [
        run.name || "a run without a name",
        ...(run.state === "done" ? [] : [`state: ${run.state}`]),
        ...axes
          .map(
            (axis) =>
              `${axis.name}: ${axis.values[i] === null ? "–" : axis.categories ? axis.categories[axis.values[i]] : digits(axis.values[i])}`,
          )
          .slice(0, 14),
      ];
      pointable(path, run.arm, lines);
      svg.append(path);
    });
    axes.forEach((axis, k) => {
      svg.append(make("line", { x1: at(k), x2: at(k), y1: top, y2: bottom, class: "axis" }));
      const most = Math.floor((gap - 8) / 6.6),
        [head, ...rest] = axis.name.split(/(?<=[/.])(?=[^/.]*$)/);
      const centre = Math.max(at(k), Math.min(first, 60));
      if (rest.length) svg.append(text(centre, 14, "quiet middle", cut(head, most), axis.name));
      svg.append(text(centre, 30, "middle", cut(rest.length ? rest[0] : head, most), axis.name));
      const names = axis.categories ?? [];
      const every = Math.ceil(names.length / 14); // more names than that would cover one another
      const shown = axis.categories
        ? names.map((name, i) => [share(k, i), cut(name, k ? most - 2 : 22), name]).filter((_, i) => i % every === 0)
        : ranges[k][0] === ranges[k][1]
          ? [[0.5, amount(ranges[k][0]), ""]]
          : ticks(ranges[k], 5).map(([tick, words]) => [share(k, tick), words, ""]);
      for (const [place, words, full] of shown) {
        const wide = words.length * 6.8 + 4; // of the paper under a number, so that lines behind it don't make it another
        svg.append(
          make("rect", { x: at(k) - 5 - wide, y: y(place) - 7, width: wide, height: 14, class: "paper" }),
          text(at(k) - 7, y(place) + 4, "quiet end", words, full),
        );
      }
      const picked = make("rect", { x: at(k) - 7, width: 14, y: 0, height: 0, class: "chosen" });
      const brush = make("rect", {
        x: at(k) - 14,
        y: top - 8,
        width: 28,
        height: bottom - top + 16,
        class: "brush",
        "data-axis": k,
      });
      const show = () => {
        const range = chosen.get(k);
        picked.setAttribute("y", range ? y(range[1]) : 0);
        picked.setAttribute("height", range ? y(range[0]) - y(range[1]) : 0);
      };
      let from = null;
      const pointed = (event) => (bottom - (event.clientY - svg.getBoundingClientRect().top)) / (bottom - top);
      brush.addEventListener("pointerdown", (event) => {
        from = pointed(event);
        brush.setPointerCapture(event.pointerId);
      });
      brush.addEventListener("pointermove", (event) => {
        if (from === null) return;
        const to = pointed(event);
        if (Math.abs(to - from) > 0.015) chosen.set(k, [Math.min(from, to), Math.max(from, to)]);
        else chosen.delete(k);
        show();
        filterRuns(heights);
      });
      brush.addEventListener("pointerup", (event) => {
        if (from !== null && Math.abs(pointed(event) - from) <= 0.015) {
          chosen.delete(k);
          show();
          filterRuns(heights);
        }
        from = null;
      });
      show();
      svg.append(picked, brush);
    });
    place.replaceChildren(svg);
    filterRuns(heights);
  };

  // --- the page
  const drawCurves = () => {
    const axis = document.querySelector("input[name=axis]:checked")?.value;
    for (const place of document.querySelectorAll("[data-curves]"))
      curves(place, data.curves[place.dataset.curves], axis, place.dataset.curves);
  };
  const draw = () => {
    for (const place of document.querySelectorAll("[data-finals]"))
      finals(place, data.finals[place.dataset.finals], true);
    for (const place of document.querySelectorAll("[data-differences]")) {
      const own = place.closest(".pair"),
        beside = getComputedStyle(own).gridTemplateColumns.split(" ").length > 1;
      differences(place, data.finals[place.dataset.differences], !beside);
    }
    drawCurves();
    const lines = document.getElementById("lines");
    if (lines && axes.length) parallel(lines);
  };
  for (const input of document.querySelectorAll("input[name=axis]")) input.addEventListener("change", drawCurves);
  for (const button of document.querySelectorAll(".legend button")) {
    const arm = +button.dataset.arm;
    button.addEventListener("pointerenter", () => point(arm));
    button.addEventListener("pointerleave", quiet);
    button.addEventListener("focus", () => {
      if (button.matches(":focus-visible")) point(arm);
    });
    button.addEventListener("blur", quiet);
    button.addEventListener("click", () => {
      if (!hidden.delete(arm)) hidden.add(arm);
      for (const twin of document.querySelectorAll(`.legend [data-arm="${arm}"]`))
        twin.setAttribute("aria-pressed", String(!hidden.has(arm)));
      draw();
    });
  }
  for (const row of document.querySelectorAll("tr[data-arm]")) {
    row.addEventListener("pointerenter", () => point(+row.dataset.arm));
    row.addEventListener("pointerleave", quiet);
  }
  let width = 0;
  new ResizeObserver(() => {
    if (body.clientWidth === width) return; // what is drawn changes the height only
    width = body.clientWidth;
    draw();
  }).observe(body);
})();
