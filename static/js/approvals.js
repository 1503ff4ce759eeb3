// The inbox follows the fleet: it is taken again when a job was proposed, or is no longer.

import { keepFresh } from "./live.js";

keepFresh({ socketUrl: "/ws/fleet", wants: (frame) => frame.type === "job" });
