"""Where results, files and checkpoints of jobs are kept: folders and S3-compatible object stores."""
