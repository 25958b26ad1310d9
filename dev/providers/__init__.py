"""The stand-in providers, one file each: how a provider differs from the standards, and its accounts."""

from dev.providers.apple import APPLE
from dev.providers.base import Provider
from dev.providers.discord import DISCORD
from dev.providers.github import GITHUB
from dev.providers.google import GOOGLE
from dev.providers.kakao import KAKAO
from dev.providers.line import LINE
from dev.providers.naver import NAVER
from dev.providers.oidc import OIDC

PROVIDERS: dict[str, Provider] = {
    provider.id: provider for provider in (KAKAO, NAVER, APPLE, GOOGLE, GITHUB, LINE, DISCORD, OIDC)
}
