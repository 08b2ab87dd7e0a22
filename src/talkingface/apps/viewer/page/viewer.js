// The page of `talkingface view`. It keeps the state of all controls and asks for the picture of the newest state, never
// for older ones: at most IN_FLIGHT requests are open, and the server drops all but the last that waits.

const IN_FLIGHT = 3;
const TURN = 0.008; // radians a pixel
const KEY_TURN = Math.PI / 60;
const KEY_PAN = 0.03; // heights of the picture
const ZOOM_STEP = 1.1;
const WHEEL_STEP = 100; // what browsers call one step of a wheel
const RATE_MS = 1000;

const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const turned = (angle) => angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));

const canvas = $("picture");
const paper = canvas.getContext("2d", { alpha: false });
const page = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const REST = { yaw: 0, pitch: 0, roll: 0, zoom: 1, pan_x: 0, pan_y: 0, fov: null };
const state = {
  frame: 0, added: {}, closure: null, still: false, view: { ...REST, settings: {} }, depth: false, background: null,
  size: null, landmarks: null,
};
let facts = null;
let voice = null;
let playing = false;
let began = 0; // performance.now() of frame 0 while there is no sound
let wanted = 0; // counts changes of the state
let asked = 0; // the change that was asked for last
let shown = -1; // the number of the picture on the page
let number = 0;
let open = 0;
const drawn = []; // when pictures appeared, in the last second
let drawMs = 0;

// --- pictures ---

function change() {
  wanted += 1;
  ask();
}

async function ask() {
  if (!facts || open >= IN_FLIGHT || asked === wanted) return;
  asked = wanted;
  open += 1;
  const mine = number++;
  try {
    const answer = await fetch("frame", { method: "POST", body: JSON.stringify({ ...wish(), page, number: mine }) });
    if (answer.status === 200) {
      const picture = await createImageBitmap(await answer.blob());
      if (mine > shown) show(picture, mine, answer.headers.get("Server-Timing"));
      picture.close();
    } else if (answer.status !== 204) {
      say(await answer.text());
    }
  } catch {
    say("The program does not answer; start talkingface view again and open the address that it prints.");
    pause();
  } finally {
    open -= 1;
    ask();
  }
}

function wish() {
  const view = Object.fromEntries(Object.entries(state.view).filter(([, value]) => value !== null));
  const landmarks = state.landmarks === "shown" ? state.frame : state.landmarks;
  return { ...state, view, landmarks };
}

function show(picture, mine, timing) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  paper.drawImage(picture, 0, 0);
  shown = mine;
  drawMs = Number(/draw;dur=([\d.]+)/.exec(timing ?? "")?.[1] ?? 0);
  drawn.push(performance.now());
  say("");
}

function say(text) {
  if ($("message").textContent !== text) $("message").textContent = text;
}

function tell() {
  const now = performance.now();
  while (drawn.length && drawn[0] < now - RATE_MS) drawn.shift();
  $("rate").textContent = drawn.length ? `${drawn.length} frames/s, ${drawMs.toFixed(0)} ms to draw one` : "at rest";
}

// --- time ---

function seconds() {
  if (!playing) return state.frame / facts.fps;
  return voice ? voice.currentTime : (performance.now() - began) / 1000;
}

function seek(frame) {
  state.frame = clamp(Math.round(frame), 0, facts.frames - 1);
  began = performance.now() - (1000 * state.frame) / facts.fps;
  if (voice) voice.currentTime = state.frame / facts.fps;
  tellTime();
  change();
}

function tellTime() {
  const text = `${(state.frame / facts.fps).toFixed(2)} s, frame ${state.frame}`;
  $("time").value = state.frame;
  $("time").setAttribute("aria-valuetext", text);
  $("clock").textContent = text;
}

async function play() {
  if (state.frame >= facts.frames - 1) seek(0);
  began = performance.now() - (1000 * state.frame) / facts.fps;
  playing = true;
  tellPlaying();
  if (voice) {
    try {
      await voice.play();
    } catch (error) {
      if (error.name !== "AbortError") {
        say(`The sound cannot be played (${error.message}).`);
        pause();
      }
    }
  }
  requestAnimationFrame(tick);
}

function pause() {
  playing = false;
  voice?.pause();
  tellPlaying();
}

function tellPlaying() {
  $("play").textContent = playing ? "Stop" : "Play";
}

function tick() {
  if (!playing) return;
  const frame = Math.floor(seconds() * facts.fps + 1e-3);
  if (frame >= facts.frames || voice?.ended) {
    if (!$("loop").checked) {
      state.frame = facts.frames - 1;
      tellTime();
      change();
      pause();
      return;
    }
    seek(0);
    voice?.play().catch(() => pause());
  } else if (frame !== state.frame) {
    state.frame = frame;
    tellTime();
    change();
  }
  requestAnimationFrame(tick);
}

