"""The report: lines for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from tabletd.doctor.findings import Line, Verdict


def is_fit(lines: Sequence[Line]) -> bool:
    """Say whether nothing fails."""
    return all(line.finding.verdict is not Verdict.FAIL for line in lines)


def as_text(lines: Sequence[Line]) -> str:
    """Return a line for each finding, what to do below those that are not fit, and a sum."""
    text: list[str] = []
    for line in lines:
        text.append(f"{line.finding.verdict:<5} {line.check}: {line.finding.text}")
        if line.finding.remedy:
            text.append(f"      -> {line.finding.remedy}")
    counts = Counter(line.finding.verdict for line in lines)
    return "\n".join([*text, ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)])


def as_json(lines: Sequence[Line]) -> str:
    """Return an object with `fit` and `findings`."""
    findings = [
        {
            "check": line.check,
            "verdict": line.finding.verdict.lower(),
            "text": line.finding.text,
            "remedy": line.finding.remedy,
        }
        for line in lines
    ]
    return json.dumps({"fit": is_fit(lines), "findings": findings}, indent=2)
