/* What stands where no request does: how to sign in, and what to open. */

import { ApiError, call } from "../shared/api.js";
import { command } from "../shared/copy.js";
import { h, newId, outside, foreign } from "../shared/dom.js";

/**
 * Exchange the token of a link for a session.
 *
 * @throws {ApiError} it is not this client's, or the client does not answer.
 */
export async function signIn(token) {
    await call("POST", "/api/session", { token });
}

/** The token in an address or its fragment, or the text itself. */
export function tokenIn(text) {
    const found = /#(?:.*&)?token=([^&]+)/.exec(text);
    if (!found) return text.trim();
    try {
        return decodeURIComponent(found[1]);
    } catch {
        return found[1];
    }
}

/** The page for those without a session. `onSignedIn` is called when they have one. */
export function signInPage(onSignedIn, problem = "") {
    const id = newId("link");
    const error = h("p", { class: "error", role: "alert", hidden: !problem }, problem);
    const input = h("input", {
        class: "input mono",
        id,
        type: "password",
        autocomplete: "off",
        spellcheck: "false",
        required: true,
    });
    const submit = async (event) => {
        event.preventDefault();
        error.hidden = true;
        try {
            await signIn(tokenIn(input.value));
            onSignedIn();
        } catch (failure) {
            if (!(failure instanceof ApiError)) throw failure;
            error.textContent = failure.message;
            error.hidden = false;
        }
    };
    return h(
        "main",
        { class: "sign-in" },
        h("h1", {}, "Inspector"),
        h("p", { class: "soft" }, "Open the inspector’s link as the tunnel shows it in its terminal: the link has the key."),
        h(
            "form",
            { class: "stack-tight", on: { submit } },
            h("div", { class: "field" }, h("label", { for: id }, "Or paste it here"), input),
            error,
            h("button", { class: "button primary", type: "submit" }, "Open"),
        ),
    );
}

/** What to do while there is no request yet. */
export function nothingYet(services) {
    const web = services.filter(({ public_url: url }) => /^https?:/i.test(url ?? ""));
    return h(
        "div",
        { class: "empty" },
        h("h2", {}, "Waiting for the first request"),
        web.length > 0
            ? h("p", {}, "Open the public address, and what comes in is seen here:")
            : h("p", {}, "What comes in through the tunnel is seen here."),
        web.map(({ public_url: url }) => [
            h("p", { class: "address" }, outside(url, foreign(url))),
            command(`curl -i ${url}`, { label: "Copy the command" }),
        ]),
    );
}

/** What to do while no request is chosen. */
export function noneChosen() {
    const key = (name) => h("kbd", {}, name);
    return h(
        "div",
        { class: "empty" },
        h("p", {}, "Choose a request to see what was asked and answered."),
        h("p", { class: "faint keys-hint" }, key("j"), " and ", key("k"), " go through them, ", key("/"), " searches, ", key("?"), " shows all keys."),
    );
}