// --- camera ---

const CAMERA = [
  { name: "yaw", label: "Turn", low: -180, high: 180, unit: "°", shown: (v) => (180 * v) / Math.PI, taken: (v) => (v * Math.PI) / 180 },
  { name: "pitch", label: "Nod", low: -180, high: 180, unit: "°", shown: (v) => (180 * v) / Math.PI, taken: (v) => (v * Math.PI) / 180 },
  { name: "roll", label: "Lean", low: -180, high: 180, unit: "°", shown: (v) => (180 * v) / Math.PI, taken: (v) => (v * Math.PI) / 180 },
  { name: "zoom", label: "Zoom", low: -3, high: 3, step: 0.05, unit: "×", shown: Math.log2, taken: (v) => 2 ** v, text: (v) => v.toFixed(2) },
  { name: "fov", label: "Field of view", low: 5, high: 90, unit: "°", shown: (v) => (v === null ? 5 : (180 * v) / Math.PI), taken: (v) => (v * Math.PI) / 180 },
];
let dials = 0;

function dial({ label, low, high, step = 1, opposite = "" }, took) {
  const box = document.createElement("div");
  const name = document.createElement("label");
  const input = document.createElement("input");
  const value = Object.assign(document.createElement("span"), { className: "value" });
  input.type = "range";
  Object.assign(input, { min: low, max: high, step, id: `dial-${dials++}` });
  name.htmlFor = input.id;
  value.setAttribute("aria-hidden", "true"); // said by aria-valuetext
  const ends = (opposite ? [opposite, label] : [label]).map((text) => Object.assign(document.createElement("span"), { textContent: text }));
  if (opposite) {
    name.append(ends[0], value, ends[1]);
    input.setAttribute("aria-label", `${opposite} or ${label}`);
  } else {
    name.append(ends[0], value);
  }
  box.className = opposite ? "dial opposed" : "dial";
  box.append(name, input);
  input.addEventListener("input", () => took(Number(input.value)));
  const set = (number, text) => {
    input.value = number;
    value.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  return { box, input, set };
}

function tellCamera() {
  for (const part of CAMERA) {
    const value = state.view[part.name];
    const number = part.shown(value);
    const text = value === null ? "as filmed" : `${part.text ? part.text(value) : number.toFixed(0).replace("-", "−")}${part.unit}`;
    part.dial.set(number, text);
  }
}

function look(changes) {
  Object.assign(state.view, changes);
  const view = state.view;
  for (const name of ["yaw", "pitch", "roll"]) view[name] = turned(view[name]);
  view.zoom = clamp(view.zoom, 1 / facts.most_zoom, facts.most_zoom);
  for (const name of ["pan_x", "pan_y"]) view[name] = clamp(view[name], -5, 5);
  tellCamera();
  change();
}

const orbit = (dx, dy) => look({ yaw: state.view.yaw + dx, pitch: state.view.pitch - dy });
const pan = (dx, dy) => look({ pan_x: state.view.pan_x + dx, pan_y: state.view.pan_y + dy });
const zoom = (factor) => look({ zoom: state.view.zoom * factor });

const pointers = new Map();

canvas.addEventListener("pointerdown", (event) => {
  if (event.button === 2) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, moves: event.button === 1 || event.shiftKey });
});

canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const height = canvas.clientHeight || 1;
  const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
  if (pointers.size === 2) {
    const [other] = [...pointers.entries()].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const apart = (place) => Math.hypot(place.x - other.x, place.y - other.y) || 1;
    const factor = apart({ x: event.clientX, y: event.clientY }) / apart(before);
    pan(dx / 2 / height, dy / 2 / height);
    zoom(factor);
  } else if (before.moves) {
    pan(dx / height, dy / height);
  } else {
    orbit(TURN * dx, TURN * dy);
  }
  Object.assign(before, { x: event.clientX, y: event.clientY });
});

for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
}
canvas.addEventListener("auxclick", (event) => event.preventDefault());
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const step = event.deltaMode === 0 ? event.deltaY / WHEEL_STEP : event.deltaY / 3;
  zoom(ZOOM_STEP ** -clamp(step, -3, 3));
}, { passive: false });

const KEYS = {
  ArrowLeft: (shift) => (shift ? pan(-KEY_PAN, 0) : orbit(-KEY_TURN, 0)),
  ArrowRight: (shift) => (shift ? pan(KEY_PAN, 0) : orbit(KEY_TURN, 0)),
  ArrowUp: (shift) => (shift ? pan(0, -KEY_PAN) : orbit(0, -KEY_TURN)),
  ArrowDown: (shift) => (shift ? pan(0, KEY_PAN) : orbit(0, KEY_TURN)),
  "+": () => zoom(ZOOM_STEP),
  "=": () => zoom(ZOOM_STEP),
  "-": () => zoom(1 / ZOOM_STEP),
  q: () => look({ roll: state.view.roll - KEY_TURN }),
  e: () => look({ roll: state.view.roll + KEY_TURN }),
  0: () => look({ ...REST }),
  Home: () => look({ ...REST }),
  " ": () => (playing ? pause() : play()),
  ",": () => { pause(); seek(state.frame - 1); },
  ".": () => { pause(); seek(state.frame + 1); },
};

