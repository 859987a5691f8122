// The page of the viewer: a list of cases, NiiVue's canvas, and what switches its layers. Cases come from the server of
// `hybridseg view`, or from scripts beside a page that is opened from a disk.
"use strict";

const $ = (id) => document.getElementById(id);
const LAYERS = { image: "Image", prediction: "Prediction", reference: "Reference" };
const VIEWS = { "Planes + 3D": 3, Axial: 0, Coronal: 1, Sagittal: 2, "3D": 4 };
const OPACITY = { image: 1, prediction: 0.45, reference: 0.9 };
const WHITER = 0.75; // how far the colours of the reference are mixed with white

/** Make an element with properties and children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Cases from the server, by URLs relative to the page. */
const server = {
  async get(path) {
    const answer = await fetch(path);
    if (answer.ok) return answer;
    throw new Error(answer.status === 422 ? (await answer.json()).error : "hybridseg view does not answer any more");
  },
  async overview() { return (await this.get("cases")).json(); },
  async details(index) { return (await this.get(`cases/${index}`)).json(); },
  async volume(index, name) {
    const answer = await this.get(`cases/${index}/${name}`);
    return { content: await answer.arrayBuffer(), windows: JSON.parse(answer.headers.get("X-Windows") ?? "[]") };
  },
  async note(index, note) {
    const answer = await fetch(`cases/${index}/note`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(note),
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    return told;
  },
};

/** Cases from scripts in the folder of the page: browsers refuse it to read files, but not to run scripts. */
const folder = {
  cases: new Map(),
  async overview() { return globalThis.hybridsegOverview; },
  async load(index) {
    if (!this.cases.has(index)) {
      await new Promise((done, failed) => {
        globalThis.hybridsegCase = (found) => {
          this.cases.clear(); // one is enough: they may be large
          this.cases.set(index, found);
        };
        document.head.append(element("script", {
          src: `cases/${index}.js`, onload: done, onerror: () => failed(new Error(`cases/${index}.js: cannot be read`)),
        }));
      });
    }
    const found = this.cases.get(index);
    if (found.error) throw new Error(found.error);
    return found;
  },
  async details(index) { return (await this.load(index)).details; },
  async volume(index, name) {
    const { content, windows } = (await this.load(index)).volumes[name];
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return { content: await new Response(unzipped).arrayBuffer(), windows };
  },
};

const source = globalThis.hybridsegOverview ? folder : server;
const nv = new niivue.Niivue({
  backColor: [0, 0, 0, 1],
  crosshairColor: [0.49, 0.75, 0.96, 0.55],
  crosshairWidth: 0.3,
  crosshairWidthUnit: "percent",
  fontColor: [0.7, 0.74, 0.78, 1],
  fontSizeScaling: 0.3,
  isRadiologicalConvention: true,
  sagittalNoseLeft: true,
  multiplanarShowRender: 1,
  multiplanarLayout: 2,
  multiplanarPadPixels: 6,
  dragAndDropEnabled: false,
  isOrientCube: false,
  viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
  logLevel: "error",
  loadingText: "",
});

const state = {
  overview: null, index: -1, details: null, shown: { image: true, prediction: true, reference: true },
  opacity: { ...OPACITY }, hidden: new Set(), windows: [], preset: 0, channel: 0, loading: 0,
};

const volumeOf = (layer) => nv.volumes.findIndex((volume) => volume.hybridsegLayer === layer);

/** The colour table of a label map, whose label 1 is the first of the list; hidden labels are clear. */
function colours(layer) {
  const labels = state.details.labels;
  const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
  labels.forEach(({ name, colour }, at) => {
    const white = layer === "reference" ? WHITER : 0;
    const [r, g, b] = [1, 3, 5].map((i) => Math.round(parseInt(colour.slice(i, i + 2), 16) * (1 - white) + 255 * white));
    table.R.push(r); table.G.push(g); table.B.push(b);
    table.A.push(state.hidden.has(name) ? 0 : 255);
    table.I.push(at + 1); table.labels.push(name);
  });
  return table;
}

async function loadVolume(index, layer, name) {
  const { content, windows } = await source.volume(index, name);
  const load = () => niivue.NVImage.loadFromFile({ file: new File([content], `${name}.nii`), name: `${name}.nii` });
  const volume = await load();
  volume.hybridsegLayer = layer;
  if (layer === "reference") {
    volume.hybridsegWhole = await load();
    keepOutlines(volume.img, volume.hdr);
  }
  return { volume, windows };
}

/** Clear the voxels of labels whose neighbours have the same label; thick slices are not compared with each other. */
function keepOutlines(labels, { dims, pixDims }) {
  const whole = labels.slice();
  const [, width, height, depth] = dims;
  const spacing = Array.from(pixDims).slice(1, 4);
  const steps = [1, width, width * height].filter((_, axis) => spacing[axis] <= 2 * Math.min(...spacing));
  for (let z = 1, last = depth - 1; z < last; z++) {
    for (let y = 1; y < height - 1; y++) {
      for (let x = 1, at = (z * height + y) * width + 1; x < width - 1; x++, at++) {
        const label = whole[at];
        if (label && steps.every((step) => whole[at - step] === label && whole[at + step] === label)) labels[at] = 0;
      }
    }
  }
}

/** Show a case: its labels and volumes, at the centre of its first label. */
async function show(index) {
  const turn = ++state.loading;
  const name = state.overview.cases[index].name;
  Object.assign(state, { index, channel: 0, preset: 0 });
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  $("name").textContent = name;
  $("place").textContent = `${index + 1} of ${state.overview.cases.length}`;
  markCurrent();
  showNote();
  tell("Loading …");
  try {
    const details = await source.details(index);
    const images = await Promise.all(
      details.layers.map((layer) => loadVolume(index, layer, layer === "image" ? "image-0" : layer)),
    );
    if (turn !== state.loading) return; // another case was chosen meanwhile
    state.details = details;
    state.windows = images[0].windows;
    nv.volumes = [];
    for (const { volume } of images) {
      if (volume.hybridsegLayer !== "image") volume.setColormapLabel(colours(volume.hybridsegLayer));
      nv.addVolume(volume);
    }
    showLayers();
    showChannels();
    showLabels();
    usePreset(0);
    applyOpacity();
    const centre = details.labels.find((label) => label.centre)?.centre;
    if (centre) moveTo(centre);
    else nv.createOnLocationChange();
    tell(details.missing);
    document.body.dataset.shown = name;
  } catch (error) {
    if (turn !== state.loading) return;
    nv.volumes = [];
    nv.drawScene();
    Object.assign(state, { details: null, windows: [] });
    for (const id of ["layers", "labels", "presets", "position"]) $(id).replaceChildren();
    tell(error.message, true);
    document.body.dataset.shown = name;
  }
}

function tell(text, isError = false) {
  $("message").textContent = text;
  $("message").className = isError ? "error" : "";
  if (text && !isError && text !== "Loading …") setTimeout(() => $("message").textContent === text && tell(""), 4000);
}

function moveTo(mm) {
  nv.scene.crosshairPos = nv.mm2frac(mm);
  nv.createOnLocationChange();
  nv.drawScene();
}

function applyOpacity() {
  for (const layer of Object.keys(LAYERS)) {
    const at = volumeOf(layer);
    if (at >= 0) nv.setOpacity(at, state.shown[layer] ? state.opacity[layer] : 0);
  }
}

function showLayers() {
  $("layers").replaceChildren(...state.details.layers.map((layer) => {
    const box = element("input", { type: "checkbox", checked: state.shown[layer], id: `layer-${layer}` });
    box.addEventListener("change", () => { state.shown[layer] = box.checked; applyOpacity(); });
    const slider = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: state.opacity[layer] });
    slider.setAttribute("aria-label", `Opacity of ${layer}`);
    slider.addEventListener("input", () => { state.opacity[layer] = Number(slider.value); applyOpacity(); });
    const name = layer === "reference" ? "Reference (outline)" : LAYERS[layer];
    return element("div", { className: "row" }, element("label", {}, box, name), slider);
  }));
}

