/* Dialogs: the browser's own, which keep the focus, close at Escape and give it back. */

import { h, newId } from "./dom.js";

/**
 * Open a dialog over the page.
 *
 * @param {object} options
 *     `title`: its heading;
 *     `content`: nodes;
 *     `actions`: buttons, the first one to the left;
 *     `submit`: makes it a form, and is called with its FormData at submission; the dialog
 *         closes when that has ended well, else shows what went wrong;
 *     `wide`, `onClose`.
 * @returns {HTMLDialogElement} open; `close()` ends it.
 */
export function dialog({ title, content, actions, submit, wide = false, onClose }) {
    const id = newId("dialog");
    const error = h("p", { class: "error", role: "alert", hidden: true });
    const parts = [
        h("h2", { id, tabindex: "-1" }, title),
        content,
        error,
        h("div", { class: "actions" }, actions ?? closeButton("Close")),
    ];
    const inner = submit
        ? h("form", { on: { submit: submitted } }, parts)
        : h("div", { class: "inner" }, parts);
    const element = h(
        "dialog",
        {
            class: wide ? "dialog wide" : "dialog",
            "aria-labelledby": id,
            on: {
                close: () => {
                    element.remove();
                    onClose?.();
                },
                // On what is behind it, which is the dialog's own as far as events go.
                mousedown: (event) => event.target === element && element.close(),
            },
        },
        inner,
    );

    async function submitted(event) {
        event.preventDefault();
        const busy = [...inner.querySelectorAll("button[type=submit]")];
        for (const button of busy) button.disabled = true;
        error.hidden = true;
        try {
            await submit(new FormData(inner), element);
            element.close();
        } catch (problem) {
            error.textContent = problem.message;
            error.hidden = false;
        } finally {
            for (const button of busy) button.disabled = false;
        }
    }

    document.body.append(element);
    element.showModal();
    return element;
}

/** A button that closes the dialog it is in. */
export function closeButton(label = "Cancel") {
    const click = (event) => event.target.closest("dialog").close();
    return h("button", { class: "button", type: "button", on: { click } }, label);
}

/** A button that submits the dialog it is in. */
export function submitButton(label, { danger = false } = {}) {
    const look = danger ? "button primary danger" : "button primary";
    return h("button", { class: look, type: "submit" }, label);
}

/**
 * Ask before something that can't be undone.
 *
 * @param {object} options `title`; `text`: what will happen, a text or nodes; `action`:
 *     the label of the button that does it; `run`: does it, and may throw.
 */
export function ask({ title, text, action, run }) {
    return dialog({
        title,
        content: h("p", {}, text),
        actions: [closeButton(), submitButton(action, { danger: true })],
        submit: run,
    });
}
