"""Data formats, each told by its content and read into one `Dataset`."""
