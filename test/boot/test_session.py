# SPDX-License-Identifier: BSD-2-Clause
"""An interactive session over the serial line: what a person types and sees."""
import time

from harness import PROMPT, Machine, boot_test, check, check_equal

CTRL_C, CTRL_D, CTRL_U, CTRL_Z, CTRL_BACKSLASH, ERASE = "\x03", "\x04", "\x15", "\x1a", "\x1c", "\x7f"
# The shell prints this once the terminal is set for the command that follows.
GO = "echo g''o; "


def start(machine, command):
    """Types a command line and waits until its program has the terminal."""
    machine.send(GO + command + "\n")
    machine.expect(r"^go\r*$")
    time.sleep(1.5)  # for a key that must not come before the program is in the foreground


def session(sentence):
    """A test that is given a machine with a shell at its prompt."""

    def register(function):
        @boot_test(sentence)
        def test():
            with Machine(sentence) as machine:
                machine.wait_for_shell()
                function(machine)

        return test

    return register


@session("a command typed at the prompt runs and the prompt comes back")
def prompt(machine):
    machine.send("echo typed $((40 + 2))\n")
    machine.expect(r"^typed 42\r*$")
    machine.expect(PROMPT)


@boot_test("what is typed from the firmware's first line on reaches the shell whole")
def typed_ahead():
    with Machine("typed ahead") as machine:
        machine.expect("OpenSBI v")
        machine.send("echo early $((40 + 2))\n")
        machine.wait_for_shell()
        machine.expect(r"^early 42\r*$")


@session("erase, word erase and kill edit the line before it is read")
def line_editing(machine):
    # `cat` reads through the kernel's line discipline, the shell's own editor is not involved.
    start(machine, "cat")
    machine.send("wrong" + ERASE * 5 + "right\n")
    machine.expect(r"^right\r*$")
    machine.send("all of this goes" + CTRL_U + "kept\n")
    machine.expect(r"^kept\r*$")
    machine.send("two words\x17done\n")
    machine.expect(r"^two done\r*$")
    machine.send(CTRL_D)
    machine.expect(PROMPT)
    # And the shell's editor, in raw mode.
    machine.send("echo abd" + ERASE + "c\n")
    machine.expect(r"^abc\r*$")
    machine.expect(PROMPT)


@session("Ctrl-D ends the input of a program")
def end_of_file(machine):
    output, status = machine.run("echo before")
    check_equal((output, status), ("before\n", 0), "echo")
    start(machine, "wc -c")
    machine.send("12345\n")
    machine.expect(r"12345\r*\n")
    machine.send(CTRL_D)
    machine.expect(r"^6\r*$")
    machine.expect(PROMPT)


@session("Ctrl-C stops sleep 100 at once, status 130")
def interrupt(machine):
    start(machine, "sleep 100")
    machine.send(CTRL_C)
    machine.expect(PROMPT, timeout=20)
    machine.send("echo status $?\n")
    machine.expect(r"^status 130\r*$")
    machine.expect(PROMPT)


@session("Ctrl-C stops a pipeline and a loop, and the shell lives on")
def interrupt_pipeline(machine):
    start(machine, "yes | cat > /dev/null")
    machine.send(CTRL_C)
    machine.expect(PROMPT, timeout=20)
    start(machine, "while true; do sleep 1; done")
    machine.send(CTRL_C)
    machine.expect(PROMPT, timeout=20)
    output, status = machine.run("echo alive")
    check_equal((output, status), ("alive\n", 0), "the shell's answer")


@session("Ctrl-\\ ends a program with SIGQUIT")
def quit_key(machine):
    start(machine, "sleep 100")
    machine.send(CTRL_BACKSLASH)
    machine.expect(PROMPT, timeout=20)
    machine.send("echo status $?\n")
    machine.expect(r"^status 131\r*$")
    machine.expect(PROMPT)


@session("Ctrl-Z stops a job; jobs, bg and fg know it")
def job_control(machine):
    start(machine, "sleep 100")
    machine.send(CTRL_Z)
    machine.expect(r"Stopped +sleep 100", timeout=20)
    machine.expect(PROMPT)
    output, _ = machine.run("jobs")
    check("Stopped" in output and "sleep 100" in output, f"jobs shows {output!r}")
    output, _ = machine.run("bg")
    check("sleep 100" in output, f"bg shows {output!r}")
    output, _ = machine.run("jobs")
    check("Running" in output, f"jobs after bg shows {output!r}")
    machine.send("fg\n")
    machine.expect(r"^sleep 100\r*$")
    time.sleep(1)
    machine.send(CTRL_Z)
    machine.expect(r"Stopped +sleep 100", timeout=20)
    machine.expect(PROMPT)
    machine.send("fg %1\n")
    machine.expect(r"^sleep 100\r*$")
    time.sleep(1)
    machine.send(CTRL_C)
    machine.expect(PROMPT, timeout=20)
    output, _ = machine.run("jobs")
    check_equal(output, "", "jobs after the end")


@session("a background job that reads the terminal stops, one that writes does not")
def background_terminal(machine):
    machine.send("cat &\n")
    machine.expect(PROMPT)
    output, _ = machine.run("sleep 1; jobs")
    check("Stopped" in output and "(tty input)" in output, f"jobs shows {output!r}")
    machine.run("kill -9 %1; wait")
    machine.run("true")
    output, _ = machine.run("(sleep 1; echo from the background) & sleep 2; true")
    check("from the background" in output, f"the job printed {output!r}")
    machine.run("stty tostop")
    machine.send("(sleep 1; echo never) &\n")
    machine.expect(PROMPT)
    output, _ = machine.run("sleep 2; jobs")
    check("Stopped" in output and "(tty output)" in output, f"jobs with tostop shows {output!r}")
    output, _ = machine.run("stty -tostop; kill -9 %1; wait; true")
    check("never" not in output, f"it wrote: {output!r}")


@session("stty shows and changes the terminal, echo can be turned off")
def terminal_settings(machine):
    output, status = machine.run("stty -a < /dev/console")
    check(status == 0 and "icanon" in output and "isig" in output, f"stty -a shows {output!r}")
    output, _ = machine.run("stty rows 30 cols 100; stty size")
    check_equal(output, "30 100\n", "stty size")
    start(machine, "stty -echo; echo q''uiet; head -n 1 | tr a-z A-Z; stty echo")
    machine.expect(r"^quiet\r*$")
    machine.send("secret\n")
    machine.expect(r"^SECRET\r*$")
    machine.expect(PROMPT)
    check("secret" not in machine.text(), "it was echoed")
    # TCSAFLUSH throws away what was typed ahead, TCSANOW does not.
    machine.send("/test/terminal @type\n")
    machine.expect(r"^type ahead\r*$")
    machine.send("12345\n")
    machine.expect(r"^typed 6, left 6 and 0\r*$")
    machine.expect(PROMPT)


@session("a program that ends with its terminal raw leaves the session usable")
def raw_mode(machine):
    output, _ = machine.run("stty raw -echo; stty sane; echo back")
    check_equal(output.replace("\r", ""), "back\n", "output")


@session("exit powers the machine off, with exit code 0")
def leave(machine):
    machine.send("exit\n")
    check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
