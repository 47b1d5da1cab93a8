"""The control API as a test uses it."""

from __future__ import annotations

from typing import Any

import httpx

from shanraq.simulators.visa import VisaSimulator


class Control:
    """Drives a simulator over its control API."""

    def __init__(self, simulator: VisaSimulator, token: str) -> None:
        self.base_url = simulator.base_url
        self.token = token

    async def send(self, method: str, path: str, body: object = None, *, status: int = 200) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=self.base_url, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {self.token}"}
            reply = await http.request(method, f"/__sim/{path}", json=body, headers=headers)
        assert reply.status_code == status, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        return await self.send("GET", path)

    async def post(self, path: str, body: object = None, *, status: int = 200) -> dict[str, Any]:
        return await self.send("POST", path, body, status=status)

    async def put(self, path: str, body: object) -> dict[str, Any]:
        return await self.send("PUT", path, body)
