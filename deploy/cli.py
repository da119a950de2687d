"""Runs the command line ``edge-flash``: builds what is put onto a box, and puts it there.

Exit codes: 0 done, 1 the answer is no, 2 a wrong setting or argument, 6 disk.
"""

from deploy.deb.command import deb
from deploy.image import commands as image
from deploy.jetson import command as jetson
from deploy.wheelhouse import command as wheelhouse
from edge.system import command_line

app = command_line.tool(
    "edge-flash", "From the runtime to a box: packages and images.", daemons={"deb"}
)
app.command("deb")(deb)
app.command("jetson")(jetson.jetson)
app.command("wheelhouse")(wheelhouse.wheelhouse)
app.command("keys")(image.keys)
app.command("rootfs")(image.rootfs)
app.command("image")(image.image)
app.command("bundle")(image.bundle)
app.command("verify")(image.verify)
app.command("inspect")(image.inspect)
app.command("write")(image.write)


def main() -> None:
    """Run ``edge-flash``; a user's mistake is a message and an exit code, no stack trace."""
    command_line.run("edge-flash", app)


if __name__ == "__main__":
    main()
