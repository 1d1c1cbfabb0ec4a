"""The page: every number of the report, nothing that was not measured, and no word of a stranger as markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from secondsite.evidence.html import render
from tests.unit.evidence_sample import empty, sample

VOID = ("meta", "line", "rect", "path", "circle", "br")


class Page(HTMLParser):
    """Tags, in balance, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_every_measured_number_is_there_to_the_digit() -> None:
    report = sample()
    text = Page(render(report, json_sha256="ab" * 32)).text
    for section in (report["rto"], report["rpo"]):
        for key, value in section.items():
            if key.endswith("_seconds") and key != "objective_seconds":
                assert f"{value:.3f} s" in text, key
    for told in ("5 min", "1 min", "3 lost of 361 acknowledged", "1 lost of 73 acknowledged", "18,432 bytes"):
        assert told in text
    for name in (*report["customer"]["orders_lost"], *report["customer"]["files_lost"]):
        assert name in text
    for moment in report["moments"]:
        assert moment["what"] in text
    for step in report["procedure"]["steps"]:
        assert step["title"] in text
    assert report["scope"]["config_sha256"] in text and "ab" * 32 in text


def test_on_a_narrow_screen_every_wide_table_becomes_lines_and_every_picture_is_pushed_in_its_own_frame() -> None:
    """Measured with a browser at 390, 768 and 1280 px: the page itself must not be pushed sideways."""
    page = render(sample(), json_sha256="ab" * 32)
    tables = re.findall(r'<table(?: class="([^"]*)")?>\s*<thead><tr>(.*?)</tr>', page)
    assert len(tables) >= 8
    for classes, head in tables:
        assert {"stack", "sign"} & set(classes.split()), head
    assert all(f'<td data-label="{when}">' in page for when in ("Before", "After"))
    assert len(re.findall(r'<div class="scroll"><figure>', page)) == page.count("<figure>") == 3
    narrow = page.partition("@media screen and (max-width: 560px) {")[2].partition("@page")[0]
    assert ".stack tr, .stack th, .stack td { display: block; }" in narrow
    assert "body { overflow-wrap: anywhere; }" in narrow


def test_the_page_needs_nothing_but_itself() -> None:
    page = Page(render(sample()))
    assert page.links == []
    assert not page.tags & {"script", "link", "img", "iframe", "object"}
    assert "url(" not in render(sample()) and "@import" not in render(sample())


def test_what_was_not_measured_is_said_to_be_that() -> None:
    text = Page(render(empty())).text
    assert text.count("not measured") >= 10
    assert "first customer served" not in text and "without service for" not in text
    assert "None" not in text and "nan" not in text.lower().split()


def test_a_report_that_lacks_whole_sections_still_has_a_page() -> None:
    text = Page(render({"report": "gameday", "id": "x", "service": "shop"})).text
    assert "Not passed" in text and "not measured" in text


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}</style>"])
def test_words_of_strangers_stay_words(evil: str) -> None:
    report = sample()
    report["scenario"] |= {"reason": evil, "title": evil}
    report["customer"]["orders_lost"] = [evil]
    report["checks"][0]["told"] = evil
    report["procedure"]["steps"][0]["title"] = evil
    report["verdict"]["reasons"] = [evil]
    report["claims"] = [evil]
    report["moments"][0]["what"] = evil
    page = Page(render(report))
    assert not page.tags & {"script", "img"}
    assert page.text.count(evil) >= 6


def test_a_verdict_never_claims_compliance() -> None:
    text = Page(render(sample())).text.lower()
    assert "evidence relevant to" in text
    assert "compliant" not in text and "complies" not in text


def test_no_interruption_is_told_only_where_customers_tried_and_none_failed() -> None:
    report = sample()
    report["customer"] |= {"outage_seconds": None, "last_good_before": None, "first_good_after": None}
    assert "without service for" not in Page(render(report)).text
    assert "noticed no interruption" not in Page(render(report)).text
    report["customer"]["series"] = [{**one, "ok": True, "ms": 12.0} for one in report["customer"]["series"]]
    assert "customers noticed no interruption" in Page(render(report)).text


def test_many_lost_orders_are_counted_and_not_all_listed() -> None:
    report = sample()
    report["customer"]["orders_lost"] = [f"order-{number:05d}" for number in range(500)]
    text = Page(render(report)).text
    assert "order-00119" in text and "order-00120" not in text and "and 380 more" in text
