"""What a history of ten years costs, measured against one hand-tuned script: `make bench`."""
