"""FastAPI-Users with the JWT strategy, as its documentation sets it up; e-mail addresses must be verified.

Arguments of the command: port, SQLite file.
"""

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Body, Depends, FastAPI, Request
from fastapi_users import BaseUserManager, FastAPIUsers, InvalidPasswordException, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

PORT, DATABASE = sys.argv[1:]
SECRET = "of-the-tests-and-long-enough-for-any-algorithm"
FAST_HASH = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])
engine = create_async_engine(f"sqlite+aiosqlite:///{DATABASE}")
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class UserRead(schemas.BaseUser[uuid.UUID]):
    pass


class UserUpdate(schemas.BaseUserUpdate):
    pass


mails: list[tuple[str, str]] = []
"""Address and text of the mails that would have been sent."""


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET

    async def validate_password(self, password: str, user: Any) -> None:
        if len(password) < 8:
            raise InvalidPasswordException("Password should be at least 8 characters")

    async def on_after_register(self, user: User, request: Request | None = None) -> None:
        await self.request_verify(user, request)

    async def on_after_request_verify(self, user: User, token: str, request: Request | None = None) -> None:
        mails.append((user.email, f"https://login.example.com/auth/email/verify?token={token}"))

    async def on_after_forgot_password(self, user: User, token: str, request: Request | None = None) -> None:
        mails.append((user.email, f"https://login.example.com/auth/password/reset?token={token}"))


async def get_user_manager() -> AsyncIterator[UserManager]:
    async with new_session() as session:
        yield UserManager(SQLAlchemyUserDatabase(session, User), PasswordHelper(FAST_HASH))


def get_strategy() -> JWTStrategy[User, uuid.UUID]:
    return JWTStrategy(SECRET, lifetime_seconds=3600)


@asynccontextmanager
async def create_tables(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield


backend = AuthenticationBackend("jwt", BearerTransport("auth/jwt/login"), get_strategy)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])
app = FastAPI(lifespan=create_tables)
app.include_router(users.get_auth_router(backend, requires_verification=True), prefix="/auth/jwt")
app.include_router(users.get_register_router(UserRead, schemas.BaseUserCreate), prefix="/auth")
app.include_router(users.get_reset_password_router(), prefix="/auth")
app.include_router(users.get_verify_router(UserRead), prefix="/auth")
app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users")


@app.get("/test/mails")
async def list_mails(to: str) -> list[str]:
    return [text for address, text in mails if address == to]


@app.api_route("/test/account", methods=["POST", "PATCH", "DELETE"], status_code=204)
async def change_account(
    request: Request,
    data: Annotated[dict[str, Any], Body()],
    manager: Annotated[UserManager, Depends(get_user_manager)],
) -> None:
    if request.method == "POST":
        password = manager.password_helper.hash(data["password"])
        await manager.user_db.create(
            {"email": data["email"], "hashed_password": password, "is_verified": data["is_verified"]}
        )
        return
    user = await manager.get_by_email(data["email"])
    if request.method == "DELETE":
        await manager.delete(user)
        return
    if "new_email" in data:
        await manager.user_db.update(user, {"email": data["new_email"]})
    if "password" in data:
        await manager._update(user, {"password": data["password"]})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(PORT))
