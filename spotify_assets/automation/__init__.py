"""When and in which order assets are built: partitions, jobs and the runs that the command line starts."""