canvas.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(event.shiftKey);
});

// --- controls ---

function makeControls() {
  for (const part of CAMERA) {
    part.dial = dial(part, (value) => look({ [part.name]: part.taken(value) }));
    $("camera").append(part.dial.box);
  }
  $("reset").addEventListener("click", () => look({ ...REST }));

  const moved = facts.movements.map((movement) => {
    const { column, negative, positive } = movement;
    const made = dial({ label: positive, opposite: negative, low: -3, high: 3, step: 0.05 }, (value) => {
      state.added[column] = value;
      made.set(value, signed(value));
      change();
    });
    made.set(0, signed(0));
    $("face").append(made.box);
    return made;
  });
  const eyes = dial({ label: "Eyes closed", low: 0, high: 100 }, (value) => {
    state.closure = value / 100;
    $("blinks").checked = false;
    eyes.set(value, `${value} %`);
    change();
  });
  eyes.set(0, "as in the motion");
  $("eyes").append(eyes.box);
  const release = () => {
    state.closure = $("blinks").checked ? null : Number(eyes.input.value) / 100;
    eyes.set(eyes.input.value, state.closure === null ? "as in the motion" : `${eyes.input.value} %`);
    change();
  };
  $("blinks").addEventListener("change", release);
  $("moves").addEventListener("change", () => { state.still = !$("moves").checked; change(); });
  $("neutral").addEventListener("click", () => {
    state.added = {};
    for (const made of moved) made.set(0, signed(0));
    $("blinks").checked = true;
    $("moves").checked = true;
    state.still = false;
    eyes.input.value = 0;
    release();
  });

  for (const each of document.getElementsByName("what")) {
    each.addEventListener("change", () => { state.depth = each.value === "depth" && each.checked; change(); });
  }
  $("colours").hidden = !facts.colours;
  const paint = () => { state.background = $("coloured").checked ? $("colour").value : null; change(); };
  $("coloured").addEventListener("change", paint);
  $("colour").addEventListener("change", () => { $("coloured").checked = true; paint(); });

  const own = Math.max(...facts.size);
  const sizes = [...new Set([192, 256, 384, 512, 768, 1024, own])].filter((size) => size >= facts.sizes[0] && size <= facts.sizes[1]);
  for (const size of sizes.sort((a, b) => a - b)) $("size").append(new Option(`${size} px`, size, size === own, size === own));
  $("size").addEventListener("change", () => { state.size = Number($("size").value) === own ? null : Number($("size").value); change(); });

  $("marks").hidden = !facts.landmarks;
  $("marked").max = facts.frames - 1;
  const mark = () => {
    const chosen = $("marked").value === "" ? "shown" : clamp(Math.round(Number($("marked").value)), 0, facts.frames - 1);
    state.landmarks = $("landmarks").checked ? chosen : null;
    change();
  };
  $("landmarks").addEventListener("change", mark);
  $("marked").addEventListener("input", () => { $("landmarks").checked = true; mark(); });

  $("renderer").hidden = !facts.settings.length;
  for (const { name, low, high, default: usual, whole } of facts.settings) {
    const text = (value) => (whole ? String(value) : value.toFixed(2));
    const made = dial({ label: name, low, high, step: whole ? 1 : (high - low) / 200 }, (value) => {
      state.view.settings[name] = value;
      made.set(value, text(value));
      change();
    });
    made.set(usual, text(usual));
    $("settings").append(made.box);
  }

  $("play").addEventListener("click", () => (playing ? pause() : play()));
  $("time").max = facts.frames - 1;
  $("time").addEventListener("input", () => seek(Number($("time").value)));
  $("loud").hidden = !facts.sound;
  if (facts.sound) {
    voice = new Audio("voice.wav");
    voice.preload = "auto";
    $("sound").addEventListener("change", () => { voice.muted = !$("sound").checked; });
  }
}

const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)}`;

async function start() {
  try {
    facts = await (await fetch("facts.json")).json();
  } catch {
    say("The program does not answer; start talkingface view again and open the address that it prints.");
    return;
  }
  $("state").textContent = `· ${facts.system}, ${facts.frames} frames at ${facts.fps} a second`;
  [canvas.width, canvas.height] = facts.size;
  makeControls();
  tellCamera();
  tellTime();
  setInterval(tell, 250);
  change();
}

start();
