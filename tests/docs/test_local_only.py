"""The built site loads nothing from other servers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.docs.local_only import loaded_from_elsewhere, on_post_build


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<script src="https://cdn.test/a.js"></script>', ["https://cdn.test/a.js"]),
        ("<img alt=x src=//cdn.test/a.png>", ["//cdn.test/a.png"]),
        (
            '<link rel="stylesheet" href="https://fonts.test/css?family=Roboto">',
            ["https://fonts.test/css?family=Roboto"],
        ),
        ("@import 'https://cdn.test/a.css';", ["https://cdn.test/a.css"]),
        ("body { background: url(//cdn.test/a.png) }", ["//cdn.test/a.png"]),
        ('<a href="https://roadrunner.dev">RoadRunner</a>', []),
        ('<link rel="canonical" href="https://docs.test/">', []),
        ('<script src="assets/a.js"></script><link href="../a.css" rel="stylesheet">', []),
        ("a { background: url('data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\">') }", []),
    ],
)
def test_what_a_browser_would_load_is_found_and_links_are_not(text: str, found: list[str]) -> None:
    assert loaded_from_elsewhere(text) == found


def test_each_one_is_a_warning_which_fails_a_strict_build(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.html").write_text('<script src="a.js"></script>')
    (tmp_path / "bad.html").write_text('<script src="https://cdn.test/a.js"></script>')
    on_post_build({"site_dir": str(tmp_path)})
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "bad.html loads https://cdn.test/a.js")
    ]
