"""What every script shares, so that it is learnt once: arguments, progress, report, Ctrl-C, exit codes."""
