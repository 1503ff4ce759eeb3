// The New job page: choosing machines among many.

import { Picker } from "./picker.js";

for (const box of document.querySelectorAll("[data-targets]")) new Picker(box);
