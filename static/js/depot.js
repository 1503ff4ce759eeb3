// A file into the depot with its progress: fetch tells nothing of an upload, so this is XHR.

const form = document.querySelector("form[data-upload]");
const part = (name) => form.querySelector(`[data-${name}]`);
const words = part("words").dataset;
const bar = form.querySelector("progress");
const button = form.querySelector("button[type=submit]");
let request = null;

const NAMES = [
  [/^Ascend-hdk-.+-npu-driver_/, "driver"], [/^Ascend-hdk-.+-npu-firmware_/, "firmware"],
  [/^Ascend-cann-toolkit_/, "cann"], [/\.rpm$/, "os-package"], [/^mindspore-.*\.whl$/, "mindspore"], [/\.whl$/, "wheel"],
]; // prettier-ignore

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (request) return;
  const file = form.elements.file.files[0];
  const type = form.elements.type.value || NAMES.find(([pattern]) => pattern.test(file.name))?.[1];
  if (!type) return fail(words.type);
  fail("");
  const body = new FormData();
  body.set("type", type);
  body.set("name", file.name);
  body.set("origin", "upload");
  for (const name of ["version", "expected_sha256"]) {
    const value = form.elements[name].value.trim();
    if (value) body.set(name, value);
  }
  body.set("file", file);
  send(body, type);
});

function send(body, type) {
  const began = performance.now();
  request = new XMLHttpRequest();
  request.open("POST", form.dataset.upload);
  request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  request.setRequestHeader("Accept", "application/json");
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = total ? (loaded / total) * 100 : 0;
    const rate = loaded / Math.max(0.001, (performance.now() - began) / 1000);
    part("said").textContent =
      loaded === total
        ? words.checking
        : words.sending
            .replace("{done}", size(loaded)).replace("{all}", size(total)).replace("{rate}", size(rate))
            .replace("{left}", Math.ceil((total - loaded) / rate)); // prettier-ignore
  };
  request.onload = () => {
    const answer = read(request.responseText);
    if (request.status === 201) window.location.assign(`${form.dataset.done}?type=${encodeURIComponent(answer.type ?? type)}#a${answer.id}`);
    else end(problem(answer, request.status));
  };
  request.onerror = () => end(words.lost);
  request.onabort = () => end(words.stopped);
  part("progress").hidden = part("stop").hidden = false;
  button.disabled = true;
  request.send(body);
}

part("stop").addEventListener("click", () => request?.abort());

function end(text) {
  request = null;
  button.disabled = false;
  part("progress").hidden = part("stop").hidden = true;
  bar.value = 0;
  fail(text);
}

function fail(text) {
  const box = part("failure");
  box.replaceChildren();
  if (!text) return;
  const line = document.createElement("p");
  line.className = "form-error";
  line.textContent = text;
  box.append(line);
}

/** A problem document as one line: what happened, then what to do. */
function problem(answer, status) {
  const fields = Object.entries(answer.errors ?? {}).map(([name, lines]) => `${name}: ${[lines].flat().join(" ")}`);
  const said = [answer.title, ...fields, answer.mend].filter(Boolean).join(" ");
  return said || words.refused.replace("{status}", status);
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function size(bytes) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (bytes < 1024) return `${bytes.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)} GiB`;
}
