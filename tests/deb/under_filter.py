"""Runs a command under the system call filter of a unit, as systemd would, in a root folder.

``/usr/bin/python3 under_filter.py UNIT ROOT USER COMMAND...``; needs root and Debian's
``python3-seccomp``. A refused call gives EPERM, as the unit asks for. What else a unit takes away
(mounts, devices, capabilities) is not taken here.
"""

import errno
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import seccomp  # of Debian

PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000


def settings(unit: Path) -> dict[str, list[str]]:
    """Values of ``[Service]`` by key, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def members(group: str) -> Iterator[str]:
    """Names of the calls in a group such as ``@system-service``; a plain name is itself."""
    if not group.startswith("@"):
        yield group
        return
    listing = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], check=True, capture_output=True, text=True
    ).stdout
    for line in listing.splitlines()[1:]:
        name = line.strip()
        if name and not name.startswith("#"):
            yield from members(name)


def allowed(lines: list[str]) -> set[str]:
    """Names of the calls that the lines of ``SystemCallFilter`` leave, in order."""
    calls: set[str] = set()
    for line in lines:
        names = {call for group in line.lstrip("~").split() for call in members(group)}
        calls = calls - names if line.startswith("~") else calls | names
    # systemd always leaves these to a service with a list of what is allowed.
    return calls | {"execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn"}


def load(unit: dict[str, list[str]]) -> None:
    """Load the filter into this process; it holds for what the process runs."""
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    names = sorted(allowed(unit["SystemCallFilter"]))
    for name in names:
        try:
            number = seccomp.resolve_syscall(seccomp.Arch(), name)
        except ValueError:
            continue
        if number < 0:
            continue  # of another processor
        if unit.get("MemoryDenyWriteExecute") == ["yes"] and name in {
            "mmap",
            "mprotect",
            "pkey_mprotect",
            "shmat",
        }:
            no_exec = seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, 0)
            no_write = seccomp.Arg(2, seccomp.MASKED_EQ, PROT_WRITE, 0)
            if name == "shmat":
                rules.add_rule(seccomp.ALLOW, name, seccomp.Arg(2, seccomp.MASKED_EQ, SHM_EXEC, 0))
                continue
            rules.add_rule(seccomp.ALLOW, name, no_exec)
            if name == "mmap":
                rules.add_rule(seccomp.ALLOW, name, no_write)
            continue
        rules.add_rule(seccomp.ALLOW, name)
    rules.load()


def main(unit: Path, root: str, user: str, command: list[str]) -> None:
    wanted = settings(unit)
    os.chroot(root)
    os.chdir("/")
    who = pwd.getpwnam(user)
    os.environ["HOME"] = who.pw_dir
    os.setgroups([])
    os.setgid(who.pw_gid)
    os.setuid(who.pw_uid)
    os.umask(0o077)
    load(wanted)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
