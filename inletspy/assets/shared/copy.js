/* Copying: also where the page came by plain http, which has no clipboard of its own. */

import { announce, h } from "./dom.js";
import { icon } from "./icons.js";

/** Put a text on the clipboard; tells whether that went well. */
export async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        return copyOld(text);
    }
}

function copyOld(text) {
    const area = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
    const focused = document.activeElement;
    // Within a modal dialog, nothing outside it can be selected.
    const place = focused?.closest("dialog") ?? document.body;
    area.value = text;
    place.append(area);
    area.select();
    let done = false;
    try {
        done = document.execCommand("copy");
    } catch {
        // It is not allowed: then that is what is told.
    }
    area.remove();
    focused?.focus();
    return done;
}

async function given(text) {
    return typeof text === "function" ? text() : text;
}

/**
 * A button that copies, and says so for a moment.
 *
 * @param {string|function} text to copy, or gives it, at once or as a promise.
 * @param {object} options `label`: what is copied, for those who listen; `small`: a sign
 *     in place of a word; `word`: another word than "Copy".
 */
export function copyButton(text, { label = "Copy", small = false, word = "Copy" } = {}) {
    const states = small
        ? { ready: icon("copy"), done: icon("done"), failed: icon("close") }
        : { ready: word, done: "Copied", failed: "Failed" };
    const spans = Object.fromEntries(
        Object.entries(states).map(([name, shown]) => [
            name,
            h("span", { "aria-hidden": small ? "true" : null }, shown),
        ]),
    );
    let timer = 0;
    const show = (state) => {
        for (const [name, span] of Object.entries(spans)) {
            span.toggleAttribute("data-on", name === state);
        }
    };
    const click = async (event) => {
        event.stopPropagation();
        const done = await given(text).then(copy, () => false);
        show(done ? "done" : "failed");
        announce(done ? "Copied" : "It could not be copied");
        clearTimeout(timer);
        timer = setTimeout(show, 1500, "ready");
    };
    show("ready");
    return h(
        "button",
        {
            class: small ? "button icon" : "button",
            type: "button",
            title: small ? label : null,
            "aria-label": label,
            on: { click },
        },
        h("span", { class: "either" }, Object.values(spans)),
    );
}

/** Something to type, with a button that copies it. */
export function command(text, { label = "Copy", wrap = false } = {}) {
    return h(
        "div",
        { class: wrap ? "command wrap" : "command" },
        h("code", wrap ? {} : { tabindex: "0", role: "group", "aria-label": "Command" }, text),
        copyButton(text, { label }),
    );
}
