"""The routes: KIE's endpoints on both of its hosts, and the files it serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from kie_runway_sandbox import uploads, wire
from kie_runway_sandbox.accounts import Account, TaskKind
from kie_runway_sandbox.body import read_object
from kie_runway_sandbox.control import control_routes
from kie_runway_sandbox.gate import RECEIPT
from kie_runway_sandbox.media import TaskPart
from kie_runway_sandbox.tasks import Task
from kie_runway_sandbox.uploads import Upload, UploadRefused
from kie_runway_sandbox.validation import Refused, is_http_url

if TYPE_CHECKING:
    from kie_runway_sandbox.sandbox import Sandbox

CONTROL_PREFIX = "/_sandbox"
OPENAPI_FILE = Path(__file__).with_name("openapi.yaml")
RUNWAY_KINDS: set[TaskKind] = {"generate", "extend"}
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}  # recorded on upload answers (§9)


def create_app(sandbox: "Sandbox") -> Starlette:
    """The API of one sandbox, without the gate that plays faults."""
    api = _Api(sandbox)
    return Starlette(
        routes=[
            Route("/api/v1/runway/generate", api.runway_generate, methods=["POST"]),
            Route("/api/v1/runway/extend", api.runway_extend, methods=["POST"]),
            Route("/api/v1/runway/record-detail", api.runway_record, methods=["GET"]),
            Route("/api/v1/aleph/generate", api.aleph_generate, methods=["POST"]),
            Route("/api/v1/aleph/record-info", api.aleph_record, methods=["GET"]),
            Route("/api/v1/chat/credit", api.credit, methods=["GET"]),
            Route("/api/v1/common/download-url", api.download_url, methods=["POST"]),
            Route("/api/file-stream-upload", api.upload_stream, methods=["POST"]),
            Route("/api/file-base64-upload", api.upload_base64, methods=["POST"]),
            Route("/api/file-url-upload", api.upload_url, methods=["POST"]),
            Route("/media/{task_id}/{file}", api.media_file, methods=["GET"]),
            Route("/download/{token}/{file}", api.download, methods=["GET"]),
            Route("/files/{path:path}", api.uploaded_file, methods=["GET"]),
            Route("/openapi.yaml", _openapi, methods=["GET"]),
            Mount(CONTROL_PREFIX, routes=control_routes(sandbox)),
        ],
        exception_handlers={
            Refused: api.refused,
            UploadRefused: _upload_refused,
            404: _not_found,
            405: _not_allowed,
        },
        lifespan=lambda _app: sandbox.running(),
    )


class _Api:
    """The handlers."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._engine = sandbox.engine
        self._media = sandbox.engine.media

    async def runway_generate(self, request: Request) -> Response:
        return await self._create(request, "generate")

    async def runway_extend(self, request: Request) -> Response:
        return await self._create(request, "extend")

    async def aleph_generate(self, request: Request) -> Response:
        return await self._create(request, "aleph")

    async def _create(self, request: Request, kind: TaskKind) -> Response:
        self._base_url(request)  # media URLs in the body are told apart by it
        account = None
        try:
            account = self._account(request)
            entry = self._engine.create(kind, account, await read_object(request))
        except Refused as refused:
            self._sandbox.log.add(
                "refused",
                account=account.number if account else None,
                kind=kind,
                code=refused.code,
                message=refused.message,
            )
            raise
        request.scope[RECEIPT].entry = entry
        return wire.Json(wire.success({"taskId": entry.task_id}))

    async def runway_record(self, request: Request) -> Response:
        task = self._look_up(request, RUNWAY_KINDS)
        if task is None:
            return self._unknown_task()
        switches, now = self._sandbox.switches, self._sandbox.clock.now()
        record = wire.runway_record(task, switches, self._media, self._base_url(request), now)
        return wire.Json(wire.success(record))

    async def aleph_record(self, request: Request) -> Response:
        task = self._look_up(request, {"aleph"})
        if task is None:
            return self._unknown_task()
        switches = self._sandbox.switches
        record = wire.aleph_record(task, switches, self._media, self._base_url(request))
        return wire.Json(wire.success(record))

    def _look_up(self, request: Request, kinds: set[TaskKind]) -> Task | None:
        account = self._account(request)
        task_id = request.query_params.get("taskId")
        if not task_id:
            raise Refused(422, "taskId is required")
        return self._engine.look_up(account, kinds, task_id)

    def _unknown_task(self) -> Response:
        code = self._sandbox.switches.unknown_task
        if code == "null":
            return wire.Json(wire.success(None))
        return wire.Json(wire.refusal(code, "record does not exist"))

    async def credit(self, request: Request) -> Response:
        return wire.Json(wire.success(float(self._account(request).credits)))

    async def download_url(self, request: Request) -> Response:
        account = self._account(request)
        url = (await read_object(request)).get("url")
        base_url = self._base_url(request)
        found = self._media.locate(url) if isinstance(url, str) and is_http_url(url) else None
        if not isinstance(found, TaskPart) or found.task.account != account.number:
            raise Refused(422, "url is wrong")  # recorded (§10)
        self._sandbox.log.add("download_link", account=account.number, task_id=found.task.task_id)
        return wire.Json(wire.success(self._media.mint_link(found, base_url)))

    async def upload_stream(self, request: Request) -> Response:
        account = self._upload_account(request)
        async with request.form() as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise UploadRefused(400, "Missing required parameter: file")
            upload = self._engine.uploads.add(
                account.number,
                form.get("uploadPath"),
                form.get("fileName"),
                await file.read(),
                mime_type=file.content_type,
            )
        return self._uploaded(request, upload)

    async def upload_base64(self, request: Request) -> Response:
        account = self._upload_account(request)
        body = await _read_upload(request)
        content, mime_type = uploads.decode_base64(body.get("base64Data"))
        upload = self._engine.uploads.add(
            account.number,
            body.get("uploadPath"),
            body.get("fileName"),
            content,
            mime_type=mime_type,
        )
        return self._uploaded(request, upload)

    async def upload_url(self, request: Request) -> Response:
        account = self._upload_account(request)
        body = await _read_upload(request)
        url = body.get("fileUrl")
        if not isinstance(url, str) or not is_http_url(url):
            raise UploadRefused(400, "Missing required parameter: fileUrl")
        self._base_url(request)
        located = self._media.locate(url)
        if located == "unreachable":
            raise UploadRefused(400, "Failed to download the file from fileUrl")
        if isinstance(located, TaskPart):
            content, name = (await self._clip_file(located)).read_bytes(), None
        elif isinstance(located, Path):
            content, name = located.read_bytes(), None
        else:
            content, name = uploads.placeholder(url)
        upload = self._engine.uploads.add(
            account.number,
            body.get("uploadPath"),
            body.get("fileName") or name,
            content,
            is_placeholder=located == "elsewhere",
        )
        return self._uploaded(request, upload)

    def _uploaded(self, request: Request, upload: Upload) -> Response:
        data = uploads.upload_json(self._base_url(request), upload)
        body = {"success": True, "code": 200, "msg": "File uploaded successfully", "data": data}
        return wire.Json(body, headers=ANY_ORIGIN)

    async def media_file(self, request: Request) -> Response:
        task_id, file = request.path_params["task_id"], request.path_params["file"]
        return await self._serve(self._media.find_part(task_id, file))

    async def download(self, request: Request) -> Response:
        return await self._serve(self._media.find_link(request.path_params["token"]))

    async def _serve(self, found: TaskPart | None) -> Response:
        if found is None:
            return PlainTextResponse("no such file", 404)
        try:
            path = await self._clip_file(found)
        except Exception as error:  # a renderer is a plug-in and may raise anything
            self._sandbox.log.add("render_failed", task_id=found.task.task_id, error=repr(error))
            return PlainTextResponse("this clip could not be drawn, see the sandbox's log", 500)
        return FileResponse(path)

    async def _clip_file(self, found: TaskPart) -> Path:
        order = self._media.order(found.task)
        clip = await self._sandbox.clips.get(found.task.task_id, order)
        return clip.video if found.part == "video" else clip.thumbnail

    async def uploaded_file(self, request: Request) -> Response:
        upload = self._engine.uploads.get(request.path_params["path"])
        if upload is None:
            return PlainTextResponse("no such file", 404)
        return FileResponse(self._engine.uploads.file(upload), media_type=upload.mime_type)

    async def refused(self, _request: Request, error: Exception) -> Response:
        """Application errors: HTTP 200 but for two codes, whose status is a switch (§13.1)."""
        assert isinstance(error, Refused)
        switches = self._sandbox.switches
        status = {401: switches.auth_http_status, 429: switches.rate_limit_http_status}
        body = wire.refusal(error.code, error.message)
        return wire.Json(body, status.get(error.code, 200))

    def _account(self, request: Request) -> Account:
        account = self._engine.account(_bearer(request))
        if account is None:
            raise Refused(401, wire.NO_ACCESS)
        return account

    def _upload_account(self, request: Request) -> Account:
        account = self._engine.account(_bearer(request))
        if account is None:
            raise UploadRefused(401, "Authentication failed: Invalid API Key")
        return account

    def _base_url(self, request: Request) -> str:
        base_url = str(request.base_url).rstrip("/")
        if not self._media.base_url:  # not served by `serve`, which would have set it
            self._media.base_url = base_url
        return base_url


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


async def _read_upload(request: Request) -> dict[str, Any]:
    try:
        return await read_object(request)
    except Refused as refused:
        raise UploadRefused(400, refused.message) from refused


async def _openapi(_request: Request) -> Response:
    return FileResponse(OPENAPI_FILE, media_type="application/yaml")


async def _upload_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UploadRefused)
    return _upload_error(error.status, error.message)


def _upload_error(status: int, message: str) -> Response:
    return wire.Json({"success": False, "code": status, "msg": message}, status, ANY_ORIGIN)


async def _not_found(request: Request, _error: Exception) -> Response:
    """Outside the envelope, as one report says (§1)."""
    return _framework_error(request, 404, "Not Found")


async def _not_allowed(request: Request, _error: Exception) -> Response:
    if request.url.path.endswith("-upload"):
        return _upload_error(405, "Method not allowed")
    return _framework_error(request, 405, "Method Not Allowed")


def _framework_error(request: Request, status: int, error: str) -> Response:
    return wire.Json({"status": status, "error": error, "path": request.url.path}, status)
