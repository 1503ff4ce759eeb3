// Whether something on the page would be lost with it.

/** Somebody has typed or ticked something that was not sent yet. */
export function typedIn() {
  const fields = [...document.querySelectorAll("main form[method=post] :is(input, textarea)")];
  return fields.some((field) =>
    ["checkbox", "radio"].includes(field.type) ? field.checked !== field.defaultChecked : field.value !== field.defaultValue,
  );
}

/** The page is the answer to a form: a plan, a refusal. Its address alone does not lead back to it. */
export function posted() {
  return "posted" in document.body.dataset;
}
