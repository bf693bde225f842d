/* Who looks: the session there is, one by a link with a code, or one by the form. */

import { call } from "/assets/shared/api.js";
import { h, setText } from "/assets/shared/dom.js";

/**
 * A session: as it is, or once somebody has signed in.
 *
 * @param {string} reason why the form is shown, if it is.
 * @returns {Promise<object>} as `GET /api/session` tells it.
 */
export async function signIn(reason) {
    let problem = reason;
    const code = /^#code=(.+)$/.exec(location.hash)?.[1];
    if (code) {
        // It is good once; nobody is to find it in the browser's history.
        history.replaceState(null, "", "/#/");
        try {
            await call("POST", "/api/session", { code: decodeURIComponent(code) });
        } catch (error) {
            problem =
                error.status === 401
                    ? "The link was used already, or is too old. Ask for another with inletspy dashboard."
                    : error.message;
        }
    }
    if (problem === reason && !reason) {
        try {
            return await call("GET", "/api/session");
        } catch (error) {
            if (error.status !== 401) problem = error.message;
        }
    }
    return new Promise((resolve) => show(problem, resolve));
}

function show(problem, resolve) {
    document.title = "Sign in – inletspy";
    const token = h("input", {
        class: "input mono",
        id: "token",
        name: "token",
        type: "password",
        autocomplete: "current-password",
        spellcheck: "false",
        maxlength: "1024",
        required: true,
        "aria-describedby": "problem",
    });
    const button = h("button", { class: "button primary", type: "submit" }, "Sign in");
    const error = h("p", { class: "error", id: "problem", role: "alert" }, problem);
    let timer = 0;

    async function submit(event) {
        event.preventDefault();
        button.disabled = true;
        setText(error, "");
        try {
            await call("POST", "/api/session", { token: token.value.trim() });
            clearInterval(timer);
            resolve(await call("GET", "/api/session"));
            return;
        } catch (failure) {
            refused(failure);
        }
        token.focus();
        token.select();
    }

    function refused(failure) {
        if (failure.status === 401) setText(error, "This token is not good for signing in.");
        else setText(error, failure.message);
        if (!failure.wait) {
            button.disabled = false;
            return;
        }
        // The server would not look at another try before.
        let left = failure.wait;
        const count = () => {
            setText(button, left > 0 ? `Wait ${left} s` : "Sign in");
            button.disabled = left > 0;
            if (left <= 0) clearInterval(timer);
            left -= 1;
        };
        clearInterval(timer);
        timer = setInterval(count, 1000);
        count();
    }

    const form = h(
        "form",
        { class: "sign-in", on: { submit } },
        h("h1", {}, "inletspy"),
        h(
            "div",
            { class: "field" },
            h("label", { for: "token" }, "Token"),
            token,
            error,
        ),
        button,
        h(
            "p",
            { class: "hint" },
            "Or run ",
            h("code", {}, "inletspy dashboard"),
            " where your token is, and open the link that it prints.",
        ),
    );
    document.body.replaceChildren(h("main", { class: "sign-in-page" }, form));
    token.focus();
}
