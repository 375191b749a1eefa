// The three charts, drawn by uPlot in the colours of the style sheet. Each is drawn anew when its data, its width
// or the colour scheme changes, and only then; whoever cannot see a canvas has the same numbers in a table.

const SHORTEST_SECONDS = 60;
const HEIGHT = 240;
const TALL = 290;
const drawn = new WeakMap();
const dark = matchMedia("(prefers-color-scheme: dark)");
const visible = new Set();

dark.addEventListener("change", () => visible.forEach((element) => redraw(element)));
const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => redraw(target)));

export const distribution = (bars) => (element) => show(element, bars, distributionOf);
export const trend = (figures) => (element) => show(element, figures, trendOf);
export const throughput = (samples) => (element) => show(element, samples, throughputOf);

function show(element, data, make) {
  const before = drawn.get(element);
  const signature = JSON.stringify(data);
  if (before?.signature === signature) return;
  drawn.set(element, { ...before, signature, data, make });
  if (!visible.has(element)) sizes.observe(element);
  visible.add(element);
  redraw(element, true);
}

function redraw(element, anew = false) {
  const state = drawn.get(element);
  if (!element.isConnected) {
    visible.delete(element);
    sizes.unobserve(element);
    state.plot?.destroy();
    return;
  }
  const look = `${element.clientWidth} ${dark.matches}`;
  if (element.clientWidth === 0 || (!anew && state.look === look)) return;
  state.look = look;
  state.plot?.destroy();
  const { options, data } = state.make(state.data, colours(element));
  state.plot = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      ...options,
    },
    data,
    element,
  );
}

function colours(element) {
  const style = getComputedStyle(element);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    accent: named("accent"),
    soft: named("accent-soft"),
    quiet: named("quiet"),
    line: named("line"),
    text: named("text"),
    font: `12px ${style.fontFamily}`,
  };
}

function axis(colour, more) {
  return {
    stroke: colour.quiet,
    font: colour.font,
    grid: { stroke: colour.line, width: 1 },
    ticks: { show: false },
    gap: 6,
    ...more,
  };
}

const asPercent = (value) => `${Math.round(value * 100)} %`;

function distributionOf(bars, colour) {
  const known = bars.map((bar) => ({ ...bar, learners: bar.learners ?? 0 }));
  const most = Math.max(4, ...known.map((bar) => bar.learners));
  const edges = [...known.map((bar) => bar.from), known.at(-1).to];
  const numbers = (plot) => {
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = colour.text;
    ctx.font = `600 ${12 * devicePixelRatio}px ${colour.font.slice(5)}`;
    ctx.textAlign = "center";
    for (const bar of known.filter(({ learners }) => learners > 0)) {
      ctx.fillText(
        bar.learners,
        plot.valToPos((bar.from + bar.to) / 2, "x", true),
        plot.valToPos(bar.learners, "y", true) - 6 * devicePixelRatio,
      );
    }
    ctx.restore();
  };
  return {
    options: {
      height: TALL,
      padding: [18, 28, 0, 0],
      scales: { x: { time: false, range: () => [0, 1] }, y: { range: () => [0, most] } },
      axes: [
        axis(colour, {
          splits: () => edges,
          values: (plot, at) =>
            thinned(at, plot.width, 52).map((value) => (value === null ? "" : asPercent(value))),
          grid: { show: false },
          space: 20,
          size: 34,
        }),
        axis(colour, { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], size: 44 }),
      ],
      series: [
        {},
        {
          fill: colour.accent,
          stroke: colour.accent,
          width: 0,
          points: { show: false },
          paths: (plot) => barsOf(plot, known),
        },
      ],
      hooks: { draw: [numbers] },
    },
    data: [known.map((bar) => (bar.from + bar.to) / 2), known.map((bar) => bar.learners)],
  };
}

// Merged tenths are wider than others, which the library's own bars cannot show.
function barsOf(plot, bars) {
  const fill = new Path2D();
  const floor = plot.valToPos(0, "y", true);
  const round = 4 * devicePixelRatio;
  for (const bar of bars.filter(({ learners }) => learners > 0)) {
    const left = plot.valToPos(bar.from, "x", true) + devicePixelRatio;
    const right = plot.valToPos(bar.to, "x", true) - devicePixelRatio;
    const upper = plot.valToPos(bar.learners, "y", true);
    fill.roundRect(left, upper, right - left, floor - upper, [round, round, 0, 0]);
  }
  return { fill, stroke: null, clip: null, band: null, gaps: null, flags: 1 };
}

// The straight line is the one whose slope is the figure `trend`: it passes through the mean at the middle.
function trendOf({ ratios, days, mean, slope }, colour) {
  const place = ratios.map((_, n) => n + 1);
  const middle = (ratios.length + 1) / 2;
  const line = place.map((n) => (slope === null || mean === null ? null : mean + slope * (n - middle)));
  const low = Math.min(0, ...ratios);
  const high = Math.max(1, ...ratios);
  return {
    options: {
      padding: [14, 18, 0, 0],
      scales: {
        x: { time: false, range: () => [0.5, Math.max(ratios.length, 2) + 0.5] },
        y: { range: () => [low, high * 1.04] },
      },
      axes: [
        axis(colour, {
          splits: () => place,
          values: (plot, at) => at.map((n) => days[n - 1] ?? ""),
          grid: { show: false },
          space: 62,
          size: 34,
          filter: (plot, at) => thinned(at, plot.width, 80),
        }),
        axis(colour, { values: (plot, at) => at.map(asPercent), incrs: [0.25, 0.5, 1, 2, 5, 10], size: 56 }),
      ],
      series: [
        {},
        {
          stroke: colour.accent,
          width: 2,
          fill: colour.soft,
          points: { show: true, size: 8, fill: colour.accent, stroke: colour.accent },
        },
        { stroke: colour.quiet, width: 1.5, dash: [5, 5], points: { show: false } },
      ],
    },
    data: [place, ratios, line],
  };
}

function thinned(places, width, room) {
  const step = Math.ceil(places.length / Math.max(1, Math.floor(width / room)));
  return places.map((place, n) => (n % step === 0 ? place : null));
}

function throughputOf(samples, colour) {
  const most = Math.max(1, ...samples.map((sample) => sample.read));
  return {
    options: {
      padding: [14, 18, 0, 0],
      scales: {
        x: { time: true, range: (plot, first, last) => [Math.min(first, last - SHORTEST_SECONDS), last] },
        y: { range: () => [0, most * 1.15] },
      },
      axes: [
        axis(colour, {
          grid: { show: false },
          space: 80,
          size: 34,
          values: (plot, at) => at.map((second) => new Date(second * 1000).toLocaleTimeString("en-GB")),
        }),
        axis(colour, { size: 60 }),
      ],
      series: [
        {},
        {
          stroke: colour.accent,
          width: 2,
          fill: colour.soft,
          points: { show: samples.length < 3, size: 8, fill: colour.accent },
        },
        { stroke: colour.quiet, width: 1.5, dash: [5, 5], points: { show: false } },
      ],
    },
    data: [
      samples.map((sample) => sample.at),
      samples.map((sample) => sample.read),
      samples.map((sample) => sample.applied),
    ],
  };
}
