"""Runs the command line ``edge``; only here and in ``commands`` does anything print or exit.

Exit codes: 0 done, 1 the answer is no (``demo`` saw no alert, ``health`` found none), 2 a wrong
setting or argument, 3 model or engine, 4 camera or file, 5 broker, 6 disk.
"""

from edge.cli.commands import (
    alerts,
    backup,
    check,
    demo,
    detect,
    health,
    init,
    prompts,
    reload,
    retire,
    run,
    score,
    search,
    site,
    support,
)
from edge.system import command_line

app = command_line.tool("edge", "Camera video in, zero-shot alerts over MQTT out.", daemons={"run"})
app.command("run")(run.run)
app.command("init")(init.init)
app.command("check")(check.check)
app.command("health")(health.health)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("support-bundle")(support.support_bundle)
app.command("score")(score.score)
app.command("detect")(detect.detect)
app.command("search")(search.search)
app.command("alerts")(alerts.alerts)
app.command("reload")(reload.reload)
app.command("retire")(retire.retire)
app.command("site")(site.site)
app.add_typer(prompts.prompts, name="prompts")
app.command("demo")(demo.demo)


def main() -> None:
    """Run ``edge``; a user's mistake is a message and an exit code, no stack trace."""
    command_line.run("edge", app)
