"""The address of a client, from what the server or a proxy says."""

import ipaddress
import re
from functools import lru_cache

_WITH_PORT = re.compile(r"\[([^]]*)](?::[0-9]+)?|([^:]*):[0-9]+")
"""`[2001:db8::1]:443`, `203.0.113.9:443`: some proxies add the port."""


@lru_cache(1024)
def parse_client_ip(text: str | None) -> str | None:
    """One IP address without port, brackets or zone, or None. An IPv4 address mapped to IPv6 is returned as IPv4."""
    match = _WITH_PORT.fullmatch(text or "")
    try:
        address = ipaddress.ip_address((match[1] or match[2]) if match else text or "")
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address).partition("%")[0]  # a zone may be any text
