"""The `vbq` command, one file per group of subcommands."""
