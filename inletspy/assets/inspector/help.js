/* What the keys do, and whether single ones do anything. */

import { dialog } from "../shared/dialog.js";
import { h } from "../shared/dom.js";

const STORED = "inletspy-inspector-keys";

const KEYS = [
    [["j", "k"], "Next and previous request; ↓ and ↑ within the list"],
    [["Enter"], "To the details of the request"],
    [["Esc"], "Back to the list"],
    [["1", "…", "4"], "Its tabs: request, response, and so on"],
    [["r"], "Replay it as it was"],
    [["e"], "Edit and replay"],
    [["c"], "Copy it as curl"],
    [["p"], "Pin it, or let it go"],
    [["/"], "Search"],
    [["?"], "This help"],
];

/** Whether single keys act. Those who speak or slip may not want it (WCAG 2.1.4). */
export function keysAct() {
    try {
        return localStorage.getItem(STORED) !== "off";
    } catch {
        return true; // storage is not allowed: nothing was chosen
    }
}

function store(isOn) {
    try {
        localStorage.setItem(STORED, isOn ? "on" : "off");
    } catch {
        // It holds for nobody then; the checkbox says what was tried.
    }
}

/** Show the help. */
export function showHelp() {
    const on = { change: (event) => store(event.target.checked) };
    const rows = KEYS.map(([keys, text]) =>
        h("div", {}, h("dt", {}, keys.map((key) => h(key === "…" ? "span" : "kbd", {}, key))), h("dd", {}, text)),
    );
    dialog({
        title: "Keys",
        content: [
            h("dl", { class: "keys" }, rows),
            h(
                "label",
                { class: "check" },
                h("input", { type: "checkbox", checked: keysAct(), on }),
                "Single keys act (? always does)",
            ),
        ],
    });
}
