"""The server's page in a browser."""

from __future__ import annotations

from tests.browser.support import BrowserTestCase
from tests.system.processes import ServerProcess


class PageTests(BrowserTestCase):
    async def test_is_for_everybody_to_read(self) -> None:
        server = ServerProcess(self)
        await server.start()
        for scheme in ("light", "dark"):
            page = await self.page(server.status_url, color_scheme=scheme)
            await self.assert_accessible(page)
