"""Gives programs the results of the jobs that theirs depend on: any replica can."""

from __future__ import annotations

from aiohttp import web

from qonverge.controller.kube.client import KubeError
from qonverge.controller.results.dependency_results import DependencyLost, DependencyResults
from qonverge.controller.web.callers import Callers
from qonverge.controller.web.output_routes import given
from qonverge.storage.objects import NoObject, StoreFailed
from qonverge.wire.errors import NotFound, Unauthorized, WireError


class InputRoutes:
    """The route, for the present attempts of jobs."""

    def __init__(self, callers: Callers, results: DependencyResults) -> None:
        """``callers`` are those that may ask."""
        self._callers = callers
        self._results = results

    def add_to(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_get("/v1/jobs/{namespace}/{name}/inputs/{dependency}", self._answer, allow_head=False)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._give(request)
        except Unauthorized as error:
            return _refusal(401, error)
        except PermissionError as error:
            return _refusal(403, error)
        except (LookupError, NoObject, NotFound, DependencyLost) as error:
            return _refusal(404, error)
        except (WireError, StoreFailed, KubeError) as error:
            return _refusal(503, error)

    async def _give(self, request: web.Request) -> web.StreamResponse:
        job, name = self._callers.job(request), request.match_info["dependency"]
        known = next((each for each in job.status.dependencies or () if each.name == name), None)
        if known is None:
            raise LookupError(f"the job depends on no job {name}: spec.dependsOn names those that it does")
        found = await self._results.job(job.metadata.namespace, name)
        if found.metadata.uid != known.uid:
            raise DependencyLost(f"{name} was deleted and created again since this job started")
        return await given(request, await self._results.content(found), "application/json")


def _refusal(status: int, error: Exception) -> web.Response:
    return web.Response(text=f"{error.args[0] if error.args else error}\n", status=status)
