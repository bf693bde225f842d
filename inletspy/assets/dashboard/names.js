/* Reserved names: names that one user alone may serve. */

import { call, path } from "/assets/shared/api.js";
import { ask, closeButton, dialog, submitButton } from "/assets/shared/dialog.js";
import { foreign, h } from "/assets/shared/dom.js";
import { button, failure, field, moment, panel, table } from "/assets/dashboard/pieces.js";

/** The view of reserved names, for admins. */
export function namesView(app) {
    const list = table({
        label: "Reserved names",
        key: ({ name }) => name,
        empty: "No name is reserved. Any user may take any that begins with the own prefix.",
        columns: [
            { title: "Name", cell: ({ name }) => foreign(name, { class: "strong" }) },
            { title: "User", cell: ({ user }) => foreign(user) },
            { title: "Since", cell: (row) => moment(row.created_at) },
            {
                title: "Release",
                bare: true,
                cell: (row) => button("Release", () => release(row), { look: "quiet danger" }),
            },
        ],
    });
    const content = h("div", {}, list.element);

    async function load() {
        try {
            const { names } = await call("GET", "/api/names");
            list.update(names);
            content.replaceChildren(list.element);
        } catch (error) {
            content.replaceChildren(h("div", { class: "inner" }, failure(error, load)));
        }
    }

    async function reserve() {
        const { users } = await call("GET", "/api/users");
        const name = h("input", { class: "input mono", name: "name", required: true, maxlength: "253", autocomplete: "off", spellcheck: "false" });
        const user = h("select", { class: "input", name: "user", required: true }, users.map((each) => h("option", { value: each.name }, each.name)));
        dialog({
            title: "Reserve a name",
            content: [
                field("Name", name, `Under ${app.session.base_domain}, like shop, or a whole hostname elsewhere.`),
                field("User", user),
            ],
            actions: [closeButton(), submitButton("Reserve")],
            submit: async (data) => {
                await call("POST", "/api/names", { name: data.get("name").trim(), user: data.get("user") });
                await load();
            },
        });
    }

    const release = (row) =>
        ask({
            title: "Reserve this name no longer?",
            text: ["Others may have ", h("strong", {}, foreign(row.name)), " from then on."],
            action: "Release",
            run: async () => {
                await call("DELETE", path("api", "names", row.name));
                await load();
            },
        });

    load();
    return {
        title: "Reserved names",
        element: h(
            "div",
            { class: "limited" },
            h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Reserved names"), h("div", { class: "end" }, button("Reserve a name", reserve))),
            h("div", { class: "panel" }, content),
        ),
    };
}