function toggleLayer(layer) { $(`layer-${layer}`)?.click(); }

function showChannels() {
  const count = state.details.channels;
  $("channels").hidden = count < 2;
  const options = Array.from({ length: count }, (_, at) => element("option", { value: at, textContent: at + 1 }));
  $("channel").replaceChildren(...options);
}

async function useChannel(channel) {
  const turn = ++state.loading;
  try {
    const { volume, windows } = await loadVolume(state.index, "image", `image-${channel}`);
    if (turn !== state.loading) return;
    state.windows = windows;
    const mm = nv.frac2mm(nv.scene.crosshairPos).slice(0, 3);
    const others = nv.volumes.slice(1);
    nv.volumes = [];
    for (const one of [volume, ...others]) nv.addVolume(one);
    usePreset(0);
    applyOpacity();
    moveTo(mm);
  } catch (error) {
    tell(error.message, true);
  }
}

function showPresets() {
  $("presets").replaceChildren(...state.windows.filter(({ name }) => name).map(({ name }, at) => {
    const button = element("button", { type: "button", textContent: name });
    button.setAttribute("aria-pressed", at === state.preset);
    button.addEventListener("click", () => usePreset(at));
    return button;
  }));
}

function usePreset(at) {
  state.preset = at;
  if (state.windows[at]) setWindow(state.windows[at].low, state.windows[at].high);
  showPresets();
}

