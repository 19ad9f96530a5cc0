# SPDX-License-Identifier: GPL-2.0-only
"""Guests that stand still while something else is done, as shell functions for a job's script."""

# pause: stops the processes $guests, and waits until all their threads have stopped; resume.
SHELL = r"""threads() { cat /proc/$1/task/*/stat | sed 's/.*) \(.\).*/\1/'; }
pause() {
    kill -STOP $guests || exit 1
    for pid in $guests; do
        while threads $pid | grep -qv T; do sleep 0.02; done
    done
}
resume() { kill -CONT $guests; }
"""
