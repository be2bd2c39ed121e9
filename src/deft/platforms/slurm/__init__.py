"""A Slurm cluster whose submission host and nodes share the workspace's file system."""