function setWindow(low, high) {
  Object.assign(nv.volumes[0], { cal_min: low, cal_max: high });
  nv.updateGLVolume();
  showWindow();
}

function showWindow() {
  const { cal_min: low, cal_max: high } = nv.volumes[0];
  $("level").value = Number(((low + high) / 2).toPrecision(4));
  $("width").value = Number((high - low).toPrecision(4));
}

function typedWindow() {
  const [level, width] = [$("level").valueAsNumber, $("width").valueAsNumber];
  if (!(width > 0) || Number.isNaN(level) || !nv.volumes.length) return;
  state.preset = -1;
  setWindow(level - width / 2, level + width / 2);
  showPresets();
}

const volume = (ml) => (ml === undefined ? "" : ml >= 100 ? ml.toFixed(0) : ml >= 10 ? ml.toFixed(1) : ml.toFixed(2));

function showLabels() {
  const layers = state.details.layers.filter((layer) => layer !== "image");
  $("labels-section").hidden = !layers.length;
  const both = layers.length > 1;
  const headings = ["Label", ...layers.map((layer) => (both ? { prediction: "ml", reference: "ref. ml" }[layer] : "ml"))];
  if (both) headings.push("Dice");
  const rows = state.details.labels.map((label) => {
    const box = element("input", { type: "checkbox", checked: !state.hidden.has(label.name) });
    box.setAttribute("aria-label", `Show ${label.name}`);
    box.style.setProperty("--colour", label.colour);
    box.addEventListener("change", () => {
      if (box.checked) state.hidden.delete(label.name);
      else state.hidden.add(label.name);
      recolour();
    });
    const button = element("button", { type: "button", textContent: label.name, disabled: !label.centre });
    button.title = label.centre ? "Go to its centre" : "";
    button.addEventListener("click", () => moveTo(label.centre));
    const name = element("div", {}, box, button);
    name.style.display = "flex";
    const cells = layers.map((layer) => element("td", { textContent: volume(label.volumes[layer]) }));
    if (both) cells.push(element("td", { textContent: label.dice === null ? "–" : label.dice.toFixed(3) }));
    return element("tr", { className: label.centre ? "" : "absent" }, element("td", {}, name), ...cells);
  });
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col", textContent: text })));
  $("labels").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

function recolour() {
  for (const one of nv.volumes) {
    if (one.hybridsegLayer !== "image") one.setColormapLabel(colours(one.hybridsegLayer));
  }
  nv.updateGLVolume();
}

/** Say where the crosshair is, and what is there. */
nv.onLocationChange = ({ mm, values }) => {
  if (!state.details) return;
  const parts = [["mm", Array.from(mm).slice(0, 3).map((value) => value.toFixed(1)).join(", ")]];
  nv.volumes.forEach((one, at) => {
    const layer = one.hybridsegLayer;
    const whole = one.hybridsegWhole;
    const value = whole ? whole.getValue(...whole.mm2vox(mm)) : values[at]?.value;
    if (value === undefined) return;
    const text = layer === "image" ? Number(value.toPrecision(5)) : state.details.labels[Math.round(value) - 1]?.name ?? "none";
    parts.push([LAYERS[layer], text]);
  });
  $("position").replaceChildren(
    ...parts.map(([name, text]) => element("span", {}, element("b", { textContent: name }), String(text))),
  );
};
nv.onIntensityChange = () => { state.preset = -1; showPresets(); showWindow(); };

function showList() {
  const { cases, title } = state.overview;
  $("title").textContent = title;
  document.title = `${title} – hybridseg view`;
  const scored = cases.some(({ dice }) => dice !== null);
  const worst = scored ? ", lowest Dice first" : cases.some(({ remark }) => remark.endsWith(" z")) ? ", outliers first" : "";
  $("count").textContent = `${cases.length} case${cases.length > 1 ? "s" : ""}${worst}`;
  $("cases").replaceChildren(...cases.map(({ name, dice, remark, verdict, note }, index) => {
    const button = element("button", { type: "button", title: [name, note].filter(Boolean).join("\n") },
      element("span", { className: `name ${verdict}`, textContent: name }),
      element("span", { className: "dice", textContent: dice === null ? "" : dice.toFixed(3) }));
    if (remark) button.append(element("span", { className: "remark", textContent: remark }));
    button.addEventListener("click", () => show(index));
    return element("li", {}, button);
  }));
  filterList();
  markCurrent();
}

function filterList() {
  const wanted = $("search").value.toLowerCase();
  [...$("cases").children].forEach((item, index) => {
    item.hidden = !state.overview.cases[index].name.toLowerCase().includes(wanted);
  });
}

function markCurrent() {
  [...$("cases").children].forEach((item, index) => {
    item.firstChild.setAttribute("aria-current", index === state.index);
    if (index === state.index) item.scrollIntoView({ block: "nearest" });
  });
}

function step(by) {
  const visible = [...$("cases").children].map((item, at) => (item.hidden ? -1 : at)).filter((at) => at >= 0);
  const next = by > 0 ? visible.find((at) => at > state.index) : visible.findLast((at) => at < state.index);
  if (next !== undefined) show(next);
}

function showNote() {
  $("note").value = state.overview.cases[state.index].note;
  $("saved").textContent = "";
  showVerdict();
}

function showVerdict() {
  const { verdict } = state.overview.cases[state.index];
  $("accept").setAttribute("aria-pressed", verdict === "accepted");
  $("reject").setAttribute("aria-pressed", verdict === "rejected");
}

let saving = Promise.resolve();

/** Note a verdict, or take it back if it is given again; null keeps it. The text that was typed goes with it. */
function review(verdict) {
  const index = state.index;
  const one = state.overview.cases[index];
  const before = { verdict: one.verdict, note: one.note };
  const given = { verdict: verdict === null ? one.verdict : verdict === one.verdict ? "" : verdict, note: $("note").value };
  const mark = (noted, className, text) => {
    Object.assign(one, noted);
    showList();
    showVerdict();
    if (index === state.index) Object.assign($("saved"), { className, textContent: text });
  };
  mark(given, "quiet", "");
  saving = saving.then(() => source.note(index, given)).then( // one after the other, as they were given
    () => mark(one, "quiet", `Saved in ${state.overview.notes}`),
    (error) => mark(before, "error", `Not saved: ${error.message}`),
  );
}

const KEYS = {
  n: ["Next case", () => step(1)],
  p: ["Previous case", () => step(-1)],
  a: ["Accept", () => source.note && review("accepted")],
  r: ["Reject, then type why", () => source.note && (review("rejected"), $("note").focus())],
  i: ["Image on or off", () => toggleLayer("image")],
  l: ["Prediction on or off", () => toggleLayer("prediction")],
  o: ["Reference on or off", () => toggleLayer("reference")],
  w: ["Next window", () => state.windows.length && usePreset((state.preset + 1) % state.windows.length)],
  "1": ["to 5: planes and 3D, or one of them", () => $("views").children[0].click()],
};

function useView(name) {
  nv.setSliceType(VIEWS[name]);
  for (const button of $("views").children) button.setAttribute("aria-pressed", button.textContent === name);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input[type=search], input[type=number], textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const view = $("views").children[Number(event.key) - 1];
  const act = view ? () => view.click() : KEYS[event.key.toLowerCase()]?.[1];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}, true);

for (const name of Object.keys(VIEWS)) {
  const button = element("button", { type: "button", textContent: name });
  button.addEventListener("click", () => useView(name));
  $("views").append(button);
}
for (const [key, [text]] of Object.entries(KEYS)) {
  $("keys").append(element("dt", {}, element("kbd", { textContent: key.toUpperCase() })), element("dd", { textContent: text }));
}
$("search").addEventListener("input", filterList);
$("level").addEventListener("change", typedWindow);
$("width").addEventListener("change", typedWindow);
$("channel").addEventListener("change", () => useChannel(Number($("channel").value)));
$("accept").addEventListener("click", () => review("accepted"));
$("reject").addEventListener("click", () => review("rejected"));
$("note").addEventListener("change", () => review(null));
$("review").hidden = !source.note;

(async () => {
  try {
    await nv.attachToCanvas($("canvas"));
    useView("Planes + 3D");
    state.overview = await source.overview();
    showList();
    const named = decodeURIComponent(location.hash.slice(1));
    await show(Math.max(0, state.overview.cases.findIndex(({ name }) => name === named)));
  } catch (error) {
    tell(error.message, true);
  }
})();
