"""What the API is given, checked at its door: bounded, and refused as a whole when a part is wrong."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=80)]
Path = Annotated[str, Field(min_length=1, max_length=512)]
Values = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoginRequest(_Request):
    username: Annotated[str, Field(max_length=256)]
    password: Annotated[str, Field(max_length=1024, repr=False)]


class OverviewRequest(_Request):
    placements: Annotated[list[Values], Field(min_length=1, max_length=16)]
    gateway: Annotated[str, Field(max_length=80)] = ""
    """whose machines are told apart"""


class ImageRequest(_Request):
    url: Annotated[str, Field(pattern=r"^https?://", max_length=2048)]


class TemplateRequest(ImageRequest):
    folder: Path
    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class StartRequest(_Request):
    """What the machine shall have when it runs, `memory` in GiB; as it is without."""

    cpus: Annotated[int, Field(ge=1, le=128)] | None = None
    memory: Annotated[int, Field(ge=1, le=1024)] | None = None


AS_IT_IS = StartRequest()


class MachineRequest(_Request):
    """`memory` and `disk` in GiB."""

    name: Name
    marks: Values
    placement: Values
    template: Path
    cpus: Annotated[int, Field(ge=1, le=128)]
    memory: Annotated[int, Field(ge=1, le=1024)]
    disk: Annotated[int, Field(ge=1, le=4096)]
    user_data: Annotated[str, Field(max_length=262144, repr=False)]
    meta_data: Annotated[str, Field(max_length=65536, repr=False)]
