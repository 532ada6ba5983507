"""`paris-node doctor`: everything that keeps a node from working, or could, each with what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from paris.node.options import (
    DeviceOption,
    HomeOption,
    HubOption,
    JsonOption,
    PlainHttpOption,
    RunIdOption,
    clear_errors,
    home_path,
)
from paris.protocol.streams import require_stdout


def doctor(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="As for join; without it the machine alone is looked at.")
    ] = None,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    device: DeviceOption = None,
    hub_endpoint: HubOption = None,
    allow_plain_http: PlainHttpOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at machine, network and run, and take a training step: what is wrong, why, and what to do."""
    with clear_errors(as_json=as_json):
        from paris.node.doctor.examination import examine
        from paris.node.doctor.finding import Level
        from paris.node.doctor.known import Known
        from paris.node.doctor.report import Progress, as_json_line, as_lines, summary, terminal_width
        from paris.node.machine.home import Home

        require_stdout()
        flags = {"device": device, "hub_endpoint": hub_endpoint, "allow_plain_http": allow_plain_http}
        progress, width, findings = Progress(), terminal_width(), []
        try:
            for finding in examine(Known(run, Home(home_path(home)), run_id, flags), progress.show):
                progress.wipe()
                findings.append(finding)
                lines = [as_json_line(finding)] if as_json else as_lines(finding, width)
                print("\n".join(lines), flush=True)
        finally:
            progress.wipe()
        if not as_json:
            print(summary(findings))
        if any(finding.level is Level.PROBLEM for finding in findings):
            raise typer.Exit(1)
