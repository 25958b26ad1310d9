"""Count the functions and files that one email sign-in runs: `python -m bench.calls [--list]`.

Flask's test client submits the sign-in form, in this process, to a site whose backend is `bench.backend`. The count is
of distinct functions in the site's own Python files that run during this request, in any thread or greenlet. It
includes methods, lambdas and comprehensions (from Python 3.12, a list, dict or set comprehension is part of its
function), but no module bodies, class bodies, templates or libraries.

It is the first sign-in of the process, so it includes opening the connection to the backend.
"""

import argparse
import inspect
import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

from flask.testing import FlaskClient

from bench import sites
from bench.backend import PASSWORD, email_of
from bench.visitors import CSRF_FIELD, PAGE, SITE_URL

_NOT_THE_SITE = ("bench", "tests", ".venv")


class Recorder:
    """Collects the code objects of the functions that run while it records, in this thread and in later threads."""

    def __init__(self) -> None:
        self.is_recording = False
        self.codes: set[CodeType] = set()
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if self.is_recording and event == "call":
            self.codes.add(frame.f_code)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def functions_of_one_sign_in() -> dict[str, list[str]]:
    """Return the names of the functions by file, relative to the root of the repository."""
    with sites.backend() as backend:
        os.environ.update(sites.site_environ(port=8000, backend_port=backend.port))
        recorder = Recorder()  # before the site starts threads
        try:
            from app import create_app  # noqa: PLC0415

            site = create_app()
            client = site.test_client()
            token = _csrf_token(client)
            recorder.is_recording = True
            _sign_in(client, token)
            recorder.is_recording = False
        finally:
            recorder.stop()
    return _by_file(recorder.codes)


def _csrf_token(client: FlaskClient) -> str:
    match = CSRF_FIELD.search(client.get(PAGE, base_url=SITE_URL).data)
    assert match, "the sign-in page has no CSRF token"
    return match[1].decode()


def _sign_in(client: FlaskClient, token: str) -> None:
    form = {"csrfToken": token, "email": email_of(1), "password": PASSWORD}
    response = client.post(PAGE, data=form, base_url=SITE_URL, headers={"Origin": SITE_URL})
    assert response.status_code == 303, f"sign-in: {response.status}"


def _by_file(codes: set[CodeType]) -> dict[str, list[str]]:
    by_file: dict[str, set[str]] = defaultdict(set)
    for code in codes:
        path = Path(code.co_filename)
        if not path.is_relative_to(sites.ROOT) or path.suffix != ".py":
            continue
        file = path.relative_to(sites.ROOT)
        if file.parts[0] not in _NOT_THE_SITE and code.co_flags & inspect.CO_OPTIMIZED:  # not a module or class body
            by_file[str(file)].add(f"{code.co_qualname} (line {code.co_firstlineno})")
    return {file: sorted(by_file[file]) for file in sorted(by_file)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--list", action="store_true", help="list the functions by file")
    arguments = parser.parse_args()
    by_file = functions_of_one_sign_in()
    if arguments.list:
        for file, names in by_file.items():
            print(file, *(f"    {name}" for name in names), sep="\n")
    print(f"One email sign-in runs {sum(map(len, by_file.values()))} functions in {len(by_file)} files.")


if __name__ == "__main__":
    main()
