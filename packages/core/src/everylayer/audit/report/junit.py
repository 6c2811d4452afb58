"""The report for CI: one test case a fault, as everylayer fared with it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from ..model import ChainNode, Report, Row
from ..plan import walk
from .totals import judged, totals

# Source: XML 1.0, section 2.2, production Char.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """Return `report` as JUnit XML; a fault that was not reached is skipped."""
    known = {node.id: node for node in walk(report.chain)}
    counts = totals(report).get("everylayer", {"put": 0, "lost": 0, "unreached": 0})
    numbers = {
        "tests": str(len(report.rows)),
        "failures": str(counts["lost"]),
        "errors": "0",
        "skipped": str(counts["unreached"]),
        "time": f"{report.seconds:.3f}",
    }
    root = ET.Element("testsuites", {"name": "everylayer audit", **numbers})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(report.target), **numbers})
    for row in report.rows:
        _case(suite, row, known, report)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, row: Row, known: dict[str, ChainNode], report: Report) -> None:
    fault = row.fault
    node = known.get(fault.node)
    layer = f"{fault.node} {node.name}" if node is not None else fault.node
    name = " ".join([fault.phase, fault.shape, *([fault.error] if fault.error != "error" else [])])
    # The dots of a class name would be taken for packages.
    classname = _xml(f"{report.target} {layer}".replace(".", "\u2024"))
    case = ET.SubElement(suite, "testcase", classname=classname, name=_xml(f"{layer}: {name}"))
    case.set("time", "0")
    verdict = judged(row, "everylayer")
    if not verdict.reached:
        request = f"{report.request.method} {report.request.path}"
        ET.SubElement(case, "skipped", message=_xml(f"{request} does not pass here"))
    elif not verdict.ok:
        failure = ET.SubElement(case, "failure", message=_xml("; ".join(verdict.why)))
        where = node.where if node is not None else ""
        failure.text = _xml("\n".join([*verdict.why, *([f"at {where}"] if where else [])]))


def _xml(text: str) -> str:
    """Return `text` without what no XML document may hold, not even escaped."""
    return _NOT_XML.sub("\ufffd", text)
